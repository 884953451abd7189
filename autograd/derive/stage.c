/* Staged updates: the op that carries them, and the commit that applies them.
 * It does not decide what is updated; layers and optimizers do.
 * Invariant: everything is evaluated before the first slot changes, and changing a slot cannot
 * fail. */
#include "autograd/derive/derive_private.h"

#include "autograd/ops/stanza.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/hash.h"
#include "tensor/base/shape_rules.h"
#include "tensor/graph/walk.h"
#include "tensor/op.h"
#include "tensor/ranks/exchange.h"
#include "tensor/value/slot_private.h"

#include <math.h>
#include <stdlib.h>

/* Inputs: y, and the value that the slot is to receive. As a view it needs only y, so reading y
 * never computes the value. */
typedef struct {
    ct_slot *slot;
    double decay;
    bool applied; /* by a commit, which is the last to do so */
} stage_attr;

static ct_status infer_stage(const ct_infer *call, ct_type *out) {
    *out = call->in[0];
    return CT_OK;
}

static ct_tensor *vjp_stage(ct_tensor *g, ct_tensor *y, int i) {
    (void)y, (void)i;
    return g;
}

static ct_tensor *staged(ct_tensor *y) { return ct_input(y, 0); }
static const ct_rule simplify_stage[] = {{"an evaluation stages nothing", staged}, {0}};

static void release_stage(void *attr) { ct_slot_drop(((stage_attr *)attr)->slot); }

/* What a slot receives is the same on all ranks. */
static int batch_stage(const ct_batch_axes *call) { return call->axis[1] < 0 ? call->axis[0] : -1; }

CT_OP(op_stage) = {
    .name = "stage",
    .kind = CT_VIEW,
    .algebra = CT_LINEAR,
    .n_inputs = 2,
    .attr_is_runtime = true,
    .infer = infer_stage,
    .view = cti_view_identity,
    .batch = batch_stage,
    .vjp = {vjp_stage, ct_no_gradient},
    .simplify = simplify_stage,
    .release = release_stage,
};

static _Thread_local bool left_out;

bool *cti_stages_left_out(void) { return &left_out; }

ct_tensor *ct_stage(ct_tensor *y, ct_slot *slot, double decay, ct_tensor *value) {
    CTI_CALLED;
    if (!y || !value || !slot) {
        return cti_null_in("ct_stage: '%s' is NULL", !y ? "y" : !slot ? "slot" : "value");
    }
    /* Where another value stands in for the slot's own there is nothing to update. */
    if (left_out || cti_replacement_of(slot)) return ct_scope_add(y);
    stage_attr attr = {ct_slot_keep(slot), decay, false};
    ct_tensor *t = ct_node(&op_stage, (ct_tensor *[]){y, value}, 2, &attr, sizeof attr);
    if (!t) ct_slot_drop(slot);
    return t;
}

const ct_slot *cti_staged(const ct_tensor *t, double *decay) {
    if (t->op != &op_stage) return NULL;
    *decay = ((const stage_attr *)t->attr)->decay;
    return ((const stage_attr *)t->attr)->slot;
}

/* --- Commit ----------------------------------------------------------------------------------- */

typedef struct {
    ct_update *updates; /* the caller's, then one per staged slot */
    int64_t n, given;
    ct_tensor **values; /* roots, then the values of the updates */
    ct_tensor **prepared;
    ct_tensor **stages;
    int64_t n_stages;
    cti_accept *accept;
    void *context;
} commit;

static int by_id(const void *a, const void *b) {
    const ct_tensor *x = *(ct_tensor *const *)a, *y = *(ct_tensor *const *)b;
    return (x->id > y->id) - (x->id < y->id);
}

static ct_update *update_of(commit *c, const ct_slot *slot) {
    for (int64_t k = 0; k < c->n; k++) {
        if (c->updates[k].slot == slot) return &c->updates[k];
    }
    return NULL;
}

static ct_status compose(commit *c, const ct_tensor *stage) {
    const stage_attr *attr = stage->attr;
    ct_update *update = update_of(c, attr->slot);
    if (update && update < c->updates + c->given) {
        return ct_fail(CT_ERR_STATE, "ct_commit: slot '%s' is both updated and staged",
                       ct_slot_name(attr->slot));
    }
    if (!update) {
        update = &c->updates[c->n++];
        *update = (ct_update){attr->slot, ct_slot_read(attr->slot)};
    }
    if (ct_dtype_of(update->value) != ct_dtype_of(stage->inputs[1])) {
        return ct_fail(CT_ERR_DTYPE, "ct_commit: slot '%s' holds %s, the staged value is %s",
                       ct_slot_name(attr->slot), ct_dtype_name(ct_dtype_of(update->value)),
                       ct_dtype_name(ct_dtype_of(stage->inputs[1])));
    }
    ct_tensor *old = ct_scale(update->value, attr->decay);
    update->value = ct_add(old, stage->inputs[1]);
    return update->value ? CT_OK : ct_error();
}

/* The stages that are to be applied, oldest first, folded into one update per slot. */
static ct_status collect_stages(commit *c, ct_tensor **stages, int64_t n_stages) {
    if (n_stages > 1) qsort(stages, (size_t)n_stages, sizeof *stages, by_id);
    for (int64_t k = 0; k < n_stages; k++) {
        if (compose(c, stages[k]) != CT_OK) return ct_error();
    }
    return CT_OK;
}

static bool is_pending(const ct_tensor *t) {
    if (t->op != &op_stage) return false;
    const stage_attr *attr = t->attr;
    return !attr->applied && !attr->slot->frozen;
}

