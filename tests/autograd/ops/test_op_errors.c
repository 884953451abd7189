/* What the core says to bad arguments: one row per call, with the exact text. Files, layers,
 * windows and training have tables of their own.
 * Invariant: a call that fails returns NULL and leaves no memory behind. */
#include "tests/support/test.h"

#include "autograd/compose.h"
#include "tensor/runtime.h"

#include <math.h>
#include <string.h>

static ct_tensor *f32(ct_shape shape) { return ct_full(CT_F32, shape, 1.0); }

/* Each row is evaluated and its record looked at before the next one is. */
#define ROW(call, expected_status, expected_text)                          \
    do {                                                                   \
        ct_tensor *result = (call);                                        \
        ct_status status;                                                  \
        const char *text = taken_error(&status);                           \
        EXPECT(result == NULL);                                            \
        EXPECT(status == (expected_status), "%s", ct_status_name(status)); \
        EXPECT(strcmp(text, (expected_text)) == 0, "said '%s'", text);     \
    } while (0)

TEST(op_errors, shapes) {
    int64_t big = INT64_C(1) << 32;
    ct_shape deep = {.rank = 9};
    ROW(f32(deep), CT_ERR_SHAPE, "ct_full: rank must be 0..8, got 9");
    ROW(f32(CT_SHAPE(2, -3)), CT_ERR_SHAPE, "ct_full: dim 1 must be >= 0, got -3");
    ROW(f32(CT_SHAPE(big, big)), CT_ERR_SHAPE,
        "ct_full: shape [4294967296,4294967296] has more than 2^63-1 elements (zero dims not "
        "counted)");
    ROW(f32(CT_SHAPE(0, INT64_C(1) << 62, 8)), CT_ERR_SHAPE,
        "ct_full: shape [0,4611686018427387904,8] has more than 2^63-1 elements (zero dims not "
        "counted)");
    ROW(ct_full(CT_U8, CT_SHAPE(1), 256), CT_ERR_RANGE,
        "ct_full: a u8 must be a whole number in 0..255, got 256");
    ROW(ct_arange(CT_F32, 0, 1, 0), CT_ERR_RANGE,
        "ct_arange: start 0, stop 1, step 0 give no finite number of elements");
    ROW(ct_from(CT_F32, CT_SHAPE(1), NULL), CT_ERR_NULL, "ct_from: 'elements' is NULL");
}

TEST(op_errors, elementwise) {
    ct_tensor *x = f32(CT_SHAPE(32, 10)), *i = ct_arange(CT_I64, 0, 3, 1);
    ROW(ct_add(x, f32(CT_SHAPE(32, 11))), CT_ERR_SHAPE,
        "ct_add: cannot broadcast [32,10] with [32,11]: dim 1 is 10 vs 11");
    ROW(ct_exp(i), CT_ERR_DTYPE, "ct_exp: dtype must be f32, f64 or p61, got i64; use ct_cast");
    ROW(ct_add(i, ct_cast(i, CT_F64)), CT_ERR_DTYPE,
        "ct_add: dtypes differ: i64 and f64; use ct_cast");
    ROW(ct_add(x, NULL), CT_ERR_NULL, "ct_add: argument 2 is NULL");
    ROW(ct_neg(ct_full(CT_U8, CT_SHAPE(1), 1)), CT_ERR_DTYPE,
        "ct_neg: dtype must be f32, f64, i64 or p61, got u8; use ct_cast");
    ROW(ct_clip(x, 1, 0), CT_ERR_RANGE, "ct_clip: low must be <= high, got 1 and 0");
}

TEST(op_errors, views) {
    ct_tensor *x = f32(CT_SHAPE(2, 3));
    ROW(ct_reshape(x, CT_SHAPE(4, 2)), CT_ERR_SHAPE,
        "ct_reshape: [2,3] has 6 elements, [4,2] needs 8");
    ROW(ct_reshape(x, CT_SHAPE(-1, -1)), CT_ERR_SHAPE, "ct_reshape: only one dim may be -1, got 2");
    ROW(ct_reshape(f32(CT_SHAPE(0)), CT_SHAPE(0, -1)), CT_ERR_SHAPE,
        "ct_reshape: -1 is ambiguous for 0 elements");
    ROW(ct_permute(f32(CT_SHAPE(1, 2, 3)), CT_AXES(0, 0, 2)), CT_ERR_SHAPE,
        "ct_permute: [0,0,2] is not a permutation of 0..2");
    ROW(ct_transpose(f32(CT_SHAPE(3))), CT_ERR_SHAPE, "ct_transpose: needs rank >= 2, got [3]");
    ROW(ct_broadcast(x, CT_SHAPE(2, 4)), CT_ERR_SHAPE,
        "ct_broadcast: cannot broadcast [2,3] with [2,4]: dim 1 is 3 vs 4");
    ROW(ct_slice(x, 1, 0, 2, 0), CT_ERR_RANGE, "ct_slice: step must be >= 1 on dim 1, got 0");
    ROW(ct_slice(x, 1, 0, 4, 1), CT_ERR_RANGE, "ct_slice: 0..4 is not within 0..3 on dim 1");
    ROW(ct_flip(x, CT_AXES(2)), CT_ERR_SHAPE, "ct_flip: axis must be in -2..1 for rank 2, got 2");
    ROW(ct_pad(x, 0, -1, 0, 0), CT_ERR_RANGE, "ct_pad: padding must be >= 0, got -1, 0, 0");
    ROW(CT_CONCAT(0, x, f32(CT_SHAPE(2, 4))), CT_ERR_SHAPE,
        "ct_concat: part 1 is f32 [2,4], part 0 is f32 [2,3]; only dim 0 may differ");
}

