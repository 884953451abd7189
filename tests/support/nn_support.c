/* Numbers, slots and models of the suites of nn/ and optim/.
 * It expects nothing of a layer; the suites do.
 * Invariant: numbers are those of common.py in tests/reference/, to the last bit. */
#include "tests/support/nn_support.h"

/* --- Numbers: common.py's ----------------------------------------------------------------- */

double number(int64_t i, uint32_t salt) {
    uint32_t h = (uint32_t)i * UINT32_C(2654435761) + salt * 40503u + 12345u;
    h ^= h >> 15;
    h *= UINT32_C(2246822519);
    h ^= h >> 13;
    h *= UINT32_C(3266489917);
    h ^= h >> 16;
    return (double)h * 0x1p-32;
}

ct_tensor *centred(ct_dtype dtype, ct_shape shape, uint32_t salt, double limit, double start) {
    int64_t n = ct_shape_numel(shape);
    double *values = malloc((size_t)(n + 1) * sizeof *values);
    for (int64_t i = 0; i < n; i++) values[i] = start + limit * (2.0 * number(i, salt) - 1.0);
    ct_tensor *t = ct_from(CT_F64, shape, values);
    free(values);
    return dtype == CT_F64 ? t : ct_cast(t, dtype);
}

ct_tensor *uniform01(ct_dtype dtype, ct_shape shape, uint32_t salt) {
    return centred(dtype, shape, salt, 0.5, 0.5);
}

double distance(ct_tensor *t, const double *wanted) {
    double worst = 0, scale = 0;
    for (int64_t i = 0; i < ct_numel(t); i++) {
        worst = fmax(worst, fabs(element(t, i) - wanted[i]));
        scale = fmax(scale, fabs(wanted[i]));
    }
    return scale > 0 ? worst / scale : worst;
}

bool is_near(double value, double wanted, double tolerance) {
    return fabs(value - wanted) <= tolerance * fmax(1.0, fabs(wanted));
}

/* --- Slots ------------------------------------------------------------------------------------ */

ct_slot *slot_at(ct_module *module, const char *path) {
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

ct_tensor *read_slot(ct_module *module, const char *path) {
    return ct_slot_read(slot_at(module, path));
}

uint64_t hash_list(uint64_t hash, const ct_slot_list *list) {
    for (int64_t i = 0; i < list->count; i++) {
        ct_tensor *t = ct_slot_read(list->items[i].slot);
        const unsigned char *bytes = ct_data(t);
        size_t n = (size_t)ct_numel(t) * ct_dtype_size(ct_dtype_of(t));
        for (size_t k = 0; k < n; k++) hash = (hash ^ bytes[k]) * UINT64_C(1099511628211);
    }
    return hash;
}

uint64_t state_hash(ct_module *model, ct_optimizer *optimizer) {
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

ct_module *seed_model(bool batch_norm, ct_dtype dtype) {
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

ct_module *small_cnn_layers(double dropout) {
    return CT_SEQUENTIAL(
        "small", ct_conv2d_new(2, 4, (ct_conv2d_options){.no_bias = true}),
        ct_batch_norm_new(4, ct_batch_norm_defaults()), ct_activation_new(&ct_activation_relu),
        ct_max_pool2d_new((ct_pool2d_options){0}), ct_flatten_new(), ct_dropout_new(dropout),
        ct_dense_new(16, 3, (ct_dense_options){0}), ct_activation_new(&ct_activation_softmax));
}

ct_module *small_cnn(double dropout) {
    ct_module *model = small_cnn_layers(dropout);
    cr_assert_not_null(model, "%s", ct_error_message());
    return model;
}

ct_module *small_mlp(void) {
    ct_module *model = CT_SEQUENTIAL(
        "mlp", ct_dense_new(4, 8, (ct_dense_options){0}), ct_activation_new(&ct_activation_tanh),
        ct_dense_new(8, 3, (ct_dense_options){0}), ct_activation_new(&ct_activation_softmax));
    cr_assert_not_null(model, "%s", ct_error_message());
    return model;
}

ct_tensor *some_labels(int64_t n, int64_t classes, uint32_t salt) {
    int64_t *labels = malloc((size_t)(n + 1) * sizeof *labels);
    for (int64_t i = 0; i < n; i++) labels[i] = (int64_t)(number(i, salt) * (double)classes);
    ct_tensor *t = ct_from(CT_I64, CT_SHAPE(n), labels);
    free(labels);
    return t;
}
