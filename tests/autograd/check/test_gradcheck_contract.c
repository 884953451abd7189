/* The gradient checker's contract: what it takes and refuses, and what it leaves alone. Whether it
 * can tell right from wrong is the business of test_gradcheck.c. */
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "autograd/grad.h"
#include "autograd/gradcheck.h"
#include "tensor/op.h"
#include "tensor/varying.h"

#include <math.h>
#include <string.h>

static ct_tensor *product(void *context, ct_tensor *const x[], int64_t n) {
    (void)context;
    ct_tensor *y = ct_sin(x[0]);
    for (int64_t i = 1; i < n; i++) y = ct_mul(y, x[i]);
    return y;
}

static ct_tensor *vector(double a, double b, double c) {
    return ct_from(CT_F64, CT_SHAPE(3), (double[]){a, b, c});
}

static void expect_refused(ct_status status, ct_status expected, const char *message) {
    ct_status recorded;
    const char *text = taken_error(&recorded);
    EXPECT(status == expected && recorded == expected, "%s", text);
    EXPECT(strcmp(text, message) == 0, "%s", text);
}

/* With one good input, unless the options are bad. */
static ct_status with_options(ct_gradcheck_options options) {
    ct_tensor *x = vector(1, 2, 3);
    ct_gradcheck_report report;
    return ct_gradcheck(product, NULL, &x, 1, options, &report);
}

TEST(gradcheck_contract, refuses_bad_arguments) {
    ct_tensor *x[] = {vector(1, 2, 3), NULL, ct_full(CT_F32, CT_SCALAR, 1)};
    ct_gradcheck_options usual = {0};
    ct_gradcheck_report report;
    expect_refused(ct_gradcheck(NULL, NULL, x, 1, usual, &report), CT_ERR_NULL,
                   "ct_gradcheck: 'f' is NULL");
    expect_refused(ct_gradcheck(product, NULL, NULL, 1, usual, &report), CT_ERR_NULL,
                   "ct_gradcheck: 'inputs' is NULL");
    expect_refused(ct_gradcheck(product, NULL, x, 1, usual, NULL), CT_ERR_NULL,
                   "ct_gradcheck: 'report' is NULL");
    expect_refused(ct_gradcheck(product, NULL, x, 0, usual, &report), CT_ERR_RANGE,
                   "ct_gradcheck: needs at least one input");
    expect_refused(ct_gradcheck(product, NULL, x, 2, usual, &report), CT_ERR_NULL,
                   "ct_gradcheck: input 1 is NULL");
    x[1] = x[2];
    expect_refused(ct_gradcheck(product, NULL, x, 2, usual, &report), CT_ERR_DTYPE,
                   "ct_gradcheck: input 1 must be f64, got f32; finite differences in less "
                   "precision show nothing");
    x[1] = ct_varying(x[0], 0);
    expect_refused(ct_gradcheck(product, NULL, x, 2, usual, &report), CT_ERR_STATE,
                   "ct_gradcheck: input 1 varies between ranks along axis 0, and differences are "
                   "those of one process; ct_own_rows");
    expect_refused(ct_gradcheck_print(NULL, &report), CT_ERR_NULL,
                   "ct_gradcheck_print: 'out' is NULL");
    expect_refused(ct_gradcheck_print(stdout, NULL), CT_ERR_NULL,
                   "ct_gradcheck_print: 'report' is NULL");
}

static ct_tensor *of_rows(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    return ct_mul(x[0], ct_varying(ct_full(CT_F64, CT_SHAPE(2, 3), 1), 0));
}

TEST(gradcheck_contract, refuses_a_value_that_varies) {
    ct_tensor *x = vector(1, 2, 3);
    ct_gradcheck_report report;
    expect_refused(ct_gradcheck(of_rows, NULL, &x, 1, (ct_gradcheck_options){0}, &report),
                   CT_ERR_STATE,
                   "ct_gradcheck: f's value varies between ranks along axis 0; ct_sum");
}

TEST(gradcheck_contract, refuses_bad_options) {
    expect_refused(with_options((ct_gradcheck_options){.order = 3}), CT_ERR_RANGE,
                   "ct_gradcheck: order must be 1 or 2, got 3");
    expect_refused(with_options((ct_gradcheck_options){.step = -1}), CT_ERR_RANGE,
                   "ct_gradcheck: step must be finite and >= 0, got -1");
    expect_refused(with_options((ct_gradcheck_options){.relative = INFINITY}), CT_ERR_RANGE,
                   "ct_gradcheck: relative must be finite and >= 0, got inf");
    expect_refused(with_options((ct_gradcheck_options){.absolute = NAN}), CT_ERR_RANGE,
                   "ct_gradcheck: absolute must be finite and >= 0, got nan");
    expect_refused(with_options((ct_gradcheck_options){.full_limit = -1}), CT_ERR_RANGE,
                   "ct_gradcheck: full_limit and directions must be >= 0");
}

