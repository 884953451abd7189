/* The initializer of orthogonal matrices: a product of reflections, which is orthogonal to rounding
 * whatever is drawn. Which slots begin so is their layer's business.
 * Invariant: matrices are made in f64 and cast; loops are over blocks of rows, not over numbers. */
#include "nn/init.h"

#include "autograd/compose.h"
#include "tensor/base/caller.h"
#include "tensor/base/shape_rules.h"

typedef struct {
    ct_tensor *mirrors; /* [k,n], each row v of length sqrt(2), so that I - v' v reflects */
    ct_tensor *signs;   /* [1,k] */
} reflections;

/* 0 .. n-1 down or across. */
static ct_tensor *places(int64_t n, bool down) {
    ct_tensor *numbers = ct_cast(ct_iota(n), CT_F64);
    return down ? ct_reshape(numbers, CT_SHAPE(n, 1)) : numbers;
}

/* Row j of x has normal numbers from column j on. Its reflection takes x[j] to -s |x[j]| e[j], s
 * the sign of x[j,j], along x[j] + s |x[j]| e[j], where nothing cancels. */
static reflections draw(int64_t k, int64_t n) {
    ct_tensor *row = places(k, true), *column = places(n, false);
    ct_tensor *x = ct_random_normal(ct_seed_draw(), CT_F64, CT_SHAPE(k, n));
    ct_tensor *zero = ct_scalar(CT_F64, 0), *one = ct_scalar(CT_F64, 1);
    x = ct_where(ct_less_equal(row, column), x, zero);
    ct_tensor *diagonal = ct_equal(row, column);
    ct_tensor *corner = ct_sum_keep(ct_mul(x, diagonal), CT_AXES(1));
    ct_tensor *sign = ct_where(ct_less(corner, zero), ct_neg(one), one);
    ct_tensor *length = ct_sqrt(ct_sum_keep(ct_square(x), CT_AXES(1)));
    length = ct_where(length, length, one); /* a lone number may be 0 */
    ct_tensor *v = ct_add(x, ct_mul(ct_mul(sign, length), diagonal));
    ct_tensor *size = ct_scale(ct_sum_keep(ct_square(v), CT_AXES(1)), 0.5);
    return (reflections){ct_mul(v, ct_rsqrt(size)), ct_neg(ct_transpose(sign))};
}

enum { BLOCK = 8 };

/* q after the reflections of all rows of v, the last one first: the product of I - v[i]' v[i] is
 * I - v' T v, where T is the inverse of I + U and U what v v' has above its diagonal (Schreiber and
 * Van Loan, 1989). Of eight rows U^8 = 0, so that T = (I - U) (I + U^2) (I + U^4). */
static ct_tensor *reflected(ct_tensor *v, ct_tensor *q) {
    ct_tensor *above = ct_less(places(BLOCK, true), places(BLOCK, false));
    ct_tensor *u = ct_mul(ct_matmul(v, ct_transpose(v)), above), *y = ct_matmul(v, q);
    ct_tensor *squared = ct_matmul(u, u);
    y = ct_add(y, ct_matmul(ct_matmul(squared, squared), y));
    y = ct_add(y, ct_matmul(squared, y));
    y = ct_sub(y, ct_matmul(u, y));
    return ct_sub(q, ct_matmul(ct_transpose(v), y));
}

/* k orthonormal columns of n >= k numbers: all reflections of the first k unit vectors, of which
 * column j gets the sign that makes it x[j] / |x[j]| where only reflection j has been done. Rows of
 * zeros, which fill the last block, reflect nothing. */
static ct_tensor *columns(int64_t n, int64_t k) {
    reflections r = draw(k, n);
    int64_t last = (k - 1) / BLOCK * BLOCK;
    ct_tensor *mirrors = ct_detach(ct_pad(r.mirrors, 0, 0, last + BLOCK - k, 0)), *q = NULL;
    ct_set(&q, ct_mul(ct_equal(places(n, true), places(k, false)), r.signs));
    for (int64_t j = last; j >= 0 && q; j -= BLOCK) {
        int64_t scope = ct_scope_open();
        ct_tensor *rows = ct_arange(CT_I64, (double)j, (double)(j + BLOCK), 1);
        ct_set(&q, ct_detach(reflected(ct_take(mirrors, rows), q)));
        ct_scope_close(scope);
    }
    ct_tensor *made = q ? ct_scope_add(q) : NULL;
    ct_set(&q, NULL);
    return made;
}

static ct_tensor *make(const ct_initializer *self, ct_dtype dtype, ct_shape shape, int64_t fan_in,
                       int64_t fan_out) {
    CTI_CALLED_AS("ct_orthogonal");
    (void)fan_in, (void)fan_out;
    if (cti_shape_check("ct_orthogonal", shape, dtype) != CT_OK) return NULL;
    if (ct_shape_numel(shape) == 0) return ct_full(dtype, shape, 0.0);
    if (shape.rank < 2) {
        return ct_fail_null(CT_ERR_SHAPE, "ct_orthogonal: needs rank >= 2, got %s",
                            ct_shape_format(shape).text);
    }
    int64_t last = shape.dims[shape.rank - 1], rest = ct_shape_numel(shape) / last;
    ct_tensor *q = rest < last ? ct_transpose(columns(last, rest)) : columns(rest, last);
    return ct_cast(ct_reshape(ct_scale(q, self->value), shape), dtype);
}

const ct_initializer ct_orthogonal = {make, 1};
