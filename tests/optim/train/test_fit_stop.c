/* Why training stops: steps, callbacks, early stopping, Ctrl-C and SIGTERM; and what is left then.
 * Divergence is in test_fit_diverged.c. */
#include "tests/support/fit_support.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- Steps and callbacks ---------------------------------------------------------------------- */

typedef struct {
    int64_t steps, epochs; /* calls of either kind */
    int64_t stop_step, stop_epoch;
    int raise_at; /* in that step these signals come */
    int signals[2];
    ct_position last;
} watcher;

static bool watch(void *context, ct_position position, const ct_step_record *step,
                  const ct_epoch *epoch) {
    watcher *w = context;
    w->last = position;
    if (epoch) {
        w->epochs++;
        cr_expect(position.batch == 0 || epoch->steps < BATCHES);
        return w->epochs != w->stop_epoch;
    }
    w->steps++;
    cr_expect_eq(step->step, w->steps);
    cr_expect(position.epoch == w->steps / BATCHES && position.batch == w->steps % BATCHES);
    if (w->steps == w->raise_at) {
        for (int i = 0; i < 2; i++) {
            if (w->signals[i]) raise(w->signals[i]);
        }
    }
    return w->steps != w->stop_step;
}

static ct_history run(bench *b, watcher *w, ct_fit_options options) {
    ct_history history;
    options.callback = watch;
    options.context = w;
    OK(fit(b, options, &history));
    cr_expect_eq(ct_optimizer_steps(b->optimizer), w->steps);
    cr_expect(history.position.epoch == w->last.epoch && history.position.batch == w->last.batch);
    return history;
}

TEST(fit_stop, callbacks_see_every_step_and_epoch) {
    bench b = open_bench(0.05);
    watcher w = {0};
    ct_history history = run(&b, &w, (ct_fit_options){.epochs = 3});
    cr_expect(w.steps == 3 * BATCHES && w.epochs == 3);
    cr_expect_not(history.stopped_early);
    ct_history_free(&history);
    close_bench(&b);
}

TEST(fit_stop, a_callback_stops_after_its_step) {
    bench b = open_bench(0.05);
    watcher w = {.stop_step = BATCHES + 2};
    ct_history history = run(&b, &w, (ct_fit_options){.epochs = 3, .validation = b.test});
    cr_expect_eq(w.steps, BATCHES + 2);
    cr_expect(history.stopped_early && !history.interrupted);
    cr_assert_eq(history.n_epochs, 2);
    cr_expect_eq(history.epochs[1].steps, 2);
    cr_expect(isfinite(history.epochs[1].loss) && isnan(history.epochs[1].val_loss));
    ct_history_free(&history);
    close_bench(&b);
}

static bool save_nowhere(void *context, ct_position position, const ct_step_record *step,
                         const ct_epoch *epoch) {
    const bench *b = context;
    if (epoch || step->step < 2) return true;
    return ct_checkpoint_save("/nowhere/run.st", b->model, b->optimizer, position) == CT_OK;
}

/* With an error of an earlier call on record, which it clears. */
static bool clear_and_save_nowhere(void *context, ct_position position, const ct_step_record *step,
                                   const ct_epoch *epoch) {
    if (step->step == 1) ct_fail(CT_ERR_RANGE, "an earlier one");
    else ct_error_clear();
    return save_nowhere(context, position, step, epoch);
}

static bool watch_nowhere(void *context, const ct_fit_step *step) {
    return save_nowhere(context, step->position, &(ct_step_record){.step = 2}, NULL);
}

static void expect_not_saved(bench *b, ct_fit_options options, int64_t steps) {
    ct_history history;
    options.context = b;
    options.epochs = 3;
    options.validation = b->test;
    cr_expect_eq(fit(b, options, &history), CT_ERR_IO);
    cr_expect(strstr(ct_error_message(), "ct_checkpoint_save: /nowhere"), "%s", ct_error_message());
    ct_error_clear();
    cr_expect(!history.stopped_early && history.n_epochs == 1);
    cr_expect_eq(ct_optimizer_steps(b->optimizer), steps);
    ct_history_free(&history);
}

TEST(fit_stop, a_stop_with_an_error_is_that_error) {
    bench b = open_bench(0.05);
    expect_not_saved(&b, (ct_fit_options){.callback = save_nowhere}, 2);
    close_bench(&b);
    b = open_bench(0.05);
    expect_not_saved(&b, (ct_fit_options){.callback = clear_and_save_nowhere}, 2);
    close_bench(&b);
    b = open_bench(0.05);
    expect_not_saved(&b, (ct_fit_options){.watch = watch_nowhere}, 1);
    close_bench(&b);
}

