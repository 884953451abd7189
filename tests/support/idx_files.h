/* IDX files for tests: made in memory, packed, written to a folder of their own. */
#ifndef COTAN_TESTS_IDX_FILES_H
#define COTAN_TESTS_IDX_FILES_H

#include "tensor/base/context.h"
#include "tensor/mem.h"
#include "tensor/runtime.h"
#include "tensor/tensor.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

typedef struct {
    uint8_t *bytes; /* of malloc, so that it does not count */
    size_t length;
} file_bytes;

/* A header with the given counts, then `n` bytes; counts may lie. */
static inline file_bytes idx_file(uint8_t type, int rank, const uint32_t *counts,
                                  const uint8_t *elements, size_t n) {
    size_t header = 4 + 4 * (size_t)rank;
    file_bytes file = {calloc(header + n + 1, 1), header + n};
    file.bytes[2] = type;
    file.bytes[3] = (uint8_t)rank;
    for (int i = 0; i < rank; i++) {
        for (int k = 0; k < 4; k++) {
            file.bytes[4 + 4 * i + k] = (uint8_t)(counts[i] >> (24 - 8 * k));
        }
    }
    if (n && elements) memcpy(file.bytes + header, elements, n);
    return file;
}

#define COUNTS(...) \
    (int)(sizeof((uint32_t[]){__VA_ARGS__}) / 4), (const uint32_t[]) { __VA_ARGS__ }

static inline file_bytes packed(file_bytes plain) {
    z_stream z = {0};
    cr_assert_eq(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&z, plain.length);
    file_bytes out = {malloc(room), 0};
    z.next_in = plain.bytes;
    z.avail_in = (uInt)plain.length;
    z.next_out = out.bytes;
    z.avail_out = (uInt)room;
    cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    out.length = z.total_out;
    deflateEnd(&z);
    return out;
}

/* The same bytes with others behind them. */
static inline file_bytes followed(file_bytes file, const char *text, size_t n) {
    file_bytes out = {malloc(file.length + n), file.length + n};
    memcpy(out.bytes, file.bytes, file.length);
    memcpy(out.bytes + file.length, text, n);
    return out;
}

typedef struct {
    char path[256];
} folder;

static inline folder folder_new(void) {
    folder f;
    const char *base = getenv("TMPDIR");
    snprintf(f.path, sizeof f.path, "%s/cotan-test-XXXXXX", base ? base : "/tmp");
    cr_assert_not_null(mkdtemp(f.path));
    return f;
}

static inline void folder_free(folder f) {
    DIR *dir = opendir(f.path);
    cr_assert_not_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] != '.') unlinkat(dirfd(dir), e->d_name, 0);
    }
    closedir(dir);
    cr_assert_eq(rmdir(f.path), 0);
}

typedef struct {
    char text[512];
} file_path;

static inline file_path in_folder(folder f, const char *name) {
    file_path path;
    snprintf(path.text, sizeof path.text, "%s/%s", f.path, name);
    return path;
}

/* Writes and frees. */
static inline void folder_write(folder f, const char *name, file_bytes file) {
    FILE *out = fopen(in_folder(f, name).text, "wb");
    cr_assert_not_null(out);
    cr_assert_eq(fwrite(file.bytes, 1, file.length, out), file.length);
    cr_assert_eq(fclose(out), 0);
    free(file.bytes);
}

/* The record must hold exactly this, and is cleared. */
static inline void expect_error(ct_status status, const char *message) {
    cr_expect_str_eq(ct_error_message(), message);
    cr_expect_eq(ct_error(), status, "%s for: %s", ct_status_name(ct_error()), message);
    ct_error_clear();
}

static int64_t bytes_at_start;

static inline void expect_no_bytes_left(void) {
    ct_scope_close(0);
    ct_cache_clear();
    cti_intern_clear();
    cr_expect_eq(ct_mem_read().live_bytes, bytes_at_start, "%lld bytes are left",
                 (long long)(ct_mem_read().live_bytes - bytes_at_start));
}

/* A test that ends with as many live bytes as it began with. The check is a part of the test,
 * because Criterion reports what fails in a .fini function and passes the test all the same. */
#define COUNTED_TEST(suite, name)                  \
    static void suite##_##name##_counted(void);    \
    Test(suite, name) {                            \
        bytes_at_start = ct_mem_read().live_bytes; \
        suite##_##name##_counted();                \
        expect_no_bytes_left();                    \
    }                                              \
    static void suite##_##name##_counted(void)

#endif
