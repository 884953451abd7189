/* The file funnel, writing, with other processes: saves of one path at once, saves that are killed
 * at every system call, and what the next save removes of theirs.
 * What single calls do is in test_file_write.c.
 * Invariant: nothing waits for time to pass; processes meet at chosen system calls, over pipes. */
#define COTAN_PROCESSES
#include "tests/support/io_support.h"

#include <signal.h>
#include <sys/wait.h>

static ct_status write_text(const char *path, const char *text) {
    ct_error_clear();
    return cti_file_write("f", path, &(cti_chunk){text, strlen(text)}, 1);
}

static int status_of(pid_t child) {
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    return status;
}

/* --- At once ------------------------------------------------------------------------------ */

/* Content that tells a torn file: one letter, as often as is usual for it. */
enum { SAVERS = 4, SAVES = 100, LENGTH = 3000 };

static _Noreturn void save_often(const char *path, int saver) {
    char content[LENGTH];
    for (int i = 0; i < SAVES; i++) {
        size_t length = LENGTH - (size_t)saver;
        memset(content, 'a' + saver, length);
        if (cti_file_write("f", path, &(cti_chunk){content, length}, 1) != CT_OK) {
            fprintf(stderr, "%s\n", ct_error_message());
            _exit(1);
        }
    }
    _exit(0);
}

static void expect_whole(const char *path) {
    char content[LENGTH];
    bool whole = false;
    for (int saver = 0; saver < SAVERS; saver++) {
        memset(content, 'a' + saver, LENGTH);
        whole |= file_is(path, content, LENGTH - (size_t)saver);
    }
    cr_expect(whole, "torn");
}

FOLDER_TEST(file_processes, saves_at_once_all_succeed) {
    for (int linked = 0; linked < 2; linked++) {
        if (linked) cr_assert_eq(symlink("a", in_folder("b")), 0);
        pid_t children[SAVERS];
        for (int i = 0; i < SAVERS; i++) {
            children[i] = fork();
            if (children[i] == 0) save_often(in_folder(linked ? "b" : "a"), i);
        }
        for (int i = 0; i < SAVERS; i++) cr_expect_eq(status_of(children[i]), 0);
        expect_whole(in_folder("a"));
        cr_expect_eq(entries(false), 1 + linked, "a temporary was left");
    }
}

/* Another save at each system call of this one: the tightest races there are, one by one. */
static const char *contended;
static int64_t calls_made, meet_at;
static bool meeting;

static void meet(void) {
    if (meeting || ++calls_made != meet_at) return;
    meeting = true;
    cr_expect_eq(write_text(contended, "other"), CT_OK, "%s", ct_error_message());
    meeting = false;
}

static int meet_openat(int at, const char *path, int flags, mode_t mode) {
    meet();
    return openat(at, path, flags, mode);
}
static int meet_fstat(int fd, struct stat *out) {
    meet();
    return fstat(fd, out);
}
static int meet_fstatat(int at, const char *path, struct stat *out, int flags) {
    meet();
    return fstatat(at, path, out, flags);
}
static ssize_t meet_write(int fd, const void *bytes, size_t length) {
    meet();
    return write(fd, bytes, length);
}
static int fail_folder_code;
static int meet_fsync(int fd) {
    meet();
    struct stat found;
    fstat(fd, &found);
    if (meeting || !fail_folder_code || !S_ISDIR(found.st_mode)) return fsync(fd);
    errno = fail_folder_code;
    return -1;
}
static int meet_close(int fd) {
    meet();
    return close(fd);
}
static int meet_linkat(int a, const char *from, int b, const char *to, int flags) {
    meet();
    return linkat(a, from, b, to, flags);
}
static int meet_renameat(int a, const char *from, int b, const char *to) {
    meet();
    return renameat(a, from, b, to);
}
static int meet_unlinkat(int at, const char *path, int flags) {
    meet();
    return unlinkat(at, path, flags);
}
static int meet_flock(int fd, int operation) {
    meet();
    return flock(fd, operation);
}
static int meet_dup(int fd) {
    meet();
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}
static int meet_fchmod(int fd, mode_t mode) {
    meet();
    return fchmod(fd, mode);
}

