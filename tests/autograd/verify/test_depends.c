/* Which outputs depend on which inputs, against what is known of the functions.
 * Invariant: the expected patterns are written from the definitions. */
#include "autograd/compose.h"
#include "autograd/depends.h"
#include "autograd/ops.h"
#include "tests/support/test.h"

enum { ROWS = 3, CHANNELS = 2, N = ROWS * CHANNELS };

static ct_tensor *training(void *context, ct_tensor *const in[], int64_t n) {
    (void)context, (void)n;
    return ct_batch_norm(in[0], in[1], in[2], -1, 1e-3, NULL, NULL);
}

static ct_tensor *inference(void *context, ct_tensor *const in[], int64_t n) {
    (void)context, (void)n;
    return ct_batch_norm_inference(in[0], in[1], in[2], in[1], in[1], -1, 1e-3);
}

static ct_tensor *layer(void *context, ct_tensor *const in[], int64_t n) {
    (void)context, (void)n;
    return ct_layer_norm(in[0], in[1], in[2], 1e-3);
}

/* The sum of what is centred is 0: it depends on nothing. */
static ct_tensor *nothing(void *context, ct_tensor *const in[], int64_t n) {
    (void)context, (void)n;
    return ct_sum(ct_sub(in[0], ct_mean_keep(in[0], CT_AXES(0))), CT_AXES(0));
}

static const ct_claim_input inputs[] = {
    {.name = "x", .shape = {2, {ROWS, CHANNELS}}},
    {.name = "gamma", .shape = {1, {CHANNELS}}, .positive = true},
    {.name = "beta", .shape = {1, {CHANNELS}}},
};

typedef bool expected_fn(int64_t out, int64_t in);
static bool same_channel(int64_t out, int64_t in) { return out % CHANNELS == in % CHANNELS; }
static bool same_row(int64_t out, int64_t in) { return out / CHANNELS == in / CHANNELS; }
static bool same_element(int64_t out, int64_t in) { return out == in; }
static bool none(int64_t out, int64_t in) { return out < 0 && in < 0; }

static void expect_pattern(ct_function f, int64_t input, expected_fn *expected) {
    ct_tensor *mask = ct_depends(f, NULL, inputs, 3, input);
    if (!EXPECT(mask != NULL, "%s", ct_error_message())) return;
    int64_t rows = ct_dim(mask, 0), columns = ct_dim(mask, 1);
    const uint8_t *data = ct_data_u8(mask);
    for (int64_t i = 0; i < rows * columns; i++) {
        EXPECT(data[i] == expected(i / columns, i % columns), "output %lld, element %lld: %d",
               (long long)(i / columns), (long long)(i % columns), data[i]);
    }
}

TEST(depends, batch_norm_couples_rows_in_training_alone) {
    expect_pattern(training, 0, same_channel);
    expect_pattern(training, 2, same_channel);
    expect_pattern(inference, 0, same_element);
}

TEST(depends, other_functions) {
    expect_pattern(layer, 0, same_row);
    expect_pattern(nothing, 0, none);
    expect_pattern(nothing, 2, none);
}

static void refused(const ct_tensor *t, ct_status status, const char *message) {
    EXPECT(t == NULL);
    expect_error(status, message);
}

TEST(depends, errors) {
    refused(ct_depends(NULL, NULL, inputs, 3, 0), CT_ERR_NULL, "ct_depends: 'f' is NULL");
    refused(ct_depends(layer, NULL, inputs, 3, 3), CT_ERR_RANGE,
            "ct_depends: 'input' must be one of the inputs, got 3");
    refused(ct_depends(layer, NULL, inputs, 0, 0), CT_ERR_RANGE,
            "ct_depends: 'n' must be 1..16, got 0");
}
