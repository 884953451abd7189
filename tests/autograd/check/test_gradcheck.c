/* The gradient checker: it passes what is right and catches what is wrong. The wrong derivatives
 * are planted by an op of this file's own, whose value is y = f(a) and whose VJP is the row's. */
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "autograd/gradcheck.h"
#include "tensor/op.h"
#include "tests/autograd/ops/planted_vjps.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define VEC CT_SHAPE(6)
#define ROW CT_SHAPE(3)
#define MAT CT_SHAPE(3, 3)
#define CUBE CT_SHAPE(3, 3, 3)
#define IMAGE CT_SHAPE(1, 4, 4, 1)
#define KERNEL CT_SHAPE(3, 3, 1, 1)

/* --- What the rows are made of ------------------------------------------------------------ */

static ct_tensor *like(uint64_t i, ct_shape shape) {
    test_random r = {i};
    double values[64];
    for (int64_t k = 0; k < ct_shape_numel(shape); k++) {
        values[k] = random_real(&r, 0.5, 1.5) * (random_chance(&r, 50) ? 1 : -1);
    }
    return ct_from(CT_F64, shape, values);
}

/* 1 in the last element, 0 elsewhere. */
static ct_tensor *last(ct_shape shape) {
    double values[64] = {0};
    values[ct_shape_numel(shape) - 1] = 1;
    return ct_from(CT_F64, shape, values);
}

static ct_tensor *indices(int64_t i, int64_t j, int64_t k) {
    return ct_from(CT_I64, CT_SHAPE(3), (int64_t[]){i, j, k});
}

static ct_tensor *negative(ct_tensor *a) { return ct_less(a, ct_scalar(CT_F64, 0)); }
/* Positive whatever a is, and the derivative of that. */
static ct_tensor *pos(ct_tensor *a) { return ct_abs(a); }
static ct_tensor *flow(ct_tensor *a) { return ct_sign(a); }

static ct_tensor *scale_of(ct_tensor *a) {
    return ct_rsqrt(ct_offset(ct_var_keep(a, CT_AXES(0)), 1e-12));
}
static ct_tensor *norm(ct_tensor *a) {
    return ct_mul(ct_sub(a, ct_mean_keep(a, CT_AXES(0))), scale_of(a));
}
static ct_tensor *convolve(ct_tensor *a, ct_tensor *w, int64_t pad) {
    return ct_conv2d(a, w, (ct_conv2d_spec){.pad = {pad, pad, pad, pad}});
}

typedef struct {
    const char *name, *wrong;
    ct_shape shape;
    ct_tensor *(*value)(ct_tensor *a);
    ct_tensor *(*vjp)(ct_tensor *g, ct_tensor *a, ct_tensor *y);
} planted_row;

#define FUNCTIONS(name, text, shape, y_of_a, vjp_of_a)                       \
    static ct_tensor *name##_value(ct_tensor *a) { return y_of_a; }          \
    static ct_tensor *name##_vjp(ct_tensor *g, ct_tensor *a, ct_tensor *y) { \
        (void)g, (void)a, (void)y;                                           \
        return vjp_of_a;                                                     \
    }
PLANTED_ELEMENTWISE(FUNCTIONS)
PLANTED_SHAPES(FUNCTIONS)
PLANTED_SECOND(FUNCTIONS)

#define LIST(name, text, shape, y_of_a, vjp_of_a) {#name, text, shape, name##_value, name##_vjp},

/* --- The op that tells lies --------------------------------------------------------------- */

/* Inputs: y, and a. Its value is y's; nothing flows to y, so all that flows to a is planted. */
static ct_status infer_planted(const ct_infer *call, ct_type *out) {
    *out = call->in[0];
    return CT_OK;
}

static bool view_planted(const void *attr, ct_shape in, const ct_layout *x, ct_shape out,
                         ct_layout *y) {
    (void)attr, (void)in, (void)out;
    *y = *x;
    return true;
}

static ct_tensor *vjp_planted(ct_tensor *g, ct_tensor *y, int i) {
    planted_row row;
    memcpy(&row, ct_attr(y), sizeof row);
    return row.vjp(g, ct_input(y, i), ct_input(y, 0));
}

