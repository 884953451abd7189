/* Files in: a whole file becomes one block of memory.
 * It is not a stream and maps nothing: a mapped file that shrinks kills the process.
 * Invariant: every descriptor opened here is closed here, whatever happens between. */
#include "tensor/io/file.h"

#include "tensor/base/alloc.h"
#include "tensor/io/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- The system calls --------------------------------------------------------------------- */

static int real_openat(int folder, const char *path, int flags, mode_t mode) {
    return openat(folder, path, flags, mode);
}

/* Not readdir, which takes memory of its own. */
static ssize_t real_getdents(int folder, void *entries, size_t length) {
    return syscall(SYS_getdents64, folder, entries, length);
}

static int real_dup(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 0); }

static const cti_system real = {
    .openat = real_openat,
    .fstat = fstat,
    .fstatat = fstatat,
    .read = read,
    .write = write,
    .fsync = fsync,
    .close = close,
    .linkat = linkat,
    .renameat = renameat,
    .unlinkat = unlinkat,
    .readlinkat = readlinkat,
    .getdents = real_getdents,
    .flock = flock,
    .dup = real_dup,
    .fchmod = fchmod,
    .fchown = fchown,
};
static const cti_system *calls = &real;

const cti_system *cti_system_calls(void) { return calls; }

void cti_system_replace(const cti_system *other) { calls = other ? other : &real; }

const char *cti_system_error(int code) {
#ifdef __GLIBC__
    const char *text = strerrordesc_np(code); /* strerror is not for threads there */
#else
    const char *text = strerror(code);
#endif
    return text ? text : "unknown system error";
}

const char *cti_file_kind(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFDIR: return "a directory";
    case S_IFIFO: return "a FIFO";
    case S_IFCHR: return "a character device";
    case S_IFBLK: return "a block device";
    case S_IFSOCK: return "a socket";
    default: return "no regular file";
    }
}

/* --- Reading ------------------------------------------------------------------------------ */

static ct_status check_kind(const char *function, const char *path, const struct stat *found) {
    if (!S_ISREG(found->st_mode)) {
        return ct_fail(CT_ERR_IO, "%s: %s: is %s, expected a regular file", function,
                       cti_show_path(path).text, cti_file_kind(found->st_mode));
    }
    if (found->st_size < 0 || found->st_size > CTI_FILE_LIMIT) {
        return ct_fail(CT_ERR_IO, "%s: %s: has %lld bytes, at most %lld are read", function,
                       cti_show_path(path).text, (long long)found->st_size,
                       (long long)CTI_FILE_LIMIT);
    }
    return CT_OK;
}

/* Reads up to `length` bytes; fewer only at the end of the file. -1 with errno set on error. */
static ssize_t read_fully(int fd, uint8_t *bytes, size_t length, size_t *done) {
    for (*done = 0; *done < length;) {
        ssize_t got = calls->read(fd, bytes + *done, length - *done);
        if (got == 0) break;
        if (got > 0) *done += (size_t)got;
        else if (errno != EINTR) return -1;
    }
    return (ssize_t)*done;
}

typedef struct {
    const char *function, *path;
    int fd;
    size_t length;
} source;

/* Bytes from..to of the file, which must be there. */
static ct_status read_range(const source *s, uint8_t *bytes, size_t from, size_t to) {
    size_t done = 0;
    if (read_fully(s->fd, bytes, to - from, &done) < 0) {
        int code = errno;
        return ct_fail(CT_ERR_IO, "%s: %s: %s after %zu of %zu bytes", s->function,
                       cti_show_path(s->path).text, cti_system_error(code), from + done, s->length);
    }
    if (done == to - from) return CT_OK;
    return ct_fail(CT_ERR_IO, "%s: %s: gave fewer than its %zu bytes: it changed while being read",
                   s->function, cti_show_path(s->path).text, s->length);
}

static ct_status expect_end(const source *s) {
    size_t more = 0;
    uint8_t beyond;
    if (read_fully(s->fd, &beyond, 1, &more) < 0) {
        int code = errno;
        return ct_fail(CT_ERR_IO, "%s: %s: %s after %zu of %zu bytes", s->function,
                       cti_show_path(s->path).text, cti_system_error(code), s->length, s->length);
    }
    if (!more) return CT_OK;
    return ct_fail(CT_ERR_IO, "%s: %s: gave more than its %zu bytes: it changed while being read",
                   s->function, cti_show_path(s->path).text, s->length);
}

static ct_status read_contents(const source *s, cti_file_check *check, uint8_t **bytes) {
    uint8_t start[CTI_FILE_START];
    size_t n = s->length < sizeof start ? s->length : sizeof start;
    ct_status status = read_range(s, start, 0, n);
    if (status == CT_OK && check) {
        status = check(cti_show_path(s->path).text, start, n, s->length);
    }
    if (status != CT_OK) return status;
    uint8_t *block = cti_alloc_raw(s->length, 1);
    if (!block) return CT_ERR_MEMORY;
    memcpy(block, start, n);
    status = read_range(s, block + n, n, s->length);
    if (status == CT_OK) status = expect_end(s);
    if (status == CT_OK) *bytes = block;
    else cti_free(block);
    return status;
}

ct_status cti_file_read_checked(const char *function, const char *path, cti_file_check *check,
                                uint8_t **bytes, size_t *length) {
    *bytes = NULL;
    *length = 0;
    if (!path) return ct_fail(CT_ERR_NULL, "%s: 'path' is NULL", function);
    int fd;
    /* Without O_NONBLOCK, opening a FIFO waits for somebody to write to it. */
    do fd = calls->openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
    while (fd < 0 && errno == EINTR);
    struct stat found;
    if (fd < 0 || calls->fstat(fd, &found) != 0) {
        int code = errno;
        if (fd >= 0) calls->close(fd);
        return ct_fail(CT_ERR_IO, "%s: %s: %s", function, cti_show_path(path).text,
                       cti_system_error(code));
    }
    ct_status status = check_kind(function, path, &found);
    if (status == CT_OK) {
        source s = {function, path, fd, (size_t)found.st_size};
        status = read_contents(&s, check, bytes);
    }
    calls->close(fd);
    if (status == CT_OK) *length = (size_t)found.st_size;
    return status;
}

ct_status cti_file_read(const char *function, const char *path, uint8_t **bytes, size_t *length) {
    return cti_file_read_checked(function, path, NULL, bytes, length);
}
