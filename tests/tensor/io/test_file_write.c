/* The file funnel, writing: atomic replacement, and every system call failing in turn.
 * Not a test of durability across a power failure: that needs the order of writes replayed.
 * Invariant: an error leaves the folder as it was. */
#include "tests/support/io_support.h"

static char message[1200];

static const char *said(const char *path, const char *what) {
    snprintf(message, sizeof message, "f: %s: %s", path, what);
    return message;
}

static ct_status write_text(const char *path, const char *text) {
    ct_error_clear();
    return cti_file_write("f", path, &(cti_chunk){text, strlen(text)}, 1);
}

static const cti_chunk chunks[] = {{"one ", 4}, {NULL, 0}, {"two ", 4}, {"three", 5}};

static ct_status write_chunks(const char *path) { return cti_file_write("f", path, chunks, 4); }

FOLDER_TEST(file_write, writes_chunks_in_order) {
    cr_assert_eq(write_chunks(in_folder("a")), CT_OK, "%s", ct_error_message());
    cr_expect(file_is(in_folder("a"), "one two three", 13));
    cr_assert_eq(cti_file_write("f", in_folder("a"), NULL, 0), CT_OK);
    cr_expect(file_is(in_folder("a"), "", 0));
    cr_expect_eq(entries(false), 1);
}

FOLDER_TEST(file_write, writes_relative_paths) {
    cr_assert_eq(chdir(folder), 0);
    cr_assert_eq(write_text("a", "x"), CT_OK);
    cr_assert_eq(write_text("./a", "y"), CT_OK);
    cr_expect(file_is(in_folder("a"), "y", 1));
    char longest[256];
    memset(longest, 'n', 255);
    longest[255] = '\0';
    cr_expect_eq(write_text(longest, "z"), CT_OK, "%s", ct_error_message());
    cr_expect_eq(entries(false), 2);
    cr_assert_eq(chdir("/"), 0);
}

static void expect_write_refused(const char *path, const char *what) {
    int descriptors = open_descriptors();
    cr_expect_eq(write_text(path, "x"), CT_ERR_IO);
    cr_expect_str_eq(ct_error_message(), said(path, what));
    cr_expect_eq(open_descriptors(), descriptors);
}

FOLDER_TEST(file_write, replaces_regular_files_only) {
    char path[600];
    expect_write_refused("/dev/full", "is a character device, expected a regular file or none");
    expect_write_refused(folder, "is a directory, expected a regular file or none");
    put_file(in_folder("a"), "kept", 4);
    expect_write_refused("", "does not end in the name of a file");
    snprintf(path, sizeof path, "%s/", folder);
    expect_write_refused(path, "does not end in the name of a file");
    snprintf(path, sizeof path, "%s/..", folder);
    expect_write_refused(path, "does not end in the name of a file");
    expect_write_refused(".", "does not end in the name of a file");
    snprintf(path, sizeof path, "%s/none/a", folder);
    expect_write_refused(path, "No such file or directory; no file was written");
    snprintf(path, sizeof path, "%s/a/b", folder);
    expect_write_refused(path, "Not a directory; no file was written");
    cr_expect_eq(write_text(NULL, "x"), CT_ERR_NULL);
    cr_expect_str_eq(ct_error_message(), "f: 'path' is NULL");
}

FOLDER_TEST(file_write, refuses_names_that_are_too_long) {
    char path[5000];
    memset(path, 'n', sizeof path);
    path[256] = '\0';
    cr_expect_eq(write_text(path, "x"), CT_ERR_IO);
    cr_expect_not_null(strstr(ct_error_message(), "n: File name too long; no file was written"));
    path[256] = 'n';
    path[4990] = '/';
    path[4995] = '\0';
    cr_expect_eq(write_text(path, "x"), CT_ERR_IO);
    cr_expect_not_null(strstr(ct_error_message(), "/nnnn: File name too long; no file"));
}

/* --- Permissions -------------------------------------------------------------------------- */

static mode_t mode_of(const char *path) {
    struct stat found;
    cr_assert_eq(stat(path, &found), 0);
    return found.st_mode & 07777;
}