/* --- What f may do wrong ------------------------------------------------------------------ */

static ct_tensor *nothing(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)x, (void)n;
    return NULL;
}

static ct_tensor *failing(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    return ct_reshape(x[0], CT_SHAPE(7));
}

static ct_tensor *narrow(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    return ct_cast(x[0], CT_F32);
}

static ct_tensor *restless(void *context, ct_tensor *const x[], int64_t n) {
    (void)n;
    return ct_offset(x[0], ++*(double *)context);
}

static ct_tensor *growing(void *context, ct_tensor *const x[], int64_t n) {
    (void)n;
    *(double *)context += 1;
    return ct_broadcast(x[0], CT_SHAPE((int64_t) * (double *)context, 3));
}

static ct_tensor *stuck(void *context, ct_tensor *const x[], int64_t n);

TEST(gradcheck_contract, says_what_is_wrong_with_f) {
    double calls = 0;
    ct_tensor *x = vector(1, 2, 3);
    ct_gradcheck_report report = {.compared = 77};
    ct_gradcheck_options usual = {0};
    expect_refused(ct_gradcheck(nothing, NULL, &x, 1, usual, &report), CT_ERR_NULL,
                   "ct_gradcheck: f returned NULL");
    expect_refused(ct_gradcheck(failing, NULL, &x, 1, usual, &report), CT_ERR_SHAPE,
                   "ct_reshape: [3] has 3 elements, [7] needs 7");
    expect_refused(ct_gradcheck(narrow, NULL, &x, 1, usual, &report), CT_ERR_DTYPE,
                   "ct_gradcheck: f must return f64, got f32");
    expect_refused(ct_gradcheck(restless, &calls, &x, 1, usual, &report), CT_ERR_STATE,
                   "ct_gradcheck: f gave other values when it was called again; random numbers "
                   "must come from a key that stays the same");
    calls = 0;
    expect_refused(ct_gradcheck(growing, &calls, &x, 1, usual, &report), CT_ERR_STATE,
                   "ct_gradcheck: f returned [2,3], before that [1,3]");
    expect_refused(ct_gradcheck(stuck, NULL, &x, 1, usual, &report), CT_ERR_GRADIENT,
                   "ct_gradcheck: op 'stuck' has no derivative for input 0");
    EXPECT(report.compared == 77, "a failed check leaves the report alone");
}

/* --- Inputs of every kind ----------------------------------------------------------------- */

static ct_gradcheck_report checked(ct_function f, ct_tensor *const x[], int64_t n, int order) {
    ct_gradcheck_report report = {.passed = false};
    EXPECT(ct_gradcheck(f, NULL, x, n, (ct_gradcheck_options){.order = order}, &report) == CT_OK,
           "%s", ct_error_message());
    return report;
}

TEST(gradcheck_contract, takes_views_and_keeps_them) {
    ct_tensor *base = ct_from(CT_F64, CT_SHAPE(2, 3), (double[]){1, 2, 3, 4, 5, 6});
    ct_tensor *x[] = {ct_transpose(base), ct_broadcast(vector(1, 2, 3), CT_SHAPE(2, 3)),
                      ct_exp(ct_slice(base, 1, 0, 3, 2))};
    x[1] = ct_transpose(x[1]);
    x[2] = ct_broadcast(ct_slice(x[2], 0, 0, 1, 1), CT_SHAPE(3, 2));
    ct_gradcheck_report report = checked(product, x, 3, 2);
    EXPECT(report.passed && report.full && !report.degenerate);
    EXPECT(element(base, 5) == 6 && element(x[0], 1) == 4);
}

TEST(gradcheck_contract, takes_the_same_tensor_twice) {
    ct_tensor *x = vector(1, 2, 3), *both[] = {x, x};
    EXPECT(checked(product, both, 2, 2).passed);
}

static ct_tensor *first_only(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    return ct_exp(x[0]);
}