TEST(fit_stop, a_callback_stops_after_its_epoch) {
    bench b = open_bench(0.05);
    watcher w = {.stop_epoch = 2};
    ct_history history = run(&b, &w, (ct_fit_options){.epochs = 5, .validation = b.test});
    cr_expect(w.steps == 2 * BATCHES && history.n_epochs == 2 && history.stopped_early);
    cr_expect(isfinite(history.epochs[1].val_loss));
    ct_history_free(&history);
    close_bench(&b);
}

/* Steps alone may be asked for: then there are as many epochs as hold them. */
TEST(fit_stop, max_steps_without_epochs) {
    const struct {
        int64_t start, steps, epochs, last; /* steps of the last epoch */
    } cases[] = {{0, 3, 1, 3},
                 {0, BATCHES, 1, BATCHES},
                 {0, 2 * BATCHES + 1, 3, 1},
                 {BATCHES - 1, 2, 2, 1},
                 {BATCHES - 1, BATCHES + 1, 2, BATCHES}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bench b = open_bench(0.05);
        ct_position start = {.epoch = 4, .batch = cases[i].start};
        ct_fit_options options = {.max_steps = cases[i].steps, .start = start};
        ct_history history;
        OK(fit(&b, options, &history));
        int64_t done = 0;
        for (int64_t e = 0; e < history.n_epochs; e++) done += history.epochs[e].steps;
        cr_expect_eq(done, cases[i].steps);
        cr_assert_eq(history.n_epochs, cases[i].epochs);
        cr_expect_eq(history.epochs[history.n_epochs - 1].steps, cases[i].last);
        ct_history_free(&history);
        close_bench(&b);
    }
}

TEST(fit_stop, max_steps_ends_with_a_validation) {
    bench b = open_bench(0.05);
    watcher w = {0};
    ct_history history = run(&b, &w,
                             (ct_fit_options){.epochs = 5, .max_steps = 8, .validation = b.test});
    cr_expect(w.steps == 8 && w.epochs == 2 && history.n_epochs == 2);
    cr_expect(history.epochs[1].steps == 2 && isfinite(history.epochs[1].val_loss));
    cr_expect_not(history.stopped_early || history.interrupted);
    ct_history_free(&history);
    close_bench(&b);
    /* Exactly at the end of an epoch no further one begins. */
    b = open_bench(0.05);
    w = (watcher){0};
    history = run(&b, &w, (ct_fit_options){.epochs = 5, .max_steps = 2 * BATCHES});
    cr_expect(w.steps == 2 * BATCHES && history.n_epochs == 2);
    ct_history_free(&history);
    close_bench(&b);
}

/* --- Early stopping --------------------------------------------------------------------------- */

TEST(fit_stop, early_stopping_waits_for_a_better_val_loss) {
    bench b = open_bench(0); /* nothing is learned: the first epoch stays the best */
    watcher w = {0};
    ct_history history = run(&b, &w,
                             (ct_fit_options){.epochs = 50, .validation = b.test, .patience = 3});
    cr_expect(history.n_epochs == 4 && history.stopped_early);
    ct_history_free(&history);
    close_bench(&b);
}

TEST(fit_stop, early_stopping_goes_on_while_it_gets_better) {
    bench b = open_bench(0.02);
    b.test = (ct_source_free(b.test), task(1, false)); /* what is trained on */
    watcher w = {0};
    ct_history history = run(&b, &w,
                             (ct_fit_options){.epochs = 20, .validation = b.test, .patience = 1});
    for (int64_t e = 1; e < history.n_epochs - history.stopped_early; e++) {
        cr_expect_lt(history.epochs[e].val_loss, history.epochs[e - 1].val_loss);
    }
    cr_expect_gt(history.n_epochs, 10);
    ct_history_free(&history);
    close_bench(&b);
}

/* --- Ctrl-C ----------------------------------------------------------------------------------- */

static volatile sig_atomic_t own_calls;

static void own_handler(int number) {
    (void)number;
    own_calls++;
}

static void install(void (*handler)(int)) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void expect_installed(void (*handler)(int)) {
    struct sigaction action;
    sigaction(SIGINT, NULL, &action);
    cr_expect_eq(action.sa_handler, handler);
    sigaction(SIGTERM, NULL, &action);
    cr_expect_eq(action.sa_handler, handler);
}