FOLDER_TEST(file_write, a_new_file_obeys_the_umask) {
    static const mode_t masks[] = {0, 002, 022, 027, 077};
    for (int i = 0; i < 5; i++) {
        unlink(in_folder("a"));
        umask(masks[i]);
        cr_assert_eq(write_text(in_folder("a"), "x"), CT_OK);
        cr_expect_eq(mode_of(in_folder("a")), 0666 & ~masks[i]);
    }
}

FOLDER_TEST(file_write, a_replaced_file_keeps_its_mode) {
    static const mode_t modes[] = {0600, 0644, 0664, 0666, 0640, 0444, 0400, 0755};
    umask(027);
    for (int i = 0; i < 8; i++) {
        cr_assert_eq(write_text(in_folder("a"), "x"), CT_OK);
        cr_assert_eq(chmod(in_folder("a"), modes[i]), 0);
        cr_expect_eq(write_text(in_folder("a"), "y"), CT_OK, "%s", ct_error_message());
        cr_expect_eq(mode_of(in_folder("a")), modes[i]);
        cr_expect(file_is(in_folder("a"), "y", 1));
    }
    cr_expect_eq(entries(false), 1);
}

/* Not even the temporary may be read by others while it is written. */
static mode_t mode_while_written;
static ssize_t write_watched(int fd, const void *bytes, size_t length) {
    struct stat found;
    fstat(fd, &found);
    mode_while_written |= found.st_mode & 0777;
    return write(fd, bytes, length);
}

FOLDER_TEST(file_write, what_replaces_a_private_file_is_private) {
    cti_system calls = *cti_system_calls();
    calls.write = write_watched;
    cti_system_replace(&calls);
    put_file(in_folder("a"), "old", 3);
    chmod(in_folder("a"), 0644);
    mode_while_written = 0;
    cr_expect_eq(write_text(in_folder("a"), "new"), CT_OK);
    cr_expect_eq(mode_while_written, 0600);
    cr_expect_eq(mode_of(in_folder("a")), 0644);
}

/* The old file seems to belong to somebody else, and fchown does what a test wants. */
static int chowns_refused;
static uid_t owner_set;
static gid_t group_set;
static int fstatat_foreign(int at, const char *path, struct stat *out, int flags) {
    int result = fstatat(at, path, out, flags);
    if (result == 0 && strcmp(path, "a") == 0) out->st_uid = 12345, out->st_gid = 54321;
    return result;
}
static int fchown_watched(int fd, uid_t owner, gid_t group) {
    (void)fd;
    owner_set = owner, group_set = group;
    if (chowns_refused-- <= 0) return 0;
    errno = EPERM;
    return -1;
}

FOLDER_TEST(file_write, owner_and_group_are_kept_where_they_can_be) {
    /* Without its group, what the group might do is cut to what everybody may. */
    static const mode_t expected[] = {0664, 0664, 0644};
    cti_system calls = *cti_system_calls();
    calls.fstatat = fstatat_foreign;
    calls.fchown = fchown_watched;
    cti_system_replace(&calls);
    for (int refused = 0; refused < 3; refused++) {
        put_file(in_folder("a"), "old", 3);
        chmod(in_folder("a"), 0664);
        chowns_refused = refused;
        cr_expect_eq(write_text(in_folder("a"), "new"), CT_OK, "%s", ct_error_message());
        cr_expect_eq(mode_of(in_folder("a")), expected[refused]);
        cr_expect_eq(owner_set, refused ? (uid_t)-1 : 12345);
        cr_expect_eq(group_set, 54321);
    }
}

FOLDER_TEST(file_write, the_superuser_keeps_the_owner) {
    if (geteuid() != 0) return;
    put_file(in_folder("a"), "old", 3);
    cr_assert_eq(chown(in_folder("a"), 12345, 54321), 0);
    cr_expect_eq(write_text(in_folder("a"), "new"), CT_OK);
    struct stat found;
    stat(in_folder("a"), &found);
    cr_expect(found.st_uid == 12345 && found.st_gid == 54321);
}

/* --- Symbolic links ----------------------------------------------------------------------- */

