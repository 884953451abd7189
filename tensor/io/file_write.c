/* Files out: the new content replaces the old at one moment, or not at all.
 * It is not a backup: once the save has succeeded, the previous file is gone.
 * Invariant: CT_OK means the new file is there and synchronized; anything else means that the
 * path is what it was. A name of a temporary is locked as long as its save runs. */
#include "tensor/io/file.h"

#include "tensor/io/writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

typedef struct {
    const char *function, *path;
    char base[NAME_MAX + 1];       /* the file's name in the folder, links followed */
    int folder, fd;                /* negative: not open */
    int lock;                      /* of the temporary, outlasts fd */
    int old;                       /* the file to replace, open for its lock */
    bool exists;                   /* there is a file to replace */
    struct stat replaced, written; /* that file, and the temporary */
    char temporary[NAME_MAX + 1];  /* in the folder; "" when there is none */
    char previous[NAME_MAX + 1];   /* a second name of the old file, until the end; or "" */
} save;

static ct_status failed(const save *s, const char *what, int code) {
    return ct_fail(CT_ERR_IO, "%s: %s: %s%s; %s", s->function, cti_show_path(s->path).text, what,
                   cti_system_error(code),
                   s->exists ? "the previous file is kept" : "no file was written");
}

enum { BASE_IN_NAME = 200, GUESSES = 1000, MOST_LINKS = 40 };

/* A name in the folder that nobody else takes: O_EXCL and link settle it, this only guesses. */
static void guess_name(const save *s, char name[NAME_MAX + 1]) {
    static atomic_uint count;
    snprintf(name, NAME_MAX + 1, ".%.*s.%ld.%u.tmp", BASE_IN_NAME, s->base, (long)getpid(),
             ++count);
}

/* A name that guess_name has made for the same file, in any process. */
static bool is_guessed_name(const save *s, const char *name) {
    size_t length = strnlen(s->base, BASE_IN_NAME);
    if (*name != '.' || strncmp(name + 1, s->base, length) != 0) return false;
    name += 1 + length;
    for (int i = 0; i < 2; i++) {
        size_t digits = *name == '.' ? strspn(name + 1, "0123456789") : 0;
        if (digits == 0) return false;
        name += 1 + digits;
    }
    return strcmp(name, ".tmp") == 0;
}

