/* Training on one rank of several, as a user would write it.
 * Invariant: a scenario prints what is the same on all ranks and for any number of them, but for
 * what a rank sends. */
#include "tests/optim/train/rank_digits.h"
#include "tests/optim/train/rank_slots.h"
#include "tests/support/rank.h"

#include "nn/models.h"
#include "optim/fit.h"

#include <math.h>

/* All numbers of a training to the last bit, but for the time. */
static void print(const rank_digits *t, const ct_history *history) {
    for (int64_t i = 0; i < history->n_steps; i++) {
        printf("step %a %a\n", history->steps[i].loss, history->steps[i].accuracy);
    }
    for (int64_t i = 0; i < history->n_epochs; i++) {
        const ct_epoch *e = &history->epochs[i];
        printf("epoch %lld items %a %a %a %a %a %a\n", (long long)e->items, e->loss, e->accuracy,
               e->metrics[0], e->metrics[1], e->val_loss, e->val_metrics[0]);
    }
    printf("slots %016llx\n", (unsigned long long)rank_slots_hash(t->model, t->optimizer));
}

/* Bit 0: the study's network. */
SCENARIO(trains) {
    OK(ct_group_use(group, (ct_group_options){0}));
    rank_digits t = rank_digits_begin(CT_F32, argument & 1);
    ct_history history = rank_digits_fit(&t, (ct_fit_options){.epochs = 2});
    print(&t, &history);
    ct_history_free(&history);
    rank_digits_end(&t);
}

/* The study's network, `argument` steps. */
SCENARIO(digest) {
    OK(ct_group_use(group, (ct_group_options){0}));
    rank_digits t = rank_digits_begin(CT_F32, true);
    OK(ct_fit(t.model, t.optimizer, &ct_loss_cross_entropy, t.train,
              (ct_fit_options){.max_steps = argument}, NULL));
    rank_slots_print_sha256(t.model, t.optimizer);
    rank_digits_end(&t);
}

/* Bytes that a step of the study's network sends, without heads and with them: those of longer
 * trainings less those of shorter ones. */
SCENARIO(sends) {
    ct_group_stats sent[2];
    OK(ct_group_use(group, (ct_group_options){0}));
    for (int k = 0; k < 2; k++) {
        rank_digits t = rank_digits_begin(CT_F32, true);
        ct_group_stats before = ct_group_stats_read(group);
        OK(ct_fit(t.model, t.optimizer, &ct_loss_cross_entropy, t.train,
                  (ct_fit_options){.max_steps = 1 + k}, NULL));
        sent[k] = ct_group_stats_read(group);
        sent[k].payload -= before.payload;
        sent[k].bytes -= before.bytes;
        rank_digits_end(&t);
    }
    printf("%lld of %lld\n", (long long)(sent[1].payload - sent[0].payload),
           (long long)(sent[1].bytes - sent[0].bytes));
}

/* --- Beside one process ----------------------------------------------------------------------- */

static void expect_close(ct_module *a, ct_module *b) {
    ct_slot_list of_a, of_b;
    OK(ct_module_list(a, &of_a));
    OK(ct_module_list(b, &of_b));
    REQUIRE(of_a.count == of_b.count);
    for (int64_t i = 0; i < of_a.count; i++) {
        ct_tensor *x = ct_slot_read(of_a.items[i].slot), *y = ct_slot_read(of_b.items[i].slot);
        const double *p = ct_dtype_of(x) == CT_F64 ? ct_data(x) : NULL, *q = ct_data(y);
        for (int64_t k = 0; p && k < ct_numel(x); k++) {
            EXPECT(fabs(p[k] - q[k]) <= 1e-12 * (1 + fabs(q[k])), "%s[%lld]: %.17g, not %.17g",
                   of_a.items[i].path, (long long)k, p[k], q[k]);
        }
    }
    ct_slot_list_free(&of_a);
    ct_slot_list_free(&of_b);
}

/* In f64, with gradient descent: Adam divides by what may be the root of a rounding error. */
static rank_digits begin_f64(bool study) {
    rank_digits t = rank_digits_begin(CT_F64, study);
    ct_optimizer_free(t.optimizer);
    t.optimizer = ct_sgd_new(t.model, (ct_sgd_options){.rate = ct_rate(0.05)});
    return t;
}

SCENARIO(trains_as_one) {
    OK(ct_group_use(group, (ct_group_options){0}));
    rank_digits many = begin_f64(argument & 1);
    ct_history of_many = rank_digits_fit(&many, (ct_fit_options){.epochs = 2});
    ct_group_use_none();
    rank_digits one = begin_f64(argument & 1);
    ct_history of_one = rank_digits_fit(&one, (ct_fit_options){.epochs = 2});
    expect_close(many.model, one.model);
    for (int e = 0; e < 2; e++) {
        const ct_epoch *p = &of_many.epochs[e], *q = &of_one.epochs[e];
        EXPECT(fabs(p->loss - q->loss) < 1e-12 && fabs(p->val_loss - q->val_loss) < 1e-12);
        EXPECT(p->items == q->items && p->metrics[0] == q->metrics[0]);
        EXPECT(p->accuracy == q->accuracy && p->val_metrics[1] == q->val_metrics[1]);
    }
    ct_history_free(&of_many);
    ct_history_free(&of_one);
    rank_digits_end(&many);
    rank_digits_end(&one);
}

/* By so many steps from there; to where. */
static ct_position go_on(rank_digits *t, ct_position from, int64_t steps) {
    ct_history history;
    OK(ct_fit(t->model, t->optimizer, &ct_loss_cross_entropy, t->train,
              (ct_fit_options){.start = from, .max_steps = steps}, &history));
    EXPECT(history.n_epochs > 0);
    ct_position to = history.position;
    ct_history_free(&history);
    return to;
}

static void copy_slots(ct_module *to, ct_module *from) {
    ct_slot_list of_to, of_from;
    OK(ct_module_list(to, &of_to));
    OK(ct_module_list(from, &of_from));
    REQUIRE(of_to.count == of_from.count);
    for (int64_t i = 0; i < of_to.count; i++) {
        OK(ct_slot_write(of_to.items[i].slot, ct_slot_read(of_from.items[i].slot)));
    }
    ct_slot_list_free(&of_to);
    ct_slot_list_free(&of_from);
}

/* Of `argument` steps each 20th, from the same slots. Whole trainings of many steps do not stay as
 * close: a step makes more of a difference that there was, also of one that is rounding. */
SCENARIO(steps_as_one) {
    OK(ct_group_use(group, (ct_group_options){0}));
    rank_digits many = begin_f64(true), one = begin_f64(true);
    ct_position at = {0};
    for (int64_t k = 0; k < argument / 20; k++) {
        at = go_on(&many, at, 19);
        copy_slots(one.model, many.model);
        ct_group_use_none();
        go_on(&one, at, 1);
        OK(ct_group_use(group, (ct_group_options){0}));
        at = go_on(&many, at, 1);
        expect_close(many.model, one.model);
    }
    EXPECT(ct_optimizer_steps(many.optimizer) == argument);
    rank_digits_end(&many);
    rank_digits_end(&one);
}
