/* Ready models: sizes, shapes, and that each learns what is put before it. */
#include "tests/support/nn_support.h"

static int64_t parameters_of(ct_module *model) {
    ct_slot_list list;
    OK(ct_module_parameters(model, &list));
    int64_t n = 0;
    for (int64_t i = 0; i < list.count; i++) n += ct_numel(ct_slot_read(list.items[i].slot));
    ct_slot_list_free(&list);
    return n;
}

static void expect_shape(ct_module *model, ct_tensor *x, ct_shape shape) {
    ct_tensor *y = ct_forward(model, x, CT_INFERENCE);
    MADE(y);
    cr_expect(ct_shape_equal(ct_shape_of(y), shape), "%s", ct_shape_format(ct_shape_of(y)).text);
    cr_expect(isfinite(ct_item(ct_sum_all(y))));
}

/* Steps of Adam make the loss smaller. */
static void expect_learning(ct_module *model, double rate, int steps,
                            ct_tensor *loss_of(ct_module *model)) {
    ct_optimizer *adam = ct_adam_new(model, ct_adam_defaults(rate));
    MADE(adam);
    double first = ct_item(loss_of(model));
    for (int i = 0; i < steps; i++) {
        int64_t scope = ct_scope_open();
        OK(ct_optimizer_step(adam, loss_of(model), NULL, 0));
        ct_scope_close(scope);
    }
    double last = ct_item(loss_of(model));
    cr_expect(last < 0.7 * first, "from %g to %g", first, last);
    ct_optimizer_free(adam);
}

static ct_tensor *digit_loss(ct_module *model) {
    ct_tensor *x = uniform01(CT_F32, CT_SHAPE(8, 28, 28, 1), 1);
    return ct_cross_entropy(ct_logits(model, x, CT_TRAINING), some_labels(8, 10, 2));
}

TEST(models, lenet5) {
    ct_module *model = ct_lenet5_new((ct_classifier_options){0});
    MADE(model);
    cr_expect_eq(parameters_of(model), 61706);
    expect_shape(model, uniform01(CT_F32, CT_SHAPE(2, 28, 28, 1), 1), CT_SHAPE(2, 10));
    expect_learning(model, 0.005, 20, digit_loss);
    ct_module_free(model);
    model = ct_lenet5_new((ct_classifier_options){.channels = 3, .classes = 4, .dtype = CT_F64});
    expect_shape(model, uniform01(CT_F64, CT_SHAPE(2, 28, 28, 3), 1), CT_SHAPE(2, 4));
    ct_module_free(model);
}

TEST(models, digits_cnn) {
    ct_module *with = ct_digits_cnn_new((ct_digits_cnn_options){0});
    ct_module *without = ct_digits_cnn_new((ct_digits_cnn_options){
        .activation = &ct_activation_tanh, .no_batch_norm = true, .dtype = CT_F64});
    MADE(with), MADE(without);
    cr_expect_eq(parameters_of(with), 93088 + 2 * 234);
    cr_expect_eq(parameters_of(without), 93088 + 234);
    expect_shape(with, uniform01(CT_F32, CT_SHAPE(2, 28, 28, 1), 1), CT_SHAPE(2, 10));
    expect_shape(without, uniform01(CT_F64, CT_SHAPE(2, 28, 28, 1), 1), CT_SHAPE(2, 10));
    expect_learning(with, 0.005, 10, digit_loss);
    ct_module_free(with), ct_module_free(without);
}

static ct_tensor *image_loss(ct_module *model) {
    ct_tensor *x = uniform01(CT_F32, CT_SHAPE(4, 8, 8, 3), 1);
    return ct_cross_entropy(ct_logits(model, x, CT_TRAINING), some_labels(4, 10, 2));
}

TEST(models, resnets) {
    ct_module *small = ct_resnet18_new((ct_classifier_options){0});
    ct_module *large = ct_resnet34_new((ct_classifier_options){.classes = 100});
    MADE(small), MADE(large);
    cr_expect_eq(parameters_of(small), 11173962);
    cr_expect_eq(parameters_of(large), 21282122 + 90 * 513);
    expect_shape(small, uniform01(CT_F32, CT_SHAPE(1, 32, 32, 3), 1), CT_SHAPE(1, 10));
    expect_shape(large, uniform01(CT_F32, CT_SHAPE(1, 9, 7, 3), 1), CT_SHAPE(1, 100));
    expect_learning(small, 0.001, 3, image_loss);
    ct_module_free(small), ct_module_free(large);
}

static ct_tensor *copy_loss(ct_module *model) {
    ct_tensor *x = uniform01(CT_F32, CT_SHAPE(4, 12), 1);
    return ct_mse(ct_forward(model, x, CT_TRAINING), x);
}

TEST(models, autoencoder) {
    ct_module *model = CT_AUTOENCODER((ct_autoencoder_options){0}, 12, 8, 3);
    MADE(model);
    cr_expect_eq(parameters_of(model), 13 * 8 + 9 * 3 + 4 * 8 + 9 * 12);
    ct_tensor *x = uniform01(CT_F32, CT_SHAPE(5, 12), 1);
    expect_shape(model, x, CT_SHAPE(5, 12));
    expect_shape(model->children[0], x, CT_SHAPE(5, 3));
    cr_expect_str_eq(model->children[0]->name, "encoder");
    expect_learning(model, 0.02, 60, copy_loss);
    ct_module_free(model);
}

