/* What data sets hold: the built-in digits; MNIST itself, from the directory that COTAN_TEST_MNIST
 * names (skipped without it: the project does not carry the files); and both without memory.
 * Not a test of how the digits look; that is test_digits.c.
 * Invariant: sizes, first labels and CRC-32 of MNIST are those of the published files. */
#include "datasets/datasets.h"
#include "datasets/digits/digits.h"
#include "tensor/runtime.h"
#include "tests/support/idx_files.h"

enum { PIXELS = CTI_DIGIT_PIXELS };

/* --- The built-in digits ------------------------------------------------------------------ */

TEST(dataset_values, digits_are_those_of_the_renderer) {
    ct_dataset *d = ct_dataset_digits(300, 20, 77), *fewer = ct_dataset_digits(1, 20, 77);
    cr_assert(d && fewer);
    cr_expect_str_eq(d->name, "built-in digits");
    const uint8_t *train = ct_data(d->train_images), *test = ct_data(d->test_images);
    for (int64_t i = 0; i < 300; i++) {
        uint8_t pixels[PIXELS], label;
        cti_digit_render(77, i, pixels, &label);
        cr_expect_arr_eq(train + i * PIXELS, pixels, PIXELS);
        cr_expect_eq(((const int64_t *)ct_data(d->train_labels))[i], label);
        for (int k = 0; k < 20; k++) cr_expect(memcmp(test + k * PIXELS, pixels, PIXELS));
    }
    cr_expect_arr_eq(ct_data(fewer->test_images), test, 20 * PIXELS);
    cr_expect_arr_eq(ct_data(fewer->train_images), train, PIXELS);
    ct_dataset_free(d);
    ct_dataset_free(fewer);
    d = ct_dataset_digits(0, 0, 1);
    cr_expect(d && ct_numel(d->train_images) == 0);
    ct_dataset_free(d);
}

TEST(dataset_values, digits_do_not_depend_on_threads) {
    ct_dataset *d[3];
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(ct_threads_set(1 + 2 * i), CT_OK);
        d[i] = ct_dataset_digits(2000, 300, 5);
        cr_assert_not_null(d[i]);
    }
    for (int i = 1; i < 3; i++) {
        cr_expect_arr_eq(ct_data(d[i]->train_images), ct_data(d[0]->train_images), 2000 * PIXELS);
        cr_expect_arr_eq(ct_data(d[i]->train_labels), ct_data(d[0]->train_labels), 2000 * 8);
        cr_expect_arr_eq(ct_data(d[i]->test_images), ct_data(d[0]->test_images), 300 * PIXELS);
    }
    for (int i = 0; i < 3; i++) ct_dataset_free(d[i]);
}

TEST(dataset_values, digits_that_are_refused) {
    cr_expect_null(ct_dataset_digits(-1, 10, 0));
    expect_error(CT_ERR_RANGE, "ct_dataset_digits: n_train must be 0..2^40, got -1");
    cr_expect_null(ct_dataset_digits(INT64_MAX, 10, 0));
    expect_error(CT_ERR_RANGE,
                 "ct_dataset_digits: n_train must be 0..2^40, got 9223372036854775807");
    cr_expect_null(ct_dataset_digits(10, -1, 0));
    expect_error(CT_ERR_RANGE, "ct_dataset_digits: n_test must be 0..2^40, got -1");
    cr_expect_null(ct_dataset_digits(10, INT64_MAX, 0));
    expect_error(CT_ERR_RANGE,
                 "ct_dataset_digits: n_test must be 0..2^40, got 9223372036854775807");
}

/* --- MNIST -------------------------------------------------------------------------------- */

static unsigned long checksum(ct_tensor *t) { return crc32(0, ct_data(t), (uInt)ct_numel(t)); }

/* Labels are bytes in the file and i64 in memory. */
static unsigned long label_checksum(ct_tensor *t) {
    const int64_t *labels = ct_data(t);
    unsigned long crc = 0;
    for (int64_t i = 0; i < ct_numel(t); i++) crc = crc32(crc, &(uint8_t){(uint8_t)labels[i]}, 1);
    return crc;
}

TEST(dataset_values, mnist) {
    const char *directory = getenv("COTAN_TEST_MNIST");
    if (!directory) cr_skip_test("COTAN_TEST_MNIST is not set");
    ct_dataset *d = ct_dataset_open(directory);
    cr_assert_not_null(d, "%s", ct_error_message());
    cr_expect(ct_shape_equal(ct_shape_of(d->train_images), CT_SHAPE(60000, 28, 28, 1)));
    cr_expect(ct_shape_equal(ct_shape_of(d->train_labels), CT_SHAPE(60000)));
    cr_expect(ct_shape_equal(ct_shape_of(d->test_images), CT_SHAPE(10000, 28, 28, 1)));
    cr_expect(ct_shape_equal(ct_shape_of(d->test_labels), CT_SHAPE(10000)));
    cr_expect_arr_eq(ct_data(d->train_labels), ((int64_t[]){5, 0, 4, 1, 9}), 40);
    cr_expect_arr_eq(ct_data(d->test_labels), ((int64_t[]){7, 2, 1, 0, 4}), 40);
    cr_expect_eq(checksum(d->train_images), 0xf3639b56);
    cr_expect_eq(label_checksum(d->train_labels), 0xba07e8ef);
    cr_expect_eq(checksum(d->test_images), 0xe4ca5f57);
    cr_expect_eq(label_checksum(d->test_labels), 0xee8604d9);
    ct_dataset_free(d);
}

/* --- Out of memory ------------------------------------------------------------------------ */

static ct_dataset *open_either(const char *directory) {
    return directory ? ct_dataset_open(directory) : ct_dataset_digits(20, 10, 3);
}

/* Built-in digits and one tiny directory, with each allocation failing in turn. */
static void fail_everywhere(const char *directory) {
    for (int persistent = 0; persistent < 2; persistent++) {
        ct_dataset *d = NULL;
        for (int nth = 1; !d; nth++) {
            cr_assert_lt(nth, 200);
            ct_mem_fail_at(nth, persistent);
            d = open_either(directory);
            ct_mem_fail_at(0, false);
            if (d) break;
            cr_expect_eq(ct_error(), CT_ERR_MEMORY, "%s", ct_error_message());
            ct_error_clear();
            cr_expect_eq(ct_mem_read().live_bytes, live_before());
        }
        ct_dataset_free(d);
        cti_intern_clear(); /* the images' name */
    }
}

TEST(dataset_values, out_of_memory_at_every_allocation) {
    fail_everywhere(NULL);
    folder f = folder_new();
    static const char *const stems[] = {"train", "t10k"};
    for (int i = 0; i < 2; i++) {
        char name[64];
        file_bytes images = idx_file(0x08, COUNTS(3, 28, 28), NULL, 3 * 28 * 28);
        snprintf(name, sizeof name, "%s-images-idx3-ubyte.gz", stems[i]);
        folder_write(f, name, packed(images));
        free(images.bytes);
        snprintf(name, sizeof name, "%s-labels-idx1-ubyte", stems[i]);
        folder_write(f, name, idx_file(0x08, COUNTS(3), NULL, 3));
    }
    fail_everywhere(f.path);
    folder_free(f);
}
