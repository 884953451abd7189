/* Convolution and its two transposes: values against nested loops over the trilinear form, the
 * adjoint identities, views, threads.
 * Derivatives against finite differences are in test_primitives.c, refusals in
 * test_window_refusals.c.
 * Invariant: the reference is one loop for all three faces, in double; each value is held to the
 * error bound of its own sum. */
#include "autograd/grad.h"
#include "autograd/kernels/conv.h"
#include "autograd/ops.h"
#include "tensor/runtime.h"
#include "tests/support/test.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t n, h, w, c, o, kh, kw;
    ct_conv2d_spec spec;
} conv_case;

enum { X, W, Y, OPERANDS };

typedef struct {
    conv_case c;
    ct_dtype dtype;
    ct_shape shape[OPERANDS];
    int64_t numel[OPERANDS];
    double *value[OPERANDS];
    ct_tensor *leaf[OPERANDS];
} problem;

static int64_t or_one(int64_t value) { return value ? value : 1; }

static int64_t out_size(const conv_case *c, int d) {
    int64_t size = d ? c->w : c->h, kernel = d ? c->kw : c->kh;
    int64_t padded = size + c->spec.pad[2 * d] + c->spec.pad[2 * d + 1];
    return (padded - or_one(c->spec.dilation[d]) * (kernel - 1) - 1) / or_one(c->spec.stride[d]) +
           1;
}

static problem problem_new(conv_case c, ct_dtype dtype, uint64_t seed) {
    problem p = {.c = c, .dtype = dtype};
    p.shape[X] = CT_SHAPE(c.n, c.h, c.w, c.c);
    p.shape[W] = CT_SHAPE(c.kh, c.kw, c.c / or_one(c.spec.groups), c.o);
    p.shape[Y] = CT_SHAPE(c.n, out_size(&c, 0), out_size(&c, 1), c.o);
    test_random r = {seed};
    for (int k = 0; k < OPERANDS; k++) {
        p.numel[k] = ct_shape_numel(p.shape[k]);
        p.value[k] = malloc(sizeof(double) * (size_t)(p.numel[k] + 1));
        for (int64_t i = 0; i < p.numel[k]; i++) {
            double value = random_real(&r, -1, 1);
            p.value[k][i] = dtype == CT_F32 ? (double)(float)value : value;
        }
        p.leaf[k] = leaf_from(dtype, p.shape[k], p.value[k]);
    }
    return p;
}

static void problem_free(problem *p) {
    for (int k = 0; k < OPERANDS; k++) free(p->value[k]);
}

/* The face that computes operand `into` from the other two. */
static ct_tensor *face(const problem *p, int into) {
    const conv_case *c = &p->c;
    ct_tensor *const *t = p->leaf;
    if (into == Y) return ct_conv2d(t[X], t[W], c->spec);
    if (into == X) return ct_conv2d_input(t[Y], t[W], c->h, c->w, c->spec);
    return ct_conv2d_kernel(t[X], t[Y], c->kh, c->kw, c->spec);
}

/* --- Reference -------------------------------------------------------------------------------- */

/* For the taps of one output element: sum[into] += the product of the other two, and sizes. */
static void add_output(const problem *p, int into, int64_t n, int64_t i, int64_t j, int64_t o,
                       double *sum, double *size) {
    const conv_case *c = &p->c;
    int64_t groups = or_one(c->spec.groups), cg = c->c / groups, og = c->o / groups;
    for (int64_t t = 0; t < c->kh * c->kw; t++) {
        int64_t a = t / c->kw, b = t % c->kw;
        int64_t row = i * or_one(c->spec.stride[0]) + a * or_one(c->spec.dilation[0]);
        int64_t column = j * or_one(c->spec.stride[1]) + b * or_one(c->spec.dilation[1]);
        row -= c->spec.pad[0];
        column -= c->spec.pad[2];
        if (row < 0 || row >= c->h || column < 0 || column >= c->w) continue;
        for (int64_t k = 0; k < cg; k++) {
            int64_t at[] = {((n * c->h + row) * c->w + column) * c->c + o / og * cg + k,
                            (t * cg + k) * c->o + o,
                            ((n * p->shape[Y].dims[1] + i) * p->shape[Y].dims[2] + j) * c->o + o};
            double product = 1;
            for (int f = 0; f < OPERANDS; f++) product *= f == into ? 1 : p->value[f][at[f]];
            sum[at[into]] += product;
            size[at[into]] += fabs(product);
        }
    }
}