TEST(op_errors, reductions) {
    ct_tensor *x = f32(CT_SHAPE(2, 3)), *empty = f32(CT_SHAPE(0, 10));
    ROW(ct_sum(x, CT_AXES(3)), CT_ERR_SHAPE, "ct_sum: axis must be in -2..1 for rank 2, got 3");
    ROW(ct_sum(x, CT_AXES(1, -1)), CT_ERR_SHAPE, "ct_sum: axis -1 given twice");
    ROW(ct_max(empty, CT_AXES(0)), CT_ERR_SHAPE,
        "ct_max: axis 0 has size 0 and max has no identity");
    ROW(ct_argmax(empty, 0), CT_ERR_SHAPE, "ct_argmax: axis 0 has size 0 and max has no identity");
    ROW(ct_mean_all(empty), CT_ERR_SHAPE, "ct_mean_all: cannot average 0 elements of [0,10]");
    ROW(ct_softmax(ct_scalar(CT_F32, 1), 0), CT_ERR_SHAPE,
        "ct_softmax: a scalar has no axis, got 0");
}

TEST(op_errors, contractions_and_rows) {
    ct_tensor *a = f32(CT_SHAPE(32, 784)), *index = ct_from(CT_I64, CT_SHAPE(1), (int64_t[]){10});
    ROW(ct_matmul(a, f32(CT_SHAPE(785, 10))), CT_ERR_SHAPE,
        "ct_matmul: inner dims must match, got a [32,784] and b [785,10] (784 vs 785)");
    ROW(ct_matmul(ct_scalar(CT_F32, 1), a), CT_ERR_SHAPE,
        "ct_matmul: argument 'a' needs rank >= 1, got a scalar");
    ROW(ct_take(f32(CT_SHAPE(10, 2)), index), CT_ERR_RANGE,
        "ct_take: index must be in 0..9, got 10 at [0]");
    ROW(ct_one_hot(index, 10, CT_F32), CT_ERR_RANGE,
        "ct_one_hot: label must be in 0..9, got 10 at row 0");
    ct_tensor *row = f32(CT_SHAPE(1, 4)), *four = f32(CT_SHAPE(4));
    ROW(ct_batch_norm(row, four, four, -1, 1e-3, NULL, NULL), CT_ERR_SHAPE,
        "ct_batch_norm: training needs > 1 value per channel, got 1 (x is [1,4], channels on axis "
        "1): the variance of one value is 0 whatever it is, and so is the derivative");
}

TEST(op_errors, the_first_stays_and_the_later_are_counted) {
    ct_tensor *bad = ct_reshape(f32(CT_SHAPE(6)), CT_SHAPE(4));
    ct_tensor *y = ct_mul(ct_exp(bad), ct_add(bad, bad));
    EXPECT(y == NULL && ct_error() == CT_ERR_SHAPE && ct_error_count() == 0);
    EXPECT(ct_reshape(f32(CT_SHAPE(6)), CT_SHAPE(5)) == NULL && ct_error_count() == 1);
    EXPECT(strcmp(ct_error_message(),
                  "ct_reshape: [6] has 6 elements, [4] needs 4 (an earlier "
                  "error; now ct_reshape: [6] has 6 elements, [5] needs 5)") == 0);
    EXPECT(ct_data(NULL) == NULL && isnan(ct_item(NULL)));
    ct_error_clear();
    EXPECT(ct_error_count() == 0 && strcmp(ct_error_message(), "") == 0);
}

TEST(op_errors, threads) {
    EXPECT(ct_threads_set(0) == CT_ERR_RANGE);
    ct_status status;
    EXPECT(strcmp(taken_error(&status), "ct_threads_set: threads must be 1..256, got 0") == 0);
}