static bool is_link(const char *path) {
    struct stat found;
    return lstat(path, &found) == 0 && S_ISLNK(found.st_mode);
}

FOLDER_TEST(file_write, writes_through_links) {
    mkdir(in_folder("d"), 0700);
    put_file(in_folder("d/a"), "old", 3);
    chmod(in_folder("d/a"), 0640);
    cr_assert_eq(symlink("d/a", in_folder("one")), 0);
    cr_assert_eq(symlink("../one", in_folder("d/two")), 0);
    cr_assert_eq(symlink(in_folder("d/two"), in_folder("three")), 0);
    static const char *const names[] = {"one", "d/two", "three"};
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(write_text(in_folder(names[i]), names[i]), CT_OK, "%s", ct_error_message());
        cr_expect(is_link(in_folder(names[i])));
        cr_expect(file_is(in_folder("d/a"), names[i], strlen(names[i])));
        cr_expect_eq(mode_of(in_folder("d/a")), 0640);
    }
    unlink(in_folder("d/a"));
    cr_expect_eq(write_text(in_folder("three"), "made"), CT_OK, "a link that leads to nothing yet");
    cr_expect(file_is(in_folder("d/a"), "made", 4));
    unlink(in_folder("d/a"));
    unlink(in_folder("d/two"));
    cr_expect_eq(rmdir(in_folder("d")), 0, "something else was left");
}

FOLDER_TEST(file_write, refuses_links_that_lead_nowhere) {
    cr_assert_eq(symlink("loop", in_folder("loop")), 0);
    expect_write_refused(in_folder("loop"),
                         "Too many levels of symbolic links; no file was written");
    cr_assert_eq(symlink("none/a", in_folder("b")), 0);
    expect_write_refused(in_folder("b"), "No such file or directory; no file was written");
    cr_assert_eq(symlink(".", in_folder("c")), 0);
    expect_write_refused(in_folder("c"), "does not end in the name of a file");
    cr_assert_eq(symlink(folder, in_folder("d")), 0);
    expect_write_refused(in_folder("d"), "is a directory, expected a regular file or none");
    cr_assert_eq(symlink("/dev/full", in_folder("e")), 0);
    expect_write_refused(in_folder("e"), "is a character device, expected a regular file or none");
    char longest[PATH_MAX];
    memset(longest, 'n', 300);
    longest[300] = '\0';
    cr_assert_eq(symlink(longest, in_folder("f")), 0);
    expect_write_refused(in_folder("f"), "File name too long; no file was written");
    cr_expect_eq(entries(false), 6);
}

/* The kernel protects those who open a file in /tmp from links that others have put there. */
static uid_t link_owner, folder_owner;
static int fstatat_owned(int at, const char *path, struct stat *out, int flags) {
    int result = fstatat(at, path, out, flags);
    if (result == 0 && S_ISLNK(out->st_mode)) out->st_uid = link_owner;
    return result;
}
static int fstat_owned(int fd, struct stat *out) {
    int result = fstat(fd, out);
    if (result == 0 && S_ISDIR(out->st_mode)) out->st_uid = folder_owner;
    return result;
}

FOLDER_TEST(file_write, links_of_others_in_shared_folders_are_not_followed) {
    cti_system calls = *cti_system_calls();
    calls.fstatat = fstatat_owned;
    calls.fstat = fstat_owned;
    cti_system_replace(&calls);
    put_file(in_folder("a"), "old", 3);
    cr_assert_eq(symlink("a", in_folder("b")), 0);
    chmod(folder, 01777);
    link_owner = geteuid() + 1, folder_owner = geteuid() + 2;
    expect_write_refused(in_folder("b"), "is a symbolic link of another user in a folder that "
                                         "everybody may write to");
    cr_expect(file_is(in_folder("a"), "old", 3));
    folder_owner = link_owner;
    cr_expect_eq(write_text(in_folder("b"), "1"), CT_OK);
    folder_owner++, link_owner = geteuid();
    cr_expect_eq(write_text(in_folder("b"), "2"), CT_OK);
    link_owner++;
    chmod(folder, 0777);
    cr_expect_eq(write_text(in_folder("b"), "3"), CT_OK);
    cr_expect(file_is(in_folder("a"), "3", 1));
}