static void expect_end_after_the_running_step(int signal_number) {
    own_calls = 0;
    install(own_handler);
    bench b = open_bench(0.05);
    watcher w = {.raise_at = BATCHES + 3, .signals = {signal_number}};
    char *text = NULL;
    size_t length = 0;
    FILE *log = open_memstream(&text, &length);
    ct_history history = run(&b, &w,
                             (ct_fit_options){.epochs = 5, .validation = b.test, .log = log});
    fclose(log);
    cr_expect_eq(w.steps, BATCHES + 3);
    cr_expect(history.interrupted && !history.stopped_early);
    cr_assert_eq(history.n_epochs, 2);
    cr_expect(history.epochs[1].steps == 3 && isnan(history.epochs[1].val_loss));
    cr_expect_str_eq(text + length - 12, "interrupted\n");
    free(text);
    /* What was installed before is back, also after the default action took its place. */
    expect_installed(own_handler);
    cr_expect_eq(own_calls, 0);
    ct_history_free(&history);
    /* Training goes on from there. */
    w = (watcher){0};
    OK(fit(&b, (ct_fit_options){.epochs = 2, .start = w.last}, &history));
    cr_expect_not(history.interrupted);
    ct_history_free(&history);
    close_bench(&b);
}

TEST(fit_stop, the_first_interrupt_ends_after_the_running_step) {
    expect_end_after_the_running_step(SIGINT);
}

TEST(fit_stop, sigterm_ends_as_an_interrupt_does) { expect_end_after_the_running_step(SIGTERM); }

/* In a process of its own, which the second signal ends. */
static void run_into(int first, int second) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        install(SIG_DFL); /* programs in the background may inherit that it is ignored */
        bench b = open_bench(0.05);
        watcher w = {.raise_at = 3, .signals = {first, second}};
        ct_history history = run(&b, &w, (ct_fit_options){.epochs = 5});
        ct_history_free(&history);
        _exit(0);
    }
    int how;
    REQUIRE(child > 0 && waitpid(child, &how, 0) == child);
    EXPECT(WIFSIGNALED(how) && WTERMSIG(how) == second, "status %d", how);
}

TEST(fit_stop, the_second_interrupt_acts_as_by_default) { run_into(SIGINT, SIGINT); }

TEST(fit_stop, the_second_sigterm_acts_as_by_default) { run_into(SIGTERM, SIGTERM); }

TEST(fit_stop, sigterm_after_an_interrupt_acts_as_by_default) { run_into(SIGINT, SIGTERM); }

TEST(fit_stop, an_interrupt_after_sigterm_acts_as_by_default) { run_into(SIGTERM, SIGINT); }

TEST(fit_stop, no_signals_leaves_the_handler_alone) {
    install(own_handler);
    bench b = open_bench(0.05);
    watcher w = {.raise_at = 3, .signals = {SIGINT, SIGTERM}};
    ct_history history = run(&b, &w, (ct_fit_options){.epochs = 2, .no_signals = true});
    cr_expect(own_calls == 2 && !history.interrupted && w.steps == 2 * BATCHES);
    ct_history_free(&history);
    close_bench(&b);
}

TEST(fit_stop, an_ignored_interrupt_stays_ignored) {
    install(SIG_IGN);
    bench b = open_bench(0.05);
    watcher w = {.raise_at = 3, .signals = {SIGINT, SIGTERM}};
    ct_history history = run(&b, &w, (ct_fit_options){.epochs = 2});
    cr_expect(!history.interrupted && w.steps == 2 * BATCHES);
    expect_installed(SIG_IGN);
    ct_history_free(&history);
    close_bench(&b);
}

/* While the validation runs its means would be of a part of the items, so there are none. */
static ct_tensor *interrupting_metric(ct_tensor *scores, ct_tensor *labels) {
    static int calls;
    if (++calls == BATCHES + 2) raise(SIGINT);
    return ct_accuracy(scores, labels);
}

TEST(fit_stop, an_interrupt_breaks_off_a_validation) {
    install(SIG_DFL);
    bench b = open_bench(0.05);
    ct_history history;
    OK(fit(&b, (ct_fit_options){.epochs = 3, .validation = b.test, .metric = interrupting_metric},
           &history));
    cr_expect(history.interrupted && history.n_epochs == 1);
    cr_expect(history.epochs[0].steps == BATCHES && isnan(history.epochs[0].val_loss));
    cr_expect(history.position.epoch == 1 && history.position.batch == 0);
    ct_history_free(&history);
    close_bench(&b);
}
