/* Checkpoints of one rank of several.
 * Invariant: but for its file, a scenario prints what is the same on all ranks. */
#include "tests/optim/train/rank_digits.h"
#include "tests/optim/train/rank_slots.h"
#include "tests/support/rank.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The parent's, so that the ranks of several groups find it, unless the environment has one. */
static const char *checkpoint_path(void) {
    static char path[256];
    if (getenv("COTAN_CHECKPOINT")) return getenv("COTAN_CHECKPOINT");
    snprintf(path, sizeof path, "/tmp/cotan-ranks-%ld.safetensors", (long)getppid());
    return path;
}

/* Four steps: the checkpoint lies within the second epoch. */
SCENARIO(saves) {
    OK(ct_group_use(group, (ct_group_options){0}));
    rank_digits t = rank_digits_begin(CT_F32, argument & 1);
    ct_history history = rank_digits_fit(&t, (ct_fit_options){.max_steps = 4});
    bool writes = ct_group_rank(group) == 0; /* for all; the others would find no folder */
    OK(ct_checkpoint_save(writes ? checkpoint_path() : "/nowhere/file", t.model, t.optimizer,
                          history.position));
    ct_history_free(&history);
    rank_digits_end(&t);
}

SCENARIO(resumes) {
    OK(ct_group_use(group, (ct_group_options){0}));
    rank_digits t = rank_digits_begin(CT_F32, argument & 1);
    ct_position position;
    OK(ct_checkpoint_load(checkpoint_path(), t.model, t.optimizer, &position));
    ct_history history = rank_digits_fit(&t, (ct_fit_options){.epochs = 2, .start = position});
    printf("%lld steps more, slots %016llx\n", (long long)history.n_steps,
           (unsigned long long)rank_slots_hash(t.model, t.optimizer));
    ct_history_free(&history);
    rank_digits_end(&t);
}

typedef struct {
    rank_digits training;
    bool dies;
} doomed;

static bool save_every_other(void *context, ct_position position, const ct_step_record *last,
                             const ct_epoch *epoch) {
    const doomed *d = context;
    if (epoch || last->step % 2 != 0) return true;
    return ct_checkpoint_save(checkpoint_path(), d->training.model, d->training.optimizer,
                              position) == CT_OK;
}

/* In the fifth step, where the others wait for the gradients of all. */
static ct_status die(void *context, ct_fit_step *step) {
    const doomed *d = context;
    if (d->dies && step->position.epoch == 1 && step->position.batch == 1) raise(SIGKILL);
    return CT_OK;
}

/* Rank `argument` is killed. The others have to learn it long before the limit. */
SCENARIO(is_killed) {
    alarm(100);
    OK(ct_group_use(group, (ct_group_options){.timeout = 300}));
    uint64_t after_four_steps = rank_digits_hash_after(4, NULL);
    doomed d = {rank_digits_begin(CT_F32, false), ct_group_rank(group) == argument};
    ct_history history = rank_digits_fit(
        &d.training,
        (ct_fit_options){.epochs = 2, .callback = save_every_other, .also = die, .context = &d});
    uint64_t hash = rank_learned_hash(d.training.model, d.training.optimizer);
    printf("%s after %lld steps, slots %s\n", ct_status_name(ct_error()),
           (long long)history.n_steps, hash == after_four_steps ? "of these" : "of none");
    ct_error_clear();
    ct_history_free(&history);
    rank_digits_end(&d.training);
}

/* Rank 1 has lost the file. */
SCENARIO(loads_on_some) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 20}));
    rank_digits t = rank_digits_begin(CT_F32, false);
    uint64_t before = rank_slots_hash(t.model, t.optimizer);
    bool lost = ct_group_rank(group) == 1;
    ct_position position;
    ct_checkpoint_load(lost ? "/nowhere" : checkpoint_path(), t.model, t.optimizer, &position);
    printf("%s, %s\n", ct_status_name(ct_error()),
           rank_slots_hash(t.model, t.optimizer) == before ? "unchanged" : "changed");
    ct_error_clear();
    ct_weights_load(t.model, lost ? checkpoint_path() : "/nowhere");
    printf("%s\n", ct_error() == CT_OK ? "loaded" : "refused");
    ct_error_clear();
    rank_digits_end(&t);
}

/* The log. */
SCENARIO(logs) {
    OK(ct_group_use(group, (ct_group_options){0}));
    rank_digits t = rank_digits_begin(CT_F32, false);
    ct_history history = rank_digits_fit(&t, (ct_fit_options){.epochs = 1, .log = stdout});
    ct_history_free(&history);
    rank_digits_end(&t);
}

/* As launchers give ranks terminals: whether there was a bar, and how many lines. */
SCENARIO(logs_on_a_terminal) {
    char text[4096] = "";
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    REQUIRE(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    FILE *terminal = fopen(ptsname(master), "w");
    MADE(terminal);
    OK(ct_group_use(group, (ct_group_options){0}));
    rank_digits t = rank_digits_begin(CT_F32, false);
    ct_history history = rank_digits_fit(&t, (ct_fit_options){.epochs = 1, .log = terminal});
    fputs("#", terminal); /* the end */
    fflush(terminal);
    for (size_t n = 0; n < sizeof text - 1 && !strchr(text, '#'); text[n] = 0) {
        ssize_t part = read(master, text + n, sizeof text - 1 - n);
        REQUIRE(part > 0);
        n += (size_t)part;
    }
    printf("bar %d, line %d\n", strstr(text, "[=") != NULL, strstr(text, "3 steps, ") != NULL);
    fclose(terminal);
    close(master);
    ct_history_free(&history);
    rank_digits_end(&t);
}

static bool save_nowhere(void *context, ct_position position, const ct_step_record *last,
                         const ct_epoch *epoch) {
    const rank_digits *t = context;
    if (epoch || last->step < 2) return true;
    return ct_checkpoint_save("/nowhere/run.st", t->model, t->optimizer, position) == CT_OK;
}

/* Rank 0 alone writes, and the others learn that it could not. */
SCENARIO(cannot_save) {
    OK(ct_group_use(group, (ct_group_options){.timeout = 20}));
    rank_digits t = rank_digits_begin(CT_F32, false);
    ct_history history = rank_digits_fit(
        &t, (ct_fit_options){.epochs = 1, .callback = save_nowhere, .context = &t});
    printf("%lld steps, early %d, %s: %s\n", (long long)history.n_steps, history.stopped_early,
           ct_status_name(ct_error()), ct_error_message());
    ct_error_clear();
    ct_history_free(&history);
    OK(ct_group_agree(group, CT_OK));
    rank_digits_end(&t);
}
