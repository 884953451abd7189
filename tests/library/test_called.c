/* A message names the function that the user called, however deep inside of it something failed;
 * and one on record from before says so.
 * What a message says behind the name is the business of other suites.
 * Invariant: each row calls one public function, wrongly or without memory, and nothing else. */
#include "tests/support/called.h"
#include "tests/support/fit_support.h"

#include "autograd/anomaly.h"
#include "autograd/gradcheck.h"
#include "autograd/shadow.h"
#include "tensor/npy.h"
#include "tensor/op.h"
#include "tensor/random.h"
#include "tensor/safetensors.h"
#include "tensor/simplify.h"

#include <unistd.h>

static ct_tensor *ones(ct_dtype dtype, ct_shape shape) { return ct_full(dtype, shape, 1); }

/* --- Ops and compositions --------------------------------------------------------------------- */

#define OF_ONE(row)                                                                        \
    row(ct_neg) row(ct_exp) row(ct_log) row(ct_sqrt) row(ct_rsqrt) row(ct_sin) row(ct_cos) \
        row(ct_tanh) row(ct_sigmoid) row(ct_erf) row(ct_abs) row(ct_sign) row(ct_floor)    \
            row(ct_square) row(ct_reciprocal) row(ct_mean_all) row(ct_norm) row(ct_relu)   \
                row(ct_softplus) row(ct_gelu) row(ct_silu) row(ct_sum_all)
#define OF_TWO(row)                                                                             \
    row(ct_add) row(ct_sub) row(ct_mul) row(ct_div) row(ct_pow) row(ct_maximum) row(ct_minimum) \
        row(ct_equal) row(ct_not_equal) row(ct_less) row(ct_less_equal) row(ct_greater)         \
            row(ct_greater_equal)
#define OVER_AXES(row)                                                                       \
    row(ct_sum) row(ct_sum_keep) row(ct_max) row(ct_max_keep) row(ct_mean) row(ct_mean_keep) \
        row(ct_var) row(ct_var_keep) row(ct_std) row(ct_min)
#define ALONG_AN_AXIS(row) row(ct_argmax) row(ct_logsumexp) row(ct_softmax) row(ct_log_softmax)
#define OF_A_NUMBER(row) row(ct_scale) row(ct_offset) row(ct_leaky_relu) row(ct_elu)

TEST(called, elementwise_functions) {
    ct_tensor *u8 = ones(CT_U8, CT_SHAPE(2, 3)), *x = ones(CT_F32, CT_SHAPE(2, 3));
    ct_tensor *row = ones(CT_F32, CT_SHAPE(3)), *four = ones(CT_F32, CT_SHAPE(4));
#define ROW(f)      \
    WRONG(f, u8);   \
    WRONG(f, NULL); \
    STARVED(f, x);
    OF_ONE(ROW)
#undef ROW
#define ROW(f)         \
    WRONG(f, u8, u8);  \
    WRONG(f, x, four); \
    WRONG(f, x, NULL); \
    STARVED(f, x, row);
    OF_TWO(ROW)
#undef ROW
#define ROW(f)           \
    WRONG(f, u8, 0.5);   \
    WRONG(f, NULL, 0.5); \
    STARVED(f, x, 0.5);
    OF_A_NUMBER(ROW)
#undef ROW
    WRONG(ct_scale, ct_cast(x, CT_I64), 0.5);
    WRONG(ct_clip, u8, 0, 1);
    WRONG(ct_clip, NULL, 0, 1);
    STARVED(ct_clip, x, 0, 1);
    WRONG(ct_where, x, x, four);
    WRONG(ct_where, u8, x, x);
    STARVED(ct_where, row, x, x);
    WRONG(ct_cast, NULL, CT_F64);
    STARVED(ct_cast, x, CT_F64);
}

