/* Weights in files: a round trip of every bit, what is said when file and model differ, and loading
 * weights of other models. */
#include "tests/support/nn_support.h"

#include "tensor/group.h"
#include "tensor/safetensors.h"

#include <stdio.h>
#include <unistd.h>

static char folder[256];

static void open_folder(void) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/cotan-weights-XXXXXX", base ? base : "/tmp");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0); /* messages show the path as it was given */
}

static void close_folder(void) {
    unlink("w.safetensors");
    cr_expect_eq(rmdir(folder), 0, "a file was left behind");
}

#define WEIGHTS_TEST(name) TEST_WITH(weights, name, open_folder, close_folder)

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

/* Each process would be rank 0, and all write one file. */
WEIGHTS_TEST(who_could_not_join_a_group_writes_no_file) {
    ct_module *model = two_layers("fc2", 2, CT_F32, false);
    EXPECT(ct_group_use(NULL, (ct_group_options){0}) == CT_ERR_NULL);
    ct_error_clear();
    EXPECT(ct_weights_save(model, file_name) == CT_ERR_STATE);
    expect_error(CT_ERR_STATE,
                 "ct_weights_save: ct_group_use failed, so this process would go on without the "
                 "others; ct_group_use_none() if that is meant");
    EXPECT(access(file_name, F_OK) != 0);
    ct_group_use_none();
    OK(ct_weights_save(model, file_name));
    ct_module_free(model);
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

/* --- Weights of other models ------------------------------------------------------------------ */

/* The report as lines "reason name: text". */
static const char *lines(const ct_weights_report *report) {
    static const char *const reasons[] = {"missing", "unfit", "unused"};
    static char text[4000];
    size_t used = 0;
    text[0] = '\0';
    for (int64_t i = 0; i < report->count; i++) {
        const ct_weights_difference *d = &report->items[i];
        used += (size_t)snprintf(text + used, sizeof text - used, "%s %s: %s\n", reasons[d->reason],
                                 d->name, d->text);
    }
    return text;
}

static double value_at(ct_module *model, const char *slot) {
    return element(read_slot(model, slot), 0);
}

static void fill(ct_module *model, const char *slot, double value) {
    int64_t scope = ct_scope_open();
    ct_tensor *here = read_slot(model, slot);
    ct_tensor *filled = ct_full(ct_dtype_of(here), ct_shape_of(here), value);
    OK(ct_slot_write(slot_at(model, slot), filled));
    ct_scope_close(scope);
}

/* A model in whose slots the numbers 1, 2, 3 stand. */
static ct_module *numbered(ct_module *model) {
    ct_slot_list list;
    OK(ct_module_list(model, &list));
    for (int64_t i = 0; i < list.count; i++) fill(model, list.items[i].path, (double)i + 1);
    ct_slot_list_free(&list);
    return model;
}

WEIGHTS_TEST(what_fits_is_loaded_on_request) {
    ct_module *saved = numbered(two_layers("fc2", 5, CT_F32, true));
    ct_module *model = two_layers("fc2", 2, CT_F32, false);
    fill(model, "fc2/kernel", 20), fill(model, "fc2/bias", 30);
    OK(ct_weights_save(saved, file_name));
    ct_weights_report report;
    OK(ct_weights_load_with(model, file_name, (ct_weights_load_options){.partial = true}, &report));
    cr_expect_eq(report.loaded, 2);
    cr_expect_str_eq(lines(&report), "unfit fc2/kernel: 'fc2/kernel' is [3,2] here, [3,5] in file\n"
                                     "missing fc2/bias: 'fc2/bias' missing\n");
    cr_expect_eq(value_at(model, "fc1/kernel"), 1);
    cr_expect_eq(value_at(model, "fc1/bias"), 2);
    cr_expect_eq(value_at(model, "fc2/kernel"), 20);
    cr_expect_eq(value_at(model, "fc2/bias"), 30);
    ct_weights_report_free(&report);
    cr_expect(report.count == 0 && !report.items);
    /* The other way round the file has more; and nobody has to look. */
    OK(ct_weights_save(model, file_name));
    OK(ct_weights_load_with(saved, file_name, (ct_weights_load_options){.partial = true}, NULL));
    OK(ct_weights_load_with(saved, file_name, (ct_weights_load_options){.partial = true}, &report));
    cr_expect_str_eq(lines(&report), "unfit fc2/kernel: 'fc2/kernel' is [3,5] here, [3,2] in file\n"
                                     "unused fc2/bias: 'fc2/bias' only in file\n");
    ct_weights_report_free(&report);
    ct_weights_report_free(NULL);
    ct_module_free(saved);
    ct_module_free(model);
}

WEIGHTS_TEST(names_may_differ) {
    ct_module *saved = numbered(two_layers("fc2", 2, CT_F32, false));
    ct_module *inner = two_layers("fc2", 2, CT_F32, false), *twin = ct_flatten_new();
    OK(ct_module_rename(inner, "encoder"));
    ct_module *model = CT_SEQUENTIAL("whole", inner, twin);
    OK(ct_weights_save(saved, file_name));
    cr_expect_eq(ct_weights_load(model, file_name), CT_ERR_SHAPE);
    ct_error_clear();
    /* The first pair that holds decides. */
    const ct_weights_name names[] = {{"encoder/fc2/", "fc2/"},
                                     {"encoder/fc1/kernel", "fc2/bias"},
                                     {"encoder/", ""},
                                     {"", "nonsense/"}};
    OK(ct_weights_load_with(model, file_name,
                            (ct_weights_load_options){.names = names + 2, .n_names = 2}, NULL));
    cr_expect_eq(value_at(model, "encoder/fc1/kernel"), 1);
    cr_expect_eq(value_at(model, "encoder/fc2/bias"), 4);
    ct_weights_report report;
    cr_expect_eq(ct_weights_load_with(model, file_name,
                                      (ct_weights_load_options){.names = names, .n_names = 4},
                                      &report),
                 CT_ERR_SHAPE);
    cr_expect_str_eq(lines(&report),
                     "unfit encoder/fc1/kernel: 'encoder/fc1/kernel' is [4,3] here, [2] in file "
                     "('fc2/bias')\n"
                     "unused fc1/kernel: 'fc1/kernel' only in file\n");
    cr_expect_eq(report.loaded, 0);
    expect_error(CT_ERR_SHAPE,
                 "ct_weights_load_with: w.safetensors: 2 mismatches: "
                 "'encoder/fc1/kernel' is [4,3] here, [2] in file ('fc2/bias'); 'fc1/kernel' only "
                 "in file");
    ct_weights_report_free(&report);
    /* A name without a slash at its end is a whole one. */
    const ct_weights_name wrong[] = {{"encoder/fc2", "fc2"}, {"decoder/", ""}};
    cr_expect_eq(ct_weights_load_with(model, file_name,
                                      (ct_weights_load_options){.names = wrong, .n_names = 2},
                                      NULL),
                 CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE, "ct_weights_load_with: names[0]: no slot is called 'encoder/fc2'; a "
                               "beginning of paths ends in '/'");
    cr_expect_eq(ct_weights_load_with(model, file_name,
                                      (ct_weights_load_options){.names = wrong + 1, .n_names = 1},
                                      NULL),
                 CT_ERR_RANGE);
    expect_error(CT_ERR_RANGE,
                 "ct_weights_load_with: names[0]: no slot's path begins with 'decoder/'");
    ct_module_free(saved);
    ct_module_free(model);
}

static void expect_start(const char *start) {
    cr_expect(strncmp(ct_error_message(), start, strlen(start)) == 0, "%s", ct_error_message());
    ct_error_clear();
}

/* What is wanted of a checkpoint of which only the model is needed. */
WEIGHTS_TEST(the_weights_of_a_checkpoint) {
    ct_module *saved = numbered(two_layers("fc2", 2, CT_F32, false));
    ct_module *model = two_layers("fc2", 2, CT_F32, false);
    ct_optimizer *sgd = ct_sgd_new(saved, (ct_sgd_options){.rate = ct_rate(0.1)});
    OK(ct_checkpoint_save(file_name, saved, sgd, (ct_position){0}));
    ct_optimizer_free(sgd);
    cr_expect_eq(ct_weights_load(model, file_name), CT_ERR_SHAPE);
    expect_start("ct_weights_load: w.safetensors: a checkpoint, which ct_checkpoint_load reads, or "
                 "ct_weights_load_with with the name {\"\", \"model/\"}: 10 "
                 "mismatches: 'fc1/kernel' missing; ");
    const ct_weights_name names = {"", "model/"};
    ct_weights_report report;
    cr_expect_eq(
        ct_weights_load_with(model, file_name, (ct_weights_load_options){.partial = true}, &report),
        CT_ERR_SHAPE);
    ct_weights_report_free(&report);
    expect_start("ct_weights_load_with: w.safetensors: a checkpoint, which ct_checkpoint_load "
                 "reads, or ct_weights_load_with with the name {\"\", \"model/\"}: "
                 "nothing fits, ");
    ct_weights_load_options whole = {.names = &names, .n_names = 1};
    OK(ct_weights_load_with(model, file_name, whole, &report));
    cr_expect(report.loaded == 4 && report.count == 0);
    cr_expect_eq(state_hash(model, NULL), state_hash(saved, NULL));
    ct_weights_report_free(&report);
    ct_module_free(saved);
    ct_module_free(model);
}

/* Two slots may take the same tensor. */
WEIGHTS_TEST(one_tensor_for_two_slots) {
    ct_module *saved = numbered(two_layers("fc2", 3, CT_F32, false));
    ct_module *model = two_layers("fc2", 3, CT_F32, false);
    OK(ct_weights_save(saved, file_name));
    const ct_weights_name names = {"fc2/bias", "fc1/bias"};
    OK(ct_weights_load_with(
        model, file_name, (ct_weights_load_options){.partial = true, .names = &names, .n_names = 1},
        NULL));
    cr_expect_eq(value_at(model, "fc1/bias"), 2);
    cr_expect_eq(value_at(model, "fc2/bias"), 2);
    ct_module_free(saved);
    ct_module_free(model);
}

WEIGHTS_TEST(a_partial_load_of_nothing_is_an_error) {
    ct_module *saved = two_layers("old", 2, CT_F64, true), *model = small_cnn(0);
    OK(ct_weights_save(saved, file_name));
    uint64_t before = state_hash(model, NULL);
    ct_weights_report report;
    cr_expect_eq(
        ct_weights_load_with(model, file_name, (ct_weights_load_options){.partial = true}, &report),
        CT_ERR_SHAPE);
    cr_expect(strstr(ct_error_message(), "ct_weights_load_with: w.safetensors: nothing fits, 11 "
                                         "mismatches: 'conv2d/kernel' missing; "),
              "%s", ct_error_message());
    ct_error_clear();
    cr_expect_eq(report.count, 11);
    cr_expect_eq(report.loaded, 0);
    ct_weights_report_free(&report);
    cr_expect_eq(state_hash(model, NULL), before);
    ct_module_free(saved);
    ct_module_free(model);
}

/* --- Weights of other types ------------------------------------------------------------------- */

/* A file of one tensor, as training in half precision leaves it. */
static void write_tensor(const char *type, const char *shape, const uint8_t *data, size_t n) {
    char header[200];
    int length = snprintf(header, sizeof header,
                          "{\"kernel\":{\"dtype\":\"%s\",\"shape\":%s,"
                          "\"data_offsets\":[0,%zu]}}",
                          type, shape, n);
    FILE *out = fopen(file_name, "wb");
    MADE(out);
    for (int i = 0; i < 8; i++) fputc((int)((uint64_t)length >> 8 * i & 255), out);
    fwrite(header, 1, (size_t)length, out);
    fwrite(data, 1, n, out);
    fclose(out);
}

WEIGHTS_TEST(of_half_precision_load_into_f32) {
    ct_module *model = ct_dense_new(2, 1, (ct_dense_options){.no_bias = true});
    static const uint8_t brain[] = {0x80, 0x3f, 0x49, 0xc0}, half[] = {0x00, 0x3e, 0xff, 0x7b};
    write_tensor("BF16", "[2,1]", brain, 4);
    OK(ct_weights_load(model, file_name));
    cr_expect_eq(element(read_slot(model, "kernel"), 0), 1);
    cr_expect_eq(element(read_slot(model, "kernel"), 1), -3.140625);
    write_tensor("F16", "[2,1]", half, 4);
    OK(ct_weights_load(model, file_name));
    cr_expect_eq(element(read_slot(model, "kernel"), 0), 1.5);
    cr_expect_eq(element(read_slot(model, "kernel"), 1), 65504);
    /* What does not fit is said by the name that the file has for it. */
    write_tensor("I32", "[2,1]", (const uint8_t[8]){0}, 8);
    cr_expect_eq(ct_weights_load(model, file_name), CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_weights_load: w.safetensors: 1 mismatch: 'kernel' is f32 here, "
                               "I32 in file");
    write_tensor("F8_E5M2", "[2,1]", half, 2);
    cr_expect_eq(ct_weights_load(model, file_name), CT_ERR_SHAPE);
    expect_error(CT_ERR_SHAPE, "ct_weights_load: w.safetensors: 1 mismatch: 'kernel' is f32 here, "
                               "F8_E5M2 in file");
    cr_expect_eq(element(read_slot(model, "kernel"), 1), 65504);
    ct_module_free(model);
}

/* --- Misuse, and running out of memory -------------------------------------------------------- */

static void expect_refused(ct_weights_load_options options, ct_status status, const char *text) {
    ct_module *model = small_mlp();
    ct_weights_report report;
    cr_expect_eq(ct_weights_load_with(model, file_name, options, &report), status);
    expect_error(status, text);
    cr_expect(report.count == 0 && !report.items && report.loaded == 0);
    ct_module_free(model);
}

WEIGHTS_TEST(misuse_is_an_error) {
    ct_module *model = small_mlp();
    OK(ct_weights_save(model, file_name));
    ct_module_free(model);
    char longest[1100];
    memset(longest, 'n', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    const ct_weights_name names[] = {{"", "a"}, {NULL, "a"}, {"a", NULL}, {"", longest}};
    expect_refused((ct_weights_load_options){.n_names = 1}, CT_ERR_NULL,
                   "ct_weights_load_with: 'names' is NULL");
    expect_refused((ct_weights_load_options){.n_names = -1, .names = names}, CT_ERR_RANGE,
                   "ct_weights_load_with: n_names must be >= 0, got -1");
    expect_refused((ct_weights_load_options){.n_names = 2, .names = names}, CT_ERR_NULL,
                   "ct_weights_load_with: 'model' of name 1 is NULL");
    expect_refused((ct_weights_load_options){.n_names = 1, .names = names + 2}, CT_ERR_NULL,
                   "ct_weights_load_with: 'file' of name 0 is NULL");
    expect_refused((ct_weights_load_options){.n_names = 1, .names = names + 3}, CT_ERR_RANGE,
                   "ct_weights_load_with: the name in the file of 'dense/kernel' is longer than "
                   "1024 bytes");
    ct_weights_report report;
    cr_expect_eq(ct_weights_load_with(NULL, file_name, (ct_weights_load_options){0}, &report),
                 CT_ERR_NULL);
    expect_error(CT_ERR_NULL, "ct_weights_load_with: 'model' is NULL");
    cr_expect(report.count == 0 && !report.items);
}

WEIGHTS_TEST(out_of_memory_changes_nothing) {
    ct_module *saved = numbered(two_layers("fc2", 5, CT_F32, true));
    ct_module *model = two_layers("fc2", 2, CT_F32, false);
    OK(ct_weights_save(saved, file_name));
    uint64_t before = state_hash(model, NULL);
    int64_t live = ct_mem_read().live_bytes, k = 1;
    for (ct_status status = CT_ERR_MEMORY; status != CT_OK; k++) {
        ct_weights_report report;
        ct_mem_fail_at(k, k % 2);
        status = ct_weights_load_with(model, file_name, (ct_weights_load_options){.partial = true},
                                      &report);
        ct_mem_fail_at(0, false);
        if (status != CT_OK) {
            cr_expect_eq(ct_error(), CT_ERR_MEMORY, "%s", ct_error_message());
            cr_expect(report.count == 0 && !report.items);
            cr_expect_eq(state_hash(model, NULL), before);
            cr_expect_eq(ct_mem_read().live_bytes, live, "allocation %lld", (long long)k);
        }
        ct_weights_report_free(&report);
        ct_error_clear();
        cr_assert_lt(k, 1000);
    }
    cr_expect_gt(k, 20);
    cr_expect_neq(state_hash(model, NULL), before);
    ct_module_free(saved);
    ct_module_free(model);
}
