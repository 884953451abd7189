/* Notes of what a training learns, and an objective that evaluates.
 * Invariant: neither changes what is learned. */
#include "tests/optim/train/rank_notes.h"
#include "tests/optim/train/rank_slots.h"
#include "tests/support/rank.h"

#include <math.h>

void rank_note(rank_notes *notes) {
    int64_t n = notes->count++;
    REQUIRE(n < RANK_NOTES);
    notes->values[n] = rank_learned_hash(notes->model, notes->optimizer);
    EXPECT(n == 0 || notes->values[n] != notes->values[n - 1], "note %lld", (long long)n);
}

bool rank_note_step(void *notes, ct_position position, const ct_step_record *last,
                    const ct_epoch *epoch) {
    (void)position, (void)last;
    if (!epoch) rank_note(notes);
    return true;
}

ct_tensor *rank_look(const ct_loss *loss, ct_module *model, const ct_batch *batch, ct_mode mode,
                     ct_output outputs[]) {
    ct_tensor *(*forward)(ct_module *, ct_tensor *, ct_mode) = loss->from_logits ? ct_logits
                                                                                 : ct_forward;
    outputs[0].prediction = forward(model, batch->x, mode);
    ct_tensor *value = ct_loss_of(loss, outputs[0].prediction, batch->y);
    return isfinite(ct_item(value)) ? value : NULL;
}