static const ct_op op_planted = {
    .name = "planted",
    .kind = CT_VIEW,
    .n_inputs = 2,
    .attr_is_runtime = true,
    .infer = infer_planted,
    .view = view_planted,
    .vjp = {ct_no_gradient, vjp_planted},
};

static ct_tensor *planted(void *context, ct_tensor *const x[], int64_t n) {
    (void)n;
    const planted_row *row = context;
    return ct_node(&op_planted, (ct_tensor *[]){row->value(x[0]), x[0]}, 2, row, sizeof *row);
}

static ct_tensor *honest(void *context, ct_tensor *const x[], int64_t n) {
    (void)n;
    return ((const planted_row *)context)->value(x[0]);
}

static bool passes(ct_function f, planted_row *row, ct_gradcheck_options options) {
    int64_t scope = ct_scope_open();
    ct_tensor *a = like(7, row->shape);
    ct_gradcheck_report report = {.passed = false};
    ct_status status = ct_gradcheck(f, row, &a, 1, options, &report);
    EXPECT(status == CT_OK, "%s: %s", row->name, ct_error_message());
    EXPECT(report.compared > 0 && report.passed == (report.missed == 0));
    ct_scope_close(scope);
    return status == CT_OK && report.passed;
}

/* Every lie of order `order` is found, entry by entry and in projections; the truth passes. */
static void expect_caught(planted_row rows[], int n, int order) {
    ct_gradcheck_options full = {.order = order}, projected = {.order = order, .full_limit = 1};
    for (int i = 0; i < n; i++) {
        planted_row *row = &rows[i];
        EXPECT(passes(honest, row, full), "%s is right", row->name);
        EXPECT(passes(honest, row, projected), "%s is right, projected", row->name);
        EXPECT(!passes(planted, row, full), "%s: %s", row->name, row->wrong);
        EXPECT(!passes(planted, row, projected), "%s: %s, projected", row->name, row->wrong);
        if (order == 2) EXPECT(passes(planted, row, (ct_gradcheck_options){0}), "%s", row->name);
    }
}

TEST(gradcheck, catches_wrong_derivatives) {
    planted_row elementwise[] = {PLANTED_ELEMENTWISE(LIST)}, shapes[] = {PLANTED_SHAPES(LIST)};
    int n = sizeof elementwise / sizeof *elementwise, m = sizeof shapes / sizeof *shapes;
    EXPECT(n + m >= 40, "only %d", n + m);
    expect_caught(elementwise, n, 1);
    expect_caught(shapes, m, 1);
}

TEST(gradcheck, catches_wrong_second_derivatives) {
    planted_row rows[] = {PLANTED_SECOND(LIST)};
    expect_caught(rows, sizeof rows / sizeof *rows, 2);
}

TEST(gradcheck, passes_what_is_right_at_order_2) {
    planted_row rows[] = {PLANTED_ELEMENTWISE(LIST) PLANTED_SHAPES(LIST)};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].name, "large") == 0) continue; /* differences of 1e6 are too rough */
        EXPECT(passes(honest, &rows[i], (ct_gradcheck_options){.order = 2}), "%s", rows[i].name);
    }
}

/* --- Data of every size ------------------------------------------------------------------- */

/* The row at (x - shift) / scale: as sharp as the data is small, and as far off as it likes. */
typedef struct {
    planted_row row;
    ct_function *f;
    double shift;
    ct_tensor *scale;
} moved_row;

static ct_tensor *at_moved(void *context, ct_tensor *const x[], int64_t n) {
    moved_row *m = context;
    ct_tensor *a = ct_div(ct_offset(x[0], -m->shift), m->scale);
    return m->f(&m->row, &a, n);
}

static bool passes_moved(ct_function f, moved_row *m, ct_gradcheck_options options) {
    int64_t scope = ct_scope_open();
    ct_tensor *x = ct_detach(ct_offset(ct_mul(like(7, m->row.shape), m->scale), m->shift));
    ct_gradcheck_report report = {.passed = false};
    m->f = f;
    ct_status status = ct_gradcheck(at_moved, m, &x, 1, options, &report);
    EXPECT(status == CT_OK, "%s: %s", m->row.name, ct_error_message());
    ct_scope_close(scope);
    return status == CT_OK && report.passed;
}

