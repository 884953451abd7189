/* What convolution and pooling refuse, word by word.
 * Values are in test_conv.c and test_pool.c.
 * Invariant: every refusal leaves NULL and one message that names the function, both sides and the
 * axis. */
#include "autograd/ops.h"
#include "tests/support/test.h"

#include <string.h>

static ct_tensor *zeros(ct_dtype dtype, ct_shape shape) { return ct_full(dtype, shape, 0); }

static ct_tensor *ones(int64_t n, int64_t h, int64_t w, int64_t c) {
    return zeros(CT_F32, CT_SHAPE(n, h, w, c));
}

static void refused(int line, ct_tensor *t, ct_status status, const char *message) {
    ct_status got;
    const char *text = taken_error(&got);
    EXPECT(t == NULL, "line %d: made", line);
    EXPECT(strcmp(text, message) == 0, "line %d: %s", line, text);
    EXPECT(got == status, "line %d: %s", line, ct_status_name(got));
}
#define REFUSED(expression, status, message) refused(__LINE__, (expression), status, message)

#define CONV(...) ct_conv2d(ones(1, 7, 7, 2), ones(3, 3, 2, 4), (ct_conv2d_spec){__VA_ARGS__})
#define HUGE_NUMBER INT64_C(4294967297)

TEST(window_refusals, numbers_of_a_convolution) {
    REFUSED(CONV(.stride = {1, -1}), CT_ERR_RANGE,
            "ct_conv2d: stride must be >= 1, got -1 (dim 1)");
    REFUSED(CONV(.stride = {HUGE_NUMBER, 1}), CT_ERR_RANGE,
            "ct_conv2d: stride must be <= 2147483647, got 4294967297 (dim 0)");
    REFUSED(CONV(.dilation = {-2, 1}), CT_ERR_RANGE,
            "ct_conv2d: dilation must be >= 1, got -2 (dim 0)");
    REFUSED(CONV(.dilation = {1, INT64_MAX}), CT_ERR_RANGE,
            "ct_conv2d: dilation must be <= 2147483647, got 9223372036854775807 (dim 1)");
    REFUSED(CONV(.pad = {0, -1, 0, 0}), CT_ERR_RANGE,
            "ct_conv2d: pad must be >= 0, got -1 (dim 0)");
    REFUSED(CONV(.pad = {0, 0, INT64_MIN, 0}), CT_ERR_RANGE,
            "ct_conv2d: pad must be >= 0, got -9223372036854775808 (dim 1)");
    REFUSED(CONV(.pad = {0, 0, 0, INT64_MAX}), CT_ERR_RANGE,
            "ct_conv2d: pad must be <= 2147483647, got 9223372036854775807 (dim 1)");
    REFUSED(CONV(.groups = -1), CT_ERR_RANGE, "ct_conv2d: groups must be >= 1, got -1");
    REFUSED(CONV(.groups = HUGE_NUMBER), CT_ERR_RANGE,
            "ct_conv2d: groups must be <= 2147483647, got 4294967297");
    REFUSED(ct_conv2d(ones(1, 7, 7, 2), ones(0, 3, 2, 4), (ct_conv2d_spec){0}), CT_ERR_RANGE,
            "ct_conv2d: kernel must be >= 1, got 0 (dim 0)");
    REFUSED(ct_conv2d(ones(1, 7, 7, 2), ones(3, HUGE_NUMBER, 2, 0), (ct_conv2d_spec){0}),
            CT_ERR_RANGE, "ct_conv2d: kernel must be <= 2147483647, got 4294967297 (dim 1)");
}

