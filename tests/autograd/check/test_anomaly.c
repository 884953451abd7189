/* The first NaN or infinity, by name: which node it is, which infinities are none, and that the
 * graph is afterwards what it was. */
#include "tests/support/test.h"

#include "autograd/anomaly.h"
#include "autograd/compose.h"
#include "autograd/grad.h"
#include "autograd/stage.h"
#include "tensor/graph/node.h"
#include "tensor/mem.h"
#include "tensor/random.h"
#include "tensor/runtime.h"

#include <math.h>
#include <string.h>

static ct_tensor *vector(double a, double b, double c) {
    return ct_from(CT_F64, CT_SHAPE(3), (double[]){a, b, c});
}

static ct_anomaly_report looked(ct_tensor *const roots[], int64_t n) {
    ct_anomaly_report report = {.index = 77};
    OK(ct_anomaly(roots, n, &report));
    EXPECT(report.index != 77);
    return report;
}

static ct_anomaly_report looked_at(ct_tensor *root) { return looked(&root, 1); }

/* --- What is named ---------------------------------------------------------------------------- */

TEST(anomaly, a_logarithm_in_a_module) {
    ct_tensor *x = ct_name(ct_from(CT_F64, CT_SHAPE(2, 2), (double[]){3.1, 1, 0.5, -0.2}), "x");
    OK(ct_path_push("head"));
    OK(ct_path_push("loss"));
    ct_tensor *bad = ct_log(x);
    ct_path_pop();
    ct_path_pop();
    ct_anomaly_report report = looked_at(ct_sum_all(ct_mul(bad, ct_exp(x))));
    EXPECT(report.found && report.tensor == bad && isnan(report.value) && report.index == 3);
    EXPECT(strcmp(report.op, "log") == 0 && strcmp(report.path, "head/loss") == 0);
    EXPECT(report.order == 0 && report.n_operands == 1 && report.operands[0].tensor == x);
    EXPECT(report.operands[0].min == -0.2 && report.operands[0].max == 3.1);
    EXPECT(strcmp(report.text, "first NaN: log in 'head/loss' (forward), element [1,1]: operand "
                               "x f64 [2,2] in [-0.2, 3.1]") == 0,
           "%s", report.text);
}

TEST(anomaly, a_derivative_that_is_not_finite_where_the_value_is) {
    ct_tensor *x = ct_name(vector(0, 1, 4), "x"), *y = ct_sum_all(ct_sqrt(x)), *dx;
    OK(ct_grad(y, &x, 1, &dx));
    EXPECT(!looked_at(y).found);
    ct_anomaly_report report = looked((ct_tensor *[]){y, dx}, 2);
    EXPECT(report.found && report.order == 1 && report.value == INFINITY && report.index == 0);
    EXPECT(strncmp(report.text, "first inf: ", 11) == 0, "%s", report.text);
    EXPECT(strstr(report.text, "(derived, order 1), element [0]"), "%s", report.text);
    EXPECT(looked_at(dx).tensor == report.tensor, "whatever else is asked for");
}

TEST(anomaly, a_second_derivative) {
    ct_tensor *x = vector(0, 1, 4), *dx, *ddx;
    OK(ct_grad(ct_sum_all(ct_pow(x, ct_full(CT_F64, CT_SHAPE(3), 1.5))), &x, 1, &dx));
    OK(ct_grad(ct_sum_all(dx), &x, 1, &ddx));
    EXPECT(!looked_at(dx).found);
    ct_anomaly_report report = looked_at(ddx);
    EXPECT(report.found && report.order == 2, "%s", report.text);
}

TEST(anomaly, the_overflow_and_not_the_nan_that_follows) {
    ct_tensor *x = ct_from(CT_F32, CT_SHAPE(2), (float[]){1, 100}), *e = ct_exp(x);
    ct_anomaly_report report = looked_at(ct_sub(ct_scale(e, 2), e));
    EXPECT(report.found && report.tensor == e && report.value == INFINITY && report.index == 1);
    EXPECT(strcmp(report.text, "first inf: exp (forward), element [1]: operand data f32 [2] in "
                               "[1, 100]") == 0,
           "%s", report.text);
}

