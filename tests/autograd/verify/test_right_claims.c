/* No false alarms: random right claims, of all orders, shapes and constants, pass; what the field
 * cannot decide is called so and passes too. COTAN_CASES is their number (./run check claims tries
 * 10000), COTAN_SEED the first.
 * Invariant: each closed form is right as real numbers go, and written as people write it. */
#include "autograd/compose.h"
#include "autograd/ops.h"
#include "autograd/verify.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASES 300

/* What the functions of a case share. */
typedef struct {
    double number; /* a constant as people write them */
    int64_t rows, columns;
} setting;

#define F(name, expression)                                                       \
    static ct_tensor *name##_f(void *context, ct_tensor *const in[], int64_t n) { \
        const setting *c = context;                                               \
        ct_tensor *x = in[0];                                                     \
        (void)c, (void)n, (void)x;                                                \
        return expression;                                                        \
    }
#define CLOSED(name, ...)                                                                     \
    static ct_status name##_c(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy, \
                              ct_tensor *out[]) {                                             \
        const setting *c = context;                                                           \
        ct_tensor *x = in[0];                                                                 \
        (void)c, (void)n, (void)x;                                                            \
        __VA_ARGS__                                                                           \
        return ct_error();                                                                    \
    }

static ct_tensor *number(ct_tensor *like, double value) {
    return ct_scalar(ct_dtype_of(like), value);
}
static ct_tensor *row_mean(ct_tensor *x) { return ct_mean_keep(x, CT_AXES(-1)); }
static ct_tensor *row_sum(ct_tensor *x) { return ct_sum_keep(x, CT_AXES(-1)); }
static ct_tensor *one_minus(ct_tensor *x) { return ct_offset(ct_neg(x), 1); }

/* --- Fractions -------------------------------------------------------------------------------- */

F(mean, ct_scale(ct_square(ct_mean(x, CT_AXES(-1))), c->number))
CLOSED(mean, {
    ct_tensor *m = ct_scale(row_sum(x), 1.0 / (double)c->columns);
    ct_tensor *g = ct_mul(ct_reshape(dy, ct_shape_of(m)), m);
    out[0] = ct_broadcast(ct_scale(ct_scale(g, 2 * c->number), 1.0 / (double)c->columns),
                          ct_shape_of(x));
})
F(cube, ct_scale(ct_pow(x, number(x, 3)), 1.0 / 6))
CLOSED(cube, { out[0] = ct_mul(dy, ct_scale(ct_square(x), 0.5)); })
F(square_root, ct_sqrt(ct_offset(ct_square(x), c->number)))
CLOSED(square_root,
       { out[0] = ct_div(ct_mul(dy, x), ct_sqrt(ct_offset(ct_mul(x, x), c->number))); })

/* --- Branches --------------------------------------------------------------------------------- */

F(leaky, ct_maximum(x, ct_scale(x, c->number)))
CLOSED(leaky, { out[0] = ct_where(ct_greater(x, number(x, 0)), dy, ct_scale(dy, c->number)); })
F(huber, ct_where(ct_less_equal(ct_abs(x), number(x, c->number)), ct_scale(ct_square(x), 0.5),
                  ct_scale(ct_offset(ct_abs(x), -c->number / 2), c->number)))
CLOSED(huber, { out[0] = ct_mul(dy, ct_clip(x, -c->number, c->number)); })
F(root_of_square, ct_sqrt(ct_square(x)))
CLOSED(root_of_square, { out[0] = ct_mul(dy, ct_sign(x)); })

/* --- Exponentials ----------------------------------------------------------------------------- */

static ct_tensor *softmax_back(ct_tensor *shifted, ct_tensor *dy) {
    ct_tensor *e = ct_exp(shifted), *p = ct_div(e, row_sum(e));
    return ct_mul(p, ct_sub(dy, row_sum(ct_mul(dy, p))));
}
F(softmax, ct_softmax(x, -1))
CLOSED(softmax, { out[0] = softmax_back(ct_sub(x, ct_max_keep(x, CT_AXES(-1))), dy); })
F(softmax_unshifted, ct_softmax(x, -1))
CLOSED(softmax_unshifted, { out[0] = softmax_back(x, dy); })
F(softmax_by_mean, ct_softmax(x, -1))
CLOSED(softmax_by_mean, { out[0] = softmax_back(ct_sub(x, row_mean(x)), dy); })
F(softmax_by_first, ct_softmax(x, -1))
CLOSED(softmax_by_first,
       { out[0] = softmax_back(ct_sub(x, ct_stop_gradient(ct_slice(x, 1, 0, 1, 1))), dy); })
