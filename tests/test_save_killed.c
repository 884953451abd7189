/* A process that saves over and over is killed at a random moment: the file is then one of the
 * states that were saved, whole, and never older than what a finished save had left.
 * Failing system calls are test_file_write's business.
 * Invariant: the child forks before any thread exists, and runs no evaluation. */
#include "nn_support.h"

#include "tensor/safetensors.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILLS 200
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

/* Saves 1, 2, 3 ...; `saved` is the last one whose save has returned. */
static void save_for_ever(ct_module *model, volatile int *saved) {
    ct_slot *kernel = model->slots[0].slot;
    for (int k = 1;; k++) {
        int64_t scope = ct_scope_open();
        ct_tensor *value = ct_full(CT_F32, CT_SHAPE(WIDTH, WIDTH), k);
        if (ct_slot_write(kernel, value) != CT_OK) _exit(1);
        if (ct_weights_save(model, file_name) != CT_OK) _exit(1);
        *saved = k;
        ct_scope_close(scope);
    }
}

static void remove_temporaries(void) {
    /* A killed save may leave its temporary file behind; nothing else. */
    cr_expect_eq(system("rm -f .killed.safetensors.*.tmp"), 0);
}

/* True if at least one save had returned. */
static bool kill_one(ct_module *model, volatile int *saved, uint32_t *random) {
    *saved = 0;
    unlink(file_name);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) save_for_ever(model, saved);
    *random = *random * 1664525u + 1013904223u;
    usleep(200 + (*random >> 8) % 12000);
    kill(child, SIGKILL);
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status), "the child ended by itself");
    ct_safetensors *file = access(file_name, F_OK) == 0 ? ct_safetensors_load(file_name) : NULL;
    cr_expect(file || (*saved == 0 && ct_error() == CT_OK), "lost: %s", ct_error_message());
    if (!file) return false;
    ct_tensor *kernel = ct_safetensors_value(file, ct_safetensors_find(file, "kernel"));
    const float *values = ct_data_f32(kernel);
    cr_assert_not_null(values, "%s", ct_error_message());
    bool whole = true;
    for (int64_t i = 1; i < ct_numel(kernel); i++) whole &= values[i] == values[0];
    cr_expect(whole, "torn");
    cr_expect_geq((int)values[0], *saved, "older than a finished save");
    ct_safetensors_free(file);
    return *saved > 0;
}

NN_TEST(save_killed, leaves_one_whole_state) {
    const char *base = getenv("TMPDIR");
    char folder[256];
    snprintf(folder, sizeof folder, "%s/cotan-killed-XXXXXX", base ? base : "/tmp");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    volatile int *saved = mmap(NULL, sizeof *saved, PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(saved, MAP_FAILED);
    ct_module *model = model_of(0);
    uint32_t random = 1;
    int64_t scope = ct_scope_open();
    int finished = 0;
    for (int k = 0; k < KILLS; k++) {
        finished += kill_one(model, saved, &random);
        ct_scope_close(scope);
    }
    printf("%d of %d children had finished a save\n", finished, KILLS);
    cr_expect_geq(finished, 10, "too early each time: this tests nothing");
    ct_module_free(model);
    munmap((void *)saved, sizeof *saved);
    unlink(file_name);
    remove_temporaries();
    cr_expect_eq(rmdir(folder), 0, "something else was left behind");
}
