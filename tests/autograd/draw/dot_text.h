/* Pictures as DOT, for tests that look for parts of them. */
#ifndef TESTS_DOT_TEXT_H
#define TESTS_DOT_TEXT_H

#include "tests/support/io_support.h"

#include "autograd/dot.h"
#include "tensor/base/alloc.h"

#include <string.h>

/* The text of a picture. The caller frees it. */
static __attribute__((unused, noinline)) char *text_of(ct_tensor *const roots[], int64_t n,
                                                       ct_dot_options options) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    ct_status status = ct_dot_write(out, roots, n, options);
    cr_assert_eq(status, CT_OK, "%s", ct_error_message());
    fclose(out);
    return text;
}

static __attribute__((unused, noinline)) int count(const char *text, const char *part) {
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part)) n++;
    return n;
}

static __attribute__((unused, noinline)) ct_tensor *vector(const char *name) {
    return ct_name(ct_from(CT_F64, CT_SHAPE(2), (double[]){1, 2}), name);
}

static __attribute__((unused, noinline)) char *file_text(const char *name) {
    uint8_t *bytes;
    size_t length;
    OK(cti_file_read("test", in_folder(name), &bytes, &length));
    char *text = calloc(length + 1, 1);
    memcpy(text, bytes, length);
    cti_free(bytes);
    return text;
}

#endif