TEST(called, functions_over_axes) {
    ct_tensor *u8 = ones(CT_U8, CT_SHAPE(2, 3)), *x = ones(CT_F32, CT_SHAPE(2, 3));
#define ROW(f)                  \
    WRONG(f, u8, CT_AXES(0));   \
    WRONG(f, x, CT_AXES(2));    \
    WRONG(f, NULL, CT_AXES(0)); \
    STARVED(f, x, CT_AXES(0));
    OVER_AXES(ROW)
#undef ROW
#define ROW(f)         \
    WRONG(f, u8, 0);   \
    WRONG(f, x, 2);    \
    WRONG(f, NULL, 0); \
    STARVED(f, x, 0);
    ALONG_AN_AXIS(ROW)
#undef ROW
    ct_tensor *none = ones(CT_F32, CT_SHAPE(0, 3)), *labels = ct_arange(CT_I64, 0, 3, 1);
    ct_tensor *late;
    WRONG(ct_mean, none, CT_AXES(0));
    WRONG(ct_mean_keep, none, CT_AXES(0));
    WRONG(ct_var, none, CT_AXES(0));
    WRONG(ct_std, none, CT_AXES(0));
    WRONG(ct_mean_all, none);
    WRONG(ct_softmax, none, 0);
    WRONG(ct_min, none, CT_AXES(0));
    WRONG(ct_logsumexp, none, 0);
    WRONG(ct_sum_to, x, CT_SHAPE(4));
    WRONG(ct_sum_to, NULL, CT_SHAPE(3));
    STARVED(ct_sum_to, x, CT_SHAPE(3));
    WRONG(ct_one_hot, x, 3, CT_F32);
    WRONG(ct_one_hot, labels, 2, CT_F32);
    WRONG(ct_one_hot, NULL, 3, CT_F32);
    STARVED(ct_one_hot, labels, 5, CT_F32);
    STARVED_AFTER(late = ct_add(labels, labels), "ct_one_hot", ct_one_hot(late, 5, CT_F32));
}

TEST(called, views_copies_and_kernels) {
    ct_tensor *u8 = ones(CT_U8, CT_SHAPE(2, 3)), *x = ones(CT_F32, CT_SHAPE(2, 3)), *none = NULL;
    ct_tensor *rows = ct_arange(CT_I64, 0, 2, 1), *batch = ones(CT_F32, CT_SHAPE(4, 5, 3));
    ct_tensor *turned = ct_transpose(x), *vector = ones(CT_F32, CT_SHAPE(3)), *late;
    ct_tensor *image = ones(CT_F32, CT_SHAPE(1, 4, 4, 2)), *w = ones(CT_F32, CT_SHAPE(3, 3, 2, 5));
    ct_conv2d_spec conv = {0};
    ct_pool2d_spec pool = {0};
    WRONG(ct_reshape, x, CT_SHAPE(4));
    WRONG(ct_reshape, NULL, CT_SHAPE(6));
    STARVED(ct_reshape, x, CT_SHAPE(6));
    WRONG(ct_permute, x, CT_AXES(0, 0));
    STARVED(ct_permute, x, CT_AXES(1, 0));
    WRONG(ct_transpose, rows);
    WRONG(ct_transpose, NULL);
    STARVED(ct_transpose, x);
    WRONG(ct_broadcast, x, CT_SHAPE(4));
    WRONG(ct_broadcast, NULL, CT_SHAPE(4));
    STARVED(ct_broadcast, x, CT_SHAPE(4, 2, 3));
    WRONG(ct_slice, x, 0, 3, 4, 1);
    WRONG(ct_slice, NULL, 0, 0, 1, 1);
    STARVED(ct_slice, x, 0, 0, 1, 1);
    WRONG(ct_flip, x, CT_AXES(2));
    WRONG(ct_flip, NULL, CT_AXES(0));
    STARVED(ct_flip, x, CT_ALL);
    WRONG(ct_stop_gradient, NULL);
    STARVED(ct_stop_gradient, x);
    WRONG(ct_pad, x, 2, 1, 1, 0);
    WRONG(ct_pad, NULL, 0, 1, 1, 0);
    STARVED(ct_pad, x, 0, 1, 1, 0);
    WRONG_IN("ct_concat", CT_CONCAT(0, x, rows));
    WRONG_IN("ct_concat", CT_CONCAT(0, x, none));
    STARVED_IN("ct_concat", CT_CONCAT(0, x, x));
    WRONG(ct_take, x, x);
    WRONG(ct_take, x, NULL);
    WRONG(ct_take, NULL, rows);
    STARVED_AFTER(late = ct_mul(rows, rows), "ct_take", ct_take(x, late));
    WRONG(ct_scatter_add, x, rows, 1);
    WRONG(ct_scatter_add, u8, rows, 2);
    STARVED_AFTER(late = ct_mul(rows, rows), "ct_scatter_add", ct_scatter_add(x, late, 2));
    WRONG(ct_matmul, x, x);
    WRONG(ct_matmul, u8, u8);
    WRONG(ct_matmul, NULL, x);
    STARVED(ct_matmul, batch, turned);
    STARVED(ct_matmul, x, vector);
    WRONG(ct_conv2d, x, w, conv);
    WRONG(ct_conv2d, NULL, w, conv);
    STARVED(ct_conv2d, image, w, conv);
    WRONG(ct_conv2d_input, x, w, 4, 4, conv);
    WRONG(ct_conv2d_kernel, x, w, 3, 3, conv);
    WRONG(ct_max_pool2d, x, pool);
    WRONG(ct_avg_pool2d, u8, pool);
    STARVED(ct_max_pool2d, image, pool);
    WRONG(ct_max_pool2d_scatter, x, image, pool);
    WRONG(ct_max_pool2d_gather, x, image, pool);
    WRONG(ct_avg_pool2d_spread, x, 4, 4, pool);
    STARVED(ct_avg_pool2d, image, pool);
    WRONG(ct_iota, -1);
    STARVED(ct_iota, 3);
    WRONG(ct_random_uniform, x, CT_F32, CT_SHAPE(2));
    WRONG(ct_random_normal, rows, CT_I64, CT_SCALAR);
    STARVED(ct_random_uniform, rows, CT_F32, CT_SHAPE(2));
}

