/* BatchNorm by the statistics of each grain alone: what BatchNorm is of each grain's rows, whatever
 * the ranks. Ranks are threads here, joined by socket pairs; one of them has no rows.
 * Invariant: a grain that has rows has several pixels, so that there is a variance. */
#include "autograd/compose.h"
#include "autograd/grad.h"
#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "autograd/stage.h"
#include "nn/layers.h"
#include "tensor/group.h"
#include "tensor/varying.h"
#include "tests/support/test.h"
#include "tests/support/varying_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { C = 3, PIXELS = 2 };
#define EPSILON 0.25

static ct_tensor *images(const rank *me, int seed) {
    return ct_reshape(rows_of(me, PIXELS * C, seed), CT_SHAPE(me->rows, PIXELS, C));
}

/* --- The same for any number of ranks --------------------------------------------------------- */

static void note_images(rank *me, ct_tensor *t) {
    note_varying(me, ct_reshape(t, CT_SHAPE(me->rows, PIXELS * C)));
}

/* Values, statistics and three derivatives. */
static void per_grain(rank *me) {
    ct_tensor *x = images(me, 1), *weights = images(me, 2), *g[3], *second[3];
    ct_tensor *in[] = {x, parameter(me, CT_SHAPE(C), 1), parameter(me, CT_SHAPE(C), 2)};
    ct_grain_statistics of;
    ct_tensor *y = ct_batch_norm_per_grain(x, in[1], in[2], -1, EPSILON, &of);
    note_images(me, y);
    note(me, of.mean);
    note(me, of.variance);
    note(me, of.unbiased);
    ct_grad(ct_sum_all(ct_mul(ct_mul(y, y), weights)), in, 3, g);
    note_images(me, g[0]);
    note(me, g[1]);
    note(me, g[2]);
    ct_grad(ct_sum_all(ct_mul(g[0], images(me, 3))), in, 3, second);
    note_images(me, second[0]);
    note(me, second[1]);
    ct_grad(ct_sum_all(ct_mul(second[0], images(me, 4))), in, 3, g);
    note_images(me, g[0]);
    note(me, g[1]);
}

TEST(per_grain, has_the_same_bits_for_any_number_of_ranks) { same_bits_for_any_ranks(per_grain); }

/* --- Each grain by itself --------------------------------------------------------------------- */

/* BatchNorm of the rows of each rank, which are one grain here, by ordinary ops; and statistics. */
static ct_tensor *by_slices(const rank *me, const int64_t rows[], ct_tensor *x, ct_tensor *gamma,
                            ct_tensor *beta, ct_grain_statistics *average) {
    ct_tensor *parts[WORLD_MOST], *mean, *variance;
    int n = 0;
    int64_t first = 0;
    *average = (ct_grain_statistics){0};
    for (int r = 0; r < me->world->grains; first += rows[r++]) {
        if (rows[r] == 0) continue;
        ct_tensor *part = ct_slice(x, 0, first, first + rows[r], 1);
        parts[n++] = ct_batch_norm(part, gamma, beta, -1, EPSILON, &mean, &variance);
        double values = (double)(rows[r] * PIXELS);
        ct_tensor *unbiased = ct_scale(variance, values / (values - 1));
        average->mean = average->mean ? ct_add(average->mean, mean) : mean;
        average->variance = average->variance ? ct_add(average->variance, variance) : variance;
        average->unbiased = average->unbiased ? ct_add(average->unbiased, unbiased) : unbiased;
    }
    average->mean = ct_scale(average->mean, 1.0 / n);
    average->variance = ct_scale(average->variance, 1.0 / n);
    average->unbiased = ct_scale(average->unbiased, 1.0 / n);
    return ct_concat(parts, n, 0);
}

static const int64_t rows_of_grains[] = {5, 1, 2, 0};

