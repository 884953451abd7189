/* Data sets: the lookup order, the files' names and what is refused.
 * Not a test of the parser (test_idx.c) nor of the data themselves (test_dataset_values.c).
 * Invariant: a directory that was named is used or refused, never replaced. */
#include "datasets/datasets.h"
#include "tests/support/idx_files.h"

#include <sys/stat.h>

/* The user's own settings play no part. */
static void forget_settings(void) {
    unsetenv("COTAN_DATA");
    setenv("XDG_CACHE_HOME", "/nonexistent", 1);
}

enum { PIXELS = 28 * 28 };

static file_bytes images(int64_t n, uint8_t first) {
    uint8_t *pixels = malloc((size_t)n * PIXELS + 1);
    for (int64_t i = 0; i < n * PIXELS; i++) pixels[i] = (uint8_t)(first + i % 251);
    file_bytes file = idx_file(0x08, COUNTS((uint32_t)n, 28, 28), pixels, (size_t)n * PIXELS);
    free(pixels);
    return file;
}

static file_bytes labels(int64_t n) {
    uint8_t classes[256];
    for (int64_t i = 0; i < n; i++) classes[i] = (uint8_t)(i % 10);
    return idx_file(0x08, COUNTS((uint32_t)n), classes, (size_t)n);
}

static file_bytes zip(file_bytes plain) {
    file_bytes file = packed(plain);
    free(plain.bytes);
    return file;
}

/* 12 training and 5 test items. */
static folder good_folder(void) {
    folder f = folder_new();
    folder_write(f, "train-images-idx3-ubyte", images(12, 0));
    folder_write(f, "train-labels-idx1-ubyte", labels(12));
    folder_write(f, "t10k-images-idx3-ubyte", images(5, 100));
    folder_write(f, "t10k-labels-idx1-ubyte", labels(5));
    return f;
}

static void expect_good(const ct_dataset *d) {
    cr_assert_not_null(d, "%s", ct_error_message());
    cr_expect(ct_shape_equal(ct_shape_of(d->train_images), CT_SHAPE(12, 28, 28, 1)));
    cr_expect(ct_shape_equal(ct_shape_of(d->test_images), CT_SHAPE(5, 28, 28, 1)));
    cr_expect(ct_shape_equal(ct_shape_of(d->train_labels), CT_SHAPE(12)));
    cr_expect(ct_shape_equal(ct_shape_of(d->test_labels), CT_SHAPE(5)));
    cr_expect(ct_dtype_of(d->train_images) == CT_U8 && ct_dtype_of(d->test_images) == CT_U8);
    cr_expect(ct_dtype_of(d->train_labels) == CT_I64 && ct_dtype_of(d->test_labels) == CT_I64);
    cr_expect_eq(((const uint8_t *)ct_data(d->train_images))[252], 1);
    cr_expect_eq(((const uint8_t *)ct_data(d->test_images))[252], 101);
    cr_expect_eq(((const int64_t *)ct_data(d->train_labels))[11], 1);
    cr_expect_eq(((const int64_t *)ct_data(d->test_labels))[4], 4);
    cr_expect_eq(d->classes, 10);
}

TEST_WITH(dataset, every_spelling, forget_settings, NULL) {
    folder f = good_folder();
    ct_dataset *d = ct_dataset_open(f.path);
    expect_good(d);
    cr_expect_str_eq(d->name, f.path);
    cr_expect_str_eq(ct_name_of(d->train_images), f.path);
    cr_expect_str_eq(ct_name_of(d->test_images), f.path);
    ct_dataset_free(d);
    folder_free(f);

    f = folder_new();
    folder_write(f, "train-images-idx3-ubyte.gz", zip(images(12, 0)));
    folder_write(f, "train-labels-idx1-ubyte.gz", zip(labels(12)));
    folder_write(f, "t10k-images.idx3-ubyte", images(5, 100));
    folder_write(f, "t10k-labels.idx1-ubyte.gz", zip(labels(5)));
    d = ct_dataset_open(f.path);
    expect_good(d);
    ct_dataset_free(d);
    folder_free(f);
    ct_dataset_free(NULL);
}