/* --- Faults ------------------------------------------------------------------------------- */

FOLDER_TEST(file_write, survives_every_fault) {
    int64_t runs = fault_sweep(write_chunks, in_folder("a"), "one two three", 13);
    cr_log_info("%lld runs", (long long)runs);
    cr_expect_gt(runs, 150);
}

/* The system calls of a save over a previous file of mode 0644, counted from 1. */
enum {
    OPEN_FOLDER = 1,
    STAT_TARGET,
    LIST_FOLDER,
    LIST_END,
    CREATE,
    LOCK,
    STAT_CREATED,
    STAT_NAME,
    DUP,
    WRITE_1,
    WRITE_2,
    WRITE_3,
    SET_MODE,
    SYNC,
    CLOSE,
    OPEN_OLD,
    LOCK_OLD,
    LINK_OLD,
    STAT_OLD,
    STAT_AGAIN,
    RENAME,
    SYNC_FOLDER,
    UNLINK
};

static void expect_at_call(int64_t call, int code, const char *what) {
    put_file(in_folder("a"), "old", 3);
    ct_error_clear();
    arm(call, code, false);
    cr_expect_eq(write_chunks(in_folder("a")), CT_ERR_IO);
    cr_expect_eq(disarm() >= call, true);
    cr_expect_str_eq(ct_error_message(), said(in_folder("a"), what));
    cr_expect(file_is(in_folder("a"), "old", 3));
}

FOLDER_TEST(file_write, says_what_failed) {
    expect_at_call(CREATE, EACCES,
                   "cannot create a temporary file beside it: Permission denied; "
                   "the previous file is kept");
    expect_at_call(WRITE_1, ENOSPC,
                   "No space left on device after 0 of 13 bytes; the previous file is kept");
    expect_at_call(WRITE_3, ENOSPC,
                   "No space left on device after 8 of 13 bytes; the previous file is kept");
    expect_at_call(STAT_CREATED, EIO,
                   "cannot create a temporary file beside it: Input/output "
                   "error; the previous file is kept");
    expect_at_call(DUP, EMFILE,
                   "cannot create a temporary file beside it: Too many open files; "
                   "the previous file is kept");
    expect_at_call(SET_MODE, EIO,
                   "cannot set its mode: Input/output error; the previous file is kept");
    expect_at_call(SYNC, EIO, "cannot synchronize: Input/output error; the previous file is kept");
    expect_at_call(CLOSE, EDQUOT, "cannot close: Disk quota exceeded; the previous file is kept");
    expect_at_call(LINK_OLD, EIO, "cannot link: Input/output error; the previous file is kept");
    expect_at_call(RENAME, EROFS,
                   "cannot rename: Read-only file system; the previous file is kept");
    expect_at_call(SYNC_FOLDER, EIO,
                   "cannot synchronize its directory: Input/output error; the "
                   "previous file is kept");
    cr_expect_eq(entries(false), 1);
}

FOLDER_TEST(file_write, interrupted_calls_are_repeated) {
    static const int64_t interruptible[] = {OPEN_FOLDER, CREATE, WRITE_1,  WRITE_2,  WRITE_3,
                                            SYNC,        CLOSE,  OPEN_OLD, LINK_OLD, SYNC_FOLDER};
    for (size_t i = 0; i < sizeof interruptible / sizeof *interruptible; i++) {
        put_file(in_folder("a"), "old", 3);
        arm(interruptible[i], EINTR, false);
        cr_expect_eq(write_chunks(in_folder("a")), CT_OK, "call %lld", (long long)interruptible[i]);
        disarm();
        cr_expect(file_is(in_folder("a"), "one two three", 13));
        cr_expect_eq(entries(false), 1);
    }
}

FOLDER_TEST(file_write, does_without_hard_links) {
    static const int codes[] = {EPERM, EOPNOTSUPP, ENOSYS, EMLINK};
    for (int i = 0; i < 4; i++) {
        put_file(in_folder("a"), "old", 3);
        arm(LINK_OLD, codes[i], false);
        cr_expect_eq(write_chunks(in_folder("a")), CT_OK);
        disarm();
        cr_expect(file_is(in_folder("a"), "one two three", 13));
        cr_expect_eq(entries(false), 1);
    }
}

