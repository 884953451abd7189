/* The hash of a rank's slots, for scenarios of training.
 * Invariant: it changes with every bit of every slot. */
#include "tests/optim/train/rank_slots.h"

#include "tensor/base/hash.h"
#include "tests/support/rank.h"

uint64_t rank_slots_hash(ct_module *model, ct_optimizer *optimizer) {
    uint64_t hash = 0;
    ct_slot_list lists[2];
    OK(ct_module_list(model, &lists[0]));
    OK(ct_optimizer_list(optimizer, &lists[1]));
    for (int k = 0; k < 2; k++) {
        for (int64_t i = 0; i < lists[k].count; i++) {
            ct_tensor *value = ct_slot_read(lists[k].items[i].slot);
            size_t bytes = (size_t)ct_numel(value) * ct_dtype_size(ct_dtype_of(value));
            hash = cti_mix_bytes(hash, ct_data(value), bytes);
        }
        ct_slot_list_free(&lists[k]);
    }
    return hash;
}
