/* What ranks are told when one of them computes something else: the first difference, both sides.
 * Rank 1 is the one that differs.
 * Invariant: all ranks hear of it, and can go on. */
#include "autograd/compose.h"
#include "tensor/group.h"
#include "tensor/runtime.h"
#include "tests/support/test.h"
#include "tests/support/varying_support.h"

#include <stdlib.h>

enum { N = 4, C = 3 };

static ct_tensor *x_of(rank *me) { return rows_of(me, C, 1); }

#define FIRST "rank 1 built another graph than rank 0: the first difference is "

/* What is evaluated, an expression of `me`, and what both of two ranks hear. */
#define DIFFERS(name, message, ...)                      \
    static void name(rank *me) { ct_data(__VA_ARGS__); } \
    TEST(differences, name) { expect_refused(N, name, "ct_data: " FIRST message); }

DIFFERS(op, "exp f64 [4,3], rows along axis 0 in place of tanh f64 [4,3], rows along axis 0",
        ct_sum_all(me->rank ? ct_exp(x_of(me)) : ct_tanh(x_of(me))))
DIFFERS(number, "a leaf f64 [] = 0.5 in place of a leaf f64 [] = 2",
        ct_sum_all(ct_exp(ct_scale(x_of(me), me->rank ? 0.5 : 2))))
DIFFERS(length, "no more in place of exp f64 []",
        me->rank ? ct_sum_all(x_of(me)) : ct_exp(ct_sum_all(x_of(me))))
DIFFERS(shape, "a leaf f64 [1,3] in place of a leaf f64 [3]",
        ct_sum_all(ct_mul(x_of(me), parameter(me, me->rank ? CT_SHAPE(1, C) : CT_SHAPE(C), 2))))
DIFFERS(attribute, "an attribute, an operand or the value of sum f64 [3]",
        ct_sum_all(ct_mul(x_of(me), ct_sum(parameter(me, CT_SHAPE(C, C), 2), CT_AXES(me->rank)))))

static ct_tensor *in_module(const char *path, ct_tensor *x) {
    ct_path_push(path);
    x = strcmp(path, "second") == 0 ? ct_exp(x) : ct_tanh(x);
    ct_path_pop();
    return x;
}

DIFFERS(module, "exp f64 [4,3], rows along axis 0 in second in place of tanh",
        ct_sum_all(in_module(me->rank ? "second" : "first", x_of(me))))

static ct_tensor *scaled_in(const char *path, ct_tensor *x, double factor) {
    ct_path_push(path);
    x = ct_exp(ct_scale(x, factor));
    ct_path_pop();
    return x;
}

DIFFERS(number_in_module, "a leaf f64 [] = 0.5 in scaled in place of a leaf f64 [] = 2 in scaled",
        ct_sum_all(scaled_in("scaled", x_of(me), me->rank ? 0.5 : 2)))

/* --- Others ----------------------------------------------------------------------------------- */

/* Rank 2 of three has what rank 1 has, and a call has no parts. */
static void of_three(rank *me) { ct_data(ct_sum_all(me->rank ? ct_exp(x_of(me)) : x_of(me))); }

static void another_call(rank *me) {
    ct_tensor *sum = ct_sum_all(x_of(me));
    if (me->rank == 1) ct_group_agree(ct_group_current(), CT_OK);
    else ct_data(sum);
}

/* The second time all have a plan of it. */
static void numbers_later(rank *me) {
    for (int time = 0; time < 2; time++) {
        double factor = time == 1 && me->rank > 0 ? 0.5 : 2;
        ct_data(ct_sum_all(ct_exp(ct_scale(x_of(me), factor))));
        if (time == 0) EXPECT(ct_error() == CT_OK);
    }
}

static void expect_heard(void (*body)(rank *me), const char *text) {
    world *w = world_run(3, 4, (int64_t[]){4, 3, 0}, CT_F64, body);
    for (int r = 0; r < 3; r++) {
        EXPECT(w->ranks[r].status == CT_ERR_STATE && strstr(w->ranks[r].error, text),
               "rank %d: no \"%s\" in \"%s\"", r, text, w->ranks[r].error);
    }
    free(w);
}

/* The second batch has as many rows as the first one on rank 0 alone, which has a plan for them. */
static void another_batch(rank *me, bool differs) {
    static const int64_t rows[2][3] = {{4, 2, 0}, {4, 1, 2}}, first[2][3] = {{0, 4, 6}, {0, 4, 5}};
    for (int time = 0; time < 2; time++) {
        me->rows = rows[time][me->rank];
        me->first = first[time][me->rank];
        ct_tensor *x = x_of(me);
        x = time == 1 && differs && me->rank > 0 ? ct_sin(x) : ct_tanh(x);
        ct_stats_reset();
        note(me, ct_sum_all(x));
        int64_t hits = ct_stats_read().plan_hits;
        EXPECT(hits == (time == 1 && me->rank == 0), "%lld on rank %d", (long long)hits, me->rank);
    }
}

static void planned_on_one(rank *me) { another_batch(me, false); }
static void planned_on_another(rank *me) { another_batch(me, true); }

TEST(differences, ranks_of_which_one_has_a_plan_compute_the_same) {
    world *w = world_run(3, 4, (int64_t[]){4, 3, 0}, CT_F64, planned_on_one);
    expect_well(w);
    for (int r = 0; r < 3; r++) EXPECT(w->ranks[r].n == 2, "rank %d", r);
    free(w);
}

TEST(differences, all_hear_of_it) {
    expect_heard(of_three, FIRST "exp f64 [3,3], rows along axis 0 in place of ragged_grain_sum ");
    expect_heard(numbers_later, FIRST "a leaf f64 [] = 0.5 in place of a leaf f64 [] = 2");
    expect_heard(planned_on_another, FIRST "sin f64 ");
    expect_heard(another_call, ", or made another call");
}

static void goes_on(rank *me) {
    op(me);
    ct_error_clear();
    note(me, ct_sum_all(x_of(me)));
}

TEST(differences, ranks_go_on) {
    world *w = world_run(3, 4, (int64_t[]){4, 3, 0}, CT_F64, goes_on);
    expect_well(w);
    for (int r = 0; r < 3; r++) EXPECT(w->ranks[r].n == 1, "rank %d", r);
    free(w);
}