F(log_softmax, ct_sub(x, ct_log(row_sum(ct_exp(x)))))
CLOSED(log_softmax, {
    ct_tensor *p = ct_softmax(x, -1);
    out[0] = ct_sub(dy, ct_mul(p, row_sum(dy)));
})
F(logistic, ct_div(number(x, 1), ct_offset(ct_exp(ct_neg(x)), 1)))
CLOSED(logistic, {
    ct_tensor *s = ct_sigmoid(x);
    out[0] = ct_mul(dy, ct_mul(s, one_minus(s)));
})
F(swish, ct_mul(x, ct_sigmoid(ct_scale(x, c->number))))
CLOSED(swish, {
    ct_tensor *s = ct_sigmoid(ct_scale(x, c->number));
    ct_tensor *bent = ct_mul(ct_scale(x, c->number), ct_mul(s, one_minus(s)));
    out[0] = ct_mul(dy, ct_add(s, bent));
})
F(hyperbolic, ct_scale(ct_sub(ct_exp(x), ct_exp(ct_neg(x))), 0.5))
CLOSED(hyperbolic, { out[0] = ct_mul(dy, ct_scale(ct_add(ct_exp(x), ct_exp(ct_neg(x))), 0.5)); })
F(tangent, ct_tanh(x))
CLOSED(tangent, {
    ct_tensor *e = ct_exp(ct_scale(x, 2)), *t = ct_div(ct_offset(e, -1), ct_offset(e, 1));
    out[0] = ct_mul(dy, one_minus(ct_square(t)));
})
F(two_factors, ct_exp(ct_scale(ct_square(x), -0.5)))
CLOSED(two_factors, {
    ct_tensor *e = ct_exp(ct_scale(ct_square(x), -0.25));
    out[0] = ct_neg(ct_mul(dy, ct_mul(x, ct_mul(e, e))));
})
F(sine, ct_mul(ct_sin(x), ct_cos(x)))
CLOSED(sine, { out[0] = ct_mul(dy, ct_cos(ct_scale(x, 2))); })

/* --- Normalizations --------------------------------------------------------------------------- */

F(batch_norm, ct_batch_norm(x, in[1], in[2], -1, c->number, NULL, NULL))
CLOSED(batch_norm, {
    double each = 1.0 / (double)c->rows;
    ct_axes rows = CT_AXES(0);
    ct_tensor *d = ct_sub(x, ct_scale(ct_sum_keep(x, rows), each));
    ct_tensor *v = ct_scale(ct_sum_keep(ct_square(d), rows), each);
    ct_tensor *r = ct_rsqrt(ct_offset(v, c->number)), *h = ct_mul(d, r);
    ct_tensor *a = ct_scale(ct_sum_keep(dy, rows), each);
    ct_tensor *b = ct_scale(ct_sum_keep(ct_mul(dy, h), rows), each);
    out[0] = ct_mul(ct_mul(ct_sub(ct_sub(dy, a), ct_mul(h, b)), r), in[1]);
    out[1] = ct_sum(ct_mul(dy, h), rows);
    out[2] = ct_sum(dy, rows);
})
F(rms_norm, ct_mul(x, ct_rsqrt(ct_offset(row_mean(ct_square(x)), c->number))))
CLOSED(rms_norm, {
    ct_tensor *r = ct_rsqrt(ct_offset(row_mean(ct_square(x)), c->number)), *h = ct_mul(x, r);
    out[0] = ct_mul(r, ct_sub(dy, ct_mul(h, row_mean(ct_mul(dy, h)))));
})
F(dense, ct_matmul(x, ct_transpose(x)))
CLOSED(dense, { out[0] = ct_matmul(ct_add(dy, ct_transpose(dy)), x); })