/* Two of them: the one that the program made first, whichever root and operand leads to it. */
TEST(anomaly, the_first_in_the_order_of_construction) {
    ct_tensor *x = vector(-1, 0, 1), *first = ct_log(x), *second = ct_sqrt(x);
    EXPECT(looked_at(ct_add(second, first)).tensor == first);
    EXPECT(looked((ct_tensor *[]){second, first}, 2).tensor == first);
    EXPECT(looked_at(second).tensor == second);
}

TEST(anomaly, a_nan_among_the_inputs) {
    ct_tensor *x = ct_name(vector(1, NAN, INFINITY), "x\n"), *unnamed = vector(1, 2, NAN);
    ct_anomaly_report report = looked_at(ct_exp(x));
    EXPECT(report.found && report.tensor == x && *report.op == '\0' && report.index == 1);
    EXPECT(strcmp(report.text, "input 'x\\x0a' f64 [3] has NaN at [1]") == 0, "%s", report.text);
    EXPECT(strcmp(looked_at(unnamed).text, "input f64 [3] has NaN at [2]") == 0);
    EXPECT(strcmp(looked_at(ct_scalar(CT_F32, NAN)).text, "input f32 [] has NaN") == 0);
}

TEST(anomaly, operands_by_name_and_op) {
    ct_tensor *x = ct_name(vector(0, 1, 2), "x"), *y = ct_name(ct_div(ct_neg(x), x), "ratio");
    EXPECT(strcmp(looked_at(y).text,
                  "first NaN: 'ratio' = div (forward), element [0]: operands neg "
                  "f64 [3] in [-2, -0], x f64 [3] in [0, 2]") == 0,
           "%s", looked_at(y).text);
    ct_tensor *many[6] = {x, x, x, x, x, ct_full(CT_F64, CT_SHAPE(1), NAN)};
    EXPECT(looked_at(ct_concat(many, 6, 0)).tensor == many[5]);
}

/* --- What is none ----------------------------------------------------------------------------- */

TEST(anomaly, nothing_where_all_is_finite) {
    ct_anomaly_report report = looked_at(ct_softmax(vector(1, 2, 3), 0));
    EXPECT(!report.found && !report.tensor && report.order == 0);
    EXPECT(strcmp(report.text, "no NaN and no infinity") == 0, "%s", report.text);
}

/* A causal mask: -inf as data, or as a number of the formula. */
TEST(anomaly, infinities_that_are_meant) {
    ct_tensor *x = ct_name(vector(1, 2, 3), "x"), *mask = vector(0, -INFINITY, 0);
    ct_tensor *bound = ct_offset(x, -INFINITY);
    ct_anomaly_report report = looked_at(ct_add(x, mask));
    EXPECT(!report.found && !report.tensor);
    EXPECT(strcmp(report.text, "no NaN; infinities are those of the inputs") == 0, "%s",
           report.text);
    EXPECT(!looked_at(ct_softmax(ct_add(x, mask), 0)).found);
    EXPECT(!looked_at(ct_softmax(bound, 0)).found, "a row that is masked altogether");
    ct_tensor *nan = ct_sub(bound, bound);
    EXPECT(looked_at(ct_exp(nan)).tensor == nan, "the NaN that follows is one");
}

/* log 0 is -inf, and 0 log 0 is meant to be 0. */
TEST(anomaly, what_is_gone_before_the_roots) {
    ct_tensor *p = ct_name(vector(0, 0.5, 0.5), "p"), *l = ct_log(p);
    ct_anomaly_report report = looked_at(ct_neg(ct_sum_all(ct_weigh(p, l))));
    EXPECT(!report.found && report.tensor == l && report.value == -INFINITY);
    EXPECT(strcmp(report.text, "gone before the roots: first -inf: log (forward), element [0]: "
                               "operand p f64 [3] in [0, 0.5]") == 0,
           "%s", report.text);
    ct_tensor *later = ct_sqrt(ct_neg(ct_offset(p, 1)));
    EXPECT(looked_at(ct_add(later, ct_weigh(p, l))).tensor == later,
           "what reaches a root is first");
}