/* No hard links, and then the folder cannot be synchronized: there is no way back. */
static int no_links(int a, const char *from, int b, const char *to, int flags) {
    (void)a, (void)from, (void)b, (void)to, (void)flags;
    errno = EPERM;
    return -1;
}
static int fsync_folder_code;
static int fsync_files_only(int fd) {
    struct stat found;
    fstat(fd, &found);
    if (!S_ISDIR(found.st_mode)) return fsync(fd);
    errno = fsync_folder_code;
    return -1;
}

FOLDER_TEST(file_write, says_when_there_is_no_way_back) {
    cti_system calls = *cti_system_calls();
    calls.linkat = no_links;
    calls.fsync = fsync_files_only;
    cti_system_replace(&calls);
    put_file(in_folder("a"), "old", 3);
    fsync_folder_code = EIO;
    cr_expect_eq(write_text(in_folder("a"), "new"), CT_ERR_IO);
    cr_expect_str_eq(ct_error_message(),
                     said(in_folder("a"), "cannot synchronize its directory: Input/output error; "
                                          "the new file is in place but may not outlast a power "
                                          "failure"));
    cr_expect(file_is(in_folder("a"), "new", 3));
    /* A file system that cannot synchronize directories at all is no error. */
    fsync_folder_code = EINVAL;
    cr_expect_eq(write_text(in_folder("a"), "newer"), CT_OK);
    cr_expect(file_is(in_folder("a"), "newer", 5));
    cr_expect_eq(entries(false), 1);
}

static int openat_flags;
static int openat_watched(int at, const char *path, int flags, mode_t mode) {
    if (flags & O_CREAT) openat_flags = flags;
    return openat(at, path, flags, mode);
}

FOLDER_TEST(file_write, never_opens_what_is_there) {
    cti_system calls = *cti_system_calls();
    calls.openat = openat_watched;
    cti_system_replace(&calls);
    cr_expect_eq(write_text(in_folder("a"), "x"), CT_OK);
    cr_expect_eq(openat_flags, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC);
}

/* Names that are taken: somebody else's temporary is neither opened nor removed. */
static int taken;
static int openat_taken(int at, const char *path, int flags, mode_t mode) {
    if ((flags & O_CREAT) && taken-- > 0) {
        errno = EEXIST;
        return -1;
    }
    return openat(at, path, flags, mode);
}

static int link_code;
static int linkat_taken(int a, const char *from, int b, const char *to, int flags) {
    if (taken-- <= 0) return linkat(a, from, b, to, flags);
    errno = link_code;
    return -1;
}

FOLDER_TEST(file_write, tries_other_names_for_the_previous_file) {
    cti_system calls = *cti_system_calls();
    calls.linkat = linkat_taken;
    cti_system_replace(&calls);
    put_file(in_folder("a"), "old", 3);
    taken = 1 << 20;
    link_code = EEXIST;
    cr_expect_eq(write_text(in_folder("a"), "x"), CT_ERR_IO);
    cr_expect_str_eq(ct_error_message(), said(in_folder("a"), "cannot link: File exists; the "
                                                              "previous file is kept"));
    cr_expect(file_is(in_folder("a"), "old", 3));
    taken = 20;
    cr_expect_eq(write_text(in_folder("a"), "x"), CT_OK);
    cr_expect(file_is(in_folder("a"), "x", 1));
    cr_expect_eq(entries(false), 1);
}

/* What the kernel says when a rename of another process takes the file away from under a link. */
FOLDER_TEST(file_write, links_the_file_that_replaced_the_previous_one) {
    cti_system calls = *cti_system_calls();
    calls.linkat = linkat_taken;
    cti_system_replace(&calls);
    put_file(in_folder("a"), "old", 3);
    taken = 20;
    link_code = ENOENT;
    cr_expect_eq(write_text(in_folder("a"), "x"), CT_OK, "%s", ct_error_message());
    cr_expect(file_is(in_folder("a"), "x", 1));
    cr_expect_eq(entries(false), 1);
}