static void expect_values(const problem *p, int into) {
    const conv_case *c = &p->c;
    ct_shape y = p->shape[Y];
    size_t bytes = (size_t)(p->numel[into] + 1) * sizeof(double);
    double *sum = calloc(1, bytes), *size = calloc(1, bytes);
    for (int64_t k = 0; k < p->numel[Y]; k++) {
        int64_t pixel = k / c->o, image = y.dims[1] * y.dims[2];
        add_output(p, into, pixel / image, pixel % image / y.dims[2], pixel % y.dims[2], k % c->o,
                   sum, size);
    }
    int64_t groups = or_one(c->spec.groups), taps = c->kh * c->kw;
    int64_t terms[] = {taps * c->o / groups, p->numel[Y] / c->o, taps * c->c / groups};
    double epsilon = p->dtype == CT_F32 ? FLT_EPSILON / 2 : DBL_EPSILON / 2;
    ct_tensor *t = face(p, into);
    EXPECT(ct_shape_equal(ct_shape_of(t), p->shape[into]), "%s", ct_error_message());
    EXPECT(ct_data(t) != NULL, "%s", ct_error_message());
    for (int64_t k = 0; k < p->numel[into]; k++) {
        double error = fabs(element(t, k) - sum[k]);
        double bound = 4 * (double)terms[into] * epsilon * size[k];
        if (EXPECT(error <= bound, "operand %d, element %lld: %g, not %g", into, (long long)k,
                   element(t, k), sum[k]))
            continue;
        break;
    }
    free(sum);
    free(size);
}

static double inner(const problem *p, int into) {
    ct_tensor *t = face(p, into);
    double sum = 0;
    for (int64_t k = 0; k < p->numel[into]; k++) sum += element(t, k) * p->value[into][k];
    return sum;
}

static void expect_faces(conv_case c, ct_dtype dtype, uint64_t seed) {
    int64_t scope = ct_scope_open();
    problem p = problem_new(c, dtype, seed);
    for (int into = 0; into < OPERANDS; into++) expect_values(&p, into);
    if (dtype == CT_F64) {
        double y = inner(&p, Y), size = 1 + sqrt((double)p.numel[Y]);
        EXPECT(near(inner(&p, X), y, 1e-12 * size, 1e-12), "%g, not %g", inner(&p, X), y);
        EXPECT(near(inner(&p, W), y, 1e-12 * size, 1e-12), "%g, not %g", inner(&p, W), y);
    }
    problem_free(&p);
    ct_scope_close(scope);
}

/* --- Values ----------------------------------------------------------------------------------- */

static void expect_grid(ct_dtype dtype) {
    static const int64_t kernels[][2] = {{1, 1}, {3, 3}, {2, 5}};
    static const int64_t strides[][2] = {{0, 0}, {2, 1}, {1, 3}, {3, 2}};
    static const int64_t pads[][4] = {{0}, {1, 2, 0, 3}};
    static const int64_t dilations[][2] = {{0, 0}, {2, 1}, {1, 2}, {2, 2}};
    static const int64_t channels[][3] = {{3, 5, 0}, {1, 7, 1}, {6, 10, 2}, {5, 5, 5}, {3, 6, 3}};
    static const int64_t batches[] = {0, 1, 3};
    for (int k = 0; k < 3 * 4 * 2 * 4 * 5 * 3; k++) {
        const int64_t *kernel = kernels[k % 3], *stride = strides[k / 3 % 4];
        const int64_t *dilation = dilations[k / 24 % 4], *c = channels[k / 96 % 5];
        conv_case one = {batches[k / 480],
                         9,
                         11,
                         c[0],
                         c[1],
                         kernel[0],
                         kernel[1],
                         {{stride[0], stride[1]}, {0}, {dilation[0], dilation[1]}, c[2]}};
        memcpy(one.spec.pad, pads[k / 12 % 2], sizeof one.spec.pad);
        expect_faces(one, dtype, (uint64_t)k);
    }
}

TEST(conv, every_combination_in_f64) { expect_grid(CT_F64); }

TEST(conv, every_combination_in_f32) { expect_grid(CT_F32); }

/* Several blocks, parts that begin within a row, bands with halos, ranges of pixels, stripes of
 * columns, and patches that alone fill a block. */