static ct_status find_stages(ct_tensor *const roots[], int64_t n, ct_tensor ***stages,
                             int64_t *n_stages) {
    cti_walk walk;
    if (cti_walk_new(&walk, roots, n, cti_walk_whole_graph) != CT_OK) return CT_ERR_MEMORY;
    int64_t count = 0;
    for (int64_t i = 0; i < walk.count; i++) {
        if (is_pending(walk.items[i])) walk.items[count++] = walk.items[i];
    }
    *stages = walk.items;
    *n_stages = count;
    return CT_OK;
}

/* Some numbers of it, spread over all. */
static uint64_t mix_some(uint64_t hash, const ct_tensor *t) {
    enum { MOST = 16 };
    int64_t n = cti_least(t->numel, MOST);
    for (int64_t i = 0; i < n && ct_dtype_is_float(t->dtype); i++) {
        double number = cti_value(t->buffer->data, t->dtype, t->numel * i / n);
        if (isnan(number)) number = (double)NAN; /* of which there are many */
        hash = cti_mix_bytes(hash, &number, sizeof number);
    }
    return hash;
}

/* Tells ranks that went apart: all have the same bits, of the loss and of what is to be in slots.
 * Streams of random keys are a layer's own. */
static uint64_t sample_of(const commit *c, const ct_tensor *loss) {
    if (ct_group_size(ct_group_current()) == 1) return 0;
    uint64_t hash = loss ? mix_some(0, loss) : 0;
    for (int64_t k = 0; k < c->n; k++) hash = mix_some(hash, c->prepared[k]);
    return hash;
}

static ct_status evaluate_and_prepare(commit *c, ct_tensor *const roots[], int64_t n_roots) {
    for (int64_t r = 0; r < n_roots; r++) c->values[r] = roots[r];
    for (int64_t k = 0; k < c->n; k++) c->values[n_roots + k] = c->updates[k].value;
    ct_status status = ct_eval(c->values, n_roots + c->n);
    ct_update instead = {0};
    if (status == CT_OK && c->accept) status = c->accept(c->context, roots, &instead);
    if (status == CT_OK && instead.slot) {
        c->updates[0] = instead;
        c->n = 1;
        c->n_stages = 0;
    }
    for (int64_t k = 0; k < c->n && status == CT_OK; k++) {
        c->prepared[k] = cti_slot_prepare(c->updates[k].slot, c->updates[k].value);
        if (!c->prepared[k]) status = ct_error();
    }
    return status;
}

/* Cannot fail. */
static void apply(commit *c) {
    for (int64_t k = 0; k < c->n; k++) cti_slot_swap(c->updates[k].slot, c->prepared[k]);
    for (int64_t k = 0; k < c->n_stages; k++) ((stage_attr *)c->stages[k]->attr)->applied = true;
}

static ct_status gather(commit *c, ct_tensor *const roots[], int64_t n_roots,
                        const ct_update *updates) {
    ct_status found = find_stages(roots, n_roots, &c->stages, &c->n_stages);
    if (found != CT_OK) return found;
    size_t most = (size_t)(c->given + c->n_stages);
    c->updates = cti_alloc(most, sizeof *c->updates);
    c->values = cti_alloc((size_t)n_roots + most, sizeof *c->values);
    c->prepared = cti_alloc(most, sizeof *c->prepared);
    if (!c->updates || !c->values || !c->prepared) return CT_ERR_MEMORY;
    for (; c->n < c->given; c->n++) c->updates[c->n] = updates[c->n];
    return collect_stages(c, c->stages, c->n_stages);
}

static ct_status check_commit(ct_tensor *const roots[], int64_t n_roots, const ct_update *updates,
                              int64_t n_updates) {
    if (cti_check_roots("ct_commit", roots, "n_roots", n_roots) != CT_OK ||
        cti_check_array("ct_commit", "updates", updates, "n_updates", n_updates) != CT_OK) {
        return ct_error();
    }
    for (int64_t k = 0; k < n_updates; k++) {
        if (updates[k].slot && updates[k].value) continue;
        return cti_null("ct_commit: update %lld is NULL", (long long)k);
    }
    return CT_OK;
}

/* Ranks of a group evaluate what all of them have gathered, or nothing; and they apply what
 * all of them have prepared, or nothing. */
ct_status cti_commit_if(ct_tensor *const roots[], int64_t n_roots, const ct_update *updates,
                        int64_t n_updates, cti_accept *accept, void *context,
                        const ct_tensor *loss) {
    int64_t scope = ct_scope_open();
    commit c = {.given = n_updates, .accept = accept, .context = context};
    ct_status status = check_commit(roots, n_roots, updates, n_updates);
    if (status == CT_OK) status = gather(&c, roots, n_roots, updates);
    ct_status agreed = cti_agreed(status);
    if (status == CT_OK) status = agreed;
    if (status == CT_OK) {
        status = evaluate_and_prepare(&c, roots, n_roots);
        status = cti_agreed_on(status, status == CT_OK ? sample_of(&c, loss) : 0);
    }
    if (status == CT_OK) apply(&c);
    cti_free(c.stages);
    cti_free(c.updates);
    cti_free(c.values);
    cti_free(c.prepared);
    ct_scope_close(scope);
    return status;
}

ct_status ct_commit(ct_tensor *const roots[], int64_t n_roots, const ct_update *updates,
                    int64_t n_updates) {
    CTI_CALLED;
    cti_watch watch = cti_watch_begin();
    ct_status status = cti_commit_if(roots, n_roots, updates, n_updates, NULL, NULL, NULL);
    cti_watch_end(watch);
    return status;
}