/* Of the whole batch on one process, and of this rank's rows. */
static void both(rank *me, ct_tensor *x, ct_tensor *weights, ct_tensor *more) {
    ct_tensor *g[3], *in[] = {x, parameter(me, CT_SHAPE(C), 1), parameter(me, CT_SHAPE(C), 2)};
    ct_grain_statistics of;
    ct_tensor *y = me->world->plain ? by_slices(me, rows_of_grains, x, in[1], in[2], &of)
                                    : ct_batch_norm_per_grain(x, in[1], in[2], -1, EPSILON, &of);
    note_images(me, y);
    note(me, of.mean);
    note(me, of.variance);
    note(me, of.unbiased);
    ct_grad(ct_sum_all(ct_mul(ct_mul(y, y), weights)), in, 3, g);
    note_images(me, g[0]);
    note(me, g[1]);
    note(me, g[2]);
    ct_tensor *sum = ct_add(ct_sum_all(ct_mul(g[0], more)), ct_sum_all(ct_square(g[1])));
    ct_grad(sum, in, 3, g);
    note_images(me, g[0]);
    note(me, g[1]);
    note(me, g[2]);
}

static void slices(rank *me) { both(me, images(me, 1), images(me, 2), images(me, 3)); }

TEST(per_grain, is_batch_norm_of_each_grain) {
    world *many = world_run(4, 4, rows_of_grains, CT_F64, slices);
    expect_well(many);
    world one;
    rank *all = world_plain(&one, CT_F64);
    one.grains = 4;
    slices(all);
    int64_t n = all->n;
    EXPECT(n > 0 && ct_error() == CT_OK, "%s", ct_error_message());
    for (int r = 0; r < 4; r++) {
        EXPECT(many->ranks[r].n == n, "rank %d has %lld numbers", r, (long long)many->ranks[r].n);
        for (int64_t i = 0; i < n; i++) {
            double a = all->results[i], b = many->ranks[r].results[i];
            EXPECT(fabs(a - b) <= 1e-12 * (1 + fabs(a)), "number %lld on rank %d: %.17g, not %.17g",
                   (long long)i, r, b, a);
        }
    }
    free(many);
}

/* --- Against differences ---------------------------------------------------------------------- */

enum { ROWS = WORLD_ROWS };

/* in[0] as rows that vary, by a product, and back. */
static ct_tensor *through_rows(void *context, ct_tensor *const in[], int64_t n) {
    (void)context, (void)n;
    double one[ROWS * ROWS] = {0};
    for (int i = 0; i < ROWS; i++) one[i * ROWS + i] = 1;
    ct_tensor *rows = ct_varying(ct_from(CT_F64, CT_SHAPE(ROWS, ROWS), one), 0);
    ct_tensor *y = ct_batch_norm_per_grain(ct_matmul(rows, in[0]), in[1], in[2], -1, 1e-3, NULL);
    return ct_matmul(ct_transpose(rows), y);
}

/* Of grains of 3, 3 and 2 rows. */
TEST(per_grain, derivatives_are_those_of_differences) {
    ct_group *group = ct_group_alone();
    OK(ct_group_use(group, (ct_group_options){.grains = 3}));
    world one;
    const rank *me = world_plain(&one, CT_F64);
    ct_tensor *in[] = {rows_of(me, 2, 1), parameter(me, CT_SHAPE(2), 3),
                       parameter(me, CT_SHAPE(2), 2)};
    for (int order = 1; order <= 2; order++) {
        ct_gradcheck_report report;
        ct_gradcheck_options options = {.order = order, .seed = 7};
        OK(ct_gradcheck(through_rows, NULL, in, 3, options, &report));
        EXPECT(report.passed && !report.degenerate && report.compared > 100,
               "order %d: %lld of %lld", order, (long long)report.missed,
               (long long)report.compared);
    }
    ct_group_free(group);
}

/* --- The module ------------------------------------------------------------------------------- */

static ct_module *layer(ct_moving_variance rule) {
    ct_batch_norm_options options = ct_batch_norm_defaults();
    options.per_grain = true, options.momentum = 0, options.moving_variance = rule;
    options.epsilon = EPSILON;
    return ct_batch_norm_new(C, options);
}