static const conv_case large_cases[] = {
    {3, 28, 28, 1, 32, 3, 3, {.pad = {0}}},
    {2, 61, 59, 1, 3, 3, 5, {.pad = {1, 0, 2, 4}, .stride = {1, 2}}},
    {4, 13, 13, 32, 24, 3, 3, {.pad = {0}}},
    {1, 64, 20, 8, 16, 3, 3, {.pad = {1, 1, 1, 1}}},
    {2, 71, 33, 4, 6, 5, 3, {.pad = {2, 1, 0, 1}, .stride = {2, 1}, .dilation = {2, 1}}},
    {41, 5, 5, 6, 10, 3, 3, {.groups = 2}},
    {1, 12, 12, 64, 256, 3, 3, {.pad = {0}}},
    {5, 8, 8, 1000, 3, 3, 3, {.pad = {0}}},
    {1, 10, 11, 1000, 3, 3, 3, {.pad = {0}}},
    {3, 25, 24, 66, 66, 3, 3, {.groups = 66, .stride = {1, 2}, .pad = {1, 1, 1, 1}}},
    {2, 40, 30, 12, 20, 1, 1, {.groups = 2}},
    {3, 7, 9, 4, 8, 7, 9, {.pad = {0}}},
    /* Channels of several panels: many images in a block, windows in padding alone, none at all. */
    {9, 6, 5, 40, 18, 3, 3, {.pad = {1, 1, 1, 1}}},
    {4, 9, 8, 70, 12, 3, 2, {.pad = {4, 5, 1, 3}, .stride = {2, 1}, .dilation = {1, 2}}},
    {3, 11, 12, 80, 24, 1, 1, {.stride = {2, 2}, .groups = 2}},
    {0, 6, 6, 40, 8, 3, 3, {.pad = {1, 1, 1, 1}}},
    /* Minimal filtering: tiles over the edge, bands, more padding than the kernel reaches, ranges
     * and stripes of the kernel, blocks that end within a line, no images. */
    {2, 13, 10, 64, 96, 3, 3, {.pad = {1, 1, 1, 1}}},
    {1, 45, 40, 96, 64, 3, 3, {.pad = {2, 0, 0, 2}}},
    {5, 7, 9, 64, 64, 3, 3, {.pad = {3, 2, 0, 4}}},
    {1, 9, 9, 256, 320, 3, 3, {.pad = {0}}},
    {0, 8, 8, 64, 64, 3, 3, {.pad = {1, 1, 1, 1}}},
};
enum { LARGE_CASES = sizeof large_cases / sizeof *large_cases };

TEST(conv, large_ones_in_f32) {
    for (int k = 0; k < LARGE_CASES; k++) expect_faces(large_cases[k], CT_F32, (uint64_t)k);
}

TEST(conv, large_ones_in_f64) {
    for (int k = 0; k < LARGE_CASES; k++) expect_faces(large_cases[k], CT_F64, (uint64_t)k);
}

/* --- Minimal filtering ------------------------------------------------------------------------ */

TEST(conv, an_image_gives_the_same_bits_in_any_batch) {
    problem p = problem_new((conv_case){7, 12, 11, 64, 64, 3, 3, {.pad = {1, 1, 1, 1}}}, CT_F32, 6);
    for (int into = X; into <= Y; into += Y - X) {
        ct_tensor *all = face(&p, into), *last = NULL;
        problem one = p;
        for (int k = X; k <= Y; k += Y - X) one.leaf[k] = ct_slice(p.leaf[k], 0, 6, CT_END, 1);
        last = face(&one, into);
        EXPECT(same_bits(ct_slice(all, 0, 6, CT_END, 1), last), "%s", ct_error_message());
    }
    problem_free(&p);
}