TEST(window_refusals, shapes_of_a_convolution) {
    ct_conv2d_spec plain = {0};
    ct_tensor *x = ones(1, 7, 7, 16), *w = ones(3, 3, 16, 4);
    REFUSED(ct_conv2d(zeros(CT_F32, CT_SHAPE(7, 7, 16)), w, plain), CT_ERR_SHAPE,
            "ct_conv2d: 'x' must have rank 4, [N,H,W,C], got [7,7,16]");
    REFUSED(ct_conv2d(x, zeros(CT_F32, CT_SCALAR), plain), CT_ERR_SHAPE,
            "ct_conv2d: 'w' must have rank 4, [kh,kw,C/groups,O], got []");
    REFUSED(ct_conv2d(x, ones(5, 3, 16, 4), (ct_conv2d_spec){.dilation = {2, 1}}), CT_ERR_SHAPE,
            "ct_conv2d: kernel 5 (dilated 9) exceeds padded input 7 on dim 0");
    REFUSED(ct_conv2d(x, ones(3, 10, 16, 4), (ct_conv2d_spec){.pad = {0, 0, 1, 1}}), CT_ERR_SHAPE,
            "ct_conv2d: kernel 10 exceeds padded input 9 on dim 1");
    REFUSED(ct_conv2d(x, w, (ct_conv2d_spec){.dilation = {INT32_MAX, 1}}), CT_ERR_SHAPE,
            "ct_conv2d: kernel 3 (dilated 4294967295) exceeds padded input 7 on dim 0");
    REFUSED(ct_conv2d(x, w, (ct_conv2d_spec){.groups = 3}), CT_ERR_SHAPE,
            "ct_conv2d: groups 3 must divide 16 input channels");
    REFUSED(ct_conv2d(x, ones(3, 3, 2, 12), (ct_conv2d_spec){.groups = 8}), CT_ERR_SHAPE,
            "ct_conv2d: groups 8 must divide 12 output channels");
    REFUSED(ct_conv2d(x, ones(3, 3, 5, 4), plain), CT_ERR_SHAPE,
            "ct_conv2d: channels differ: x [1,7,7,16] has 16 on its last axis, w [3,3,5,4] "
            "has 5");
    REFUSED(ct_conv2d(ones(2, 7, 7, 16), w,
                      (ct_conv2d_spec){.pad = {INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX}}),
            CT_ERR_SHAPE,
            "ct_conv2d: shape [2,4294967299,4294967299,4] has more than 2^63-1 elements "
            "(zero dims not counted)");
}

TEST(window_refusals, dtypes) {
    ct_tensor *x = ones(1, 7, 7, 2), *whole = zeros(CT_I64, CT_SHAPE(1, 7, 7, 2));
    REFUSED(ct_conv2d(whole, x, (ct_conv2d_spec){0}), CT_ERR_DTYPE,
            "ct_conv2d: dtype must be f32, f64 or p61, got i64; use ct_cast");
    REFUSED(ct_conv2d(x, zeros(CT_F64, CT_SHAPE(3, 3, 2, 4)), (ct_conv2d_spec){0}), CT_ERR_DTYPE,
            "ct_conv2d: dtypes differ: f32 and f64; use ct_cast");
    REFUSED(ct_max_pool2d(whole, (ct_pool2d_spec){0}), CT_ERR_DTYPE,
            "ct_max_pool2d: dtype must be f32, f64 or p61, got i64; use ct_cast");
    REFUSED(ct_max_pool2d_gather(x, zeros(CT_F64, CT_SHAPE(1, 7, 7, 2)), (ct_pool2d_spec){0}),
            CT_ERR_DTYPE, "ct_max_pool2d_gather: dtypes differ: f32 and f64; use ct_cast");
}

TEST(window_refusals, transposes_of_a_convolution) {
    ct_conv2d_spec plain = {0};
    ct_tensor *x = ones(3, 7, 7, 2), *w = ones(3, 3, 2, 4), *y = ones(3, 5, 5, 4);
    REFUSED(ct_conv2d_input(y, w, 12, 7, plain), CT_ERR_SHAPE,
            "ct_conv2d_input: y [3,5,5,4] has height 5, an input of 12 gives 10");
    REFUSED(ct_conv2d_input(y, w, 7, 6, plain), CT_ERR_SHAPE,
            "ct_conv2d_input: y [3,5,5,4] has width 5, an input of 6 gives 4");
    REFUSED(ct_conv2d_input(y, w, -1, 7, plain), CT_ERR_RANGE,
            "ct_conv2d_input: input must be >= 0, got -1 (dim 0)");
    REFUSED(ct_conv2d_input(y, w, 7, INT64_MAX, plain), CT_ERR_RANGE,
            "ct_conv2d_input: input must be <= 2305843009213693951, got 9223372036854775807 "
            "(dim 1)");
    REFUSED(ct_conv2d_input(ones(3, 5, 5, 3), w, 7, 7, plain), CT_ERR_SHAPE,
            "ct_conv2d_input: output channels differ: y [3,5,5,3] has 3, w [3,3,2,4] has 4");
    REFUSED(ct_conv2d_input(y, w, 7, 7, (ct_conv2d_spec){.groups = 3}), CT_ERR_SHAPE,
            "ct_conv2d_input: groups 3 must divide 4 output channels");
    REFUSED(ct_conv2d_input(ones(1, 1, 1, 0), ones(1, 1, INT64_MAX / 8, 0), 1, 1,
                            (ct_conv2d_spec){.groups = INT32_MAX}),
            CT_ERR_SHAPE,
            "ct_conv2d_input: 1152921504606846975 channels in each of 2147483647 groups are too "
            "many");
    REFUSED(ct_conv2d_kernel(x, ones(2, 5, 5, 4), 3, 3, plain), CT_ERR_SHAPE,
            "ct_conv2d_kernel: batches differ: x [3,7,7,2] has 3 images, y [2,5,5,4] has 2");
    REFUSED(ct_conv2d_kernel(x, y, 2, 3, plain), CT_ERR_SHAPE,
            "ct_conv2d_kernel: y [3,5,5,4] has height 5, an input of 7 gives 6");
    REFUSED(ct_conv2d_kernel(x, y, 3, 0, plain), CT_ERR_RANGE,
            "ct_conv2d_kernel: kernel must be >= 1, got 0 (dim 1)");
    REFUSED(ct_conv2d_kernel(zeros(CT_F32, CT_SHAPE(3, 7)), y, 3, 3, plain), CT_ERR_SHAPE,
            "ct_conv2d_kernel: 'x' must have rank 4, [N,H,W,C], got [3,7]");
}