/* `scale`, or with 0 another one for each element. */
static ct_tensor *scale_like(ct_shape shape, double scale) {
    if (scale > 0) return ct_scalar(CT_F64, scale);
    static const double sizes[] = {1e-6, 1, 1e6, 1e-3, 1e3};
    double values[64];
    for (int64_t k = 0; k < ct_shape_numel(shape); k++) values[k] = sizes[k % 5];
    return ct_from(CT_F64, shape, values);
}

static void expect_caught_moved(planted_row rows[], int n, int order, double scale, double shift) {
    ct_gradcheck_options both[] = {{.order = order}, {.order = order, .full_limit = 1}};
    for (int i = 0; i < 2 * n; i++) {
        moved_row m = {.row = rows[i / 2], .shift = shift};
        m.scale = scale_like(m.row.shape, scale);
        const char *name = m.row.name, *how = i % 2 ? ", projected" : "";
        EXPECT(passes_moved(honest, &m, both[i % 2]), "%s is right at %g, %g%s", name, scale, shift,
               how);
        EXPECT(!passes_moved(planted, &m, both[i % 2]), "%s: %s at %g, %g%s", name, m.row.wrong,
               scale, shift, how);
    }
}

TEST(gradcheck, catches_what_is_wrong_with_data_of_every_size) {
    planted_row elementwise[] = {PLANTED_ELEMENTWISE(LIST)}, shapes[] = {PLANTED_SHAPES(LIST)};
    planted_row second[] = {PLANTED_SECOND(LIST)};
    int n = sizeof elementwise / sizeof *elementwise, m = sizeof shapes / sizeof *shapes;
    int n2 = sizeof second / sizeof *second;
    double places[][2] = {{1e-6, 0}, {1e6, 0}, {0, 0}, {1, 1000}, {1e-3, 1}, {1e3, 1e6}};
    for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
        expect_caught_moved(elementwise, n, 1, places[k][0], places[k][1]);
        expect_caught_moved(shapes, m, 1, places[k][0], places[k][1]);
        expect_caught_moved(second, n2, 2, places[k][0], places[k][1]);
    }
}

static ct_tensor *layer_norm(void *context, ct_tensor *const x[], int64_t n) {
    (void)n;
    return ct_layer_norm(x[0], x[1], x[2], *(double *)context);
}

/* Deviations are rounded as much as the mean is large. */
TEST(gradcheck, passes_a_normalization_far_from_its_mean) {
    static const double places[][3] = {
        /* mean, deviation, epsilon */
        {1000, 1, 1e-3},     {1, 1e-3, 1e-12}, {1e6, 1e3, 1e-3}, {-1e5, 1, 1e-3},
        {1e-6, 1e-6, 1e-18}, {0, 1e-6, 1e-18}, {1e9, 1e9, 1e-3},
    };
    for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
        double epsilon = places[k][2];
        ct_tensor *deviation = ct_scale(like(k, CT_SHAPE(3, 8)), places[k][1]);
        ct_tensor *x[] = {ct_offset(deviation, places[k][0]), like(8, CT_SHAPE(8)),
                          like(9, CT_SHAPE(8))};
        for (int64_t limit = 0; limit < 2; limit++) {
            ct_gradcheck_options options = {.order = 2, .full_limit = limit};
            ct_gradcheck_report report = {.passed = false};
            EXPECT(ct_gradcheck(layer_norm, &epsilon, x, 3, options, &report) == CT_OK);
            EXPECT(report.passed, "%g +- %g: %lld of %lld, %g for %g", places[k][0], places[k][1],
                   (long long)report.missed, (long long)report.compared, report.worst.numeric,
                   report.worst.analytic);
        }
    }
}

static ct_tensor *with_kinks(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    return ct_mul(ct_tanh(x[0]), ct_relu(x[1]));
}

TEST(gradcheck, passes_zeros_and_what_is_near_a_kink) {
    ct_tensor *x[] = {ct_full(CT_F64, VEC, 0),
                      ct_from(CT_F64, VEC, (double[]){1e-7, -1e-7, 1e-4, -1e-9, 1e-9, -0.001})};
    ct_gradcheck_report report;
    EXPECT(ct_gradcheck(with_kinks, NULL, x, 2, (ct_gradcheck_options){0}, &report) == CT_OK);
    EXPECT(report.passed);
}