static int open_in(int folder, const char *name, int flags) {
    int fd;
    do fd = cti_system_calls()->openat(folder, name, flags | O_RDONLY | O_CLOEXEC, 0);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Tried twice: there is nobody to whom a name that stays behind could be reported. */
static void remove_name(const save *s, const char *name) {
    for (int i = 0; i < 2 && *name; i++) {
        if (cti_system_calls()->unlinkat(s->folder, name, 0) == 0) break;
    }
}

/* --- Before ------------------------------------------------------------------------------- */

/* Opens the folder of a path that begins in the folder open so far. */
static ct_status open_folder(save *s, const char *path) {
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t length = slash ? (size_t)(base - path) : 1;
    if (!*base || !strcmp(base, ".") || !strcmp(base, "..")) {
        return ct_fail(CT_ERR_IO, "%s: %s: does not end in the name of a file", s->function,
                       cti_show_path(s->path).text);
    }
    if (length >= sizeof folder || strlen(base) > NAME_MAX) return failed(s, "", ENAMETOOLONG);
    memcpy(folder, slash ? path : ".", length);
    folder[length] = '\0';
    int opened = open_in(s->folder, folder, O_DIRECTORY), code = errno;
    if (s->folder >= 0) cti_system_calls()->close(s->folder);
    s->folder = opened;
    if (opened < 0) return failed(s, "", code);
    memcpy(s->base, base, strlen(base) + 1);
    return CT_OK;
}

/* The rule of the kernel's protected_symlinks, which sees no more than a call to readlink: in a
 * folder like /tmp, nobody leads others to write to a place of his choice. */
static ct_status read_link(const save *s, char text[PATH_MAX]) {
    static const mode_t shared = S_ISVTX | S_IWOTH;
    struct stat in;
    if (cti_system_calls()->fstat(s->folder, &in) != 0) return failed(s, "", errno);
    uid_t owner = s->replaced.st_uid;
    if ((in.st_mode & shared) == shared && owner != geteuid() && owner != in.st_uid) {
        return ct_fail(CT_ERR_IO,
                       "%s: %s: is a symbolic link of another user in a folder that "
                       "everybody may write to",
                       s->function, cti_show_path(s->path).text);
    }
    ssize_t length = cti_system_calls()->readlinkat(s->folder, s->base, text, PATH_MAX);
    if (length < 0) return failed(s, "", errno);
    if (length == PATH_MAX) return failed(s, "", ENAMETOOLONG);
    text[length] = '\0';
    return CT_OK;
}

/* The folder and the name that the path means in the end, and what is there. */
static ct_status find_target(save *s) {
    char link[PATH_MAX] = "";
    ct_status status = open_folder(s, s->path);
    for (int links = 0; status == CT_OK; links++) {
        int found = cti_system_calls()->fstatat(s->folder, s->base, &s->replaced,
                                                AT_SYMLINK_NOFOLLOW);
        if (found != 0) return errno == ENOENT ? CT_OK : failed(s, "", errno);
        if (!S_ISLNK(s->replaced.st_mode)) break;
        status = links < MOST_LINKS ? read_link(s, link) : failed(s, "", ELOOP);
        if (status == CT_OK) status = open_folder(s, link);
    }
    if (status == CT_OK && !S_ISREG(s->replaced.st_mode)) {
        status = ct_fail(CT_ERR_IO, "%s: %s: is %s, expected a regular file or none", s->function,
                         cti_show_path(s->path).text, cti_file_kind(s->replaced.st_mode));
    }
    s->exists = status == CT_OK;
    return status;
}

/* --- What killed saves have left ------------------------------------------------------------ */

/* Whoever gets the lock knows that the save is over: its process held it to its end. */
static void remove_stale(const save *s, const char *name) {
    const cti_system *calls = cti_system_calls();
    int fd = open_in(s->folder, name, O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return;
    struct stat found;
    bool regular = calls->fstat(fd, &found) == 0 && S_ISREG(found.st_mode);
    if (regular && calls->flock(fd, LOCK_EX | LOCK_NB) == 0) remove_name(s, name);
    calls->close(fd);
}

/* What cannot be removed is left to the next save: it is no reason to refuse this one. */
static void tidy_up(const save *s) {
    _Alignas(struct dirent) char block[4096];
    ssize_t length;
    while ((length = cti_system_calls()->getdents(s->folder, block, sizeof block)) > 0) {
        for (ssize_t at = 0; at < length;) {
            const struct dirent *entry = (const void *)(block + at);
            if (is_guessed_name(s, entry->d_name)) remove_stale(s, entry->d_name);
            at += entry->d_reclen;
        }
    }
}

/* --- The temporary file ------------------------------------------------------------------- */

/* 0, or an errno value; EEXIST when a save that tidies up saw the file before it was locked. */
static int lock_temporary(save *s) {
    const cti_system *calls = cti_system_calls();
    /* On a file system without locks there is none, and nothing is ever taken for stale. */
    if (calls->flock(s->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return EEXIST;
    struct stat named;
    if (calls->fstat(s->fd, &s->written) != 0) return errno;
    if (calls->fstatat(s->folder, s->temporary, &named, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? EEXIST : errno;
    }
    s->lock = calls->dup(s->fd);
    return s->lock < 0 ? errno : 0;
}

static ct_status create_temporary(save *s) {
    const cti_system *calls = cti_system_calls();
    /* What replaces a private file is private from its first byte on. */
    mode_t mode = s->exists ? 0600 : 0666;
    int code = EEXIST;
    for (int i = 0; i < GUESSES && (code == EEXIST || code == EINTR); i++) {
        if (s->fd >= 0) {
            remove_name(s, s->temporary);
            calls->close(s->fd);
        }
        guess_name(s, s->temporary);
        s->fd = calls->openat(s->folder, s->temporary,
                              O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        code = s->fd < 0 ? errno : lock_temporary(s);
        if (code == 0) return CT_OK;
        if (s->fd < 0) s->temporary[0] = '\0';
    }
    return failed(s, "cannot create a temporary file beside it: ", code);
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

/* Owner, group and mode of the file to be replaced. Only the superuser may set the owner, and
 * others a group of their own. */
static ct_status keep_permissions(const save *s) {
    const cti_system *calls = cti_system_calls();
    const struct stat *old = &s->replaced, *new = &s->written;
    if (!s->exists) return CT_OK;
    mode_t mode = old->st_mode & 0777;
    bool same = old->st_uid == new->st_uid && old->st_gid == new->st_gid;
    if (!same && calls->fchown(s->fd, old->st_uid, old->st_gid) != 0 &&
        calls->fchown(s->fd, (uid_t)-1, old->st_gid) != 0 && old->st_gid != new->st_gid) {
        /* What the old group might do, another one must not: it may do what everybody may. */
        mode = (mode & ~(mode_t)S_IRWXG) | (mode & S_IRWXO) << 3;
    }
    if (mode == (new->st_mode & 0777) || calls->fchmod(s->fd, mode) == 0) return CT_OK;
    return failed(s, "cannot set its mode: ", errno);
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
    if (keep_permissions(s) != CT_OK) return CT_ERR_IO;
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

/* Opens and locks the old file, so that a name which it gets is not taken for a stale one. False
 * when there is none any more. A file that cannot be opened cannot be locked by others either. */
static bool lock_old(save *s) {
    const cti_system *calls = cti_system_calls();
    if (s->old >= 0) calls->close(s->old);
    s->old = open_in(s->folder, s->base, O_NOFOLLOW | O_NONBLOCK);
    if (s->old < 0) return errno != ENOENT;
    calls->flock(s->old, LOCK_SH | LOCK_NB);
    return true;
}

/* False when another save may have replaced the file between its lock and its second name. */
static bool linked_what_is_locked(const save *s) {
    const cti_system *calls = cti_system_calls();
    struct stat locked, there;
    return s->old < 0 || (calls->fstat(s->old, &locked) == 0 &&
                          calls->fstatat(s->folder, s->base, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
                          same_file(&locked, &there));
}

/* Gives the old file a second name, to have it back when the folder cannot be synchronized. A
 * file system without hard links does without, and one that numbers its files anew at each look.
 * ENOENT: another save has just replaced the file. */
static ct_status link_previous(save *s) {
    int code = 0;
    for (int i = 0; i < GUESSES && (!code || code == EEXIST || code == EINTR || code == ENOENT);
         i++) {
        s->exists = lock_old(s);
        if (!s->exists) return CT_OK;
        guess_name(s, s->previous);
        int result = cti_system_calls()->linkat(s->folder, s->base, s->folder, s->previous, 0);
        code = result == 0 ? 0 : errno;
        if (code == 0 && linked_what_is_locked(s)) return CT_OK;
        if (code == 0) remove_name(s, s->previous);
        s->previous[0] = '\0';
    }
    bool no_links = code == EPERM || code == EOPNOTSUPP || code == ENOSYS || code == EMLINK;
    return !code || no_links ? CT_OK : failed(s, "cannot link: ", code);
}

/* The folder may or may not hold the new name on the disk: puts the old state back, unless another
 * save has already replaced this one's file. */
static ct_status undo(save *s, int code) {
    const cti_system *calls = cti_system_calls();
    struct stat there;
    int result = -1;
    if (calls->fstatat(s->folder, s->base, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
        !same_file(&there, &s->written)) {
        return ct_fail(CT_ERR_IO,
                       "%s: %s: cannot synchronize its directory: %s; the file of a "
                       "later save is in place",
                       s->function, cti_show_path(s->path).text, cti_system_error(code));
    }
    if (*s->previous) result = calls->renameat(s->folder, s->previous, s->folder, s->base);
    else if (!s->exists) result = calls->unlinkat(s->folder, s->base, 0);
    if (result == 0) {
        s->previous[0] = '\0';
        return failed(s, "cannot synchronize its directory: ", code);
    }
    return ct_fail(CT_ERR_IO,
                   "%s: %s: cannot synchronize its directory: %s; the new file is in "
                   "place but may not outlast a power failure",
                   s->function, cti_show_path(s->path).text, cti_system_error(code));
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

/* The names first: a lock that is gone would say that they are stale. */
static void clean_up(const save *s) {
    const int opened[] = {s->fd, s->lock, s->old, s->folder};
    if (s->folder >= 0) {
        remove_name(s, s->temporary);
        remove_name(s, s->previous);
    }
    for (int i = 0; i < 4; i++) {
        if (opened[i] >= 0) cti_system_calls()->close(opened[i]);
    }
}

ct_status cti_file_write(const char *function, const char *path, const cti_chunk *chunks,
                         int64_t n) {
    if (!path) return ct_fail(CT_ERR_NULL, "%s: 'path' is NULL", function);
    save s = {
        .function = function, .path = path, .folder = AT_FDCWD, .fd = -1, .lock = -1, .old = -1};
    ct_status status = find_target(&s);
    if (status == CT_OK) tidy_up(&s);
    if (status == CT_OK) status = create_temporary(&s);
    if (status == CT_OK) status = fill_temporary(&s, chunks, n);
    if (status == CT_OK) status = replace_target(&s);
    clean_up(&s);
    return status;
}
