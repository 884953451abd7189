/* Files out: the new content replaces the old at one moment, or not at all.
 * It is not a backup: once the save has succeeded, the previous file is gone.
 * Invariant: CT_OK means the new file is there and synchronized; anything else means that the
 * path is what it was. */
#include "tensor/file.h"

#include "tensor/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    const char *function, *path;
    const char *base;              /* the last component of the path                       */
    int folder, fd;                /* -1: not open                                         */
    bool exists;                   /* there is a file to replace                           */
    char temporary[NAME_MAX + 1];  /* in the folder; "" when there is none                 */
    char previous[NAME_MAX + 1];   /* a second name of the old file, until the end; or ""  */
} save;

static ct_status failed(const save *s, const char *what, int code) {
    return ct_fail(CT_ERR_IO, "%s: %s: %s%s; %s", s->function, cti_show_path(s->path).text, what,
                   cti_system_error(code),
                   s->exists ? "the previous file is kept" : "no file was written");
}

/* A name in the folder that nobody else takes: O_EXCL and link settle it, this only guesses. */
static void guess_name(const save *s, char name[NAME_MAX + 1]) {
    static atomic_uint count;
    snprintf(name, NAME_MAX + 1, ".%.200s.%ld.%u.tmp", s->base, (long)getpid(), ++count);
}

enum { GUESSES = 1000 };

/* --- Before ------------------------------------------------------------------------------- */

