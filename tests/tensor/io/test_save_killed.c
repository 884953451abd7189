/* A process that saves its weights is killed at each of its system calls in turn: the file is then
 * the state before or the state after, whole, and never older than what a finished save had left.
 * Failing system calls and concurrent saves are test_file_write's and test_file_processes'.
 * Invariant: the child forks before any thread exists, and runs no evaluation; where it dies is
 * counted in calls, so that the speed of the machine plays no part. */
#include "tests/support/nn_support.h"

#include "tensor/io/file.h"
#include "tensor/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WIDTH 512

static const char file_name[] = "killed.safetensors";

static ct_module *model_of(float value) {
    ct_module *model = ct_dense_new(WIDTH, WIDTH, (ct_dense_options){0});
    cr_assert_not_null(model, "%s", ct_error_message());
    ct_slot *kernel = model->slots[0].slot;
    cr_assert_str_eq(model->slots[0].name, "kernel");
    OK(ct_slot_write(kernel, ct_full(CT_F32, CT_SHAPE(WIDTH, WIDTH), value)));
    return model;
}

/* --- Where it dies ---------------------------------------------------------------------------- */

/* The calls that change a file or a folder. Between two of them, nothing on the disk moves. */
static int64_t calls_made, kill_at;

static bool last_call(void) { return ++calls_made == kill_at; }
static void die_if(bool last) {
    if (last) raise(SIGKILL);
}

static int deadly_openat(int at, const char *path, int flags, mode_t mode) {
    if (flags & O_CREAT) die_if(last_call());
    return openat(at, path, flags, mode);
}
/* Dies with half of the bytes written. */
static ssize_t deadly_write(int fd, const void *bytes, size_t length) {
    bool last = last_call();
    ssize_t wrote = write(fd, bytes, last ? length / 2 : length);
    die_if(last);
    return wrote;
}
static int deadly_fsync(int fd) {
    die_if(last_call());
    return fsync(fd);
}
static int deadly_linkat(int a, const char *from, int b, const char *to, int flags) {
    die_if(last_call());
    return linkat(a, from, b, to, flags);
}
static int deadly_renameat(int a, const char *from, int b, const char *to) {
    die_if(last_call());
    return renameat(a, from, b, to);
}
static int deadly_unlinkat(int at, const char *path, int flags) {
    die_if(last_call());
    return unlinkat(at, path, flags);
}

/* --- Saving and dying ------------------------------------------------------------------------- */

enum { SAVES = 3 };

/* Saves 1, 2, 3; `saved` is the last one whose save has returned. */
static _Noreturn void save_and_die(ct_module *model, volatile int *saved, int64_t call) {
    cti_system deadly = *cti_system_calls();
    deadly.openat = deadly_openat;
    deadly.write = deadly_write;
    deadly.fsync = deadly_fsync;
    deadly.linkat = deadly_linkat;
    deadly.renameat = deadly_renameat;
    deadly.unlinkat = deadly_unlinkat;
    cti_system_replace(&deadly);
    kill_at = call;
    for (int k = 1; k <= SAVES; k++) {
        ct_tensor *value = ct_full(CT_F32, CT_SHAPE(WIDTH, WIDTH), k);
        if (ct_slot_write(model->slots[0].slot, value) != CT_OK) _exit(1);
        if (ct_weights_save(model, file_name) != CT_OK) _exit(1);
        *saved = k;
    }
    _exit(0);
}

/* What the file holds, in every element; 0 without a file. */
static int saved_state(void) {
    if (access(file_name, F_OK) != 0) return 0;
    ct_safetensors *file = ct_safetensors_load(file_name);
    MADE(file);
    ct_tensor *kernel = ct_safetensors_value(file, ct_safetensors_find(file, "kernel"));
    const float *values = ct_data_f32(kernel);
    MADE(values);
    bool whole = true;
    for (int64_t i = 1; i < ct_numel(kernel); i++) whole &= values[i] == values[0];
    cr_expect(whole, "torn");
    ct_safetensors_free(file);
    return (int)values[0];
}

/* False if the child came to its end. */
static bool kill_one(ct_module *model, volatile int *saved, int64_t call) {
    *saved = 0;
    unlink(file_name);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) save_and_die(model, saved, call);
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    bool killed = WIFSIGNALED(status);
    cr_assert(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0 && *saved == SAVES));
    int state = saved_state();
    cr_expect(state == *saved || (killed && state == *saved + 1), "%d after a finished save of %d",
              state, *saved);
    return killed;
}

TEST(save_killed, leaves_one_whole_state) {
    const char *base = getenv("TMPDIR");
    char folder[256];
    snprintf(folder, sizeof folder, "%s/cotan-killed-XXXXXX", base ? base : "/tmp");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    volatile int *saved = mmap(NULL, sizeof *saved, PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(saved, MAP_FAILED);
    ct_module *model = model_of(0);
    int64_t scope = ct_scope_open(), call = 1;
    while (kill_one(model, saved, call)) {
        ct_scope_close(scope);
        cr_assert_lt(++call, 100);
    }
    cr_expect_gt(call, 7 * SAVES, "a save makes more calls than that");
    ct_module_free(model);
    munmap((void *)saved, sizeof *saved);
    unlink(file_name);
    cr_expect_eq(rmdir(folder), 0, "the last save has removed what the killed ones left");
}
