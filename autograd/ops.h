/* The primitives: each function records one node, or a few when operands broadcast. Every one has
 * derivatives of every order, built from these same functions. Shapes broadcast as in NumPy;
 * operands have one dtype. NULL in, NULL out. Results are temporaries. */
#ifndef COTAN_OPS_H
#define COTAN_OPS_H

#include <cotan/tensor/op.h>

CT_C_BEGIN

/* A set of axes; negative ones count from the end. CT_ALL is all of them. */
typedef struct {
    int count;
    int axis[CT_MAX_RANK];
} ct_axes;
#define CT_AXES(...) CTI_COUNTED(ct_axes, int, __VA_ARGS__)
#define CT_ALL CTI_STRUCT(ct_axes, -1, {0})

/* --- Elementwise, one operand: f32, f64 and p61 (neg, abs and sign: i64 too) ------------------ */
/* "n ulp": the largest error of the f32 function over all 2^32 arguments, in units in the last
 * place of the exact result, as tests/sweep_math32.c measures it. f64 calls the C library; what p61
 * computes stands in tensor/p61.h. */
ct_tensor *ct_neg(ct_tensor *x);     /* -x */
ct_tensor *ct_exp(ct_tensor *x);     /* e^x; 1.01 ulp */
ct_tensor *ct_expm1(ct_tensor *x);   /* e^x - 1, with all digits of small ones; 1.67 ulp */
ct_tensor *ct_log(ct_tensor *x);     /* ln x; -inf at 0, NaN below; 0.87 ulp */
ct_tensor *ct_log1p(ct_tensor *x);   /* ln(1 + x), with all digits of small ones; 1.61 ulp */
ct_tensor *ct_sqrt(ct_tensor *x);    /* derivative inf at 0; 0.5 ulp */
ct_tensor *ct_rsqrt(ct_tensor *x);   /* 1 / sqrt(x); 1.50 ulp */
ct_tensor *ct_sin(ct_tensor *x);     /* 1.50 ulp */
ct_tensor *ct_cos(ct_tensor *x);     /* 1.50 ulp */
ct_tensor *ct_tanh(ct_tensor *x);    /* 1.34 ulp */
ct_tensor *ct_sigmoid(ct_tensor *x); /* 1 / (1 + e^-x); f32: 0 below -87.33, 1.97 ulp above */
/* 2/sqrt(pi) times the integral of e^-t^2 from 0 to x; 1.23 ulp. */
ct_tensor *ct_erf(ct_tensor *x);
/* The standard normal distribution function, (1 + erf(x / sqrt 2)) / 2, also where that is small;
 * 3.99 ulp, f64: 8. */
ct_tensor *ct_ndtr(ct_tensor *x);
ct_tensor *ct_abs(ct_tensor *x);   /* derivative sign(x), so 0 at 0 */
ct_tensor *ct_sign(ct_tensor *x);  /* -1, 0 or 1; NaN stays; no gradient */
ct_tensor *ct_floor(ct_tensor *x); /* no gradient */
/* Converts; to integers by truncation, saturating, NaN to 0; p61 by its shadow, and to it as
 * ct_p61_from. Gradients pass between floats. */
ct_tensor *ct_cast(ct_tensor *x, ct_dtype dtype);