static void meet_at_call(int64_t call) {
    static cti_system meeting_system;
    cti_system_replace(NULL);
    meeting_system = *cti_system_calls();
    meeting_system.openat = meet_openat;
    meeting_system.fstat = meet_fstat;
    meeting_system.fstatat = meet_fstatat;
    meeting_system.write = meet_write;
    meeting_system.fsync = meet_fsync;
    meeting_system.close = meet_close;
    meeting_system.linkat = meet_linkat;
    meeting_system.renameat = meet_renameat;
    meeting_system.unlinkat = meet_unlinkat;
    meeting_system.flock = meet_flock;
    meeting_system.dup = meet_dup;
    meeting_system.fchmod = meet_fchmod;
    calls_made = 0;
    meet_at = call;
    cti_system_replace(&meeting_system);
}

FOLDER_TEST(file_processes, another_save_at_every_call_succeeds_too) {
    contended = in_folder("a");
    for (int previous = 0; previous < 2; previous++) {
        for (int64_t call = 1; call <= calls_made + 1; call++) {
            entries(true);
            if (previous) put_file(in_folder("a"), "old", 3);
            meet_at_call(call);
            cr_expect_eq(write_text(in_folder("a"), "this"), CT_OK, "call %lld: %s",
                         (long long)call, ct_error_message());
            cti_system_replace(NULL);
            bool met = calls_made >= call;
            cr_expect(file_is(in_folder("a"), "this", 4) ||
                      (met && file_is(in_folder("a"), "other", 5)));
            cr_expect_eq(entries(false), 1, "call %lld left a file", (long long)call);
        }
        cr_expect_gt(calls_made, 12);
        calls_made = 0;
    }
}

/* A save that must be undone does not undo the one that came after it. */
FOLDER_TEST(file_processes, an_undone_save_leaves_a_later_one_alone) {
    contended = in_folder("a");
    fail_folder_code = EIO;
    int kept = 0;
    for (int64_t call = 1; call <= calls_made + 1; call++) {
        entries(true);
        put_file(in_folder("a"), "old", 3);
        meet_at_call(call);
        cr_expect_eq(write_text(in_folder("a"), "this"), CT_ERR_IO);
        cti_system_replace(NULL);
        cr_expect_not(file_is(in_folder("a"), "this", 4), "call %lld", (long long)call);
        if (strstr(ct_error_message(), "the file of a later save is in place")) {
            kept++;
            cr_expect(file_is(in_folder("a"), "other", 5));
        }
        cr_expect_eq(entries(false), 1, "call %lld left a file", (long long)call);
    }
    cr_expect_gt(kept, 0);
}

/* --- Killed ------------------------------------------------------------------------------- */

/* A save in a child that is killed just before its system call number `at`, or just after it. A
 * write does half of its work first. False when the save needs fewer calls. */
static int64_t kill_at;
static bool kill_after;

static void die(void) { raise(SIGKILL); }
#define DEADLY(type, call)                   \
    do {                                     \
        bool last = ++calls_made == kill_at; \
        if (last && !kill_after) die();      \
        type deadly_result = (call);         \
        if (last) die();                     \
        return deadly_result;                \
    } while (0)

static int deadly_openat(int at, const char *path, int flags, mode_t mode) {
    DEADLY(int, openat(at, path, flags, mode));
}
static ssize_t deadly_write(int fd, const void *bytes, size_t length) {
    DEADLY(ssize_t, write(fd, bytes, calls_made == kill_at ? length / 2 : length));
}
static int deadly_fsync(int fd) { DEADLY(int, fsync(fd)); }
static int deadly_close(int fd) { DEADLY(int, close(fd)); }
static int deadly_linkat(int a, const char *from, int b, const char *to, int flags) {
    DEADLY(int, linkat(a, from, b, to, flags));
}
static int deadly_renameat(int a, const char *from, int b, const char *to) {
    DEADLY(int, renameat(a, from, b, to));
}
static int deadly_unlinkat(int at, const char *path, int flags) {
    DEADLY(int, unlinkat(at, path, flags));
}
static int deadly_flock(int fd, int operation) { DEADLY(int, flock(fd, operation)); }
static int deadly_fchmod(int fd, mode_t mode) { DEADLY(int, fchmod(fd, mode)); }

static bool killed_save(const char *path, int64_t at, bool after) {
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        cti_system deadly = *cti_system_calls();
        deadly.openat = deadly_openat;
        deadly.write = deadly_write;
        deadly.fsync = deadly_fsync;
        deadly.close = deadly_close;
        deadly.linkat = deadly_linkat;
        deadly.renameat = deadly_renameat;
        deadly.unlinkat = deadly_unlinkat;
        deadly.flock = deadly_flock;
        deadly.fchmod = deadly_fchmod;
        cti_system_replace(&deadly);
        calls_made = 0, kill_at = at, kill_after = after;
        _exit(write_text(path, "killed") != CT_OK);
    }
    int status = status_of(child);
    cr_expect(WIFSIGNALED(status) || status == 0);
    return WIFSIGNALED(status);
}

