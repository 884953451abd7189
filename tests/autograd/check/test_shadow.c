/* The precision shadow: that the node is named in which digits get lost, and no other; and that
 * both sides compute the same function with the same numbers. */
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "autograd/grad.h"
#include "autograd/shadow.h"
#include "autograd/stage.h"
#include "tensor/graph/node.h"
#include "tensor/mem.h"
#include "tensor/random.h"
#include "tensor/runtime.h"

#include <math.h>
#include <string.h>

static ct_shadow_report shadow_of(ct_tensor *const roots[], int64_t n) {
    ct_shadow_report report;
    OK(ct_shadow(roots, n, &report));
    return report;
}

static ct_shadow_report shadow_at(ct_tensor *root) { return shadow_of(&root, 1); }

/* n numbers of that mean and deviation 1, as data. */
static ct_tensor *numbers(int64_t n, double mean) {
    ct_generator *generator = ct_generator_new(support_seed(5));
    ct_tensor *key = ct_generator_draw(generator);
    ct_tensor *x = ct_detach(ct_offset(ct_random_normal(key, CT_F32, CT_SHAPE(n)), mean));
    ct_generator_free(generator);
    return x;
}

static void expect_clean(ct_tensor *const roots[], int64_t n) {
    ct_shadow_report report = shadow_of(roots, n);
    EXPECT(report.n_lossy == 0 && report.error < 1e-5, "%s loses %g, roots are off by %g",
           report.entries[0].op, report.entries[0].lost, report.error);
    ct_shadow_free(&report);
}

/* --- Where digits get lost ---------------------------------------------------------------- */

static ct_tensor *one_pass(ct_tensor *x) {
    return ct_sub(ct_mean_all(ct_square(x)), ct_square(ct_mean_all(x)));
}

/* The subtraction, and neither what comes before nor what comes after it. */
TEST(shadow, names_the_subtraction_of_a_one_pass_variance) {
    ct_tensor *x = numbers(1000, 1e3);
    OK(ct_path_push("norm"));
    ct_tensor *variance = one_pass(x);
    ct_path_pop();
    ct_tensor *y = ct_mul(x, ct_rsqrt(ct_offset(variance, 1e-3)));
    ct_shadow_report report = shadow_at(y);
    const ct_shadow_entry *first = &report.entries[0];
    EXPECT(report.n_lossy == 1 && first->tensor == variance && report.error > 1e-3);
    EXPECT(strcmp(first->op, "sub") == 0 && strcmp(first->path, "norm") == 0 && first->order == 0);
    EXPECT(first->lost > 4 && first->left < 3 && first->amplification > 1e4 && !first->noise);
    EXPECT(ct_shadow_of(&report, variance) == first && !ct_shadow_of(&report, x));
    EXPECT(ct_shadow_of(&report, y)->lost < 1 && ct_shadow_of(&report, y)->left < 4);
    for (int64_t i = 1; i < report.n; i++) EXPECT(report.entries[i].lost < 1);
    ct_shadow_free(&report);
}

/* x - mean x has few digits too, but its squares' mean has all of them. */
TEST(shadow, a_two_pass_variance_is_clean) {
    for (double mean = 1; mean < 1e5; mean *= 10) {
        ct_tensor *x = numbers(1000, mean), *v = ct_var(x, CT_ALL), *dx;
        OK(ct_grad(v, &x, 1, &dx));
        expect_clean(&v, 1);
        ct_tensor *centred = ct_sub(x, ct_mean_all(x));
        ct_tensor *plain = ct_mean_all(ct_square(centred));
        expect_clean(&plain, 1);
    }
}

TEST(shadow, of_a_softmax) {
    ct_tensor *small = ct_from(CT_F32, CT_SHAPE(3), (float[]){1, 20, 80});
    ct_tensor *large = ct_from(CT_F32, CT_SHAPE(3), (float[]){1, 90, 95});
    ct_tensor *plain = ct_div(ct_exp(small), ct_sum_all(ct_exp(small)));
    expect_clean(&plain, 1);
    ct_tensor *shifted = ct_softmax(large, 0);
    expect_clean(&shifted, 1);
    ct_tensor *e = ct_exp(large); /* above f32's range */
    ct_shadow_report report = shadow_at(ct_div(e, ct_sum_all(e)));
    EXPECT(report.n_lossy == 1 && report.entries[0].tensor == e && report.error == INFINITY);
    EXPECT(report.entries[0].error == INFINITY && report.entries[0].left == 0);
    ct_shadow_free(&report);
}