TEST(called, normalizations_losses_and_metrics) {
    ct_tensor *x = ones(CT_F32, CT_SHAPE(2, 3)), *c = ones(CT_F32, CT_SHAPE(3));
    ct_tensor *c64 = ones(CT_F64, CT_SHAPE(3)), *i64 = ct_cast(x, CT_I64), *none = NULL;
    ct_tensor *labels = ct_arange(CT_I64, 0, 2, 1), *mean, *variance;
    WRONG(ct_batch_norm, x, c64, c64, 1, 1e-3, NULL, NULL);
    WRONG(ct_batch_norm, i64, c, c, 1, 1e-3, NULL, NULL);
    WRONG(ct_batch_norm, NULL, c, c, 1, 1e-3, NULL, NULL);
    STARVED(ct_batch_norm, x, c, c, 1, 1e-3, &mean, &variance);
    WRONG(ct_batch_norm_inference, x, c, c, c64, c64, 1, 1e-3);
    WRONG(ct_batch_norm_inference, x, c, c, none, c, 1, 1e-3);
    STARVED(ct_batch_norm_inference, x, c, c, c, c, 1, 1e-3);
    WRONG(ct_layer_norm, x, c64, c64, 1e-3);
    WRONG(ct_layer_norm, i64, c, c, 1e-3);
    WRONG(ct_layer_norm, x, ones(CT_F32, CT_SHAPE(2)), c, 1e-3);
    STARVED(ct_layer_norm, x, c, c, 1e-3);
    WRONG(ct_cross_entropy, i64, labels);
    WRONG(ct_cross_entropy, x, c);
    WRONG(ct_cross_entropy, x, ct_offset(labels, 2));
    WRONG(ct_cross_entropy, x, none);
    WRONG(ct_cross_entropy, ones(CT_F32, CT_SHAPE(0, 3)), ct_arange(CT_I64, 0, 0, 1));
    STARVED(ct_cross_entropy, x, labels);
#define ROW(f, ...)                              \
    WRONG(f, x, c __VA_ARGS__);                  \
    WRONG(f, x, NULL __VA_ARGS__);               \
    WRONG(f, x, ct_cast(x, CT_F64) __VA_ARGS__); \
    STARVED(f, x, x __VA_ARGS__)
    ROW(ct_binary_cross_entropy);
    ROW(ct_mse);
    ROW(ct_mae);
    ROW(ct_huber, , 1);
    ROW(ct_binary_accuracy);
#undef ROW
    WRONG(ct_mse, i64, i64);
    WRONG(ct_huber, i64, i64, 1);
    WRONG(ct_mae, i64, i64);
    WRONG(ct_accuracy, x, c);
    WRONG(ct_accuracy, x, NULL);
    STARVED(ct_accuracy, x, labels);
    WRONG(ct_accuracy, ones(CT_F32, CT_SHAPE(2, 0)), labels);
    ct_cross_entropy_options all = {
        .weights = ones(CT_F32, CT_SHAPE(3)), .smoothing = 0.1, .ignore = true};
    WRONG(ct_cross_entropy_with, x, c, all);
    WRONG(ct_cross_entropy_with, NULL, labels, all);
    WRONG(ct_cross_entropy_with, ct_cast(x, CT_I64), labels, all);
    STARVED(ct_cross_entropy_with, x, labels, all);
}

/* --- Leaves, reading, derivatives, slots ------------------------------------------------------ */

static ct_tensor *sine(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    return ct_sin(x[0]);
}

