/* Private: the one place where files are opened. Parsers see bytes and a length, never a file. */
#ifndef COTAN_FILE_H
#define COTAN_FILE_H

#include "tensor/error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* A whole regular file in one block of cti_alloc; the caller frees it with cti_free. Symbolic
 * links are followed. Refused with CT_ERR_IO: what is missing or unreadable, folders, FIFOs and
 * devices (without blocking on them), more than CTI_FILE_LIMIT bytes, and a file whose length
 * changes meanwhile. On error *bytes is NULL. Messages are "<function>: <path>: ...". */
ct_status cti_file_read(const char *function, const char *path, uint8_t **bytes, size_t *length);

/* Judges a file by its first n bytes, min(length, CTI_FILE_START) of `length`. `name` is its path,
 * fit for messages. */
typedef ct_status cti_file_check(const char *name, const uint8_t *start, size_t n, size_t length);
enum { CTI_FILE_START = 4096 };

/* The same, but a file whose start does not pass the check is neither read on nor given memory:
 * the status is the check's. */
ct_status cti_file_read_checked(const char *function, const char *path, cti_file_check *check,
                                uint8_t **bytes, size_t *length);

#define CTI_FILE_LIMIT ((int64_t)1 << 40)

typedef struct {
    const void *data;
    size_t length;
} cti_chunk;

/* Makes `path` a regular file that holds the chunks one after another, all or nothing: they go to a
 * temporary file in the same folder, which is synchronized and then renamed over `path`, and the
 * folder is synchronized too. CT_OK: the new content is on the disk. Otherwise `path` is what it
 * was, and the temporary is gone. Saves of one path that run at once all succeed, the last wins.
 *
 * A file that is replaced keeps its mode, and its owner and group where the process may set them;
 * access control lists are not copied. A new one has mode 0666 less the umask. A symbolic link is
 * followed, and its target replaced or made; a link that another user has put into a folder that
 * everybody may write to is refused, as the kernel does (protected_symlinks). Folders and devices
 * are refused.
 *
 * A process killed in between can leave files named ".<name>.<process>.<count>.tmp" behind, never
 * a torn `path`. The next save of that path removes those that nobody holds a lock on. */
ct_status cti_file_write(const char *function, const char *path, const cti_chunk *chunks,
                         int64_t n);

/* The system calls that the two use. A test puts its own in place of them. */
typedef struct {
    int (*openat)(int folder, const char *path, int flags, mode_t mode);
    int (*fstat)(int fd, struct stat *out);
    int (*fstatat)(int folder, const char *path, struct stat *out, int flags);
    ssize_t (*read)(int fd, void *bytes, size_t length);
    ssize_t (*write)(int fd, const void *bytes, size_t length);
    int (*fsync)(int fd);
    int (*close)(int fd);
    int (*linkat)(int from_folder, const char *from, int to_folder, const char *to, int flags);
    int (*renameat)(int from_folder, const char *from, int to_folder, const char *to);
    int (*unlinkat)(int folder, const char *path, int flags);
    ssize_t (*readlinkat)(int folder, const char *path, char *text, size_t length);
    ssize_t (*getdents)(int folder, void *entries, size_t length); /* struct dirent */
    int (*flock)(int fd, int operation);
    int (*dup)(int fd);
    int (*fchmod)(int fd, mode_t mode);
    int (*fchown)(int fd, uid_t owner, gid_t group);
} cti_system;

/* The calls in force, and their replacement for the whole process; NULL restores the real ones. */
const cti_system *cti_system_calls(void);
void cti_system_replace(const cti_system *calls);

/* "a directory", "a FIFO" and so on, for a file that is not a regular one. */
const char *cti_file_kind(mode_t mode);
/* The text of an errno value, in English whatever the locale. */
const char *cti_system_error(int code);

#endif
