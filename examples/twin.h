/* What a program of this folder shares with its twin in PyTorch, tests/reference/twins/NAME.py.
 * With `--twin FILE` the program takes its first weights, its data and its random numbers from
 * FILE, which the twin's script wrote, computes in f64, and prints the loss of each step: the
 * numbers that PyTorch has found, to nine digits and more.
 *
 *     static ct_status train(const char *twin, int64_t steps) {
 *         ct_tensor *x = twin ? twin_tensor(twin, "x") : table_of_our_own();
 *         ct_module *model = model_new(twin ? CT_F64 : CT_F32);
 *         ct_status status = twin_weights(twin, "model", model);
 *         ..
 *     }
 *     int main(int argc, char *argv[]) {
 *         return twin_main("tabular", "Regression on a table.", train, NULL, argc, argv);
 *     }
 */
#ifndef EXAMPLES_TWIN_H
#define EXAMPLES_TWIN_H

#include "options.h"

#include <cotan/cotan.h>

/* The whole of a program: reads --help, --steps N, --twin FILE and one more option (NULL: none),
 * sets one thread (unless CT_NUM_THREADS says how many) and the seed 1, runs, prints the first
 * error, and ends. `run` gets the file or NULL, and the largest number of steps, 0 for as many as
 * the program wants. Returns the exit status. */
typedef ct_status twin_run(const char *twin, int64_t steps);
int twin_main(const char *program, const char *about, twin_run *run, const option *one_more,
              int argc, char *const argv[]);

/* The tensor of that name. NULL with the error recorded when the file has none. */
ct_tensor *twin_tensor(const char *file, const char *name);

/* Loads the state_dict whose names begin with "prefix." in the file; all of the model's slots must
 * be there. Names the children of Sequentials "0", "1", .. first, as PyTorch does. Without a file
 * (NULL) it loads nothing. Returns the first error so far, of whatever came before. */
ct_status twin_weights(const char *file, const char *prefix, ct_module *model);

/* Prints one loss, on a line, with all its digits; for ct_fit, those of all steps. */
void twin_loss(double loss);
void twin_losses(const ct_history *history);

#endif