TEST(called, leaves_and_reading) {
    ct_tensor *x = ones(CT_F32, CT_SHAPE(2)), *y, *z[2];
    FILE *out = tmpfile();
    WRONG(ct_from, CT_F32, CT_SHAPE(-1), NULL);
    WRONG(ct_from, CT_F32, CT_SHAPE(2), NULL);
    STARVED(ct_from, CT_F32, CT_SHAPE(1), (float[]){1});
    WRONG(ct_full, CT_U8, CT_SHAPE(2), 0.5);
    STARVED(ct_full, CT_F32, CT_SHAPE(2), 0.5);
    WRONG(ct_scalar, CT_I64, 0.5);
    STARVED(ct_scalar, CT_F32, 1);
    WRONG(ct_arange, CT_F32, 0, 1, 0);
    STARVED(ct_arange, CT_F32, 0, 3, 1);
    WRONG(ct_eye, CT_F32, -1);
    STARVED(ct_eye, CT_F32, 2);
    WRONG(ct_eval, (ct_tensor *[]){NULL}, 1);
    STARVED_AFTER(y = ct_exp(x), "ct_eval", ct_eval(&y, 1));
    STARVED_AFTER(y = ct_exp(x), "ct_data", ct_data(y));
    WRONG(ct_data_f64, x);
    STARVED_AFTER(y = ct_exp(x), "ct_data_f32", ct_data_f32(y));
    WRONG(ct_item, x);
    STARVED_AFTER(y = ct_sum_all(x), "ct_item", ct_item(y));
    STARVED_AFTER(y = ct_exp(x), "ct_detach", ct_detach(y));
    WRONG(ct_print, out, NULL);
    STARVED_AFTER(y = ct_exp(x), "ct_print", ct_print(out, y));
    WRONG(ct_simplify, (ct_tensor *[]){NULL}, 1, z);
    STARVED_AFTER(y = ct_offset(x, 0), "ct_simplify", ct_simplify(&y, 1, z));
    fclose(out);
}

TEST(called, derivatives_and_slots) {
    ct_tensor *x = ones(CT_F64, CT_SHAPE(2)), *y = ct_sum_all(ct_exp(x)), *none = NULL, *g;
    ct_gradcheck_options usual = {.order = 2};
    ct_gradcheck_report report;
    WRONG(ct_grad, x, &x, 1, &g);
    WRONG(ct_grad, NULL, &x, 1, &g);
    WRONG(ct_grad, y, &none, 1, &g);
    STARVED(ct_grad, y, &x, 1, &g);
    WRONG(ct_vjp, x, y, &x, 1, &g);
    STARVED(ct_vjp, x, x, &x, 1, &g);
    WRONG(ct_jvp, y, &x, &none, 1);
    STARVED(ct_jvp, y, &x, &x, 1);
    WRONG(ct_hvp, x, &x, &x, 1, &g);
    WRONG(ct_hvp, NULL, &x, &x, 1, &g);
    STARVED(ct_hvp, y, &x, &x, 1, &g);
    WRONG(ct_gradcheck, sine, NULL, &none, 1, usual, &report);
    ct_anomaly_report anomaly;
    WRONG(ct_anomaly, &none, 1, &anomaly);
    STARVED_AFTER(y = ct_sum_all(ct_exp(x)), "ct_anomaly", ct_anomaly(&y, 1, &anomaly));
    ct_shadow_report shadow;
    WRONG(ct_shadow, &none, 1, &shadow);
    WRONG(ct_shadow, &y, 1, &shadow);
    WRONG(ct_shadow_print, NULL, &shadow);
    STARVED_AFTER(y = ct_sum_all(ct_exp(ct_cast(x, CT_F32))), "ct_shadow",
                  (ct_shadow(&y, 1, &shadow), ct_shadow_free(&shadow)));
    y = ct_sum_all(ct_exp(x));
    ct_slot *slot = ct_slot_new("s", x);
    WRONG(ct_slot_new, "s", NULL);
    STARVED_IN("ct_slot_new", ct_slot_drop(ct_slot_new("s", x)));
    STARVED_AFTER(y = ct_exp(x), "ct_slot_new", ct_slot_drop(ct_slot_new("s", y)));
    WRONG(ct_slot_read, NULL);
    WRONG(ct_slot_write, slot, NULL);
    WRONG(ct_slot_write, slot, y = ct_sum_all(x));
    STARVED_AFTER(y = ct_exp(x), "ct_slot_write", ct_slot_write(slot, y));
    WRONG(ct_stage, x, slot, 0.5, NULL);
    STARVED(ct_stage, x, slot, 0.5, x);
    ct_update update = {slot, x};
    WRONG(ct_commit, &none, 1, NULL, 0);
    STARVED_AFTER(y = ct_stage(ct_exp(x), slot, 0.5, x), "ct_commit", ct_commit(&y, 1, NULL, 0));
    STARVED_AFTER(update.value = ct_exp(x), "ct_commit", ct_commit(&x, 1, &update, 1));
    ct_slot_drop(slot);
    ct_generator *generator = ct_generator_new(1);
    STARVED_IN("ct_generator_new", ct_generator_free(ct_generator_new(1)));
    WRONG(ct_generator_draw, NULL);
    STARVED(ct_generator_draw, generator);
    WRONG(ct_random_permutation, generator, -1);
    STARVED(ct_random_permutation, generator, 3);
    ct_generator_free(generator);
}