/* --- Elementwise, two operands: f32, f64, p61 and i64 (div, pow and weigh: no i64) ------------ */
ct_tensor *ct_add(ct_tensor *a, ct_tensor *b); /* a + b */
ct_tensor *ct_sub(ct_tensor *a, ct_tensor *b); /* a - b */
ct_tensor *ct_mul(ct_tensor *a, ct_tensor *b); /* a b */
ct_tensor *ct_div(ct_tensor *a, ct_tensor *b); /* a / b */
/* a^b; derivatives at a = 0, b = 0 are 0; f32: 0.54 ulp, over samples of pairs. */
ct_tensor *ct_pow(ct_tensor *a, ct_tensor *b);
/* NaN wins. The gradient goes where the value came from: at a tie and for two NaN to a. */
ct_tensor *ct_maximum(ct_tensor *a, ct_tensor *b);
ct_tensor *ct_minimum(ct_tensor *a, ct_tensor *b);
ct_tensor *ct_weigh(ct_tensor *w, ct_tensor *x); /* w x; 0 for w = 0 and an infinite x */
/* 1 where it holds and 0 elsewhere, in the operands' dtype; no gradient. */
ct_tensor *ct_equal(ct_tensor *a, ct_tensor *b);
ct_tensor *ct_not_equal(ct_tensor *a, ct_tensor *b);     /* also of NaN with anything */
ct_tensor *ct_less(ct_tensor *a, ct_tensor *b);          /* a < b */
ct_tensor *ct_less_equal(ct_tensor *a, ct_tensor *b);    /* a <= b */
ct_tensor *ct_greater(ct_tensor *a, ct_tensor *b);       /* a > b */
ct_tensor *ct_greater_equal(ct_tensor *a, ct_tensor *b); /* a >= b */
/* a where condition != 0, else b; all of one dtype. A branch that is not taken still computes: if
 * its derivative can be infinite, feed it a harmless operand there, or 0 * inf makes NaN. */
ct_tensor *ct_where(ct_tensor *condition, ct_tensor *a, ct_tensor *b);
ct_tensor *ct_scale(ct_tensor *x, double factor); /* factor x, factor in x's dtype */
ct_tensor *ct_offset(ct_tensor *x, double term);  /* x + term, term in x's dtype */

/* --- Views: nothing is copied; any dtype ------------------------------------------------------ */
/* One dimension may be -1: the rest of the elements. Of an x that varies between ranks
 * docs/ranks.md says what is refused, CT_ERR_STATE. */
ct_tensor *ct_reshape(ct_tensor *x, ct_shape shape);
/* y.dims[i] = x.dims[axes[i]]; axes names each axis once. */
ct_tensor *ct_permute(ct_tensor *x, ct_axes axes);
ct_tensor *ct_transpose(ct_tensor *x); /* swaps the last two axes */
/* Axes of size 1, and new ones before the first, repeat what is there. */
ct_tensor *ct_broadcast(ct_tensor *x, ct_shape shape);
/* Elements start, start + step, ... below stop, along one axis. step >= 1; negative start and
 * stop count from the end; CT_END is the end. */
#define CT_END INT64_MAX
ct_tensor *ct_slice(ct_tensor *x, int axis, int64_t start, int64_t stop, int64_t step);
ct_tensor *ct_flip(ct_tensor *x, ct_axes axes); /* in reverse order along the axes */
/* x with no gradient behind it; lazy (ct_detach evaluates). */
ct_tensor *ct_stop_gradient(ct_tensor *x);

/* --- Copies ----------------------------------------------------------------------------------- */
/* Zeros around and, with interior > 0, between the elements of one axis. */
ct_tensor *ct_pad(ct_tensor *x, int axis, int64_t before, int64_t after, int64_t interior);
/* Joins n >= 1 tensors along an axis. CT_CONCAT(axis, a, b, c) counts for you. */
ct_tensor *ct_concat(ct_tensor *const parts[], int64_t n, int axis);
#define CT_CONCAT(axis, ...)                                                                    \
    ct_concat(CTI_LIST(ct_tensor *, __VA_ARGS__), (int64_t)CTI_COUNT(ct_tensor *, __VA_ARGS__), \
              axis)
/* Rows of x: y[i...] = x[indices[i...]] along axis 0. indices: i64, checked at once. */
ct_tensor *ct_take(ct_tensor *x, ct_tensor *indices);
/* The transpose of ct_take: y[indices[i...]] += x[i...], y of `rows` rows, in ascending i. */
ct_tensor *ct_scatter_add(ct_tensor *x, ct_tensor *indices, int64_t rows);

/* --- Reductions ------------------------------------------------------------------------------- */
ct_tensor *ct_sum(ct_tensor *x, ct_axes axes);      /* the sum of nothing is 0 */
ct_tensor *ct_sum_keep(ct_tensor *x, ct_axes axes); /* the axes stay, with size 1 */
ct_tensor *ct_sum_all(ct_tensor *x);                /* over all axes: a scalar */
/* The transpose of broadcasting: sums x down to `shape`. Rows that vary between ranks are summed:
 * CT_ERR_STATE for a shape that has them with another size than 1. */