TEST(shadow, of_sums) {
    ct_tensor *many = ct_sum_all(ct_square(numbers(100000, 3)));
    expect_clean(&many, 1);
    ct_tensor *x = ct_from(CT_F32, CT_SHAPE(4), (float[]){1e6F, 0.3F, -1e6F, 0.3F});
    ct_tensor *cancelling = ct_sum_all(x);
    ct_shadow_report report = shadow_at(ct_exp(cancelling));
    EXPECT(report.n_lossy == 1 && report.entries[0].tensor == cancelling, "%g",
           report.entries[0].lost);
    ct_shadow_free(&report);
}

/* (1 - cos x) / x^2 near 0; its derivative loses digits where the value does. */
TEST(shadow, of_a_derivative) {
    ct_tensor *x = ct_scalar(CT_F32, 1e-2), *dx;
    ct_tensor *y = ct_div(ct_sub(ct_scalar(CT_F32, 1), ct_cos(x)), ct_square(x));
    OK(ct_grad(y, &x, 1, &dx));
    ct_shadow_report report = shadow_of((ct_tensor *[]){y, dx}, 2);
    EXPECT(report.n_lossy > 0 && report.entries[0].order == 1, "the derivative cancels once more");
    bool forward = false;
    for (int64_t i = 0; i < report.n; i++) {
        const ct_shadow_entry *e = &report.entries[i];
        forward |= e->order == 0 && strcmp(e->op, "sub") == 0 && e->lost > 2;
    }
    EXPECT(forward);
    ct_shadow_free(&report);
}

/* Digits are not lost where f64 has none either. */
TEST(shadow, what_is_0_but_for_rounding_is_noise) {
    ct_tensor *x = numbers(1000, 0), *gradient;
    ct_tensor *y = ct_sum_all(ct_exp(ct_sub(x, ct_mean_all(x))));
    ct_tensor *shift = ct_scalar(CT_F32, 0.5), *moved = ct_add(x, shift);
    ct_tensor *z = ct_sum_all(ct_exp(ct_sub(moved, ct_mean_all(moved))));
    OK(ct_grad(z, &shift, 1, &gradient));
    ct_shadow_report report = shadow_of((ct_tensor *[]){y, gradient}, 2);
    EXPECT(report.n_lossy == 0 && report.n_noise > 0 && report.error < 1e-5);
    EXPECT(ct_shadow_of(&report, gradient)->noise && ct_shadow_of(&report, gradient)->lost == 0);
    ct_shadow_free(&report);
}

/* --- The same function -------------------------------------------------------------------- */

/* Comparisons, floors and places of maxima would differ in f64 where values nearly tie. */
TEST(shadow, takes_the_same_branches) {
    ct_tensor *x = numbers(4096, 0), *y, *dx,
              *tie = ct_mul(ct_scale(x, 3), ct_scalar(CT_F32, 1 / 3.0F));
    ct_tensor *mask = ct_greater(tie, x), *steps = ct_floor(ct_mul(tie, ct_reciprocal(x)));
    ct_tensor *image = ct_reshape(ct_maximum(ct_abs(tie), ct_abs(x)), CT_SHAPE(1, 64, 64, 1));
    y = ct_add(ct_sum_all(ct_mul(ct_where(mask, x, ct_scale(x, 9)), steps)),
               ct_sum_all(ct_square(ct_max_pool2d(image, (ct_pool2d_spec){0}))));
    y = ct_add(y, ct_sum_all(ct_take(x, ct_argmax(ct_reshape(tie, CT_SHAPE(64, 64)), 1))));
    OK(ct_grad(y, &x, 1, &dx));
    expect_clean((ct_tensor *[]){y, dx}, 2);
}

TEST(shadow, has_the_same_random_draws) {
    ct_generator *generator = ct_generator_new(3);
    ct_tensor *u = ct_random_uniform(ct_generator_draw(generator), CT_F32, CT_SHAPE(64));
    ct_shadow_report report = shadow_at(u);
    EXPECT(report.n == 1 && report.entries[0].error == 0 && report.n_unshadowed == 0);
    ct_shadow_free(&report);
    ct_tensor *dropped = ct_mul(numbers(64, 1), ct_less(u, ct_scalar(CT_F32, 0.5)));
    expect_clean(&dropped, 1);
    ct_generator_free(generator);
}

/* What stands in f64 in the graph computes with what f64 had for f32's. */
TEST(shadow, goes_through_casts_and_staged_updates) {
    ct_slot *slot = ct_slot_new("average", ct_scalar(CT_F32, 1));
    ct_tensor *lossy = one_pass(numbers(1000, 1e3));
    ct_tensor *staged = ct_stage(lossy, slot, 0.9, ct_scalar(CT_F32, 2));
    ct_tensor *wide = ct_exp(ct_cast(ct_cast(staged, CT_F64), CT_F32));
    ct_shadow_report report = shadow_at(ct_sum_all(ct_cast(wide, CT_F64)));
    EXPECT(report.n_lossy == 1 && report.entries[0].tensor == lossy && report.n_unshadowed == 0);
    EXPECT(ct_shadow_of(&report, staged)->error == report.entries[0].error);
    EXPECT(report.error > 1e-3);
    ct_shadow_free(&report);
    ct_slot_drop(slot);
}