static ct_tensor *largest_of(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    return ct_max(x[0], CT_ALL);
}
static ct_tensor *length_of(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    return ct_norm(x[0]);
}
static ct_tensor *spread_of(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    return ct_std(x[0], CT_AXES(0));
}
static ct_tensor *share_of(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    return ct_div(x[0], ct_sum_all(x[0]));
}
static ct_tensor *log_of(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    return ct_log(x[0]);
}
static ct_tensor *root_of(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    return ct_sqrt(x[0]);
}
static ct_tensor *inverse_of(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    return ct_div(ct_scalar(CT_F64, 1), x[0]);
}
static ct_tensor *small_max(void *context, ct_tensor *const x[], int64_t n) {
    return ct_scale(largest_of(context, x, n), 1e-6);
}

static ct_tensor *root_of_var(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    return ct_sqrt(ct_var(x[0], CT_AXES(0)));
}

/* The value of a function whose derivative is 0.1 % off. */
static ct_tensor *off(void *context, ct_tensor *const x[], int64_t n) {
    ct_tensor *y = ((ct_function **)context)[0](NULL, x, n);
    return ct_sub(ct_scale(y, 1.001), ct_detach(ct_scale(y, 0.001)));
}

/* Kinks, or all that there is, within much less than the usual steps. */
TEST(gradcheck, passes_functions_of_tiny_data) {
    struct {
        const char *name;
        ct_function *f;
        double size;
        int orders;
    } rows[] = {
        {"max", largest_of, 1e-8, 1},      {"norm", length_of, 1e-10, 2},
        {"std", spread_of, 1e-8, 2},       {"share", share_of, 1e-12, 2},
        {"small max", small_max, 1e-6, 1}, {"log", log_of, 1e-12, 2},
        {"sqrt", root_of, 1e-12, 2},       {"1/x", inverse_of, 1e-12, 2},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        double values[] = {1, 1.1, 0.95, 1.05, 0.9};
        ct_tensor *x = ct_scale(ct_from(CT_F64, CT_SHAPE(5), values), rows[k].size);
        for (int order = 1; order <= rows[k].orders; order++) {
            ct_gradcheck_options options = {.order = order};
            ct_gradcheck_report right;
            EXPECT(ct_gradcheck(rows[k].f, NULL, &x, 1, options, &right) == CT_OK);
            EXPECT(right.passed, "%s order %d: %g for %g, %g by %g", rows[k].name, order,
                   right.worst.numeric, right.worst.analytic, right.worst_uncertainty,
                   right.worst_step);
        }
        ct_gradcheck_report r;
        EXPECT(ct_gradcheck(off, &rows[k].f, &x, 1, (ct_gradcheck_options){0}, &r) == CT_OK);
        EXPECT(!r.passed, "%s is off", rows[k].name);
    }
}

TEST(gradcheck, passes_columns_of_different_sizes) {
    double values[] = {.3e6, .9e-6, -.2e6, -.8e-6, .7e6, .1e-6};
    ct_tensor *x = ct_from(CT_F64, CT_SHAPE(3, 2), values);
    ct_function *functions[] = {spread_of, root_of_var};
    for (int k = 0; k < 2; k++) {
        ct_gradcheck_report r;
        ct_gradcheck_options options = {0};
        EXPECT(ct_gradcheck(functions[k], NULL, &x, 1, options, &r) == CT_OK);
        EXPECT(r.passed, "%g for %g", r.worst.numeric, r.worst.analytic);
        EXPECT(ct_gradcheck(off, &functions[k], &x, 1, options, &r) == CT_OK);
        EXPECT(!r.passed);
    }
}

TEST(gradcheck, passes_the_largest_of_many) {
    double values[3000];
    for (int i = 0; i < 3000; i++) values[i] = 1e-4 * sin(1.7 * i + 0.3);
    ct_tensor *x = ct_from(CT_F64, CT_SHAPE(3000), values);
    ct_function *f = largest_of;
    for (int64_t limit = 0; limit < 2; limit++) {
        ct_gradcheck_options options = {.full_limit = limit};
        ct_gradcheck_report r;
        EXPECT(ct_gradcheck(f, NULL, &x, 1, options, &r) == CT_OK);
        EXPECT(r.passed, "%g for %g", r.worst.numeric, r.worst.analytic);
        EXPECT(ct_gradcheck(off, &f, &x, 1, options, &r) == CT_OK);
        EXPECT(!r.passed);
    }
}