ct_tensor *ct_sum_to(ct_tensor *x, ct_shape shape);
ct_tensor *ct_max(ct_tensor *x, ct_axes axes);      /* NaN wins; a tie's gradient: lowest index */
ct_tensor *ct_max_keep(ct_tensor *x, ct_axes axes); /* the axes stay, with size 1 */
ct_tensor *ct_argmax(ct_tensor *x, int axis);       /* i64, the lowest index of the maximum */

/* 0, 1, .., n - 1 as i64 [n]. ct_arange makes data; this is part of a formula: two are equal. */
ct_tensor *ct_iota(int64_t n);

/* --- Contractions ----------------------------------------------------------------------------- */
/* a [...,m,k] b [...,k,n] -> [...,m,n]; leading axes broadcast; a vector is a row on the left and
 * a column on the right. Transposed operands are ct_transpose views and cost no copy. */
ct_tensor *ct_matmul(ct_tensor *a, ct_tensor *b);

typedef struct {
    int64_t stride[2];   /* height, width; 0 = 1 */
    int64_t pad[4];      /* zeros: top, bottom, left, right */
    int64_t dilation[2]; /* 0 = 1 */
    int64_t groups;      /* 0 = 1 */
} ct_conv2d_spec;
/* x [N,H,W,C], w [kh,kw,C/groups,O] -> [N,OH,OW,O], OH = (H + top + bottom - dilation (kh-1) - 1) /
 * stride + 1, rounded down: y[n,i,j,o] = sum over a,b,c of x[n, i s + a d - top, j s + b d - left,
 * c] w[a,b,c,o]. The three faces of one trilinear form; each one's derivatives are the others.
 * In f32, 3 x 3 kernels with strides of 1, C and O multiples of 32, C O >= 64 * 64, and outputs of
 * at least 7 x 7 are computed by minimal filtering (Winograd; Lavin and Gray 2016), which is fast:
 * beside a far larger pixel small outputs lose digits; sums of four pixels, or of a kernel's taps,
 * may overflow; what is not finite makes NaN of all outputs of its tiles, which reach a pixel
 * further, and in a kernel of all of its outputs. f64 always has the sum itself. */
ct_tensor *ct_conv2d(ct_tensor *x, ct_tensor *w, ct_conv2d_spec spec);
/* The transpose in x: y [N,OH,OW,O], w -> [N,height,width,C]. */
ct_tensor *ct_conv2d_input(ct_tensor *y, ct_tensor *w, int64_t height, int64_t width,
                           ct_conv2d_spec spec);
/* The transpose in w: x, y -> [kernel_height,kernel_width,C/groups,O]. */
ct_tensor *ct_conv2d_kernel(ct_tensor *x, ct_tensor *y, int64_t kernel_height, int64_t kernel_width,
                            ct_conv2d_spec spec);

/* --- Pooling: x [N,H,W,C] --------------------------------------------------------------------- */
typedef struct {
    int64_t window[2]; /* height, width; 0 = 2 */
    int64_t stride[2]; /* 0 = the window */
    int64_t pad[4];    /* top, bottom, left, right */
    bool count_pad;    /* average: padding counts as zeros */
} ct_pool2d_spec;
/* The largest of each window, [N,OH,OW,C]; padding never wins; NaN wins; ties: lowest index. */
ct_tensor *ct_max_pool2d(ct_tensor *x, ct_pool2d_spec spec);
/* Adds y [N,OH,OW,C] into zeros [N,H,W,C] at the places that the maxima of x came from. */
ct_tensor *ct_max_pool2d_scatter(ct_tensor *y, ct_tensor *x, ct_pool2d_spec spec);
/* Reads h [N,H,W,C] at those places: [N,OH,OW,C]. */
ct_tensor *ct_max_pool2d_gather(ct_tensor *h, ct_tensor *x, ct_pool2d_spec spec);
/* The mean of each window, over the elements inside of x unless count_pad. */
ct_tensor *ct_avg_pool2d(ct_tensor *x, ct_pool2d_spec spec);
/* Its transpose: y [N,OH,OW,C] -> [N,height,width,C]. */
ct_tensor *ct_avg_pool2d_spread(ct_tensor *y, int64_t height, int64_t width, ct_pool2d_spec spec);

