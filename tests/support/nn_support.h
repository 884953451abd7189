/* For the suites of nn/ and optim/: fixtures, numbers that the reference scripts make too, models,
 * and comparisons of all slots at once. Everything is static: each suite is one program. */
#ifndef COTAN_TESTS_NN_SUPPORT_H
#define COTAN_TESTS_NN_SUPPORT_H

#include "autograd/grad.h"
#include "autograd/stage.h"
#include "nn/nn.h"
#include "optim/fit.h"
#include "tensor/base/context.h"
#include "tensor/mem.h"
#include "tensor/runtime.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define UNUSED __attribute__((unused))

/* --- Fixture ---------------------------------------------------------------------------------- */

static int64_t live_before;

UNUSED static int64_t live_now(void) {
    ct_scope_close(0);
    ct_cache_clear();
    cti_intern_clear();
    return ct_mem_read().live_bytes;
}

UNUSED static void open_test(void) {
    ct_error_clear();
    ct_seed_set(0);
    live_before = live_now();
}

/* Every test ends without an error on record and with the memory it began with. */
UNUSED static void close_test(void) {
    cr_expect_eq(ct_error(), CT_OK, "left on record: %s", ct_error_message());
    int64_t left = live_now() - live_before;
    cr_expect_eq(left, 0, "bytes left: %lld", (long long)left);
}

/* The checks at the end run inside of the test: Criterion reports what fails in a .fini function
 * and passes the test all the same. */
#define NN_TEST_WITH(suite, name, open, close) \
    static void suite##_##name(void);          \
    Test(suite, name, .init = open) {          \
        suite##_##name();                      \
        close();                               \
    }                                          \
    static void suite##_##name(void)
#define NN_TEST(suite, name) NN_TEST_WITH(suite, name, open_test, close_test)

#define OK(expression) cr_assert_eq((expression), CT_OK, "%s", ct_error_message())
#define MADE(pointer) cr_assert_not_null((pointer), "%s", ct_error_message())

/* The record holds exactly this, and is cleared. */
UNUSED static void expect_error(ct_status status, const char *message) {
    cr_expect_eq(ct_error(), status, "got %s: %s", ct_status_name(ct_error()), ct_error_message());
    cr_expect_str_eq(ct_error_message(), message);
    ct_error_clear();
}

/* --- Numbers: common.py's ----------------------------------------------------------------- */

UNUSED static double number(int64_t i, uint32_t salt) {
    uint32_t h = (uint32_t)i * UINT32_C(2654435761) + salt * 40503u + 12345u;
    h ^= h >> 15;
    h *= UINT32_C(2246822519);
    h ^= h >> 13;
    h *= UINT32_C(3266489917);
    h ^= h >> 16;
    return (double)h * 0x1p-32;
}

/* start + limit (2 number - 1), in row-major order. */
UNUSED static ct_tensor *centred(ct_dtype dtype, ct_shape shape, uint32_t salt, double limit,
                                 double start) {
    int64_t n = ct_shape_numel(shape);
    double *values = malloc((size_t)(n + 1) * sizeof *values);
    for (int64_t i = 0; i < n; i++) values[i] = start + limit * (2.0 * number(i, salt) - 1.0);
    ct_tensor *t = ct_from(CT_F64, shape, values);
    free(values);
    return dtype == CT_F64 ? t : ct_cast(t, dtype);
}

UNUSED static ct_tensor *uniform01(ct_dtype dtype, ct_shape shape, uint32_t salt) {
    return centred(dtype, shape, salt, 0.5, 0.5);
}

UNUSED static double element(ct_tensor *t, int64_t i) {
    const void *data = ct_data(t);
    cr_assert_not_null(data, "%s", ct_error_message());
    if (ct_dtype_of(t) == CT_F64) return ((const double *)data)[i];
    if (ct_dtype_of(t) == CT_F32) return (double)((const float *)data)[i];
    return (double)((const int64_t *)data)[i];
}

/* Largest |t - wanted| over the largest |wanted|. */
UNUSED static double distance(ct_tensor *t, const double *wanted) {
    double worst = 0, scale = 0;
    for (int64_t i = 0; i < ct_numel(t); i++) {
        worst = fmax(worst, fabs(element(t, i) - wanted[i]));
        scale = fmax(scale, fabs(wanted[i]));
    }
    return scale > 0 ? worst / scale : worst;
}

UNUSED static bool is_near(double value, double wanted, double tolerance) {
    return fabs(value - wanted) <= tolerance * fmax(1.0, fabs(wanted));
}

#define EXPECT_NEAR(value, wanted, tolerance)                                      \
    cr_expect(is_near((value), (wanted), (tolerance)), #value ": %.17g for %.17g", \
              (double)(value), (double)(wanted))

/* --- Slots ------------------------------------------------------------------------------------ */