static ct_status open_folder(save *s) {
    char folder[PATH_MAX];
    const char *slash = strrchr(s->path, '/');
    s->base = slash ? slash + 1 : s->path;
    size_t length = slash ? (size_t)(s->base - s->path) : 1;
    if (!*s->base || !strcmp(s->base, ".") || !strcmp(s->base, "..")) {
        return ct_fail(CT_ERR_IO, "%s: %s: does not end in the name of a file", s->function,
                       cti_show_path(s->path).text);
    }
    if (length >= sizeof folder || strlen(s->base) > NAME_MAX) return failed(s, "", ENAMETOOLONG);
    memcpy(folder, slash ? s->path : ".", length);
    folder[length] = '\0';
    do {
        s->folder = cti_system_calls()->openat(AT_FDCWD, folder,
                                               O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    } while (s->folder < 0 && errno == EINTR);
    return s->folder < 0 ? failed(s, "", errno) : CT_OK;
}

static ct_status check_target(save *s) {
    struct stat found;
    if (cti_system_calls()->fstatat(s->folder, s->base, &found, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? CT_OK : failed(s, "", errno);
    }
    if (!S_ISREG(found.st_mode)) {
        return ct_fail(CT_ERR_IO, "%s: %s: is %s, expected a regular file or none", s->function,
                       cti_show_path(s->path).text, cti_file_kind(found.st_mode));
    }
    s->exists = true;
    return CT_OK;
}

/* --- The temporary file ------------------------------------------------------------------- */

static ct_status create_temporary(save *s) {
    for (int i = 0; i < GUESSES; i++) {
        guess_name(s, s->temporary);
        s->fd = cti_system_calls()->openat(s->folder, s->temporary,
                                           O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                                           0644);
        if (s->fd >= 0) return CT_OK;
        if (errno != EEXIST && errno != EINTR) break;
    }
    s->temporary[0] = '\0';
    return failed(s, "cannot create a temporary file beside it: ", errno);
}

static ct_status write_chunk(const save *s, cti_chunk chunk, size_t *done, size_t total) {
    const char *from = chunk.data;
    for (size_t left = chunk.length; left > 0;) {
        ssize_t wrote = cti_system_calls()->write(s->fd, from, left);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) {
            int code = wrote < 0 ? errno : ENOSPC;
            return ct_fail(CT_ERR_IO, "%s: %s: %s after %zu of %zu bytes; %s", s->function,
                           cti_show_path(s->path).text, cti_system_error(code), *done, total,
                           s->exists ? "the previous file is kept" : "no file was written");
        }
        from += wrote;
        left -= (size_t)wrote;
        *done += (size_t)wrote;
    }
    return CT_OK;
}

static int synchronize(int fd) {
    int result;
    do result = cti_system_calls()->fsync(fd);
    while (result != 0 && errno == EINTR);
    return result;
}

static ct_status fill_temporary(save *s, const cti_chunk *chunks, int64_t n) {
    size_t total = 0, done = 0;
    for (int64_t i = 0; i < n; i++) {
        if (__builtin_add_overflow(total, chunks[i].length, &total)) return failed(s, "", EFBIG);
    }
    for (int64_t i = 0; i < n; i++) {
        ct_status status = write_chunk(s, chunks[i], &done, total);
        if (status != CT_OK) return status;
    }
    if (synchronize(s->fd) != 0) return failed(s, "cannot synchronize: ", errno);
    int fd = s->fd;
    s->fd = -1;
    /* Linux has closed the descriptor when close is interrupted, and the data is on the disk. */
    if (cti_system_calls()->close(fd) != 0 && errno != EINTR) {
        return failed(s, "cannot close: ", errno);
    }
    return CT_OK;
}

/* --- The replacement ---------------------------------------------------------------------- */

/* Gives the old file a second name, to have it back when the folder cannot be synchronized. A
 * file system without hard links does without. */
static ct_status link_previous(save *s) {
    for (int i = 0; i < GUESSES; i++) {
        guess_name(s, s->previous);
        if (cti_system_calls()->linkat(s->folder, s->base, s->folder, s->previous, 0) == 0) {
            return CT_OK;
        }
        if (errno != EEXIST && errno != EINTR) break;
    }
    int code = errno;
    s->previous[0] = '\0';
    bool no_links = code == EPERM || code == EOPNOTSUPP || code == ENOSYS || code == EMLINK;
    return no_links ? CT_OK : failed(s, "cannot link: ", code);
}

/* The folder may or may not hold the new name on the disk: puts the old state back. */
static ct_status undo(save *s, int code) {
    const cti_system *calls = cti_system_calls();
    int result = -1;
    if (*s->previous) result = calls->renameat(s->folder, s->previous, s->folder, s->base);
    else if (!s->exists) result = calls->unlinkat(s->folder, s->base, 0);
    if (result == 0) {
        s->previous[0] = '\0';
        return failed(s, "cannot synchronize its directory: ", code);
    }
    return ct_fail(CT_ERR_IO, "%s: %s: cannot synchronize its directory: %s; the new file is in "
                   "place but may not outlast a power failure", s->function,
                   cti_show_path(s->path).text, cti_system_error(code));
}

static ct_status replace_target(save *s) {
    ct_status status = s->exists ? link_previous(s) : CT_OK;
    if (status != CT_OK) return status;
    if (cti_system_calls()->renameat(s->folder, s->temporary, s->folder, s->base) != 0) {
        return failed(s, "cannot rename: ", errno);
    }
    s->temporary[0] = '\0';
    /* EINVAL: a file system that cannot synchronize directories. */
    return synchronize(s->folder) == 0 || errno == EINVAL ? CT_OK : undo(s, errno);
}

/* --- After -------------------------------------------------------------------------------- */

/* Tried twice: there is nobody to whom a name that stays behind could be reported. */
static void remove_name(const save *s, const char *name) {
    for (int i = 0; i < 2 && *name; i++) {
        if (cti_system_calls()->unlinkat(s->folder, name, 0) == 0) break;
    }
}

static void clean_up(const save *s) {
    if (s->fd >= 0) cti_system_calls()->close(s->fd);
    if (s->folder < 0) return;
    remove_name(s, s->temporary);
    remove_name(s, s->previous);
    cti_system_calls()->close(s->folder);
}

ct_status cti_file_write(const char *function, const char *path, const cti_chunk *chunks,
                         int64_t n) {
    if (!path) return ct_fail(CT_ERR_NULL, "%s: 'path' is NULL", function);
    save s = {.function = function, .path = path, .folder = -1, .fd = -1};
    ct_status status = open_folder(&s);
    if (status == CT_OK) status = check_target(&s);
    if (status == CT_OK) status = create_temporary(&s);
    if (status == CT_OK) status = fill_temporary(&s, chunks, n);
    if (status == CT_OK) status = replace_target(&s);
    clean_up(&s);
    return status;
}
