/* Dropout and its kin: random numbers of each forward from the layer's own stream, the same at
 * every reading. */
#include "tests/support/nn_support.h"

static ct_tensor *ones(void) { return ct_full(CT_F32, CT_SHAPE(100, 50), 1); }

static int64_t zeros_in(ct_tensor *t) {
    int64_t zeros = 0;
    for (int64_t i = 0; i < ct_numel(t); i++) zeros += element(t, i) == 0;
    return zeros;
}

static double difference(ct_tensor *a, ct_tensor *b) {
    return ct_item(ct_sum_all(ct_abs(ct_sub(a, b))));
}

TEST(dropout, zeroes_a_share_and_scales_the_rest) {
    ct_module *layer = ct_dropout_new(0.4);
    MADE(layer);
    ct_tensor *y = ct_forward(layer, ones(), CT_TRAINING);
    for (int64_t i = 0; i < ct_numel(y); i++) {
        cr_expect(element(y, i) == 0 || (float)element(y, i) == (float)(1 / 0.6));
    }
    /* Four standard deviations around 2000. */
    cr_expect(zeros_in(y) > 1860 && zeros_in(y) < 2140, "%lld", (long long)zeros_in(y));
    ct_module_free(layer);
}

TEST(dropout, nothing_in_inference_and_at_rate_0) {
    ct_module *layer = ct_dropout_new(0.4), *none = ct_dropout_new(0);
    uint64_t before = state_hash(layer, NULL);
    ct_tensor *x = ones();
    cr_expect_eq(ct_forward(layer, x, CT_INFERENCE), x);
    cr_expect_eq(ct_forward(none, x, CT_TRAINING), x);
    cr_expect_eq(state_hash(layer, NULL), before);
    ct_module_free(layer);
    ct_module_free(none);
}

TEST(dropout, the_same_mask_at_every_reading_another_at_every_forward) {
    ct_module *layer = ct_dropout_new(0.5);
    ct_tensor *x = ones(), *y = ct_forward(layer, x, CT_TRAINING);
    ct_tensor *first = ct_detach(y), *other = ct_forward(layer, x, CT_TRAINING);
    cr_expect_gt(difference(first, other), 1000);
    ct_tensor *again = ct_scale(y, 1); /* another graph, another plan */
    cr_expect_eq(difference(first, again), 0);
    /* The gradient sees the same mask as the value did. */
    ct_tensor *gradient, *late = ct_forward(layer, x, CT_TRAINING);
    OK(ct_grad(ct_sum_all(late), &x, 1, &gradient));
    cr_expect_eq(difference(gradient, late), 0);
    ct_module_free(layer);
}

TEST(dropout, streams_follow_the_seed) {
    ct_tensor *masks[4];
    for (int i = 0; i < 4; i++) {
        if (i != 1) ct_seed_set(i == 3 ? 8 : 7); /* layer 1 is the second one of seed 7 */
        ct_module *layer = ct_dropout_new(0.5);
        masks[i] = ct_detach(ct_forward(layer, ones(), CT_TRAINING));
        ct_module_free(layer);
    }
    cr_expect_eq(difference(masks[0], masks[2]), 0);
    cr_expect_gt(difference(masks[0], masks[1]), 1000);
    cr_expect_gt(difference(masks[0], masks[3]), 1000);
}

TEST(dropout, the_stream_is_a_slot_of_the_model) {
    ct_module *layer = ct_dropout_new(0.5);
    ct_tensor *x = ones(), *start = ct_module_read(layer, 0);
    ct_tensor *first = ct_detach(ct_forward(layer, x, CT_TRAINING));
    OK(ct_slot_write(slot_at(layer, "stream"), start));
    cr_expect_eq(difference(first, ct_forward(layer, x, CT_TRAINING)), 0);
    ct_module_free(layer);
}

TEST(dropout, says_what_does_not_fit) {
    cr_expect_null(ct_dropout_new(1));
    expect_error(CT_ERR_RANGE, "ct_dropout_new: rate must be in [0,1), got 1");
    cr_expect_null(ct_dropout_new(-0.1));
    expect_error(CT_ERR_RANGE, "ct_dropout_new: rate must be in [0,1), got -0.1");
    cr_expect_null(ct_dropout_new((double)NAN));
    ct_error_clear();
}

/* --- Of whole channels ------------------------------------------------------------------------ */

TEST(spatial_dropout, zeroes_channels_of_samples) {
    ct_module *layer = ct_spatial_dropout2d_new(0.25);
    ct_tensor *x = ct_full(CT_F32, CT_SHAPE(20, 3, 4, 50), 3);
    cr_expect_eq(ct_forward(layer, x, CT_INFERENCE), x);
    ct_tensor *y = ct_forward(layer, x, CT_TRAINING);
    MADE(y);
    ct_tensor *least = ct_min(y, CT_AXES(1, 2)), *most = ct_max(y, CT_AXES(1, 2));
    cr_expect_eq(difference(least, most), 0);
    for (int64_t i = 0; i < ct_numel(most); i++) {
        cr_expect(element(most, i) == 0 || element(most, i) == 4);
    }
    /* Four standard deviations around 250 of 1000. */
    cr_expect(zeros_in(most) > 195 && zeros_in(most) < 305, "%lld", (long long)zeros_in(most));
    cr_expect_gt(difference(y, ct_forward(layer, x, CT_TRAINING)), 100);
    ct_module_free(layer);
}

/* --- Normal numbers --------------------------------------------------------------------------- */

TEST(gaussian_noise, is_added_in_training) {
    ct_module *layer = ct_gaussian_noise_new(0.5), *none = ct_gaussian_noise_new(0);
    ct_tensor *x = ones();
    cr_expect_eq(ct_forward(layer, x, CT_INFERENCE), x);
    cr_expect_eq(ct_forward(none, x, CT_TRAINING), x);
    ct_tensor *start = ct_module_read(layer, 0);
    ct_tensor *y = ct_forward(layer, x, CT_TRAINING), *gradient;
    /* Of 5000: five standard deviations of the mean and of the deviation. */
    EXPECT_NEAR(ct_item(ct_mean_all(y)), 1, 0.036);
    EXPECT_NEAR(ct_item(ct_std(y, CT_ALL)), 0.5, 0.025);
    OK(ct_grad(ct_sum_all(y), &x, 1, &gradient));
    cr_expect_eq(difference(gradient, ones()), 0);
    cr_expect_gt(difference(y, ct_forward(layer, x, CT_TRAINING)), 1000);
    OK(ct_slot_write(slot_at(layer, "stream"), start));
    cr_expect_eq(difference(y, ct_forward(layer, x, CT_TRAINING)), 0);
    ct_module_free(layer);
    ct_module_free(none);
}