/* --- Descriptors ------------------------------------------------------------------------------ */
/* For rewrites, which look at graphs: ct_is(t, &ct_op_mul). Each belongs to the function of its
 * name, which may record others beside it where operands are broadcast; a ct_scale is a mul. */
extern const ct_op ct_op_neg, ct_op_exp, ct_op_expm1, ct_op_log, ct_op_log1p, ct_op_sqrt,
    ct_op_rsqrt, ct_op_sin, ct_op_cos, ct_op_tanh, ct_op_sigmoid, ct_op_erf, ct_op_ndtr, ct_op_abs,
    ct_op_sign, ct_op_floor;
extern const ct_op ct_op_cast_f32, ct_op_cast_f64, ct_op_cast_i64, ct_op_cast_u8, ct_op_cast_p61;
extern const ct_op ct_op_add, ct_op_sub, ct_op_mul, ct_op_div, ct_op_pow, ct_op_maximum,
    ct_op_minimum, ct_op_weigh, ct_op_equal, ct_op_not_equal, ct_op_less, ct_op_less_equal,
    ct_op_greater, ct_op_greater_equal, ct_op_where;
extern const ct_op ct_op_reshape, ct_op_permute, ct_op_broadcast, ct_op_slice, ct_op_flip,
    ct_op_stop_gradient, ct_op_pad, ct_op_concat, ct_op_take, ct_op_scatter_add;
extern const ct_op ct_op_sum, ct_op_max, ct_op_argmax, ct_op_iota, ct_op_matmul;
extern const ct_op ct_op_all_sum, ct_op_replicate, ct_op_grain_sum, ct_op_ragged_grain_sum,
    ct_op_grain_spread, ct_op_grain_pad, ct_op_grain_unpad, ct_op_grain_scatter_add,
    ct_op_grain_matmul;
extern const ct_op ct_op_conv2d, ct_op_conv2d_input, ct_op_conv2d_kernel, ct_op_grain_conv2d_kernel;
extern const ct_op ct_op_max_pool2d, ct_op_max_pool2d_scatter, ct_op_max_pool2d_gather,
    ct_op_avg_pool2d, ct_op_avg_pool2d_spread;
extern const ct_op ct_op_random_uniform, ct_op_random_normal;

/* --- Ranks: see tensor/varying.h -------------------------------------------------------------- */
/* Each is the other's transpose, <all_sum x, y> = <x, replicate y>, and its derivative. All other
 * ops are sums over the batch or not by what they mean of the global tensor; these two are what the
 * sums are made of. CT_ERR_STATE where x varies otherwise than said.
 *
 * x varies along axis 0 with one row for each of this rank's grains: the sum over the grains of all
 * ranks, along the fixed tree, replicated. Without a group there is one grain. */
ct_tensor *ct_all_sum(ct_tensor *x);
/* x, which is replicated, once for each of this rank's grains: [grains, ..x..], varying along axis
 * 0. A view. */
ct_tensor *ct_replicate(ct_tensor *x);

/* --- Random numbers: pure functions of (key, element index) ----------------------------------- */
/* key: i64 [2] from ct_generator_draw. The same at every read, recomputation and thread count. */
ct_tensor *ct_random_uniform(ct_tensor *key, ct_dtype dtype, ct_shape shape); /* in [0, 1) */
ct_tensor *ct_random_normal(ct_tensor *key, ct_dtype dtype, ct_shape shape);  /* mean 0, std 1 */
/* The same with the type and shape of x; where x varies between ranks, this rank's rows of what one
 * process would have. */
ct_tensor *ct_random_uniform_like(ct_tensor *key, ct_tensor *x);
ct_tensor *ct_random_normal_like(ct_tensor *key, ct_tensor *x);

CT_C_END

#endif
