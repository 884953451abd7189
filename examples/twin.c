/* The frame of a program, weights and tensors of a twin's file, and losses as text.
 * It trains nothing and knows no program; tests/examples/test_twins.sh compares the losses.
 * Invariant: what the file lacks is an error, never a number of our own. */
#include "twin.h"

#include "program.h"

#include <stdio.h>
#include <stdlib.h>

int twin_main(const char *program, const char *about, twin_run *run, const option *one_more,
              int argc, char *const argv[]) {
    int64_t steps = 0;
    const char *twin = NULL;
    option list[3] = {
        {"--steps", "N", "end after so many steps", OPTION_INTEGER, &steps, 1, 1000000000},
        {"--twin", "FILE", "train from weights and data as PyTorch has", OPTION_TEXT, &twin, 0, 0},
    };
    if (one_more) list[2] = *one_more;
    int usage = options_parse(program, about, list, one_more ? 3 : 2, argc, argv);
    if (usage >= 0) return usage;
    program_begin();
    /* In steps this small threads wait for each other longer than they compute. */
    if (!getenv("CT_NUM_THREADS")) ct_threads_set(1);
    ct_seed_set(1);
    ct_status status = run(twin, steps);
    if (status != CT_OK) fprintf(stderr, "%s: %s\n", program, ct_error_message());
    ct_scope_close(0);
    return program_end(program, status != CT_OK);
}

ct_tensor *twin_tensor(const char *file, const char *name) {
    ct_safetensors *tensors = ct_safetensors_load(file);
    if (!tensors) return NULL;
    int64_t i = ct_safetensors_find(tensors, name);
    ct_tensor *value = i < 0 ? NULL : ct_safetensors_value(tensors, i);
    if (i < 0) ct_fail(CT_ERR_FORMAT, "%s: holds no tensor '%s'", file, name);
    ct_safetensors_free(tensors);
    return value;
}

ct_status twin_weights(const char *file, const char *prefix, ct_module *model) {
    char beginning[64];
    snprintf(beginning, sizeof beginning, "%s.", prefix);
    ct_weights_name name = {"", beginning};
    ct_weights_load_options options = {.form = &ct_weights_pytorch, .names = &name, .n_names = 1};
    ct_status status = ct_error();
    if (!file || status != CT_OK) return status;
    status = ct_module_number(model);
    return status == CT_OK ? ct_weights_load_with(model, file, options, NULL) : status;
}

void twin_loss(double loss) { printf("%.17g\n", loss); }

void twin_losses(const ct_history *history) {
    for (int64_t i = 0; i < history->n_steps; i++) twin_loss(history->steps[i].loss);
}
