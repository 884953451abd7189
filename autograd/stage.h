/* Staged updates: how a forward asks for a new value of a moving statistic without changing it.
 *
 * ct_stage(y, slot, decay, value) is y, and remembers that a commit should set
 * slot := decay slot + value. A commit collects the stages reachable from its roots and applies
 * them in the order in which they were built, but for those of frozen slots. Each is applied once:
 * a second commit of the same forward, by another optimizer, leaves the slots alone. A forward that
 * is never committed changes nothing, and a commit that fails leaves the stages to the next; two
 * forwards in one commit compose. */
#ifndef COTAN_STAGE_H
#define COTAN_STAGE_H

#include <cotan/tensor/slot.h>

CT_C_BEGIN

/* The identity on y. `value` has the slot's shape and dtype; no gradient flows to it. In a forward
 * by ct_functional_call it is y alone, unless updates were asked for. */
ct_tensor *ct_stage(ct_tensor *y, ct_slot *slot, double decay, ct_tensor *value);

/* A new value for a slot, computed by the caller. */
typedef struct {
    ct_slot *slot;
    ct_tensor *value;
} ct_update;

/* Evaluates roots, updates and the stages reachable from roots in one plan, then changes all slots.
 * The roots keep their values. On any error nothing has changed. A slot that is both updated and
 * staged is an error. */
ct_status ct_commit(ct_tensor *const roots[], int64_t n_roots, const ct_update *updates,
                    int64_t n_updates);

CT_C_END

#endif
