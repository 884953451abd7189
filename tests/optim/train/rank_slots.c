/* The hash of a rank's slots, for scenarios of training.
 * Invariant: it changes with every bit of every slot, and with their order. */
#include "tests/optim/train/rank_slots.h"

#include "tensor/base/hash.h"
#include "tests/support/rank.h"

#include <stdio.h>
#include <string.h>

static bool every_slot(const char *path) { return path; }

static bool is_learned(const char *path) { return !strstr(path, "/stream"); }

/* Calls `visit` with the bytes of each slot in turn that is wanted. */
static void visit_slots(ct_module *model, ct_optimizer *optimizer, bool (*wanted)(const char *path),
                        void (*visit)(void *context, const void *bytes, size_t n), void *context) {
    ct_slot_list lists[2];
    OK(ct_module_list(model, &lists[0]));
    OK(ct_optimizer_list(optimizer, &lists[1]));
    for (int k = 0; k < 2; k++) {
        for (int64_t i = 0; i < lists[k].count; i++) {
            if (!wanted(lists[k].items[i].path)) continue;
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
    visit_slots(model, optimizer, every_slot, mix, &hash);
    return hash;
}

uint64_t rank_learned_hash(ct_module *model, ct_optimizer *optimizer) {
    uint64_t hash = 0;
    visit_slots(model, optimizer, is_learned, mix, &hash);
    return hash;
}

void rank_expect_alike(ct_group *group, uint64_t mine, const char *what, int64_t at) {
    uint64_t first = mine;
    OK(ct_group_broadcast(group, &first, sizeof first));
    EXPECT(first == mine, "%s at request %lld", what, (long long)at);
}

static void write_to(void *file, const void *bytes, size_t n) {
    EXPECT(fwrite(bytes, 1, n, file) == n);
}

void rank_slots_print_sha256(ct_module *model, ct_optimizer *optimizer) {
    fflush(stdout);
    FILE *sum = popen("sha256sum", "w");
    REQUIRE(sum);
    visit_slots(model, optimizer, every_slot, write_to, sum);
    EXPECT(pclose(sum) == 0);
}