/* Kaggle's archives: each file in a folder of its name, some beside it once more. */
TEST_WITH(dataset, a_folder_for_each_file, forget_settings, NULL) {
    static const char *const folders[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                          "t10k-images-idx3-ubyte", "t10k-labels.idx1-ubyte.gz"};
    folder f = folder_new();
    for (int i = 0; i < 4; i++) mkdir(folder_path(f, folders[i]).text, 0700);
    folder_write(f, "train-images-idx3-ubyte/train-images-idx3-ubyte", images(12, 0));
    folder_write(f, "train-labels-idx1-ubyte/train-labels.idx1-ubyte", labels(12));
    folder_write(f, "t10k-images.idx3-ubyte", images(5, 100));
    folder_write(f, "t10k-labels.idx1-ubyte.gz/t10k-labels-idx1-ubyte.gz", zip(labels(5)));
    ct_dataset *d = ct_dataset_open(f.path);
    expect_good(d);
    ct_dataset_free(d);
    /* What is wrong inside is said by the path inside. */
    folder_write(f, "train-images-idx3-ubyte/train-images-idx3-ubyte", labels(12));
    cr_expect_null(ct_dataset_open(f.path));
    char message[1024];
    snprintf(message, sizeof message,
             "%s/train-images-idx3-ubyte/train-images-idx3-ubyte: images "
             "need rank 3 or 4, got rank 1",
             f.path);
    expect_error(CT_ERR_FORMAT, message);
    unlink(folder_path(f, "train-images-idx3-ubyte/train-images-idx3-ubyte").text);
    unlink(folder_path(f, "train-labels-idx1-ubyte/train-labels.idx1-ubyte").text);
    unlink(folder_path(f, "t10k-labels.idx1-ubyte.gz/t10k-labels-idx1-ubyte.gz").text);
    for (int i = 0; i < 4; i++) rmdir(folder_path(f, folders[i]).text);
    folder_free(f);
}

TEST_WITH(dataset, images_of_rank_4, forget_settings, NULL) {
    folder f = good_folder();
    file_bytes flat = images(12, 0);
    folder_write(f, "train-images-idx3-ubyte",
                 idx_file(0x08, COUNTS(12, 28, 28, 1), flat.bytes + 16, 12 * PIXELS));
    free(flat.bytes);
    ct_dataset *d = ct_dataset_open(f.path);
    expect_good(d);
    ct_dataset_free(d);
    folder_free(f);
}

/* --- Refusals ----------------------------------------------------------------------------- */

static void refuse(folder f, const char *name, file_bytes bad, const char *message) {
    char whole[1024];
    snprintf(whole, sizeof whole, "%s/%s: %s", f.path, name, message);
    folder_write(f, name, bad);
    cr_expect_null(ct_dataset_open(f.path));
    expect_error(CT_ERR_FORMAT, whole);
}

TEST_WITH(dataset, bad_images, forget_settings, NULL) {
    folder f = good_folder();
    const char *name = "train-images-idx3-ubyte";
    refuse(f, name, labels(12), "images need rank 3 or 4, got rank 1");
    refuse(f, name, images(11, 0), "images have 11 items, labels 12");
    refuse(f, name, idx_file(0x08, COUNTS(12, 2, 28), NULL, 12 * 56),
           "images must be [12,28,28,1], got [12,2,28]");
    refuse(f, name, idx_file(0x08, COUNTS(12, 28, 2), NULL, 12 * 56),
           "images must be [12,28,28,1], got [12,28,2]");
    refuse(f, name, idx_file(0x08, COUNTS(1, 28, 28, 3), NULL, 3 * PIXELS),
           "images must be [1,28,28,1], got [1,28,28,3]");
    refuse(f, name, idx_file(0x0D, COUNTS(1, 28, 28), NULL, 4 * PIXELS),
           "images need elements of type u8, got f32");
    refuse(f, name, idx_file(0x08, COUNTS(60000, 28, 28), NULL, 31000),
           "header promises 47040000 bytes, file has 31000 at byte 16");
    refuse(f, name, zip(idx_file(0x08, COUNTS(12, 28, 28), NULL, 12 * PIXELS - 1)),
           "header promises 9408 bytes, file has 9407 at byte 16");
    folder_free(f);
}