/* --- All of them ------------------------------------------------------------------------------ */

typedef struct {
    const char *name;
    ct_function *f;
    ct_closed_form *closed;
    int64_t inputs;
    bool few_roots; /* at most so many columns that all roots are found */
    bool of_two;    /* two rows and a small epsilon, beside which nearly everything cancels */
} family;
#define FAMILY(name) \
    { #name, name##_f, name##_c, 1, false, false }
static const family families[] = {
    FAMILY(mean),
    FAMILY(cube),
    {"square_root", square_root_f, square_root_c, 1, true, false},
    FAMILY(leaky),
    FAMILY(huber),
    FAMILY(root_of_square),
    FAMILY(softmax),
    FAMILY(softmax_unshifted),
    FAMILY(softmax_by_mean),
    FAMILY(softmax_by_first),
    FAMILY(log_softmax),
    FAMILY(logistic),
    FAMILY(swish),
    FAMILY(hyperbolic),
    FAMILY(tangent),
    FAMILY(two_factors),
    FAMILY(sine),
    {"batch_norm", batch_norm_f, batch_norm_c, 3, false, false},
    {"batch_norm_of_two", batch_norm_f, batch_norm_c, 3, false, true},
    {"rms_norm", rms_norm_f, rms_norm_c, 1, false, false},
    FAMILY(dense),
};
enum { FAMILIES = sizeof families / sizeof *families };
static int64_t undecided[FAMILIES], tried[FAMILIES];

static void check_case(uint64_t seed) {
    static const double numbers[] = {0.9, 1e-3, 1.0 / 6, 0.125, 1.0 / 3, 0.3, 1e-2, 0.7, 0.05};
    test_random r = {seed * UINT64_C(0x9e3779b97f4a7c15)};
    int64_t k = random_below(&r, FAMILIES);
    const family *of = &families[k];
    setting c = {.number = numbers[random_below(&r, sizeof numbers / sizeof *numbers)],
                 .rows = random_between(&r, 2, 5),
                 .columns = random_between(&r, 2, of->few_roots ? 2 : 4)};
    if (of->of_two) c.rows = 2, c.number = 1e-5;
    const ct_claim_input inputs[] = {
        /* Without a shift exponentials overflow far from 0, which would be refused. */
        {.name = "x", .shape = CT_SHAPE(c.rows, c.columns), .near = of->f == log_softmax_f},
        {.name = "gamma", .shape = CT_SHAPE(c.columns)},
        {.name = "beta", .shape = CT_SHAPE(c.columns)},
    };
    const ct_claim claim = {.name = of->name,
                            .f = of->f,
                            .closed = of->closed,
                            .context = &c,
                            .inputs = inputs,
                            .n_inputs = of->inputs};
    ct_verify_options options = {
        .seed = seed, .orders = (int)random_between(&r, 1, 3), .no_mutants = true};
    ct_verify_report report;
    tried[k]++;
    if (!EXPECT(ct_verify(&claim, options, &report) == CT_OK, "%s", ct_error_message())) return;
    if (!EXPECT(report.passed, "%s, seed %llu: %s", of->name, (unsigned long long)seed,
                report.n_notes ? report.notes[0].text : "")) {
        ct_verify_print(stderr, &report);
    }
    for (int64_t i = 0; i < report.n_rows; i++) undecided[k] += report.rows[i].undecided;
    ct_verify_free(&report);
}

TEST(right_claims, are_never_refused) {
    const char *text = getenv("COTAN_CASES");
    int64_t n = text ? strtoll(text, NULL, 10) : support_scaled(CASES);
    uint64_t first = support_seed(1);
    for (int64_t i = 0; i < n; i++) check_case(first + (uint64_t)i);
    printf("%lld right claims from seed %llu\n", (long long)n, (unsigned long long)first);
    for (int k = 0; k < FAMILIES; k++) {
        printf("%6lld of %s, %lld derivatives undecided in the field\n", (long long)tried[k],
               families[k].name, (long long)undecided[k]);
    }
}