static ct_tensor *rounded_of(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    return ct_offset(ct_offset(x[0], 1e6), -1e6);
}
static ct_tensor *rounded_zeros(void *context, ct_tensor *const x[], int64_t n) {
    return ct_detach(rounded_of(context, x, n));
}

/* The first element is rounded, the second keeps the sum moving. */
static ct_tensor *partly_rounded(void *context, ct_tensor *const x[], int64_t n) {
    ct_tensor *a = ct_slice(x[0], 0, 0, 1, 1), *b = ct_slice(x[0], 0, 1, 2, 1);
    return ct_add(rounded_of(context, &a, n), b);
}
static ct_tensor *partly_zeros(void *context, ct_tensor *const x[], int64_t n) {
    ct_tensor *a = ct_slice(x[0], 0, 0, 1, 1), *b = ct_slice(x[0], 0, 1, 2, 1);
    return ct_add(rounded_zeros(context, &a, n), b);
}

/* A value that stands still because something larger is rounded is no derivative of 0. */
TEST(gradcheck, takes_no_rounding_for_a_derivative_of_0) {
    static const double sizes[] = {1, 1e-4, 1e-6, 1e-8, 1e-12};
    ct_function *const right[] = {rounded_of, partly_rounded};
    ct_function *const wrong[] = {rounded_zeros, partly_zeros};
    for (size_t k = 0; k < 4 * sizeof sizes / sizeof *sizes; k++) {
        double size = sizes[k / 4];
        ct_tensor *x = ct_scale(like(7, CT_SHAPE(2)), size);
        ct_gradcheck_options options = {.full_limit = (int64_t)(k / 2 % 2)};
        ct_gradcheck_report r;
        EXPECT(ct_gradcheck(right[k % 2], NULL, &x, 1, options, &r) == CT_OK);
        EXPECT(r.passed, "%zu at %g: %g", k % 4, size, r.worst.numeric);
        EXPECT(ct_gradcheck(wrong[k % 2], NULL, &x, 1, options, &r) == CT_OK);
        EXPECT(!r.passed, "%zu at %g", k % 4, size);
    }
}

/* Beyond a kink too: the large steps see both sides of it, the small ones no change at all. */
static ct_tensor *zeros_of_rounded_norm(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    return ct_detach(ct_offset(ct_offset(ct_norm(x[0]), 1e6), -1e6));
}

TEST(gradcheck, takes_no_rounding_beyond_a_kink_for_a_derivative_of_0) {
    static const double sizes[] = {1, 1e-4, 1e-8, 1e-10};
    for (size_t k = 0; k < 2 * sizeof sizes / sizeof *sizes; k++) {
        ct_tensor *values = ct_from(CT_F64, CT_SHAPE(3), (double[]){1.1, 0.7, -0.4});
        ct_tensor *x = ct_scale(values, sizes[k / 2]);
        ct_gradcheck_options options = {.full_limit = (int64_t)(k % 2)};
        ct_gradcheck_report r;
        EXPECT(ct_gradcheck(zeros_of_rounded_norm, NULL, &x, 1, options, &r) == CT_OK);
        EXPECT(!r.passed, "at %g", sizes[k / 2]);
    }
}

/* --- The report --------------------------------------------------------------------------- */

static ct_tensor *two_inputs(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    planted_row row = {.vjp = half_vjp};
    ct_tensor *lie = ct_node(&op_planted, (ct_tensor *[]){ct_mul(x[1], x[1]), x[1]}, 2, &row,
                             sizeof row);
    return ct_add(ct_sin(x[0]), lie);
}

