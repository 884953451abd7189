/* A callback that notes what a training learns, and an objective that evaluates, for scenarios in
 * which a training goes wrong:
 *
 *     rank_notes notes = {.model = model, .optimizer = optimizer};
 *     rank_note(&notes);
 *     ct_fit_options options = {.callback = rank_note_step, .context = &notes}; */
#ifndef COTAN_TESTS_RANK_NOTES_H
#define COTAN_TESTS_RANK_NOTES_H

#include "nn/loss.h"
#include "optim/fit.h"

enum { RANK_NOTES = 4 };

typedef struct {
    ct_module *model;
    ct_optimizer *optimizer;
    int64_t count;
    uint64_t values[RANK_NOTES]; /* rank_learned_hash each time: no two in turn are the same */
} rank_notes;

void rank_note(rank_notes *notes);
/* Once after each step, as a callback of ct_fit. */
bool rank_note_step(void *notes, ct_position position, const ct_step_record *last,
                    const ct_epoch *epoch);

/* The loss of a batch, as an objective gives it that reads this sum over all ranks before it is
 * done; NULL where the sum is not finite. */
ct_tensor *rank_look(const ct_loss *loss, ct_module *model, const ct_batch *batch, ct_mode mode,
                     ct_output outputs[]);

#endif
