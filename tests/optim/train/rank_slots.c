/* The hash of a rank's slots, for scenarios of training.
 * Invariant: it changes with every bit of every slot, and with their order. */
#include "tests/optim/train/rank_slots.h"

#include "tensor/base/hash.h"
#include "tests/support/rank.h"

#include <stdio.h>

/* Calls `visit` with the bytes of each slot in turn. */
static void visit_slots(ct_module *model, ct_optimizer *optimizer,
                        void (*visit)(void *context, const void *bytes, size_t n), void *context) {
    ct_slot_list lists[2];
    OK(ct_module_list(model, &lists[0]));
    OK(ct_optimizer_list(optimizer, &lists[1]));
    for (int k = 0; k < 2; k++) {
        for (int64_t i = 0; i < lists[k].count; i++) {
            ct_tensor *value = ct_slot_read(lists[k].items[i].slot);
            visit(context, ct_data(value),
                  (size_t)ct_numel(value) * ct_dtype_size(ct_dtype_of(value)));
        }
        ct_slot_list_free(&lists[k]);
    }
}

static void mix(void *hash, const void *bytes, size_t n) {
    *(uint64_t *)hash = cti_mix_bytes(*(uint64_t *)hash, bytes, n);
}

uint64_t rank_slots_hash(ct_module *model, ct_optimizer *optimizer) {
    uint64_t hash = 0;
    visit_slots(model, optimizer, mix, &hash);
    return hash;
}

static void write_to(void *file, const void *bytes, size_t n) {
    EXPECT(fwrite(bytes, 1, n, file) == n);
}

void rank_slots_print_sha256(ct_module *model, ct_optimizer *optimizer) {
    fflush(stdout);
    FILE *sum = popen("sha256sum", "w");
    REQUIRE(sum);
    visit_slots(model, optimizer, write_to, sum);
    EXPECT(pclose(sum) == 0);
}