FOLDER_TEST(file_processes, what_killed_saves_leave_is_removed_by_the_next) {
    const char *path = in_folder("a");
    int left = 0;
    for (int previous = 0; previous < 2; previous++) {
        for (int after = 0; after < 2; after++) {
            bool killed = true;
            for (int64_t at = 1; killed; at++) {
                entries(true);
                if (previous) put_file(path, "old", 3);
                killed = killed_save(path, at, after);
                bool is_new = file_is(path, "killed", 6);
                bool is_old = previous ? file_is(path, "old", 3) : access(path, F_OK) != 0;
                cr_expect(is_new || is_old, "torn at call %lld", (long long)at);
                cr_expect(killed || is_new);
                left += entries(false) > 1 || (!is_new && !previous && entries(false) > 0);
                cr_expect_eq(write_text(path, "next"), CT_OK, "%s", ct_error_message());
                cr_expect(file_is(path, "next", 4));
                cr_expect_eq(entries(false), 1, "left after call %lld", (long long)at);
                cr_assert_lt(at, 100);
            }
        }
    }
    cr_expect_gt(left, 20, "%d", left);
}

/* Only what this file's saves have made, and only regular files. */
FOLDER_TEST(file_processes, other_files_stay) {
    static const char *const names[] = {".a.1.2.tmp.", "a.1.2.tmp",   ".a.1.tmp",   ".a.x.2.tmp",
                                        ".a.1..tmp",   ".aa.1.2.tmp", ".b.1.2.tmp", ".a.1.2.3.tmp"};
    for (int i = 0; i < 8; i++) put_file(in_folder(names[i]), "other", 5);
    cr_assert_eq(mkfifo(in_folder(".a.1.3.tmp"), 0600), 0);
    cr_assert_eq(symlink("a.1.2.tmp", in_folder(".a.1.4.tmp")), 0);
    put_file(in_folder(".a.1.2.tmp"), "stale", 5);
    cr_expect_eq(write_text(in_folder("a"), "x"), CT_OK);
    cr_expect_eq(access(in_folder(".a.1.2.tmp"), F_OK), -1);
    for (int i = 0; i < 8; i++) cr_expect(file_is(in_folder(names[i]), "other", 5), "%s", names[i]);
    cr_expect_eq(entries(false), 11);
}

/* --- A live writer's temporary ------------------------------------------------------------- */

static int to_parent[2], to_child[2];

static void wait_for(int fd) {
    char byte;
    cr_assert_eq(read(fd, &byte, 1), 1);
}

static ssize_t waiting_write(int fd, const void *bytes, size_t length) {
    if (write(to_parent[1], "w", 1) != 1) _exit(2);
    wait_for(to_child[0]);
    return write(fd, bytes, length);
}

static int waiting_renameat(int a, const char *from, int b, const char *to) {
    if (write(to_parent[1], "r", 1) != 1) _exit(2);
    wait_for(to_child[0]);
    return renameat(a, from, b, to);
}

/* The child stops while it writes and before it renames; each time a whole save passes by. */
FOLDER_TEST(file_processes, a_live_writers_files_stay) {
    cr_assert_eq(pipe(to_parent), 0);
    cr_assert_eq(pipe(to_child), 0);
    put_file(in_folder("a"), "old", 3);
    pid_t child = fork();
    if (child == 0) {
        cti_system waiting = *cti_system_calls();
        waiting.write = waiting_write;
        waiting.renameat = waiting_renameat;
        cti_system_replace(&waiting);
        _exit(write_text(in_folder("a"), "child") != CT_OK);
    }
    static const int its_files[] = {1, 2}; /* the temporary; and a second name of the old file */
    for (int i = 0; i < 2; i++) {
        wait_for(to_parent[0]);
        cr_expect_eq(entries(false), 1 + its_files[i]);
        cr_expect_eq(write_text(in_folder("a"), "parent"), CT_OK, "%s", ct_error_message());
        cr_expect(file_is(in_folder("a"), "parent", 6));
        cr_expect_eq(entries(false), 1 + its_files[i]);
        cr_assert_eq(write(to_child[1], "g", 1), 1);
    }
    cr_expect_eq(status_of(child), 0);
    cr_expect(file_is(in_folder("a"), "child", 5));
    cr_expect_eq(entries(false), 1);
}