static ct_tensor *token_loss(ct_module *model) {
    ct_tensor *tokens = ct_reshape(some_labels(3 * 8, 11, 1), CT_SHAPE(3, 8));
    ct_tensor *logits = ct_forward(model, ct_slice(tokens, 1, 0, 7, 1), CT_TRAINING);
    ct_tensor *next = ct_reshape(ct_slice(tokens, 1, 1, 8, 1), CT_SHAPE(3 * 7));
    return ct_cross_entropy(ct_reshape(logits, CT_SHAPE(3 * 7, 11)), next);
}

TEST(models, gpt) {
    ct_gpt_options small = {.vocabulary = 11, .length = 8, .width = 8, .layers = 2, .heads = 2};
    ct_module *model = ct_gpt_new(small);
    MADE(model);
    int64_t block = 4 * (8 * 8 + 8) + 2 * 2 * 8 + 8 * 32 + 32 + 32 * 8 + 8;
    cr_expect_eq(parameters_of(model), 11 * 8 + 8 * 8 + 2 * block + 2 * 8 + 8 * 11);
    /* What comes later is not seen. */
    ct_tensor *tokens = ct_reshape(some_labels(8, 11, 1), CT_SHAPE(1, 8));
    ct_tensor *all = ct_forward(model, tokens, CT_INFERENCE);
    ct_tensor *some = ct_forward(model, ct_slice(tokens, 1, 0, 5, 1), CT_INFERENCE);
    ct_tensor *gap = ct_sub(ct_slice(all, 1, 0, 5, 1), some);
    cr_expect_lt(ct_item(ct_max(ct_abs(gap), CT_ALL)), 1e-6);
    expect_learning(model, 0.01, 40, token_loss);
    ct_module_free(model);
}

TEST(models, errors) {
    cr_expect_null(ct_gpt_new((ct_gpt_options){.vocabulary = 11, .length = 8, .width = 8}));
    expect_error(CT_ERR_RANGE, "ct_gpt_new: layers must be >= 1, got 0");
    cr_expect_null(ct_gpt_new(
        (ct_gpt_options){.vocabulary = 11, .length = 8, .width = 8, .layers = 1, .heads = 3}));
    expect_error(CT_ERR_RANGE, "ct_gpt_new: heads 3 must divide width 8");
    cr_expect_null(CT_AUTOENCODER((ct_autoencoder_options){0}, 12));
    expect_error(CT_ERR_RANGE, "ct_autoencoder_new: needs at least two widths, got 1");
    cr_expect_null(CT_AUTOENCODER((ct_autoencoder_options){0}, 12, 0, 3));
    expect_error(CT_ERR_RANGE, "ct_autoencoder_new: widths[1] must be >= 1, got 0");
    cr_expect_null(ct_autoencoder_new(NULL, 2, (ct_autoencoder_options){0}));
    expect_error(CT_ERR_NULL, "ct_autoencoder_new: 'widths' is NULL");
    cr_expect_null(ct_lenet5_new((ct_classifier_options){.classes = -1}));
    expect_error(CT_ERR_RANGE, "ct_lenet5_new: classes must be >= 1, got -1");
    cr_expect_null(ct_lenet5_new((ct_classifier_options){.channels = -2}));
    expect_error(CT_ERR_RANGE, "ct_lenet5_new: channels must be >= 1, got -2");
    cr_expect_null(ct_resnet18_new((ct_classifier_options){.channels = -3}));
    expect_error(CT_ERR_RANGE, "ct_resnet18_new: channels must be >= 1, got -3");
    cr_expect_null(ct_resnet34_new((ct_classifier_options){.classes = INT64_MAX}));
    expect_error(CT_ERR_RANGE, "ct_resnet34_new: classes must be < 2^31, got 9223372036854775807");
}

/* Under the names of the options, not of the layers that get them. */
TEST(models, errors_of_options_that_are_passed_on) {
    static const ct_activation nothing = {.name = "nothing"};
    ct_gpt_options gpt = {.vocabulary = 3, .length = 3, .width = 4, .layers = 1, .heads = 2};
    gpt.dropout = 1;
    cr_expect_null(ct_gpt_new(gpt));
    expect_error(CT_ERR_RANGE, "ct_gpt_new: dropout must be in [0,1), got 1");
    gpt.dropout = 0;
    gpt.width = INT64_C(1) << 30;
    cr_expect_null(ct_gpt_new(gpt));
    expect_error(CT_ERR_RANGE, "ct_gpt_new: 4 width must be < 2^31, got 4294967296");
    gpt.width = INT64_MAX;
    cr_expect_null(ct_gpt_new(gpt));
    expect_error(CT_ERR_RANGE, "ct_gpt_new: width must be < 2^31, got 9223372036854775807");
    cr_expect_null(CT_AUTOENCODER((ct_autoencoder_options){.hidden = &nothing}, 12, 3));
    expect_error(CT_ERR_NULL, "ct_autoencoder_new: 'hidden->apply' is NULL");
    cr_expect_null(CT_AUTOENCODER((ct_autoencoder_options){.output = &nothing}, 12, 3));
    expect_error(CT_ERR_NULL, "ct_autoencoder_new: 'output->apply' is NULL");
    cr_expect_null(ct_digits_cnn_new((ct_digits_cnn_options){.activation = &nothing}));
    expect_error(CT_ERR_NULL, "ct_digits_cnn_new: 'activation->apply' is NULL");
}
