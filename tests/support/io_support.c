/* Folders of tests, and a system that fails when it is told to.
 * What must hold then is said here once, for whatever is saved.
 * Invariant: the folder is gone, and the real system calls are back, when the test has ended. */
#include "tests/support/io_support.h"

/* --- The folder, and what is left over ---------------------------------------------------- */

char folder[256];

void fixture_open(void) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/cotan-io-XXXXXX", base ? base : "/tmp");
    cr_assert_not_null(mkdtemp(folder));
}

const char *in_folder(const char *name) {
    static char path[4][512];
    static unsigned turn;
    char *out = path[turn++ % 4];
    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}

int entries(bool wipe) {
    DIR *dir = opendir(folder);
    int n = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        n++;
        if (wipe) unlinkat(dirfd(dir), entry->d_name, 0);
    }
    closedir(dir);
    return n;
}

void fixture_close(void) {
    cti_system_replace(NULL);
    entries(true);
    rmdir(folder);
    ct_error_clear();
}

int open_descriptors(void) {
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;
    while (readdir(dir)) n++;
    closedir(dir);
    return n;
}

/* --- Values ---------------------------------------------------------------------------- */

void expect_value(ct_tensor *t, ct_dtype dtype, ct_shape shape, const void *elements) {
    cr_assert_not_null(t, "%s", ct_error_message());
    cr_expect_eq(ct_dtype_of(t), dtype);
    cr_expect(ct_shape_equal(ct_shape_of(t), shape));
    cr_expect(memcmp(ct_data(t), elements, (size_t)ct_numel(t) * ct_dtype_size(dtype)) == 0);
}

/* A node of 2^62 bytes without a value, which no machine can compute. */
static ct_status infer_enormous(const ct_infer *call, ct_type *out) {
    (void)call;
    *out = (ct_type){CT_F64, CT_SHAPE(INT64_C(1) << 59)};
    return CT_OK;
}

static void tile_enormous(int64_t n, void *y, const void *const x[], const ct_tile *tile) {
    (void)x, (void)tile;
    memset(y, 0, (size_t)n * sizeof(double));
}

/* Refuses by itself: sanitizers stop the program at a request of that size. */
static void *modest_alloc(size_t size, void *user) {
    (void)user;
    return size >> 40 ? NULL : aligned_alloc(64, size);
}

static void modest_free(void *block, void *user) {
    (void)user;
    free(block);
}

ct_tensor *enormous(void) {
    ct_allocator_set((ct_allocator){modest_alloc, modest_free, NULL});
    static const ct_op op = {.name = "enormous",
                             .kind = CT_MAP,
                             .n_inputs = 0,
                             .infer = infer_enormous,
                             .tile = {[CT_F64] = tile_enormous}};
    return ct_node(&op, NULL, 0, NULL, 0);
}

/* --- Plain files, past the code under test ------------------------------------------------ */

void put_file(const char *path, const void *bytes, size_t length) {
    FILE *f = fopen(path, "wb");
    cr_assert_not_null(f);
    cr_assert_eq(fwrite(bytes, 1, length, f), length);
    fclose(f);
}

bool file_is(const char *path, const void *bytes, size_t length) {
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    char *found = malloc(length + 1);
    bool same = fread(found, 1, length + 1, f) == length && memcmp(found, bytes, length) == 0;
    free(found);
    fclose(f);
    return same;
}

/* --- Faults ------------------------------------------------------------------------------- */

static struct {
    int64_t calls, fail_at; /* call number `fail_at` fails; 0: none */
    int code;
    bool persistent; /* all later ones fail too */
} faults;

static bool fault(void) {
    faults.calls++;
    if (!faults.fail_at) return false;
    bool hit = faults.persistent ? faults.calls >= faults.fail_at : faults.calls == faults.fail_at;
    if (hit) errno = faults.code;
    return hit;
}

static size_t shortened(size_t length, bool *failing) {
    bool hit = fault();
    *failing = hit && faults.code != SHORT_COUNT;
    return hit && length > 1 ? length / 2 : length;
}

#define FAULTY(call) (fault() && faults.code != SHORT_COUNT ? -1 : (call))

static int faulty_openat(int at, const char *path, int flags, mode_t mode) {
    return FAULTY(openat(at, path, flags, mode));
}

static int faulty_fstat(int fd, struct stat *out) { return FAULTY(fstat(fd, out)); }

static int faulty_fstatat(int at, const char *path, struct stat *out, int flags) {
    return FAULTY(fstatat(at, path, out, flags));
}

static ssize_t faulty_read(int fd, void *bytes, size_t length) {
    bool failing;
    length = shortened(length, &failing);
    return failing ? -1 : read(fd, bytes, length);
}

static ssize_t faulty_write(int fd, const void *bytes, size_t length) {
    bool failing;
    length = shortened(length, &failing);
    return failing ? -1 : write(fd, bytes, length);
}