/* --- Modules, training ------------------------------------------------------------------------ */

#define MODULE_IS_WRONG(function, ...) WRONG_IN(#function, ct_module_free(function(__VA_ARGS__)))
#define MODULE_IS_STARVED(function, ...) \
    STARVED_IN(#function, ct_module_free(function(__VA_ARGS__)))

TEST(called, constructors_of_modules) {
    ct_dense_options whole = {.dtype = CT_I64};
    MODULE_IS_WRONG(ct_dense_new, 0, 3, (ct_dense_options){0});
    MODULE_IS_WRONG(ct_dense_new, 2, 3, whole);
    MODULE_IS_STARVED(ct_dense_new, 2, 3, (ct_dense_options){0});
    MODULE_IS_WRONG(ct_conv2d_new, 2, 3, (ct_conv2d_options){.dtype = CT_U8});
    MODULE_IS_STARVED(ct_conv2d_new, 2, 3, (ct_conv2d_options){0});
    MODULE_IS_WRONG(ct_batch_norm_new, 0, ct_batch_norm_defaults());
    MODULE_IS_STARVED(ct_batch_norm_new, 2, ct_batch_norm_defaults());
    MODULE_IS_WRONG(ct_layer_norm_new, 0, ct_layer_norm_defaults());
    MODULE_IS_STARVED(ct_layer_norm_new, 2, ct_layer_norm_defaults());
    MODULE_IS_STARVED(ct_max_pool2d_new, (ct_pool2d_options){0});
    MODULE_IS_STARVED(ct_avg_pool2d_new, (ct_pool2d_options){0});
    MODULE_IS_STARVED(ct_global_avg_pool2d_new);
    MODULE_IS_STARVED(ct_flatten_new);
    MODULE_IS_WRONG(ct_dropout_new, 1);
    MODULE_IS_STARVED(ct_dropout_new, 0.5);
    MODULE_IS_WRONG(ct_activation_new, NULL);
    MODULE_IS_STARVED(ct_activation_new, &ct_activation_relu);
    ct_module *none = NULL;
    MODULE_IS_WRONG(ct_sequential_new, "m", &none, 1);
    MODULE_IS_WRONG(ct_sequential_new, "a/b", NULL, 0);
    MODULE_IS_STARVED(ct_sequential_new, "m", NULL, 0);
    MODULE_IS_WRONG(ct_residual_new, NULL, NULL);
}

/* A layer's kind stands for its function, and its path says which one it is. */
static void check_forward(const char *name, ct_module *layer, ct_tensor *right, ct_tensor *wrong) {
    ct_module *net = CT_SEQUENTIAL("net", layer);
    MADE(net);
    cr_expect_null(ct_forward(net, wrong, CT_TRAINING), "%s", name);
    cr_expect_not_null(strstr(ct_error_message(), " (in net/"), "%s", ct_error_message());
    expect_name(name);
    if (right) STARVED_IN(name, ct_forward(net, right, CT_TRAINING));
    ct_module_free(net);
}

TEST(called, forwards_of_layers) {
    ct_tensor *x = ones(CT_F32, CT_SHAPE(2, 5)), *image = ones(CT_F32, CT_SHAPE(2, 4, 4, 3));
    ct_tensor *few = ones(CT_F32, CT_SHAPE(2, 4, 4, 2)), *i64 = ct_arange(CT_I64, 0, 5, 1);
    ct_dense_options dense = {0};
    ct_pool2d_options pool = {0};
    check_forward("Dense", ct_dense_new(5, 3, dense), x, image);
    check_forward("Conv2D", ct_conv2d_new(3, 2, (ct_conv2d_options){0}), image, few);
    check_forward("BatchNorm", ct_batch_norm_new(5, ct_batch_norm_defaults()), x,
                  ct_cast(x, CT_F64));
    check_forward("LayerNorm", ct_layer_norm_new(5, ct_layer_norm_defaults()), x, few);
    check_forward("MaxPool2D", ct_max_pool2d_new(pool), image, x);
    check_forward("AvgPool2D", ct_avg_pool2d_new(pool), image, x);
    check_forward("GlobalAvgPool2D", ct_global_avg_pool2d_new(), image, x);
    check_forward("Flatten", ct_flatten_new(), image, ct_scalar(CT_F32, 1));
    check_forward("Dropout", ct_dropout_new(0.5), x, i64);
    check_forward("ct_softmax", ct_activation_new(&ct_activation_softmax), x, i64);
    check_forward("ct_gelu", ct_activation_new(&ct_activation_gelu), x, i64);
    check_forward("Residual", ct_residual_new(ct_dense_new(5, 3, dense), NULL), NULL, x);
}

TEST(called, training) {
    bench b = open_bench(0.01);
    const ct_loss *loss = &ct_loss_cross_entropy;
    ct_tensor *x = task_x(1), *labels = task_labels(x), *value, *stray = ones(CT_F32, CT_SCALAR);
    ct_fit_options negative = {.epochs = -1};
    WRONG(ct_fit, b.model, b.optimizer, loss, NULL, (ct_fit_options){0}, NULL);
    WRONG(ct_fit, b.model, b.optimizer, loss, b.train, negative, NULL);
    ct_fit_options one = {.max_steps = 1};
    STARVED_IN(ANY, ct_fit(b.model, b.optimizer, loss, b.train, one, NULL));
    WRONG(ct_evaluate, b.model, loss, NULL, NULL, NULL);
    STARVED_IN(ANY, ct_evaluate(b.model, loss, b.test, NULL, NULL));
    ct_evaluation result;
    ct_evaluate_options plain = {0};
    ct_metric f1 = ct_metric_macro_f1;
    ct_fit_options measured = {.max_steps = 1, .metrics = &f1, .n_metrics = 1};
    WRONG(ct_evaluate_with, b.model, loss, NULL, plain, &result);
    WRONG(ct_evaluate_with, b.model, loss, b.test, plain, NULL);
    STARVED_IN(ANY, ct_evaluate_with(b.model, loss, b.test, plain, &result));
    STARVED_IN(ANY, ct_fit(b.model, b.optimizer, loss, b.train, measured, NULL));
    WRONG(ct_loss_of, NULL, x, labels);
    WRONG(ct_predict, b.model, stray, 0);
    STARVED_IN(ANY, ct_predict(b.model, x, 5));
    WRONG(ct_predict_many, b.model, &stray, 1, &value, 1, 0);
    STARVED_IN(ANY, ct_predict_many(b.model, &x, 1, &value, 1, 5));
    WRONG(ct_optimizer_step, b.optimizer, stray, NULL, 0);
    WRONG(ct_optimizer_step, b.optimizer, x, NULL, 0);
    STARVED_AFTER(value = loss->value(ct_logits(b.model, x, CT_TRAINING), labels),
                  "ct_optimizer_step", ct_optimizer_step(b.optimizer, value, NULL, 0));
    STARVED_IN("ct_adam_new", ct_optimizer_free(ct_adam_new(b.model, ct_adam_defaults(0.01))));
    close_bench(&b);
}

/* Files are opened and written by functions that the user did not call. */
TEST(called, weights_and_checkpoints) {
    bench b = open_bench(0.01);
    ct_position at = {0}, wrong = {.epoch = -1};
    const char *const places[] = {"/nowhere/model.st", "/", "/dev/full"};
    ct_show_options shown = {.input = CT_SHAPE(1, 4)};
    for (int i = 0; i < 3; i++) {
        WRONG(ct_weights_save, b.model, places[i]);
        WRONG(ct_weights_load, b.model, places[i]);
        WRONG(ct_weights_load_with, b.model, places[i], (ct_weights_load_options){0}, NULL);
        WRONG(ct_checkpoint_save, places[i], b.model, b.optimizer, at);
        WRONG(ct_checkpoint_load, places[i], b.model, b.optimizer, &at);
        WRONG(ct_checkpoint_save_best, places[i], b.model, b.optimizer, at, NULL);
        WRONG(ct_checkpoint_load_best, places[i], b.model, b.optimizer, &at, NULL);
        WRONG(ct_model_plot_save, places[i], b.model, shown);
        WRONG(ct_safetensors_load, places[i]);
        WRONG(ct_npy_load, places[i]);
        WRONG(ct_npy_save, places[i], ones(CT_F32, CT_SCALAR));
    }
    WRONG(ct_checkpoint_save, "never", b.model, b.optimizer, wrong);
    WRONG(ct_checkpoint_save_best, "never", b.model, b.optimizer, wrong, NULL);
    char path[] = "/tmp/cotan-called-XXXXXX";
    close(mkstemp(path));
    WRONG(ct_weights_copy, b.model, NULL);
    STARVED(ct_weights_copy, b.model, b.model);
    STARVED(ct_weights_save, b.model, path);
    STARVED(ct_weights_load, b.model, path);
    STARVED(ct_checkpoint_save, path, b.model, b.optimizer, at);
    STARVED(ct_checkpoint_load, path, b.model, b.optimizer, &at);
    ct_tensor *one = ones(CT_F32, CT_SCALAR);
    STARVED_AFTER(one = ct_exp(one), "ct_npy_save", ct_npy_save(path, one));
    STARVED_IN("ct_dataset_digits", ct_dataset_free(ct_dataset_digits(2, 2, 1)));
    remove(path);
    close_bench(&b);
}

/* --- Code of the user ------------------------------------------------------------------------- */

static ct_tensor *multiplies(ct_module *self, ct_tensor *x, ct_mode mode) {
    (void)self, (void)mode;
    return ct_matmul(x, ct_scalar(CT_F32, 1));
}

static ct_tensor *averages(ct_tensor *prediction, ct_tensor *target) {
    return ct_mse(prediction, target);
}

static const ct_module_kind mine = {.name = "Mine", .forward = multiplies};
static const ct_loss my_loss = {.name = "mine", .value = averages};

static ct_status fit_once(ct_module *model, const ct_loss *loss) {
    ct_source *train = task(1, false);
    ct_optimizer *sgd = ct_sgd_new(model, (ct_sgd_options){.rate = ct_rate(0.1)});
    ct_status status = ct_fit(model, sgd, loss, train, (ct_fit_options){0}, NULL);
    ct_optimizer_free(sgd);
    ct_source_free(train);
    return status;
}

/* What a user wrote calls functions of the library in its turn. */
TEST(called, names_begin_anew_in_code_of_the_user) {
    ct_module *model = CT_SEQUENTIAL("net", ct_dense_new(4, 3, (ct_dense_options){0}),
                                     ct_module_new(sizeof(ct_module), &mine));
    cr_expect_eq(fit_once(model, &ct_loss_cross_entropy), CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE,
                 "ct_matmul: argument 'b' needs rank >= 1, got a scalar (in net/mine)");
    ct_module_free(model);
    model = small_mlp();
    cr_expect_eq(fit_once(model, &my_loss), CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_mse: prediction is [4,3], target [4]");
    ct_module_free(model);
    WRONG(ct_square, NULL); /* and the fit is over */
}

static void tile_copy(int64_t n, void *y, const void *const x[], const ct_tile *tile) {
    (void)tile;
    memcpy(y, x[0], (size_t)n * sizeof(double));
}

static ct_tensor *vjp_wrong(ct_tensor *g, ct_tensor *y, int i) {
    (void)y, (void)i;
    return ct_mul(g, ct_full(CT_F64, CT_SHAPE(3), 1));
}

static const ct_op op_copy = {.name = "copy",
                              .kind = CT_MAP,
                              .n_inputs = 1,
                              .infer = ct_infer_float,
                              .tile = {[CT_F64] = tile_copy},
                              .vjp = {vjp_wrong}};

TEST(called, a_derivative_is_the_place) {
    ct_tensor *x = ct_full(CT_F64, CT_SHAPE(2), 1), *g;
    cr_expect_eq(ct_grad(ct_sum_all(ct_node(&op_copy, &x, 1, NULL, 0)), &x, 1, &g), CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_grad: cannot broadcast [2] with [3]: dim 0 is 2 vs 3 (in the "
                               "derivative of 'copy')");
    OK(ct_path_push("net"));
    ct_tensor *y = ct_node(&op_copy, &x, 1, NULL, 0);
    ct_path_pop();
    cr_expect_eq(ct_vjp(y, x, &x, 1, &g), CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_vjp: cannot broadcast [2] with [3]: dim 0 is 2 vs 3 (in the "
                               "derivative of 'copy' in net)");
    WRONG(ct_add, x, ct_full(CT_F64, CT_SHAPE(3), 1));
    cr_expect_null(strstr(ct_error_message(), "derivative"));
}

/* --- Errors from before ----------------------------------------------------------------------- */

TEST(called, an_error_from_before_is_said_to_be_earlier) {
    bench b = open_bench(0.01);
    ct_tensor *x = ones(CT_F32, CT_SHAPE(6)), *g;
    const char *first = "ct_reshape: [6] has 6 elements, [4] needs 4";
    char expected[256];
    ct_reshape(x, CT_SHAPE(4));
    cr_expect_str_eq(ct_error_message(), first);
    cr_expect_null(ct_mul(ct_exp(NULL), x), "a NULL that flows");
    cr_expect_str_eq(ct_error_message(), first);
    cr_expect_eq(ct_optimizer_step(b.optimizer, NULL, NULL, 0), CT_ERR_SHAPE);
    snprintf(expected, sizeof expected,
             "%s (an earlier error; now ct_optimizer_step: 'loss' is NULL)", first);
    cr_expect_str_eq(ct_error_message(), expected);
    cr_expect_eq(ct_error_count(), 1);
    /* The latest takes the place of the one before it. */
    cr_expect_eq(ct_grad(x, &x, 1, &g), CT_ERR_SHAPE);
    snprintf(expected, sizeof expected,
             "%s (an earlier error; now ct_grad: y must have one "
             "element, got [6]; ct_vjp takes a cotangent of that shape)",
             first);
    cr_expect_str_eq(ct_error_message(), expected);
    cr_expect_eq(ct_error_count(), 2);
    /* The same again, as in a loop that goes on, is said once. */
    ct_reshape(x, CT_SHAPE(4));
    cr_expect_str_eq(ct_error_message(), first);
    cr_expect_eq(ct_error_count(), 3);
    ct_error_clear();
    cr_expect_eq(ct_optimizer_step(b.optimizer, NULL, NULL, 0), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_optimizer_step: 'loss' is NULL");
    close_bench(&b);
}

/* Reading is where a NULL ends that flowed through an expression. */
#define READS_NOTHING(call, name)                                                      \
    do {                                                                               \
        ct_error_clear();                                                              \
        (void)(call);                                                                  \
        cr_expect_eq(ct_error(), CT_ERR_NULL);                                         \
        cr_expect_str_eq(ct_error_message(), name ": 't' is NULL");                    \
        ct_error_clear();                                                              \
        ct_fail(CT_ERR_RANGE, "mine: first");                                          \
        (void)(call);                                                                  \
        cr_expect_eq(ct_error(), CT_ERR_RANGE);                                        \
        cr_expect_str_eq(ct_error_message(),                                           \
                         "mine: first (an earlier error; now " name ": 't' is NULL)"); \
        cr_expect_eq(ct_error_count(), 1);                                             \
        ct_error_clear();                                                              \
    } while (0)

TEST(called, reading_a_tensor_that_is_not_there) {
    READS_NOTHING(ct_item(NULL), "ct_item");
    READS_NOTHING(ct_data(NULL), "ct_data");
    READS_NOTHING(ct_data_f32(NULL), "ct_data_f32");
    READS_NOTHING(ct_data_f64(NULL), "ct_data_f64");
    READS_NOTHING(ct_data_i64(NULL), "ct_data_i64");
    READS_NOTHING(ct_data_u8(NULL), "ct_data_u8");
    READS_NOTHING(ct_print(stdout, NULL), "ct_print");
    READS_NOTHING(ct_npy_save("never", NULL), "ct_npy_save");
}

/* What fails first in a call is what it says; the rest of that call follows from it. */
TEST(called, a_later_call_says_its_first_error) {
    bench b = open_bench(0.01);
    ct_fail(CT_ERR_RANGE, "mine: first");
    cr_expect(isnan(ct_item(ct_scope_add(NULL))));
    ct_loss averages_of_four = {.name = "mine", .value = averages};
    cr_expect_neq(
        ct_fit(b.model, b.optimizer, &averages_of_four, b.train, (ct_fit_options){0}, NULL), CT_OK);
    cr_expect_str_eq(ct_error_message(), "mine: first (an earlier error; now ct_mse: prediction "
                                         "is [4,3], target [4])");
    ct_error_clear();
    close_bench(&b);
}

TEST(called, long_messages_are_cut) {
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    ct_fail(CT_ERR_RANGE, "ct_mine: %s", text);
    size_t length = strlen(ct_error_message());
    cr_expect_lt(length, sizeof text);
    ct_fail(CT_ERR_RANGE, "ct_mine: %s", text);
    WRONG_IN("ct_mine", ct_eval((ct_tensor *[]){NULL}, 1));
    ct_fail(CT_ERR_RANGE, "mine: %.*s", 990, text);
    WRONG_IN("mine", ct_softmax(ones(CT_U8, CT_SHAPE(2)), 0));
}