/* --- Ops of users ------------------------------------------------------------------------- */

static void tile_half(int64_t n, void *y, const void *const x[], const ct_tile *tile) {
    (void)tile;
    for (int64_t i = 0; i < n; i++) ((float *)y)[i] = ((const float *)x[0])[i] / 2;
}

static const ct_op op_half = {.name = "half",
                              .kind = CT_MAP,
                              .n_inputs = 1,
                              .infer = ct_infer_float,
                              .tile = {[CT_F32] = tile_half},
                              .vjp = {ct_no_gradient}};

TEST(shadow, counts_ops_that_are_not_there_in_f64) {
    ct_tensor *lossy = one_pass(numbers(1000, 1e3)), *half = ct_node(&op_half, &lossy, 1, NULL, 0);
    ct_shadow_report report = shadow_at(ct_exp(half));
    EXPECT(report.n_unshadowed == 1 && report.n_lossy == 0 && ct_error() == CT_OK);
    EXPECT(ct_shadow_of(&report, half)->error == 0 && report.error < 1e-6);
    ct_shadow_free(&report);
}

/* --- The graph afterwards, and the table -------------------------------------------------- */

TEST(shadow, leaves_the_graph_as_it_was) {
    ct_tensor *x = numbers(200, 1), *known = ct_exp(x), *y = ct_mean_all(ct_log(known)), *dx;
    OK(ct_grad(y, &x, 1, &dx));
    OK(ct_eval(&known, 1));
    ct_tensor *roots[] = {y, dx};
    ct_cache_clear();
    int64_t before = ct_mem_read().live_bytes;
    ct_shadow_report report = shadow_of(roots, 2);
    ct_shadow_free(&report);
    ct_shadow_free(NULL);
    ct_cache_clear();
    EXPECT(ct_mem_read().live_bytes == before && known->buffer && !y->buffer && !dx->buffer);
    EXPECT(report.n == 0 && !report.entries);
}

TEST(shadow, prints_a_table) {
    ct_tensor *variance = ct_name(one_pass(numbers(1000, 1e3)), "variance");
    ct_shadow_report report = shadow_at(variance);
    char text[2048] = "";
    FILE *out = fmemopen(text, sizeof text, "w");
    OK(ct_shadow_print(out, &report));
    fclose(out);
    EXPECT(strncmp(text, "f32 beside f64: the roots are off by ", 37) == 0, "%s", text);
    EXPECT(strstr(text, "; 1 of 7 nodes loses half of its digits\n    lost    left     error  "
                        "amplified  node\n"),
           "%s", text);
    EXPECT(strstr(text, "  variance = sub\n") && strstr(text, " others lose less than 0.5\n"), "%s",
           text);
    ct_shadow_free(&report);
}

/* --- What it refuses ---------------------------------------------------------------------- */

TEST(shadow, refuses_bad_arguments) {
    ct_tensor *x[] = {ct_scalar(CT_F64, 1), NULL}, *y = ct_exp(x[0]);
    ct_shadow_report report;
    EXPECT(ct_shadow(x, 1, NULL) == CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_shadow: 'report' is NULL");
    EXPECT(ct_shadow(NULL, 1, &report) == CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_shadow: 'roots' is NULL");
    EXPECT(ct_shadow(x, 2, &report) == CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_shadow: root 1 is NULL");
    EXPECT(ct_shadow(x, 0, &report) == CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, "ct_shadow: needs at least one root");
    EXPECT(ct_shadow(&y, 1, &report) == CT_ERR_DTYPE && !report.entries);
    expect_error(CT_ERR_DTYPE, "ct_shadow: nothing is f32, so nothing is compared");
    EXPECT(ct_shadow_print(NULL, &report) == CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_shadow_print: 'out' is NULL");
    EXPECT(ct_shadow_print(stdout, NULL) == CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_shadow_print: 'report' is NULL");
    EXPECT(!ct_shadow_of(NULL, y) && !ct_shadow_of(&report, y));
}

static ct_status scenario(void *state) {
    (void)state;
    ct_cache_clear();
    int64_t scope = ct_scope_open();
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(3), 2), *y = ct_sum_all(ct_log(ct_scale(x, 2)));
    ct_shadow_report report;
    ct_status status = y ? ct_shadow(&y, 1, &report) : ct_error();
    if (y) ct_shadow_free(&report);
    ct_scope_close(scope);
    return status;
}

static void nothing_to_see(void *state, bool failed) { (void)state, (void)failed; }

TEST(shadow, runs_out_of_memory_cleanly) {
    EXPECT(oom_sweep("shadow", scenario, nothing_to_see, NULL) > 40);
}