static int faulty_fsync(int fd) { return FAULTY(fsync(fd)); }

/* As in Linux, the descriptor is gone even when close reports an error. */
static int faulty_close(int fd) {
    close(fd);
    return FAULTY(0);
}

static int faulty_linkat(int a, const char *from, int b, const char *to, int flags) {
    return FAULTY(linkat(a, from, b, to, flags));
}

static int faulty_renameat(int a, const char *from, int b, const char *to) {
    return FAULTY(renameat(a, from, b, to));
}

static int faulty_unlinkat(int at, const char *path, int flags) {
    return FAULTY(unlinkat(at, path, flags));
}

static ssize_t faulty_readlinkat(int at, const char *path, char *text, size_t length) {
    return FAULTY(readlinkat(at, path, text, length));
}

static ssize_t faulty_getdents(int at, void *entries_out, size_t length) {
    return FAULTY(syscall(SYS_getdents64, at, entries_out, length));
}

static int faulty_flock(int fd, int operation) { return FAULTY(flock(fd, operation)); }

static int faulty_dup(int fd) { return FAULTY(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

static int faulty_fchmod(int fd, mode_t mode) { return FAULTY(fchmod(fd, mode)); }

static int faulty_fchown(int fd, uid_t owner, gid_t group) {
    return FAULTY(fchown(fd, owner, group));
}

static const cti_system faulty_system = {
    faulty_openat,   faulty_fstat,    faulty_fstatat,    faulty_read,
    faulty_write,    faulty_fsync,    faulty_close,      faulty_linkat,
    faulty_renameat, faulty_unlinkat, faulty_readlinkat, faulty_getdents,
    faulty_flock,    faulty_dup,      faulty_fchmod,     faulty_fchown,
};

void arm(int64_t fail_at, int code, bool persistent) {
    faults.calls = 0;
    faults.fail_at = fail_at;
    faults.code = code;
    faults.persistent = persistent;
    cti_system_replace(&faulty_system);
}

int64_t disarm(void) {
    cti_system_replace(NULL);
    return faults.calls;
}

const int fault_codes[FAULT_CODES] = {EIO, ENOSPC, EDQUOT, EINTR, SHORT_COUNT};

int64_t fault_sweep(ct_status (*save)(const char *path), const char *path, const void *new_bytes,
                    size_t length) {
    static const char old_bytes[] = "what was there before";
    int64_t runs = 0;
    for (int setting = 0; setting < 4 * FAULT_CODES; setting++) {
        int code = fault_codes[setting / 4];
        bool previous = setting & 1, persistent = setting & 2;
        if (persistent && (code == EINTR || code == SHORT_COUNT)) continue;
        for (int64_t at = 1, calls = 1; calls >= at - 1; at++, runs++) {
            entries(true);
            if (previous) put_file(path, old_bytes, sizeof old_bytes);
            int descriptors = open_descriptors();
            ct_error_clear();
            arm(at, code, persistent);
            ct_status status = save(path);
            calls = disarm();
            bool is_new = file_is(path, new_bytes, length);
            bool is_old = previous ? file_is(path, old_bytes, sizeof old_bytes)
                                   : access(path, F_OK) != 0;
            cr_expect_eq(open_descriptors(), descriptors, "call %lld", (long long)at);
            if (persistent) cr_expect(is_new || is_old, "torn at call %lld", (long long)at);
            else {
                cr_expect(status == CT_OK ? is_new : is_old, "call %lld: %s", (long long)at,
                          ct_error_message());
                cr_expect_eq(entries(false), status == CT_OK || previous, "call %lld left a file",
                             (long long)at);
            }
            cr_expect_eq(ct_error(), status);
            cr_expect_eq(status != CT_OK, strstr(ct_error_message(), path) != NULL);
            if (code == SHORT_COUNT) cr_expect_eq(status, CT_OK);
            else if (status != CT_OK) cr_expect_eq(status, CT_ERR_IO);
        }
    }
    return runs;
}

int64_t memory_sweep(ct_status (*action)(void)) {
    int64_t runs = 0;
    for (int persistent = 0; persistent < 2; persistent++) {
        ct_status status = CT_ERR_MEMORY;
        for (int64_t k = 1; status != CT_OK; k++, runs++) {
            ct_error_clear();
            int64_t before = ct_mem_read().live_bytes;
            int64_t scope = ct_scope_open();
            ct_mem_fail_at(k, persistent);
            status = action();
            ct_mem_fail_at(0, false);
            ct_scope_close(scope);
            if (status != CT_OK) cr_expect_eq(ct_error(), CT_ERR_MEMORY, "%s", ct_error_message());
            cr_expect_eq(ct_mem_read().live_bytes, before, "allocation %lld", (long long)k);
            cr_assert_lt(k, 10000);
        }
    }
    return runs;
}
