/* A file system of one file in memory, so that a fuzz target can run the real save functions
 * thousands of times a second. */
#ifndef COTAN_TESTS_MEMORY_FILE_H
#define COTAN_TESTS_MEMORY_FILE_H

#include "tensor/io/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct {
    uint8_t *bytes;
    size_t length, capacity;
} memory_file;

static int memory_openat(int folder, const char *path, int flags, mode_t mode) {
    (void)path, (void)flags;
    if (mode) memory_file.length = 0;
    return folder == -100 ? 1000 : 1001; /* AT_FDCWD: the folder; else the file */
}
/* There is the temporary, and no file to replace. */
static int memory_fstatat(int folder, const char *path, struct stat *out, int flags) {
    (void)folder, (void)flags;
    *out = (struct stat){.st_nlink = 1};
    if (strstr(path, ".tmp")) return 0;
    errno = ENOENT;
    return -1;
}
static ssize_t memory_write(int fd, const void *bytes, size_t length) {
    (void)fd;
    if (memory_file.length + length > memory_file.capacity) {
        memory_file.capacity = 2 * (memory_file.length + length);
        memory_file.bytes = realloc(memory_file.bytes, memory_file.capacity);
    }
    memcpy(memory_file.bytes + memory_file.length, bytes, length);
    memory_file.length += length;
    return (ssize_t)length;
}
static int memory_done(int fd) {
    (void)fd;
    return 0;
}
static int memory_fstat(int fd, struct stat *out) {
    (void)fd;
    *out = (struct stat){.st_nlink = 1};
    return 0;
}
static ssize_t memory_getdents(int folder, void *entries, size_t length) {
    (void)folder, (void)entries, (void)length;
    return 0;
}
static int memory_flock(int fd, int operation) {
    (void)fd, (void)operation;
    return 0;
}
static int memory_dup(int fd) { return fd; }
static int memory_renameat(int a, const char *from, int b, const char *to) {
    (void)a, (void)from, (void)b, (void)to;
    return 0;
}

/* Saving to any path fills memory_file from now on. Reading files is not possible. */
static void memory_file_install(void) {
    static const cti_system calls = {
        .openat = memory_openat,
        .fstat = memory_fstat,
        .fstatat = memory_fstatat,
        .write = memory_write,
        .fsync = memory_done,
        .close = memory_done,
        .renameat = memory_renameat,
        .getdents = memory_getdents,
        .flock = memory_flock,
        .dup = memory_dup,
    };
    cti_system_replace(&calls);
}

#endif