TEST_WITH(dataset, bad_labels, forget_settings, NULL) {
    folder f = good_folder();
    const char *name = "t10k-labels-idx1-ubyte";
    refuse(f, name, images(5, 0), "labels need rank 1, got rank 3");
    refuse(f, name, idx_file(0x08, COUNTS(5), (const uint8_t[]){0, 9, 4, 10, 255}, 5),
           "label must be in 0..9, got 10 at item 3");
    refuse(f, name, idx_file(0x0C, COUNTS(5), NULL, 20),
           "labels need elements of type u8, got i64");
    /* The message names the images, whose number is as likely to be wrong. */
    folder_write(f, name, labels(6));
    cr_expect_null(ct_dataset_open(f.path));
    char message[512];
    snprintf(message, sizeof message, "%s/t10k-images-idx3-ubyte: images have 5 items, labels 6",
             f.path);
    expect_error(CT_ERR_FORMAT, message);
    folder_free(f);
}

static void expect_missing(const char *directory, const char *message) {
    char whole[1024];
    snprintf(whole, sizeof whole, "ct_dataset_open: %s%s", directory, message);
    cr_expect_null(ct_dataset_open(directory));
    expect_error(CT_ERR_IO, whole);
}

TEST_WITH(dataset, missing_files, forget_settings, NULL) {
    folder f = folder_new();
    expect_missing(f.path, " lacks train-images-idx3-ubyte[.gz], train-labels-idx1-ubyte[.gz], "
                           "t10k-images-idx3-ubyte[.gz], t10k-labels-idx1-ubyte[.gz]");
    folder_free(f);
    f = good_folder();
    unlink(folder_path(f, "t10k-images-idx3-ubyte").text);
    expect_missing(f.path, " lacks t10k-images-idx3-ubyte[.gz]");
    /* A name that is there but is no file. */
    mkdir(folder_path(f, "t10k-images-idx3-ubyte").text, 0700);
    cr_expect_null(ct_dataset_open(f.path));
    char message[1024];
    snprintf(message, sizeof message,
             "ct_dataset_open: %s/t10k-images-idx3-ubyte: is a directory, "
             "expected a regular file",
             f.path);
    expect_error(CT_ERR_IO, message);
    rmdir(folder_path(f, "t10k-images-idx3-ubyte").text);
    /* So is one that leads nowhere but to itself. */
    file_path loop = folder_path(f, "t10k-images-idx3-ubyte");
    cr_assert_eq(symlink(loop.text, loop.text), 0);
    cr_expect_null(ct_dataset_open(f.path));
    snprintf(message, sizeof message, "ct_dataset_open: %s: Too many levels of symbolic links",
             loop.text);
    expect_error(CT_ERR_IO, message);
    unlink(loop.text);
    expect_missing(folder_path(f, "train-labels-idx1-ubyte").text, ": Not a directory");
    expect_missing(folder_path(f, "nowhere").text, ": No such file or directory");
    expect_missing("", ": No such file or directory");
    folder_free(f);

    char longer[5000];
    memset(longer, 'n', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    cr_expect_null(ct_dataset_open(longer));
    cr_expect(strstr(ct_error_message(), "nnn: File name too long"));
    ct_error_clear();
}

/* --- Where to look ------------------------------------------------------------------------ */

/* Moves the four files to <f>/cotan/mnist, or back. */
static void move_to_cache(folder f, bool there) {
    if (there) {
        mkdir(folder_path(f, "cotan").text, 0700);
        mkdir(folder_path(f, "cotan/mnist").text, 0700);
    }
    static const char *const stems[] = {"train-images-idx3", "train-labels-idx1",
                                        "t10k-images-idx3", "t10k-labels-idx1"};
    for (int i = 0; i < 4; i++) {
        char here[64], away[64];
        snprintf(here, sizeof here, "%s-ubyte", stems[i]);
        snprintf(away, sizeof away, "cotan/mnist/%s-ubyte", stems[i]);
        cr_assert_eq(rename(folder_path(f, there ? here : away).text,
                            folder_path(f, there ? away : here).text),
                     0);
    }
    if (!there) {
        rmdir(folder_path(f, "cotan/mnist").text);
        rmdir(folder_path(f, "cotan").text);
    }
}

static void expect_from(const char *argument, const char *directory) {
    ct_dataset *d = ct_dataset_open(argument);
    expect_good(d);
    cr_expect_str_eq(d->name, directory);
    ct_dataset_free(d);
}

TEST_WITH(dataset, lookup_order, forget_settings, NULL) {
    folder given = good_folder(), variable = good_folder(), cache = good_folder();
    move_to_cache(cache, true);
    file_path cached = folder_path(cache, "cotan/mnist");
    setenv("XDG_CACHE_HOME", cache.path, 1);
    setenv("COTAN_DATA", variable.path, 1);
    expect_from(given.path, given.path);
    expect_from(NULL, variable.path);
    setenv("COTAN_DATA", "", 1);
    expect_from(NULL, cached.text);
    unsetenv("COTAN_DATA");
    expect_from(NULL, cached.text);
    /* ~/.cache when the variable is not an absolute path. */
    file_path dot_cache = folder_path(given, ".cache");
    cr_assert_eq(symlink(cache.path, dot_cache.text), 0);
    setenv("HOME", given.path, 1);
    setenv("XDG_CACHE_HOME", "relative", 1);
    char name[1024];
    snprintf(name, sizeof name, "%s/cotan/mnist", dot_cache.text);
    expect_from(NULL, name);
    unlink(dot_cache.text);
    /* What is named is never replaced, and a bad file in a complete cache is an error too. */
    setenv("XDG_CACHE_HOME", cache.path, 1);
    setenv("COTAN_DATA", "/nonexistent", 1);
    cr_expect_null(ct_dataset_open(NULL));
    expect_error(CT_ERR_IO, "ct_dataset_open: /nonexistent: No such file or directory");
    unsetenv("COTAN_DATA");
    folder_write(cache, "cotan/mnist/train-labels-idx1-ubyte", labels(11));
    cr_expect_null(ct_dataset_open(NULL));
    cr_expect(strstr(ct_error_message(), "images have 12 items, labels 11"));
    ct_error_clear();
    move_to_cache(cache, false);
    folder_free(given);
    folder_free(variable);
    folder_free(cache);
}

static void expect_digits(void) {
    ct_dataset *d = ct_dataset_open(NULL);
    cr_assert_not_null(d);
    cr_expect_str_eq(d->name, "built-in digits");
    cr_expect_str_eq(ct_name_of(d->train_images), "built-in digits");
    cr_expect(ct_shape_equal(ct_shape_of(d->train_images), CT_SHAPE(60000, 28, 28, 1)));
    cr_expect(ct_shape_equal(ct_shape_of(d->test_labels), CT_SHAPE(10000)));
    ct_dataset_free(d);
}

TEST_WITH(dataset, digits_when_there_is_no_complete_cache, forget_settings, NULL) {
    folder cache = good_folder();
    move_to_cache(cache, true);
    setenv("XDG_CACHE_HOME", cache.path, 1);
    file_path one = folder_path(cache, "cotan/mnist/t10k-labels-idx1-ubyte");
    file_path aside = folder_path(cache, "aside");
    rename(one.text, aside.text);
    expect_digits();
    rename(aside.text, one.text);
    move_to_cache(cache, false);
    folder_free(cache);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    expect_digits();
}
