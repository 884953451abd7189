/* Claims on layers that are linear in their input and in their kernel: Dense, Conv2D.
 * A convolution's closed form is sums over shifted slices, and not the library's own transposes.
 * Invariant: kernels are square where a wrong formula could forget a transpose. */
#include "nn/claims/claims_private.h"

/* --- Dense: x [4,3], kernel [3,3], bias [3] --------------------------------------------------- */

#define DENSE(name, dx, dkernel, dbias)                \
    CTI_CLOSED(name) {                                 \
        (void)context, (void)n;                        \
        ct_tensor *x = in[0], *w = in[1];              \
        ct_axes rows = CT_AXES(0);                     \
        out[0] = dx, out[1] = dkernel, out[2] = dbias; \
        return ct_error();                             \
    }
#define DX ct_matmul(dy, ct_transpose(w))
#define DKERNEL ct_matmul(ct_transpose(x), dy)
DENSE(dense_closed, DX, DKERNEL, ct_sum(dy, rows))
DENSE(dense_not_transposed, ct_matmul(dy, w), DKERNEL, ct_sum(dy, rows))
DENSE(dense_kernel_transposed, DX, ct_transpose(DKERNEL), ct_sum(dy, rows))
DENSE(dense_bias_mean, DX, DKERNEL, ct_mean(dy, rows))
DENSE(dense_kernel_mean, DX, ct_scale(DKERNEL, 0.25), ct_sum(dy, rows))
/* What was saved is x after it was changed in place, to y. */
DENSE(dense_from_y, DX, ct_matmul(ct_transpose(ct_add(ct_matmul(x, w), in[2])), dy),
      ct_sum(dy, rows))

static ct_tensor *dense(void *context, ct_tensor *const in[], int64_t n) {
    (void)context;
    ct_dense_options options = {.kernel = ct_init_zeros};
    return cti_claimed_module(ct_dense_new(3, 3, options), CT_TRAINING, in, 1, n);
}
static const ct_claim_input dense_inputs[] = {{.name = "x", .shape = CTI_CLAIM_SHAPE(4, 3)},
                                              {.name = "kernel", .shape = CTI_CLAIM_SHAPE(3, 3)},
                                              {.name = "bias", .shape = CTI_CLAIM_SHAPE(3)}};
static const ct_claim_mutant dense_mutants[] = {
    {"the kernel is not transposed", NULL, dense_not_transposed, 1,
     "x: its transpose stands where kernel belongs"},
    {"the kernel's cotangent is transposed", NULL, dense_kernel_transposed, 1,
     "kernel: all of it is transposed"},
    {"dbias as a mean", NULL, dense_bias_mean, 1, "bias: all of it has the factor"},
    {"the kernel's cotangent as a mean", NULL, dense_kernel_mean, 1,
     "kernel: all of it has the factor 1/4"},
    {"the kernel's cotangent from y", NULL, dense_from_y, 1,
     "kernel: add(matmul(x, kernel), bias) stands where x belongs"},
};

/* --- Conv2D: x [1,4,3,2] * kernel [2,2,2,3], stride 2 x 1, padding above and right ----------- */

enum { TOP = 1, RIGHT = 1, STRIDE = 2, KERNEL = 2, ROWS = 2, COLUMNS = 3, CHANNELS = 2, OUT = 3 };
enum { PADDED_HEIGHT = 5, PADDED_WIDTH = 4 };

static ct_tensor *padded(ct_tensor *x) { return ct_pad(ct_pad(x, 1, TOP, 0, 0), 2, 0, RIGHT, 0); }
static ct_tensor *cropped(ct_tensor *x, int64_t top) {
    return ct_slice(ct_slice(x, 1, top, top + 4, 1), 2, 0, 3, 1);
}
/* What kernel element (a,b) sees of the padded image: [ROWS COLUMNS, CHANNELS]. */
static ct_tensor *seen(ct_tensor *x, int64_t a, int64_t b, int64_t stride) {
    ct_tensor *rows = ct_slice(x, 1, a, a + (ROWS - 1) * stride + 1, stride);
    return ct_reshape(ct_slice(rows, 2, b, b + COLUMNS, 1), CT_SHAPE(ROWS * COLUMNS, CHANNELS));
}
/* Its transpose: back to where these pixels lie in the padded image. */
static ct_tensor *put(ct_tensor *pixels, int64_t a, int64_t b, int64_t stride) {
    ct_tensor *t = ct_reshape(pixels, CT_SHAPE(1, ROWS, COLUMNS, CHANNELS));
    int64_t below = PADDED_HEIGHT - a - ((ROWS - 1) * stride + 1);
    return ct_pad(ct_pad(t, 1, a, below, stride - 1), 2, b, PADDED_WIDTH - b - COLUMNS, 0);
}
static ct_tensor *element(ct_tensor *kernel, int64_t a, int64_t b) {
    ct_tensor *one = ct_slice(ct_slice(kernel, 0, a, a + 1, 1), 1, b, b + 1, 1);
    return ct_reshape(one, CT_SHAPE(CHANNELS, OUT));
}

/* What can go wrong. */
typedef struct {
    bool flip_x, flip_kernel;
    int64_t stride_x, stride_kernel, top;
} how;