TEST(gradcheck, reports_the_worst_entry) {
    ct_tensor *x[] = {like(1, VEC), ct_from(CT_F64, VEC, (double[]){1, 2, -3, 1, 2, 1})};
    ct_gradcheck_report report;
    EXPECT(ct_gradcheck(two_inputs, NULL, x, 2, (ct_gradcheck_options){0}, &report) == CT_OK);
    const ct_gradcheck_entry *worst = &report.worst;
    EXPECT(!report.passed && report.full && !report.degenerate && report.degenerate_input == -1);
    /* 2 inputs of 6 elements, each against 6 outputs and one cotangent; 12 involve the lie. */
    EXPECT(report.compared == 84 && report.missed == 12);
    EXPECT(worst->order == 1 && worst->input == 1);
    EXPECT(worst->error > worst->allowed && near(worst->numeric, 2 * worst->analytic, 0, 1e-8));

    char text[1000] = "";
    FILE *out = fmemopen(text, sizeof text, "w");
    EXPECT(ct_gradcheck_print(
               out, &(ct_gradcheck_report){.full = true,
                                           .degenerate = true,
                                           .compared = 84,
                                           .missed = 12,
                                           .worst = {1, 1, 2, 2, -3, -6, 3, 6e-9}}) == CT_OK);
    fclose(out);
    EXPECT(
        strcmp(text,
               "gradient check FAILED: 72 of 84 comparisons within tolerance (every entry of the "
               "Jacobian)\n"
               "  worst: order 1, input 1, element 2, output 2\n"
               "    analytic                       -3\n"
               "    numeric                        -6\n"
               "    error                           3\n"
               "    allowed                     6e-09\n"
               "  note: the gradient of input 0 is 0 everywhere, so little was shown there: does f "
               "depend "
               "on it?\n") == 0,
        "%s", text);
}

/* A difference that no step makes exact says so. */
TEST(gradcheck, reports_how_exact_a_difference_is) {
    double epsilon = 1e-3;
    ct_tensor *x[] = {ct_offset(like(1, MAT), 1e9), like(2, ROW), like(3, ROW)};
    ct_gradcheck_report report;
    EXPECT(ct_gradcheck(layer_norm, &epsilon, x, 3, (ct_gradcheck_options){0}, &report) == CT_OK);
    EXPECT(report.worst_step > 0 && report.worst_uncertainty > 1e-9);
    char text[1000] = "", expected[100];
    FILE *out = fmemopen(text, sizeof text, "w");
    EXPECT(ct_gradcheck_print(out, &report) == CT_OK);
    fclose(out);
    snprintf(expected, sizeof expected,
             "    numeric by a step of %.1e max(1, |x|), give or take %.1e\n", report.worst_step,
             report.worst_uncertainty);
    EXPECT(strstr(text, expected), "%s", text);
}

static ct_tensor *fast_wave(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    return ct_sin(ct_scale(x[0], 50));
}

/* Large steps agree with each other where they step over many periods. */
TEST(gradcheck, states_no_small_uncertainty_where_no_step_decides) {
    ct_tensor *x = ct_from(CT_F64, CT_SHAPE(3), (double[]){1e8, 1.1e8, 0.95e8});
    ct_gradcheck_report r;
    for (int64_t limit = 0; limit < 2; limit++) {
        ct_gradcheck_options options = {.full_limit = limit};
        EXPECT(ct_gradcheck(fast_wave, NULL, &x, 1, options, &r) == CT_OK);
        EXPECT(r.passed || r.worst_uncertainty > 0.1 * r.worst.error, "%g +- %g for %g",
               r.worst.numeric, r.worst_uncertainty, r.worst.analytic);
    }
}

static ct_tensor *sum_of_norm(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    return ct_sum_all(ct_mul(norm(x[0]), x[1]));
}

/* The sum of a normalized tensor is constant: the classical check that checks nothing. */
TEST(gradcheck, names_the_degenerate_case) {
    ct_tensor *x[] = {like(1, CT_SHAPE(5, 3)), ct_full(CT_F64, ROW, 1)};
    ct_gradcheck_report report;
    for (int limit = 0; limit < 2; limit++) {
        ct_gradcheck_options options = {.order = 2, .full_limit = limit};
        EXPECT(ct_gradcheck(sum_of_norm, NULL, x, 2, options, &report) == CT_OK);
        EXPECT(report.passed && report.degenerate && report.degenerate_input == 0);
    }
}