/* Infinity and NaN become NaN in whole tiles; no output that reads one may come out as a number. */
TEST(conv, what_is_not_finite_is_not_lost) {
    problem p = problem_new((conv_case){1, 8, 8, 64, 64, 3, 3, {.pad = {1, 1, 1, 1}}}, CT_F32, 7);
    static const double wrong[] = {NAN, INFINITY};
    for (int k = 0; k < 2; k++) {
        p.value[X][(3 * 8 + 5) * 64 + 17] = wrong[k];
        p.leaf[X] = leaf_from(CT_F32, p.shape[X], p.value[X]);
        ct_tensor *y = face(&p, Y), *w = face(&p, W);
        for (int64_t i = 2; i <= 4; i++) {
            for (int64_t j = 4; j <= 6; j++) EXPECT(!isfinite(element(y, (i * 8 + j) * 64)));
        }
        EXPECT(isfinite(element(y, 0)) && isfinite(element(y, (7 * 8 + 7) * 64)));
        for (int64_t t = 0; t < 9; t++) EXPECT(!isfinite(element(w, (t * 64 + 17) * 64)));
        EXPECT(isfinite(element(w, 18 * 64)));
    }
    problem_free(&p);
}

/* Of the transpose in x, on one image: a part waits for the rows of y under whole tiles, also where
 * the last of them stands over the edge and more rows of y lie under padding. */
TEST(conv, a_part_says_all_that_its_tiles_read) {
    enum { WIDTH = 9, C = 64 };
    for (int64_t height = 7; height < 60; height++) {
        ct_conv2d_spec spec = {.pad = {height % 3, height % 5, 1, 1}};
        int64_t rows = height + spec.pad[0] + spec.pad[1] - 2;
        cti_conv_attr attr = cti_conv_attr_of(CTI_CONV_X, spec, height, WIDTH);
        ct_operand in[] = {{.shape = CT_SHAPE(1, rows, WIDTH, C)}, {.shape = CT_SHAPE(3, 3, C, C)}};
        ct_call call = {.attr = &attr, .n_inputs = 2, .in = in};
        call.out.shape = CT_SHAPE(1, height, WIDTH, C);
        ct_prepared p = {.state = calloc(1, cti_conv_pixels.state)};
        cti_conv_pixels.prepare(&call, &p);
        call.state = p.state;
        for (int64_t part = 0; part < p.parts[1]; part++) {
            ct_span to = p.writes(&call, part), from = p.reads(&call, 1, 0, part);
            int64_t line = WIDTH * C, first = to.first / line, last = to.last / line;
            int64_t top = first - 2 + spec.pad[0], bottom = last + last % 2 + spec.pad[0];
            EXPECT(from.first <= line * (top > 0 ? top : 0), "height %lld", (long long)height);
            EXPECT(from.last >= line * (bottom < rows ? bottom : rows), "height %lld, part %lld",
                   (long long)height, (long long)part);
        }
        free(p.state);
    }
}

/* Against sums in f64, the root of the mean square. Sums over taps in f32 have 0.15, 0.06, 0.15. */
TEST(conv, tiles_round_no_more_than_sums) {
    conv_case c = {2, 16, 16, 128, 128, 3, 3, {.pad = {1, 1, 1, 1}}};
    problem p = problem_new(c, CT_F32, 8), exact = problem_new(c, CT_F64, 8);
    for (int k = 0; k < OPERANDS; k++) {
        exact.leaf[k] = leaf_from(CT_F64, exact.shape[k], p.value[k]);
    }
    static const double terms[] = {9 * 128, 512, 9 * 128};
    for (int into = 0; into < OPERANDS; into++) {
        ct_tensor *tiles = face(&p, into), *sums = face(&exact, into);
        double error = 0, size = 0;
        for (int64_t k = 0; k < p.numel[into]; k++) {
            double value = element(sums, k);
            error += pow(element(tiles, k) - value, 2);
            size += value * value;
        }
        error = sqrt(error / size);
        error /= sqrt(terms[into]) * FLT_EPSILON;
        EXPECT(error <= 0.15, "operand %d: %g sqrt(terms) epsilon", into, error);
    }
    problem_free(&p);
    problem_free(&exact);
}

/* No batch, no channels, no outputs, no pixels but padding: zeros wherever there are elements. */
TEST(conv, empty_operands) {
    expect_faces((conv_case){2, 5, 5, 0, 3, 3, 3, {.pad = {0}}}, CT_F32, 1);
    expect_faces((conv_case){2, 0, 4, 2, 3, 3, 3, {.pad = {2, 1, 0, 0}}}, CT_F32, 1);
    ct_tensor *x = leaf_from(CT_F64, CT_SHAPE(0, 5, 4, 2), NULL);
    ct_tensor *y = leaf_from(CT_F64, CT_SHAPE(0, 3, 2, 3), NULL);
    ct_tensor *w = ct_conv2d_kernel(x, y, 3, 3, (ct_conv2d_spec){0});
    for (int64_t k = 0; k < 54; k++) EXPECT(element(w, k) == 0);
    ct_tensor *none = leaf_from(CT_F64, CT_SHAPE(2, 3, 3, 0), NULL);
    ct_tensor *kernel = leaf_from(CT_F64, CT_SHAPE(3, 3, 2, 0), NULL);
    x = ct_conv2d_input(none, kernel, 5, 5, (ct_conv2d_spec){0});
    for (int64_t k = 0; k < 100; k++) EXPECT(element(x, k) == 0);
}