UNUSED static ct_slot *slot_at(ct_module *module, const char *path) {
    ct_slot_list list;
    OK(ct_module_list(module, &list));
    ct_slot *found = NULL;
    for (int64_t i = 0; i < list.count; i++) {
        if (strcmp(list.items[i].path, path) == 0) found = list.items[i].slot;
    }
    ct_slot_list_free(&list);
    cr_assert_not_null(found, "no slot '%s'", path);
    return found;
}

UNUSED static ct_tensor *read_slot(ct_module *module, const char *path) {
    return ct_slot_read(slot_at(module, path));
}

UNUSED static uint64_t hash_list(uint64_t hash, const ct_slot_list *list) {
    for (int64_t i = 0; i < list->count; i++) {
        ct_tensor *t = ct_slot_read(list->items[i].slot);
        const unsigned char *bytes = ct_data(t);
        size_t n = (size_t)ct_numel(t) * ct_dtype_size(ct_dtype_of(t));
        for (size_t k = 0; k < n; k++) hash = (hash ^ bytes[k]) * UINT64_C(1099511628211);
    }
    return hash;
}

/* Of every bit in every slot of the model and, unless NULL, the optimizer. */
UNUSED static uint64_t state_hash(ct_module *model, ct_optimizer *optimizer) {
    int64_t scope = ct_scope_open();
    ct_slot_list list;
    OK(ct_module_list(model, &list));
    uint64_t hash = hash_list(UINT64_C(14695981039346656037), &list);
    ct_slot_list_free(&list);
    if (optimizer) {
        OK(ct_optimizer_list(optimizer, &list));
        hash = hash_list(hash, &list);
        ct_slot_list_free(&list);
    }
    ct_scope_close(scope);
    return hash;
}

/* --- Models ----------------------------------------------------------------------------------- */

/* The model of the BatchNorm study. */
UNUSED static ct_module *seed_model(bool batch_norm, ct_dtype dtype) {
    static const int64_t inputs[] = {1, 32, 64, 576, 64}, outputs[] = {32, 64, 64, 64, 10};
    ct_module *layers[24];
    int64_t n = 0;
    for (int i = 0; i < 5; i++) {
        if (i == 3) layers[n++] = ct_flatten_new();
        layers[n++] = i < 3
                          ? ct_conv2d_new(
                                inputs[i], outputs[i],
                                (ct_conv2d_options){.no_bias = batch_norm, .dtype = dtype})
                          : ct_dense_new(inputs[i], outputs[i],
                                         (ct_dense_options){.no_bias = batch_norm, .dtype = dtype});
        ct_batch_norm_options options = ct_batch_norm_defaults();
        options.dtype = dtype;
        if (batch_norm) layers[n++] = ct_batch_norm_new(outputs[i], options);
        layers[n++] = ct_activation_new(i < 4 ? &ct_activation_relu : &ct_activation_softmax);
        if (i < 2) layers[n++] = ct_max_pool2d_new((ct_pool2d_options){0});
    }
    ct_module *model = ct_sequential_new("seed", layers, n);
    cr_assert_not_null(model, "%s", ct_error_message());
    return model;
}

/* One layer of each kind that training touches, small: x [N,6,6,2] -> 3 classes. NULL on error. */
UNUSED static ct_module *small_cnn_layers(double dropout) {
    return CT_SEQUENTIAL(
        "small", ct_conv2d_new(2, 4, (ct_conv2d_options){.no_bias = true}),
        ct_batch_norm_new(4, ct_batch_norm_defaults()), ct_activation_new(&ct_activation_relu),
        ct_max_pool2d_new((ct_pool2d_options){0}), ct_flatten_new(), ct_dropout_new(dropout),
        ct_dense_new(16, 3, (ct_dense_options){0}), ct_activation_new(&ct_activation_softmax));
}

UNUSED static ct_module *small_cnn(double dropout) {
    ct_module *model = small_cnn_layers(dropout);
    cr_assert_not_null(model, "%s", ct_error_message());
    return model;
}

/* A dense layer in front of 3 classes, x [N,4]; learns the sign pattern of x quickly. */
UNUSED static ct_module *small_mlp(void) {
    ct_module *model = CT_SEQUENTIAL(
        "mlp", ct_dense_new(4, 8, (ct_dense_options){0}), ct_activation_new(&ct_activation_tanh),
        ct_dense_new(8, 3, (ct_dense_options){0}), ct_activation_new(&ct_activation_softmax));
    cr_assert_not_null(model, "%s", ct_error_message());
    return model;
}

/* Labels 0..classes-1 of n items, i64. */
UNUSED static ct_tensor *some_labels(int64_t n, int64_t classes, uint32_t salt) {
    int64_t *labels = malloc((size_t)(n + 1) * sizeof *labels);
    for (int64_t i = 0; i < n; i++) labels[i] = (int64_t)(number(i, salt) * (double)classes);
    ct_tensor *t = ct_from(CT_I64, CT_SHAPE(n), labels);
    free(labels);
    return t;
}

#endif