static void expect_equal(ct_slot *slot, ct_tensor *wanted) {
    const float *a = ct_data_f32(ct_slot_read(slot)), *b = ct_data_f32(wanted);
    for (int c = 0; c < C && EXPECT(a && b); c++) {
        EXPECT(a[c] == b[c], "%s, channel %d: %g, not %g", ct_slot_name(slot), c, (double)a[c],
               (double)b[c]);
    }
}

/* A step leaves the averages in moving statistics, on each rank. */
static void moves(rank *me) {
    for (int k = 0; k < 2; k++) {
        ct_module *module = layer(k ? CT_VARIANCE_UNBIASED : CT_VARIANCE_BIASED);
        ct_tensor *x = images(me, 1), *y = ct_forward(module, x, CT_TRAINING);
        note_images(me, y);
        ct_tensor *loss = ct_mean_all(ct_square(y));
        ct_commit(&loss, 1, NULL, 0);
        ct_slot_list list = {0};
        ct_module_list(module, &list);
        for (int64_t i = 0; i < list.count; i++) note(me, ct_slot_read(list.items[i].slot));
        ct_tensor *one = ct_scalar(CT_F32, 1);
        ct_grain_statistics of;
        ct_batch_norm_per_grain(x, one, one, -1, EPSILON, &of);
        expect_equal(list.items[2].slot, of.mean);
        expect_equal(list.items[3].slot, k ? of.unbiased : of.variance);
        ct_slot_list_free(&list);
        ct_module_free(module);
    }
}

TEST(per_grain, moving_statistics_are_those_of_all_ranks) { same_bits_for_any_ranks(moves); }

/* Of what does not vary, a batch is one grain. */
TEST(per_grain, without_ranks_it_is_batch_norm) {
    world alone;
    ct_tensor *x = images(world_plain(&alone, CT_F32), 1), *one = ct_scalar(CT_F32, 1),
              *zero = ct_scalar(CT_F32, 0);
    ct_module *module = layer(CT_VARIANCE_BIASED);
    ct_tensor *y = ct_forward(module, x, CT_TRAINING);
    ct_tensor *wanted = ct_batch_norm(x, one, zero, -1, EPSILON, NULL, NULL);
    ct_tensor *grain = ct_batch_norm_per_grain(ct_varying(x, 0), one, zero, -1, EPSILON, NULL);
    MADE(y), MADE(wanted), MADE(grain);
    size_t bytes = sizeof(float) * ROWS * PIXELS * C;
    EXPECT(memcmp(ct_data(y), ct_data(wanted), bytes) == 0);
    for (int64_t i = 0; i < ct_numel(y); i++) {
        EXPECT(fabsf(ct_data_f32(grain)[i] - ct_data_f32(wanted)[i]) < 1e-5f);
    }
    ct_module_free(module);
}

static void one_value(rank *me) {
    ct_tensor *one = parameter(me, CT_SHAPE(C), 1);
    ct_batch_norm_per_grain(rows_of(me, C, 1), one, one, -1, EPSILON, NULL);
}
static void replicated(rank *me) {
    ct_tensor *one = parameter(me, CT_SHAPE(C), 1);
    ct_batch_norm_per_grain(parameter(me, CT_SHAPE(4, C), 1), one, one, -1, EPSILON, NULL);
}
static void along_channels(rank *me) {
    ct_tensor *one = parameter(me, CT_SHAPE(1), 1);
    ct_batch_norm_per_grain(rows_of(me, C, 1), one, one, 0, EPSILON, NULL);
}

TEST(per_grain, what_has_no_statistics_is_an_error) {
    expect_failed(2, one_value, CT_ERR_SHAPE,
                  "ct_batch_norm_per_grain: training needs > 1 value per channel");
    expect_refused(4, replicated, "ct_batch_norm_per_grain: x [4,3] does not vary between ranks");
    expect_refused(4, along_channels, "ct_batch_norm_per_grain: x [4,3] does not vary");
}
