/* Matrix products of every size class, small ones on the micro-kernel and large ones by BLIS:
 * values against a loop, operands of either orientation.
 * Derivatives, batches and broadcasting are in test_primitives.c, refusals in test_op_errors.c.
 * Invariant: elements are small multiples of 1/8, so that sums of products are exact. */
#include "autograd/kernels/small_product.h"
#include "autograd/ops.h"
#include "tests/support/test.h"

#include <stdlib.h>

typedef struct {
    int64_t m, n, k;
} size;

/* Around the widths of registers, the rows of a panel, and the limit of small products; rows of b
 * that lie a multiple of 1024 bytes apart. */
static const size sizes[] = {{1, 1, 1},     {1, 64, 100},   {5, 33, 7},      {12, 32, 321},
                             {13, 31, 640}, {32, 64, 576},  {576, 64, 32},   {47, 130, 65},
                             {300, 3, 500}, {3, 300, 1000}, {260, 270, 119}, {210, 200, 200},
                             {20, 256, 67}, {17, 512, 330}, {9, 1024, 8}};
enum { SIZES = sizeof sizes / sizeof *sizes };

static double *elements(int64_t n, uint64_t seed) {
    double *values = malloc(sizeof *values * (size_t)n);
    test_random r = {seed};
    for (int64_t i = 0; i < n; i++) values[i] = (double)random_between(&r, -8, 8) / 8;
    return values;
}

/* [rows, columns] from row-major elements; turned: a view of a leaf that holds the transpose. */
static ct_tensor *matrix(ct_dtype dtype, int64_t rows, int64_t columns, const double *values,
                         bool turned) {
    if (!turned) return leaf_from(dtype, CT_SHAPE(rows, columns), values);
    double *other = malloc(sizeof *other * (size_t)(rows * columns));
    for (int64_t i = 0; i < rows * columns; i++) {
        other[i % columns * rows + i / columns] = values[i];
    }
    ct_tensor *t = ct_transpose(leaf_from(dtype, CT_SHAPE(columns, rows), other));
    free(other);
    return t;
}

static void expect_product(ct_tensor *y, size s, const double *a, const double *b) {
    if (!EXPECT(ct_data(y) != NULL, "%s", ct_error_message())) return;
    for (int64_t at = 0; at < s.m * s.n; at++) {
        double sum = 0;
        for (int64_t p = 0; p < s.k; p++) sum += a[at / s.n * s.k + p] * b[p * s.n + at % s.n];
        if (EXPECT(element(y, at) == sum, "[%lld,%lld] of %lld: element %lld is %g, not %g",
                   (long long)s.m, (long long)s.n, (long long)s.k, (long long)at, element(y, at),
                   sum))
            continue;
        return;
    }
}

TEST(products, every_size_and_orientation) {
    for (int k = 0; k < SIZES * CT_DTYPES; k++) {
        size s = sizes[k / CT_DTYPES];
        ct_dtype dtype = (ct_dtype)(k % CT_DTYPES);
        if (!ct_dtype_is_float(dtype)) continue;
        double *a = elements(s.m * s.k, 1), *b = elements(s.k * s.n, 2);
        for (int turned = 0; turned < 4; turned++) {
            int64_t scope = ct_scope_open();
            ct_tensor *x = matrix(dtype, s.m, s.k, a, turned & 1);
            expect_product(ct_matmul(x, matrix(dtype, s.k, s.n, b, turned & 2)), s, a, b);
            ct_scope_close(scope);
        }
        free(a);
        free(b);
    }
}

TEST(products, both_ways_are_taken) {
    int small = 0;
    for (int k = 0; k < SIZES; k++) {
        small += cti_product_is_small(CT_F64, sizes[k].m, sizes[k].n, sizes[k].k);
    }
    EXPECT(small > 0 && small < SIZES, "%d of %d", small, SIZES);
}

/* There are processors on which BLIS multiplies none of the sizes above in f32. */
TEST(products, blis_in_f32) {
    for (int k = 0; k < SIZES; k++) {
        size s = sizes[k];
        int64_t scope = ct_scope_open();
        double *a = elements(s.m * s.k, 1), *b = elements(s.k * s.n, 2);
        ct_tensor *x = matrix(CT_F32, s.m, s.k, a, false), *w = matrix(CT_F32, s.k, s.n, b, false);
        float *product = malloc(sizeof *product * (size_t)(s.m * s.n));
        /* Operands are read alone. */
        cti_gemm_f32(s.m, s.n, s.k, (cti_matrix){(void *)(uintptr_t)ct_data(x), s.k, 1},
                     (cti_matrix){(void *)(uintptr_t)ct_data(w), s.n, 1},
                     (cti_matrix){product, s.n, 1});
        expect_product(ct_from(CT_F32, CT_SHAPE(s.m, s.n), product), s, a, b);
        free(product);
        free(a);
        free(b);
        ct_scope_close(scope);
    }
}

/* The elements are no multiples of anything: the order of additions shows in the last bits. */
TEST(products, bits_do_not_follow_the_orientation) {
    for (int k = 0; k < SIZES; k++) {
        int64_t scope = ct_scope_open();
        size s = sizes[k];
        double *a = elements(s.m * s.k, 3), *b = elements(s.k * s.n, 4);
        for (int64_t i = 0; i < s.m * s.k; i++) a[i] /= 3;
        for (int64_t i = 0; i < s.k * s.n; i++) b[i] /= 7;
        ct_tensor *y = ct_matmul(matrix(CT_F32, s.m, s.k, a, false),
                                 matrix(CT_F32, s.k, s.n, b, false));
        ct_tensor *z = ct_matmul(matrix(CT_F32, s.m, s.k, a, true),
                                 matrix(CT_F32, s.k, s.n, b, true));
        EXPECT(same_bits(y, z), "[%lld,%lld] of %lld", (long long)s.m, (long long)s.n,
               (long long)s.k);
        free(a);
        free(b);
        ct_scope_close(scope);
    }
}
