/* Weights in files: a round trip of every bit, and what is said when file and model differ. */
#include "nn_support.h"

#include "tensor/safetensors.h"

#include <stdio.h>
#include <unistd.h>

static char folder[256];

static void open_folder(void) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/cotan-weights-XXXXXX", base ? base : "/tmp");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0); /* messages show the path as it was given */
    open_test();
}

static void close_folder(void) {
    unlink("w.safetensors");
    cr_expect_eq(rmdir(folder), 0, "a file was left behind");
    close_test();
}

#define WEIGHTS_TEST(name) NN_TEST_WITH(weights, name, open_folder, close_folder)

static const char file_name[] = "w.safetensors";

static ct_module *two_layers(const char *second, int64_t units, ct_dtype dtype, bool no_bias) {
    ct_module *b = ct_dense_new(3, units, (ct_dense_options){.dtype = dtype, .no_bias = no_bias});
    OK(ct_module_rename(b, second));
    ct_module *a = ct_dense_new(4, 3, (ct_dense_options){0});
    OK(ct_module_rename(a, "fc1"));
    ct_module *model = CT_SEQUENTIAL("net", a, b);
    cr_assert_not_null(model, "%s", ct_error_message());
    return model;
}

WEIGHTS_TEST(come_back_bit_by_bit) {
    ct_seed_set(1);
    ct_module *a = seed_model(true, CT_F32);
    ct_seed_set(2);
    ct_module *b = seed_model(true, CT_F32);
    cr_assert_neq(state_hash(a, NULL), state_hash(b, NULL));
    OK(ct_weights_save(a, file_name));
    OK(ct_weights_load(b, file_name));
    cr_expect_eq(state_hash(a, NULL), state_hash(b, NULL));
    /* The name of the whole does not matter. */
    OK(ct_module_rename(b, "other"));
    OK(ct_weights_load(b, file_name));
    ct_safetensors *file = ct_safetensors_load(file_name);
    cr_expect_eq(ct_safetensors_count(file), 25);
    cr_expect_str_eq(ct_safetensors_name(file, 0), "conv2d/kernel");
    ct_safetensors_free(file);
    /* The model computes with what it loaded. */
    ct_tensor *x = uniform01(CT_F32, CT_SHAPE(2, 28, 28, 1), 1);
    ct_tensor *gap = ct_sub(ct_forward(a, x, CT_INFERENCE), ct_forward(b, x, CT_INFERENCE));
    cr_expect_eq(ct_item(ct_max(ct_abs(gap), CT_ALL)), 0);
    ct_module_free(a);
    ct_module_free(b);
}

WEIGHTS_TEST(dropout_streams_are_weights_too) {
    ct_module *a = small_cnn(0.5), *b = small_cnn(0.5);
    cr_assert_neq(state_hash(a, NULL), state_hash(b, NULL));
    OK(ct_weights_save(a, file_name));
    OK(ct_weights_load(b, file_name));
    cr_expect_eq(state_hash(a, NULL), state_hash(b, NULL));
    ct_module_free(a);
    ct_module_free(b);
}

/* Takes over both. */
static void expect_mismatch(ct_module *saved, ct_module *loading, const char *message) {
    OK(ct_weights_save(saved, file_name));
    uint64_t before = state_hash(loading, NULL);
    cr_expect_eq(ct_weights_load(loading, file_name), CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, message);
    cr_expect_eq(state_hash(loading, NULL), before);
    ct_module_free(saved);
    ct_module_free(loading);
}

WEIGHTS_TEST(mismatches_are_told_all_together) {
    expect_mismatch(two_layers("fc2", 5, CT_F32, true), two_layers("fc2", 2, CT_F32, false),
                    "ct_weights_load: w.safetensors: 2 mismatches: 'fc2/kernel' is [3,2] here, "
                    "[3,5] in file; 'fc2/bias' missing");
    expect_mismatch(two_layers("fc2", 2, CT_F64, true), two_layers("fc2", 2, CT_F32, true),
                    "ct_weights_load: w.safetensors: 1 mismatch: 'fc2/kernel' is f32 here, f64 in "
                    "file");
    expect_mismatch(two_layers("fc2", 2, CT_F32, false), two_layers("fc2", 2, CT_F32, true),
                    "ct_weights_load: w.safetensors: 1 mismatch: 'fc2/bias' only in file");
    expect_mismatch(two_layers("old", 2, CT_F32, false), two_layers("fc2", 2, CT_F32, false),
                    "ct_weights_load: w.safetensors: 4 mismatches: 'fc2/kernel' missing; "
                    "'fc2/bias' missing; 'old/kernel' only in file; 'old/bias' only in file");
    expect_mismatch(seed_model(false, CT_F32), two_layers("fc2", 2, CT_F32, false),
                    "ct_weights_load: w.safetensors: 14 mismatches: 'fc1/kernel' missing; "
                    "'fc1/bias' missing; 'fc2/kernel' missing; 'fc2/bias' missing; ...");
}

/* Names in files are data: what a terminal could obey is not passed on. */
WEIGHTS_TEST(names_in_files_are_shown_as_text) {
    ct_tensor *t = ct_scalar(CT_F32, 1);
    OK(ct_safetensors_save(file_name, &(ct_named){"%s\x1b[2J'", t}, 1, NULL, 0));
    ct_module *model = ct_flatten_new();
    cr_expect_eq(ct_weights_load(model, file_name), CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_weights_load: w.safetensors: 1 mismatch: "
                               "'%s\\x1b[2J\\x27' only in file");
    ct_module_free(model);
}

WEIGHTS_TEST(files_that_cannot_be_read_change_nothing) {
    ct_module *model = small_mlp();
    uint64_t before = state_hash(model, NULL);
    cr_expect_eq(ct_weights_load(model, "absent.safetensors"), CT_ERR_IO);
    cr_expect_not_null(strstr(ct_error_message(), "absent.safetensors"));
    ct_error_clear();
    cr_expect_eq(ct_weights_load(model, "."), CT_ERR_IO);
    ct_error_clear();
    FILE *out = fopen(file_name, "w");
    fputs("no safetensors file at all", out);
    fclose(out);
    cr_expect_eq(ct_weights_load(model, file_name), CT_ERR_FORMAT);
    ct_error_clear();
    cr_expect_eq(ct_weights_save(model, "/nowhere/w.safetensors"), CT_ERR_IO);
    ct_error_clear();
    cr_expect_eq(ct_weights_save(NULL, file_name), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_weights_save: 'model' is NULL");
    cr_expect_eq(ct_weights_load(model, NULL), CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_weights_load: 'path' is NULL");
    cr_expect_eq(state_hash(model, NULL), before);
    ct_module_free(model);
}
