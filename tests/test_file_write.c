/* The file funnel, writing: atomic replacement, and every system call failing in turn.
 * Not a test of durability across a power failure: that needs the order of writes replayed.
 * Invariant: an error leaves the folder as it was. */
#include "io_support.h"

TestSuite(file_write, .init = fixture_open, .fini = fixture_close);

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

Test(file_write, writes_chunks_in_order) {
    cr_assert_eq(write_chunks(in_folder("a")), CT_OK, "%s", ct_error_message());
    cr_expect(file_is(in_folder("a"), "one two three", 13));
    cr_assert_eq(cti_file_write("f", in_folder("a"), NULL, 0), CT_OK);
    cr_expect(file_is(in_folder("a"), "", 0));
    cr_expect_eq(entries(false), 1);
    umask(0);
    cr_assert_eq(write_chunks(in_folder("b")), CT_OK);
    struct stat found;
    stat(in_folder("b"), &found);
    cr_expect_eq(found.st_mode & 07777, 0644);
}

Test(file_write, writes_relative_paths) {
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

Test(file_write, replaces_regular_files_only) {
    char path[600];
    expect_write_refused("/dev/full",
                         "is a character device, expected a regular file or none");
    expect_write_refused(folder, "is a directory, expected a regular file or none");
    put_file(in_folder("a"), "kept", 4);
    cr_assert_eq(symlink("a", in_folder("b")), 0);
    expect_write_refused(in_folder("b"),
                         "is a symbolic link, expected a regular file or none");
    cr_expect(file_is(in_folder("a"), "kept", 4));
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

Test(file_write, refuses_names_that_are_too_long) {
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

Test(file_write, survives_every_fault) {
    int64_t runs = fault_sweep(write_chunks, in_folder("a"), "one two three", 13);
    cr_log_info("%lld runs", (long long)runs);
    cr_expect_gt(runs, 150);
}

/* Call numbers of a save over a previous file, in order: open the folder, stat, create the
 * temporary, three writes, fsync, close, link, rename, fsync the folder, unlink, close. */
static void expect_at_call(int64_t call, int code, const char *what) {
    put_file(in_folder("a"), "old", 3);
    ct_error_clear();
    arm(call, code, false);
    cr_expect_eq(write_chunks(in_folder("a")), CT_ERR_IO);
    cr_expect_eq(disarm() >= call, true);
    cr_expect_str_eq(ct_error_message(), said(in_folder("a"), what));
    cr_expect(file_is(in_folder("a"), "old", 3));
}

Test(file_write, says_what_failed) {
    expect_at_call(3, EACCES, "cannot create a temporary file beside it: Permission denied; "
                              "the previous file is kept");
    expect_at_call(4, ENOSPC,
                   "No space left on device after 0 of 13 bytes; the previous file is kept");
    expect_at_call(6, ENOSPC,
                   "No space left on device after 8 of 13 bytes; the previous file is kept");
    expect_at_call(7, EIO, "cannot synchronize: Input/output error; the previous file is kept");
    expect_at_call(8, EDQUOT, "cannot close: Disk quota exceeded; the previous file is kept");
    expect_at_call(9, EIO, "cannot link: Input/output error; the previous file is kept");
    expect_at_call(10, EROFS,
                   "cannot rename: Read-only file system; the previous file is kept");
    expect_at_call(11, EIO, "cannot synchronize its directory: Input/output error; the previous "
                            "file is kept");
    cr_expect_eq(entries(false), 1);
}

Test(file_write, interrupted_calls_are_repeated) {
    static const int64_t interruptible[] = {1, 3, 4, 5, 6, 7, 8, 9, 11};
    for (int i = 0; i < 9; i++) {
        put_file(in_folder("a"), "old", 3);
        arm(interruptible[i], EINTR, false);
        cr_expect_eq(write_chunks(in_folder("a")), CT_OK, "call %lld", (long long)faults.fail_at);
        disarm();
        cr_expect(file_is(in_folder("a"), "one two three", 13));
        cr_expect_eq(entries(false), 1);
    }
}

Test(file_write, does_without_hard_links) {
    static const int codes[] = {EPERM, EOPNOTSUPP, ENOSYS, EMLINK};
    for (int i = 0; i < 4; i++) {
        put_file(in_folder("a"), "old", 3);
        arm(9, codes[i], false);
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

Test(file_write, says_when_there_is_no_way_back) {
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

Test(file_write, never_opens_what_is_there) {
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

static int linkat_taken(int a, const char *from, int b, const char *to, int flags) {
    if (taken-- <= 0) return linkat(a, from, b, to, flags);
    errno = EEXIST;
    return -1;
}

Test(file_write, tries_other_names_for_the_previous_file) {
    cti_system calls = *cti_system_calls();
    calls.linkat = linkat_taken;
    cti_system_replace(&calls);
    put_file(in_folder("a"), "old", 3);
    taken = 1 << 20;
    cr_expect_eq(write_text(in_folder("a"), "x"), CT_ERR_IO);
    cr_expect_str_eq(ct_error_message(), said(in_folder("a"), "cannot link: File exists; the "
                                                              "previous file is kept"));
    cr_expect(file_is(in_folder("a"), "old", 3));
    taken = 20;
    cr_expect_eq(write_text(in_folder("a"), "x"), CT_OK);
    cr_expect(file_is(in_folder("a"), "x", 1));
    cr_expect_eq(entries(false), 1);
}

Test(file_write, tries_other_names) {
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

Test(file_write, a_write_of_nothing_is_no_progress) {
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