/* A save that tidies up can lock a temporary before its owner does, and removes it then. */
static int flock_lost(int fd, int operation) {
    if (!(operation & LOCK_EX) || taken-- <= 0) return flock(fd, operation);
    errno = EWOULDBLOCK;
    return -1;
}
static int fstatat_removed(int at, const char *path, struct stat *out, int flags) {
    if (!strstr(path, ".tmp") || taken-- <= 0) return fstatat(at, path, out, flags);
    unlinkat(at, path, 0);
    errno = ENOENT;
    return -1;
}

FOLDER_TEST(file_write, tries_again_when_its_temporary_was_taken_for_stale) {
    for (int i = 0; i < 2; i++) {
        cti_system calls = *cti_system_calls();
        if (i) calls.flock = flock_lost;
        else calls.fstatat = fstatat_removed;
        cti_system_replace(&calls);
        int descriptors = open_descriptors();
        taken = 3;
        cr_expect_eq(write_text(in_folder("a"), "x"), CT_OK, "%s", ct_error_message());
        cr_expect_eq(entries(false), 1);
        cr_expect_eq(open_descriptors(), descriptors);
        cti_system_replace(NULL);
        unlink(in_folder("a"));
    }
}

/* A file system that numbers its files anew at each look. */
static int fstatat_unsteady(int at, const char *path, struct stat *out, int flags) {
    static ino_t number;
    int result = fstatat(at, path, out, flags);
    out->st_ino = ++number;
    return result;
}

FOLDER_TEST(file_write, does_without_numbers_of_files) {
    cti_system calls = *cti_system_calls();
    calls.fstatat = fstatat_unsteady;
    cti_system_replace(&calls);
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(write_text(in_folder("a"), "x"), CT_OK, "%s", ct_error_message());
        cr_expect_eq(entries(false), 1);
    }
}

static int no_locks(int fd, int operation) {
    (void)fd, (void)operation;
    errno = ENOLCK;
    return -1;
}

FOLDER_TEST(file_write, does_without_locks) {
    cti_system calls = *cti_system_calls();
    calls.flock = no_locks;
    cti_system_replace(&calls);
    put_file(in_folder(".a.1.2.tmp"), "of somebody", 11);
    for (int i = 0; i < 2; i++) cr_expect_eq(write_text(in_folder("a"), "x"), CT_OK);
    cr_expect_eq(entries(false), 2, "what cannot be locked is not stale");
}

FOLDER_TEST(file_write, tries_other_names) {
    cti_system calls = *cti_system_calls();
    calls.openat = openat_taken;
    cti_system_replace(&calls);
    taken = 20;
    cr_expect_eq(write_text(in_folder("a"), "x"), CT_OK);
    taken = 1 << 20;
    cr_expect_eq(write_text(in_folder("a"), "y"), CT_ERR_IO);
    cr_expect_str_eq(ct_error_message(),
                     said(in_folder("a"), "cannot create a temporary file beside it: File exists; "
                                          "the previous file is kept"));
    cr_expect(file_is(in_folder("a"), "x", 1));
}

static ssize_t writes_nothing(int fd, const void *bytes, size_t length) {
    (void)fd, (void)bytes, (void)length;
    return 0;
}

FOLDER_TEST(file_write, a_write_of_nothing_is_no_progress) {
    cti_system calls = *cti_system_calls();
    calls.write = writes_nothing;
    cti_system_replace(&calls);
    cr_expect_eq(write_text(in_folder("a"), "x"), CT_ERR_IO);
    cr_expect_str_eq(ct_error_message(),
                     said(in_folder("a"), "No space left on device after 0 of 1 bytes; no file "
                                          "was written"));
    cr_expect_eq(entries(false), 0);
    ct_error_clear();
    static const cti_chunk huge[] = {{"x", SIZE_MAX}, {"y", 2}};
    cr_expect_eq(cti_file_write("f", in_folder("a"), huge, 2), CT_ERR_IO);
    cr_expect_str_eq(ct_error_message(), said(in_folder("a"), "File too large; no file was "
                                                              "written"));
}