/* --- Derivatives, views, threads -------------------------------------------------------------- */

TEST(conv, derivatives_are_the_other_faces) {
    problem p = problem_new((conv_case){2, 9, 7, 4, 6, 3, 2, {{2, 1}, {1, 0, 2, 1}, {1, 2}, 2}},
                            CT_F64, 3);
    for (int into = 0; into < OPERANDS; into++) {
        /* The cotangent is the operand itself: then each derivative is a face of the problem. */
        int first = into == X ? Y : X, second = into == W ? Y : W;
        ct_tensor *inputs[] = {p.leaf[first], p.leaf[second]}, *out[2] = {NULL};
        EXPECT(ct_vjp(face(&p, into), p.leaf[into], inputs, 2, out) == CT_OK, "%s",
               ct_error_message());
        EXPECT(same_bits(out[0], face(&p, first)), "operand %d", into);
        EXPECT(same_bits(out[1], face(&p, second)), "operand %d", into);
    }
    problem_free(&p);
}

static ct_tensor *copied(ct_tensor *t) {
    return ct_from(ct_dtype_of(t), ct_shape_of(t), ct_data(t));
}

TEST(conv, operands_of_any_layout) {
    problem p = problem_new((conv_case){9, 3, 4, 2, 12, 3, 2, {.pad = {0}}}, CT_F32, 4);
    ct_tensor *x = ct_flip(ct_permute(p.leaf[X], CT_AXES(2, 0, 3, 1)), CT_AXES(1));
    ct_tensor *w = ct_slice(ct_transpose(p.leaf[W]), 2, 0, CT_END, 1);
    w = ct_slice(ct_permute(w, CT_AXES(0, 1, 3, 2)), 3, 1, CT_END, 2);
    x = ct_broadcast(ct_slice(x, 3, 0, 1, 1), CT_SHAPE(4, 9, 2, 2));
    ct_tensor *y = ct_conv2d(x, w, (ct_conv2d_spec){.pad = {0, 0, 1, 1}});
    EXPECT(same_bits(y, ct_conv2d(copied(x), copied(w), (ct_conv2d_spec){.pad = {0, 0, 1, 1}})),
           "%s", ct_error_message());
    problem_free(&p);
}

TEST(conv, threads_change_no_bit) {
    for (int k = 0; k < LARGE_CASES; k++) {
        int64_t scope = ct_scope_open();
        problem p = problem_new(large_cases[k], CT_F32, (uint64_t)k);
        ct_tensor *first[] = {face(&p, X), face(&p, W), face(&p, Y)};
        ct_threads_set(1);
        EXPECT(ct_eval(first, 3) == CT_OK, "%s", ct_error_message());
        for (int threads = 2; threads <= 4; threads++) {
            ct_tensor *again[] = {face(&p, X), face(&p, W), face(&p, Y)};
            ct_threads_set(threads);
            EXPECT(ct_eval(again, 3) == CT_OK, "%s", ct_error_message());
            for (int f = 0; f < 3; f++) EXPECT(same_bits(first[f], again[f]), "case %d", k);
        }
        problem_free(&p);
        ct_scope_close(scope);
    }
}

TEST(conv, a_default_and_its_value_share_a_plan) {
    problem p = problem_new((conv_case){1, 4, 4, 2, 2, 2, 2, {.pad = {0}}}, CT_F32, 5);
    ct_data(ct_conv2d(p.leaf[X], p.leaf[W], (ct_conv2d_spec){0}));
    ct_stats_reset();
    ct_data(ct_conv2d(p.leaf[X], p.leaf[W], (ct_conv2d_spec){{1, 1}, {0}, {1, 1}, 1}));
    EXPECT(ct_stats_read().plan_hits == 1 && ct_stats_read().plan_misses == 0);
    problem_free(&p);
}