#define POOL(...) ct_max_pool2d(ones(1, 4, 5, 2), (ct_pool2d_spec){__VA_ARGS__})

TEST(window_refusals, pooling) {
    ct_pool2d_spec plain = {0};
    ct_tensor *x = ones(1, 4, 5, 2);
    REFUSED(POOL(.window = {2, -2}), CT_ERR_RANGE,
            "ct_max_pool2d: window must be >= 1, got -2 (dim 1)");
    REFUSED(POOL(.stride = {-1, 1}), CT_ERR_RANGE,
            "ct_max_pool2d: stride must be >= 1, got -1 (dim 0)");
    REFUSED(POOL(.stride = {1, HUGE_NUMBER}), CT_ERR_RANGE,
            "ct_max_pool2d: stride must be <= 2147483647, got 4294967297 (dim 1)");
    REFUSED(POOL(.pad = {-1, 0, 0, 0}), CT_ERR_RANGE,
            "ct_max_pool2d: pad must be >= 0, got -1 (dim 0)");
    REFUSED(POOL(.pad = {0, 0, 0, 2}), CT_ERR_RANGE,
            "ct_max_pool2d: pad must be < window 2, got 2 (dim 1)");
    REFUSED(POOL(.window = {5, 2}), CT_ERR_SHAPE,
            "ct_max_pool2d: window 5 exceeds padded input 4 on dim 0");
    REFUSED(ct_max_pool2d(ones(1, 0, 4, 2), (ct_pool2d_spec){.pad = {1, 1, 0, 0}}), CT_ERR_SHAPE,
            "ct_max_pool2d: a window needs an element, got an input of 0 (dim 0)");
    REFUSED(ct_max_pool2d(ones(0, 65536, 65536, 1), (ct_pool2d_spec){.window = {65536, 65536}}),
            CT_ERR_RANGE,
            "ct_max_pool2d: the window must have at most 2147483647 elements, got 65536 x 65536");
    REFUSED(ct_avg_pool2d(zeros(CT_F32, CT_SHAPE(4, 5, 2)), plain), CT_ERR_SHAPE,
            "ct_avg_pool2d: 'x' must have rank 4, [N,H,W,C], got [4,5,2]");
    REFUSED(ct_max_pool2d_scatter(x, x, plain), CT_ERR_SHAPE,
            "ct_max_pool2d_scatter: 'y' must be [1,2,2,2] for an input of [1,4,5,2], got "
            "[1,4,5,2]");
    REFUSED(ct_max_pool2d_gather(ones(1, 4, 4, 2), x, plain), CT_ERR_SHAPE,
            "ct_max_pool2d_gather: 'h' must be [1,4,5,2] for an input of [1,4,5,2], got [1,4,4,2]");
    REFUSED(ct_avg_pool2d_spread(x, 8, 9, plain), CT_ERR_SHAPE,
            "ct_avg_pool2d_spread: 'y' must be [1,4,4,2] for an input of [1,8,9,2], got [1,4,5,2]");
    REFUSED(ct_avg_pool2d_spread(x, -4, 9, plain), CT_ERR_RANGE,
            "ct_avg_pool2d_spread: input must be >= 0, got -4 (dim 0)");
}

TEST(window_refusals, null_in_is_null_out) {
    ct_tensor *x = ones(1, 4, 5, 2);
    REFUSED(ct_conv2d(x, NULL, (ct_conv2d_spec){0}), CT_ERR_NULL, "ct_conv2d: argument 2 is NULL");
    REFUSED(ct_max_pool2d_scatter(NULL, x, (ct_pool2d_spec){0}), CT_ERR_NULL,
            "ct_max_pool2d_scatter: argument 1 is NULL");
    EXPECT(ct_avg_pool2d(ct_max_pool2d(NULL, (ct_pool2d_spec){0}), (ct_pool2d_spec){0}) == NULL);
    ct_status status;
    EXPECT(strcmp(taken_error(&status), "ct_max_pool2d: argument 1 is NULL") == 0);
}
