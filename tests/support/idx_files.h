/* IDX files for tests: made in memory, packed, written to a folder of their own. */
#ifndef COTAN_TESTS_IDX_FILES_H
#define COTAN_TESTS_IDX_FILES_H

#include "tensor/base/context.h"
#include "tensor/mem.h"
#include "tensor/runtime.h"
#include "tests/support/test.h"

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
file_bytes idx_file(uint8_t type, int rank, const uint32_t *counts, const uint8_t *elements,
                    size_t n);

#define COUNTS(...) \
    (int)(sizeof((uint32_t[]){__VA_ARGS__}) / 4), (const uint32_t[]) { __VA_ARGS__ }
file_bytes packed(file_bytes plain);

/* The same bytes with others behind them. */
file_bytes followed(file_bytes file, const char *text, size_t n);

typedef struct {
    char path[256];
} folder;

folder folder_new(void);
void folder_free(folder f);

typedef struct {
    char text[512];
} file_path;

file_path folder_path(folder f, const char *name);

/* Writes and frees. */
void folder_write(folder f, const char *name, file_bytes file);

#endif
