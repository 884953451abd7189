/* What the ranks of a group decide together, between steps: to stop, and that all begin alike.
 * What they compute together is in the graph; without a group nothing happens here.
 * Invariant: all ranks come to the same status and flags. */
#include "nn/layers/keys.h"
#include "nn/module_private.h"
#include "optim/train/train.h"
#include "tensor/base/hash.h"
#include "tensor/ranks/exchange.h"

#include <math.h>

enum { FLAGS = 4 };

ct_status cti_meet(ct_status status, bool *const flags[], int n) {
    ct_group *group = ct_group_current();
    if (!group) return status;
    /* The flags stand in the first grain of each rank, and are counted. */
    int64_t partials[CT_GROUP_MOST * FLAGS] = {0}, counts[FLAGS] = {0};
    for (int k = 0; k < n; k++) partials[k] = *flags[k];
    cti_entry entry = {.hash = cti_call_hash("meet"), .status = status};
    status = cti_all_sum(group, entry, CT_I64, &(cti_summand){partials, counts, n}, 1);
    for (int k = 0; k < n && status == CT_OK; k++) *flags[k] = counts[k] > 0;
    return status;
}

ct_status cti_mix_value(uint64_t *hash, ct_tensor *t) {
    const void *data = ct_data(t);
    if (!data) return ct_error();
    *hash = cti_mix_bytes(*hash, data, (size_t)ct_numel(t) * ct_dtype_size(ct_dtype_of(t)));
    return CT_OK;
}

static ct_status hash_slots(const ct_slot_list *slots, uint64_t *hash) {
    for (int64_t i = 0; i < slots->count; i++) {
        *hash = cti_mix_text(*hash, slots->items[i].path);
        if (cti_mix_value(hash, ct_slot_read(slots->items[i].slot)) != CT_OK) return ct_error();
    }
    return CT_OK;
}

static ct_status hash_of(ct_module *model, ct_optimizer *optimizer, uint64_t *hash) {
    ct_slot_list slots = {0}, moments = {0};
    ct_status status = ct_module_list(model, &slots);
    if (status == CT_OK) status = ct_optimizer_list(optimizer, &moments);
    if (status == CT_OK) status = cti_keys_catch_up(&slots);
    if (status == CT_OK) status = hash_slots(&slots, hash);
    if (status == CT_OK) status = hash_slots(&moments, hash);
    ct_slot_list_free(&slots);
    ct_slot_list_free(&moments);
    return status;
}

/* How all ranks fared, and `first` as it is on rank 0. */
static ct_status meet_first(ct_group *group, ct_status status, const char *what, void *first,
                            size_t bytes) {
    status = cti_agreed(status);
    if (status != CT_OK) return status;
    return cti_spread(group, (cti_entry){.hash = cti_call_hash(what)}, first, bytes);
}

/* Whether it gets as far as the end of its first epoch: before that nobody asks how long it is. */
static bool ends_an_epoch(const ct_fit_options *o, int64_t batches) {
    return o->max_steps == 0 || o->max_steps >= batches - o->start.batch;
}

ct_status cti_meet_alike(ct_status status, ct_module *model, ct_optimizer *optimizer,
                         const ct_fit_options *options, int64_t batches) {
    ct_group *group = ct_group_current();
    uint64_t slots = 0, rules = 0;
    if (!group) return status;
    if (status == CT_OK) status = hash_of(model, optimizer, &slots);
    if (status == CT_OK) status = cti_fit_rules(options, batches, model, &rules);
    bool ends = ends_an_epoch(options, batches);
    uint64_t first[] = {slots, rules, (uint64_t)batches, ends};
    status = meet_first(group, status, "alike", first, sizeof first);
    if (status == CT_OK && first[0] != slots) {
        status = ct_fail(
            CT_ERR_STATE,
            "ct_fit: rank %d begins with other values in the slots of the model or the optimizer "
            "than rank 0, or with other slots; make both alike after ct_seed_set of the same seed, "
            "or load one file",
            ct_group_rank(group));
    } else if (status == CT_OK && first[2] != (uint64_t)batches && (ends || first[3])) {
        status = ct_fail(CT_ERR_STATE, "ct_fit: rank %d has %lld batches in an epoch, rank 0 %lld",
                         ct_group_rank(group), (long long)batches, (long long)first[2]);
    } else if (status == CT_OK && first[1] != rules) {
        status = ct_fail(
            CT_ERR_STATE,
            "ct_fit: rank %d begins at another position than rank 0, or with other epochs, "
            "patience, min_delta or restore_best, or alone with or without validation, or with "
            "other weights of the best epoch to give back, or with none",
            ct_group_rank(group));
    }
    return cti_agreed(status);
}

ct_status cti_meet_measured(ct_status status, double loss, double val_loss) {
    ct_group *group = ct_group_current();
    if (!group) return status;
    /* One nan for all, so that bytes tell. */
    double mine[] = {isnan(loss) ? (double)NAN : loss, isnan(val_loss) ? (double)NAN : val_loss};
    double first[] = {mine[0], mine[1]};
    status = meet_first(group, status, "measured", first, sizeof first);
    if (status == CT_OK &&
        cti_mix_bytes(0, first, sizeof first) != cti_mix_bytes(0, mine, sizeof mine)) {
        status = ct_fail(
            CT_ERR_STATE,
            "ct_fit: rank %d has measured a loss of %g and a val_loss of %g, rank 0 %g "
            "and %g; rows that differ have to vary (ct_varying)",
            ct_group_rank(group), mine[0], mine[1], first[0], first[1]);
    }
    return cti_agreed(status);
}