/* --- The graph afterwards --------------------------------------------------------------------- */

TEST(anomaly, leaves_the_graph_as_it_was) {
    ct_generator *generator = ct_generator_new(7);
    ct_tensor *noise = ct_random_normal(ct_generator_draw(generator), CT_F32, CT_SHAPE(50, 20));
    ct_tensor *known = ct_exp(ct_scale(noise, 0.1)), *dx[2];
    ct_tensor *x[] = {noise, known}, *y = ct_mean_all(ct_log(ct_offset(ct_mul(known, noise), 9)));
    OK(ct_grad(y, x, 2, dx));
    ct_tensor *roots[] = {y, dx[0], dx[1]};
    OK(ct_eval(&known, 1));
    ct_cache_clear();
    int64_t before = ct_mem_read().live_bytes;
    EXPECT(!looked(roots, 3).found);
    ct_cache_clear();
    EXPECT(ct_mem_read().live_bytes == before);
    EXPECT(known->buffer && !noise->buffer && !y->buffer);
    double value = ct_item(y);
    ct_cache_clear();
    EXPECT(!looked(roots, 3).found && ct_item(y) == value && y->buffer);
    ct_generator_free(generator);
}

/* The draw whose logarithm is -inf is the one that the loss was computed with. */
TEST(anomaly, has_the_same_random_draws) {
    ct_generator *generator = ct_generator_new(3);
    ct_tensor *u = ct_random_uniform(ct_generator_draw(generator), CT_F64, CT_SHAPE(64));
    ct_tensor *l = ct_log(ct_offset(u, -0.01)), *loss = ct_sum_all(l);
    bool bad = isnan(ct_item(loss));
    ct_anomaly_report report = looked_at(loss);
    EXPECT(report.found == bad && (!bad || isnan(ct_data_f64(l)[report.index])));
    ct_generator_free(generator);
}

/* A staged update is not computed with the value that it is staged at. */
TEST(anomaly, does_not_look_at_staged_updates) {
    ct_slot *slot = ct_slot_new("average", ct_scalar(CT_F64, 1));
    ct_tensor *x = vector(1, 2, 3),
              *y = ct_stage(ct_exp(x), slot, 0.9, ct_log(ct_scalar(CT_F64, -1)));
    EXPECT(!looked_at(y).found);
    ct_slot_drop(slot);
}

/* --- What it refuses -------------------------------------------------------------------------- */

TEST(anomaly, refuses_bad_arguments) {
    ct_tensor *x[] = {vector(1, 2, 3), NULL};
    ct_anomaly_report report = {.index = 77};
    EXPECT(ct_anomaly(x, 1, NULL) == CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_anomaly: 'report' is NULL");
    EXPECT(ct_anomaly(NULL, 1, &report) == CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_anomaly: 'roots' is NULL");
    EXPECT(ct_anomaly(x, 2, &report) == CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_anomaly: root 1 is NULL");
    EXPECT(ct_anomaly(x, 0, &report) == CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, "ct_anomaly: needs at least one root");
    EXPECT(report.index == 77, "after an error the report is what it was");
}

static ct_status scenario(void *state) {
    ct_cache_clear();
    int64_t scope = ct_scope_open();
    ct_tensor *x = vector(1, -2, 3), *y = ct_sum_all(ct_log(ct_scale(x, 2)));
    ct_status status = y ? ct_anomaly(&y, 1, state) : ct_error();
    ct_scope_close(scope);
    return status;
}

static void nothing_to_see(void *state, bool failed) { (void)state, (void)failed; }

TEST(anomaly, runs_out_of_memory_cleanly) {
    ct_anomaly_report report;
    EXPECT(oom_sweep("anomaly", scenario, nothing_to_see, &report) > 20);
}