static ct_tensor *image_back(ct_tensor *kernel, ct_tensor *dy, how h) {
    ct_tensor *sum = NULL;
    for (int64_t a = 0; a < KERNEL; a++) {
        for (int64_t b = 0; b < KERNEL; b++) {
            ct_tensor *w = h.flip_x ? element(kernel, KERNEL - 1 - a, KERNEL - 1 - b)
                                    : element(kernel, a, b);
            ct_tensor *part = put(ct_matmul(dy, ct_transpose(w)), a, b, h.stride_x);
            sum = sum ? ct_add(sum, part) : part;
        }
    }
    return cropped(sum, h.top);
}

static ct_tensor *kernel_back(ct_tensor *x, ct_tensor *dy, how h) {
    ct_tensor *parts[KERNEL * KERNEL];
    for (int64_t i = 0; i < KERNEL * KERNEL; i++) {
        int64_t place = h.flip_kernel ? KERNEL * KERNEL - 1 - i : i;
        ct_tensor *pixels = seen(padded(x), i / KERNEL, i % KERNEL, h.stride_kernel);
        ct_tensor *product = ct_matmul(ct_transpose(pixels), dy);
        parts[place] = ct_reshape(product, CT_SHAPE(1, CHANNELS, OUT));
    }
    return ct_reshape(ct_concat(parts, KERNEL * KERNEL, 0),
                      CT_SHAPE(KERNEL, KERNEL, CHANNELS, OUT));
}

static ct_status conv_back(ct_tensor *const in[], ct_tensor *dy, how h, ct_tensor *out[]) {
    ct_tensor *rows = ct_reshape(dy, CT_SHAPE(ROWS * COLUMNS, OUT));
    out[0] = image_back(in[1], rows, h);
    out[1] = kernel_back(in[0], rows, h);
    out[2] = ct_sum(rows, CT_AXES(0));
    return ct_error();
}

#define CONV(name, ...)                                    \
    CTI_CLOSED(name) {                                     \
        (void)context, (void)n;                            \
        return conv_back(in, dy, (how){__VA_ARGS__}, out); \
    }
CONV(conv_closed, .stride_x = STRIDE, .stride_kernel = STRIDE, .top = TOP)
CONV(conv_x_flipped, .flip_x = true, .stride_x = STRIDE, .stride_kernel = STRIDE, .top = TOP)
CONV(conv_kernel_flipped, .flip_kernel = true, .stride_x = STRIDE, .stride_kernel = STRIDE,
     .top = TOP)
CONV(conv_x_no_stride, .stride_x = 1, .stride_kernel = STRIDE, .top = TOP)
CONV(conv_kernel_no_stride, .stride_x = STRIDE, .stride_kernel = 1, .top = TOP)
CONV(conv_padding_below, .stride_x = STRIDE, .stride_kernel = STRIDE, .top = 0)
CTI_CLOSED(conv_bias_mean) {
    ct_status status = conv_closed(context, in, n, dy, out);
    out[2] = ct_scale(out[2], 1.0 / (ROWS * COLUMNS));
    return status;
}

static ct_tensor *conv(void *context, ct_tensor *const in[], int64_t n) {
    (void)context;
    ct_conv2d_options options = {.kernel = {KERNEL, KERNEL},
                                 .stride = {STRIDE, 1},
                                 .pad = {TOP, 0, 0, RIGHT},
                                 .kernel_init = ct_init_zeros};
    return cti_claimed_module(ct_conv2d_new(CHANNELS, OUT, options), CT_TRAINING, in, 1, n);
}
static const ct_claim_input conv_inputs[] = {
    {.name = "x", .shape = CTI_CLAIM_SHAPE(1, 4, 3, CHANNELS)},
    {.name = "kernel", .shape = CTI_CLAIM_SHAPE(KERNEL, KERNEL, CHANNELS, OUT)},
    {.name = "bias", .shape = CTI_CLAIM_SHAPE(OUT)}};
static const ct_claim_mutant conv_mutants[] = {
    {"the kernel is flipped for x", NULL, conv_x_flipped, 1,
     "x: it, flipped, stands where kernel belongs"},
    {"the kernel's cotangent is flipped", NULL, conv_kernel_flipped, 1,
     "kernel: all of it is flipped"},
    {"the stride is forgotten for x", NULL, conv_x_no_stride, 1, "x: "},
    {"the stride is forgotten for the kernel", NULL, conv_kernel_no_stride, 1, "kernel: "},
    {"padding is cut off on the other side", NULL, conv_padding_below, 1, "x: "},
    {"dbias as a mean", NULL, conv_bias_mean, 1, "bias: all of it has the factor"},
};

static const ct_claim claims[] = {
    {"dense", dense, dense_closed, CTI_INPUTS(dense_inputs), CTI_MUTANTS(dense_mutants),
     .conventions = "x kernel + bias"},
    {"conv2d", conv, conv_closed, CTI_INPUTS(conv_inputs), CTI_MUTANTS(conv_mutants),
     .conventions = "not flipped, stride 2 x 1, padding above and right, a row left over"},
};
const cti_claim_family cti_linear_claims = {claims, CTI_ITEMS(claims)};