TEST(gradcheck_contract, takes_tensors_without_elements) {
    ct_tensor *x[] = {ct_full(CT_F64, CT_SHAPE(0, 3), 0), vector(1, 2, 3)};
    ct_gradcheck_report report = checked(product, x, 2, 2);
    EXPECT(report.passed && !report.degenerate);
    report = checked(product, x, 1, 1);
    EXPECT(report.passed && report.compared == 0);
    /* Where there is nothing to derive, nothing is degenerate. */
    report = checked(first_only, (ct_tensor *[]){x[1], x[0]}, 2, 1);
    EXPECT(report.passed && !report.degenerate);
    FILE *out = fopen("/dev/null", "w");
    EXPECT(ct_gradcheck_print(out, &report) == CT_OK);
    fclose(out);
}

TEST(gradcheck_contract, names_an_input_without_influence) {
    ct_tensor *x[] = {vector(1, 2, 3), vector(4, 5, 6)};
    ct_gradcheck_report report = checked(first_only, x, 2, 1);
    EXPECT(report.passed && report.degenerate && report.degenerate_input == 1);
}

TEST(gradcheck_contract, tolerances_can_be_changed) {
    ct_tensor *x = vector(1, 2, 3);
    ct_gradcheck_report report;
    ct_gradcheck_options tight = {.relative = 1e-15, .absolute = 1e-15};
    EXPECT(ct_gradcheck(product, NULL, &x, 1, tight, &report) == CT_OK && !report.passed);
    ct_gradcheck_options rough = {.step = 1e-2, .absolute = 1e-3};
    EXPECT(ct_gradcheck(product, NULL, &x, 1, rough, &report) == CT_OK && report.passed);
    EXPECT(report.worst.error > 1e-6);
    ct_gradcheck_options few = {.full_limit = 1, .directions = 3, .seed = 5};
    EXPECT(ct_gradcheck(product, NULL, &x, 1, few, &report) == CT_OK && report.passed);
    EXPECT(report.compared == 3 && !report.full);
}

/* --- An op whose derivative evaluates, and one that has none ------------------------------ */

static ct_status infer_same(const ct_infer *call, ct_type *out) {
    return ct_infer_float(call, out);
}

static bool view_same(const void *attr, ct_shape in, const ct_layout *x, ct_shape out,
                      ct_layout *y) {
    (void)attr, (void)in, (void)out;
    *y = *x;
    return true;
}

/* The identity, whose derivative looks at values and derives something else on the way. */
static ct_tensor *vjp_curious(ct_tensor *g, ct_tensor *y, int i) {
    ct_tensor *x = ct_input(y, i), *other;
    if (!ct_data(ct_exp(ct_mul(x, x)))) return NULL;
    return ct_grad(ct_sum_all(ct_sin(x)), &x, 1, &other) == CT_OK ? g : NULL;
}

static const ct_op op_stuck = {
    .name = "stuck", .kind = CT_VIEW, .n_inputs = 1, .infer = infer_same, .view = view_same};
static const ct_op op_curious = {.name = "curious",
                                 .kind = CT_VIEW,
                                 .n_inputs = 1,
                                 .infer = infer_same,
                                 .view = view_same,
                                 .vjp = {vjp_curious}};

static ct_tensor *stuck(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    return ct_node(&op_stuck, x, 1, NULL, 0);
}

static ct_tensor *curious(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    ct_tensor *y = ct_mul(x[0], ct_sin(x[1]));
    for (int i = 0; i < 3; i++) y = ct_mul(ct_node(&op_curious, &y, 1, NULL, 0), ct_cos(x[1]));
    return y;
}

TEST(gradcheck_contract, a_vjp_may_evaluate_and_derive) {
    ct_tensor *x[] = {vector(1, 2, 3), vector(4, 5, 6)};
    EXPECT(checked(curious, x, 2, 2).passed);
}

/* --- Memory ------------------------------------------------------------------------------- */

static ct_status scenario(void *state) {
    ct_gradcheck_options options = {.order = 2, .full_limit = *(int64_t *)state};
    int64_t scope = ct_scope_open();
    ct_tensor *x = ct_full(CT_F64, CT_SHAPE(2), 0.5);
    ct_gradcheck_report report;
    ct_status status = x ? ct_gradcheck(product, NULL, &x, 1, options, &report) : ct_error();
    ct_scope_close(scope);
    return status;
}

static void nothing_changes(void *state, bool failed) { (void)state, (void)failed; }

TEST(gradcheck_contract, out_of_memory_is_an_error) {
    for (int64_t limit = 0; limit < 2; limit++) {
        EXPECT(oom_sweep("gradcheck", scenario, nothing_changes, &limit) > 100);
    }
}
