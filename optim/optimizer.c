/* The optimizer as an object: making and freeing it, its slots, what can be asked of it.
 * A step is step.c's business, update rules are in rules/.
 * Invariant: an optimizer keeps the slots that it trains, and a state of each from the first. */
#include "optim/step_private.h"

#include "nn/layers/keys.h"
#include "nn/module_private.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/context.h"
#include "tensor/value/slot_private.h"

#include <math.h>
#include <string.h>

/* --- Making ----------------------------------------------------------------------------------- */

static void keep(const ct_slot_list *list) {
    for (int64_t i = 0; i < list->count; i++) ct_slot_keep(list->items[i].slot);
}

static void drop(ct_slot_list *list) {
    for (int64_t i = 0; i < list->count; i++) ct_slot_drop(list->items[i].slot);
    ct_slot_list_free(list);
}

static ct_status keep_slots(const char *function, ct_optimizer *o, ct_module *model) {
    if (ct_module_parameters(model, &o->parameters) != CT_OK) return ct_error();
    keep(&o->parameters);
    if (cti_keys_list(model, &o->streams) != CT_OK) return ct_error();
    keep(&o->streams);
    if (o->parameters.count > 0) return CT_OK;
    return ct_fail(CT_ERR_STATE, "%s: the model has no parameters", function);
}

static bool accumulates(const ct_optimizer *o) { return o->options.accumulate > 1; }

/* Whether a parameter may have a gradient in some steps of a round of accumulation and not in
 * others. */
static bool tells_reached(const ct_optimizer *o) {
    return accumulates(o) && o->options.allow_unused;
}

static bool averages(const ct_optimizer *o) { return o->options.average > 0; }

ct_slot **cti_states_of(const ct_optimizer *o, int64_t parameter) {
    return &o->states[parameter * o->per_parameter];
}

ct_slot *cti_accumulated(const ct_optimizer *o, int64_t parameter) {
    return accumulates(o) ? cti_states_of(o, parameter)[o->kind->n_states] : NULL;
}

ct_slot *cti_reached(const ct_optimizer *o, int64_t parameter) {
    return tells_reached(o) ? cti_states_of(o, parameter)[o->kind->n_states + 1] : NULL;
}

ct_slot *cti_average_of(const ct_optimizer *o, int64_t parameter) {
    return averages(o) ? cti_states_of(o, parameter)[o->per_parameter - 1] : NULL;
}

/* In the order of the rule's states, the sum of a round, whether it was reached, the average. */
static ct_slot *state_new(const ct_optimizer *o, int64_t k, ct_tensor *parameter) {
    if (averages(o) && k == o->per_parameter - 1) return ct_slot_new("average", parameter);
    if (k > o->kind->n_states) return ct_slot_new("reached", ct_full(CT_I64, CT_SCALAR, 0));
    const char *name = k < o->kind->n_states ? o->kind->state_names[k] : "accumulated";
    return ct_slot_new(name, ct_full(ct_dtype_of(parameter), ct_shape_of(parameter), 0.0));
}

static ct_status make_states(ct_optimizer *o) {
    o->per_parameter = o->kind->n_states + accumulates(o) + tells_reached(o) + averages(o);
    o->states = cti_alloc((size_t)(o->parameters.count * o->per_parameter), sizeof *o->states);
    if (!o->states) return CT_ERR_MEMORY;
    for (int64_t i = 0; i < o->parameters.count; i++) {
        ct_tensor *parameter = ct_slot_read(o->parameters.items[i].slot);
        if (!parameter) return ct_error();
        for (int64_t k = 0; k < o->per_parameter; k++) {
            ct_slot *slot = state_new(o, k, parameter);
            if (!slot) return ct_error();
            o->states[i * o->per_parameter + k] = slot;
        }
    }
    o->steps = ct_slot_new("steps", ct_full(CT_I64, CT_SHAPE(2), 0));
    if (!o->steps) return ct_error();
    if (o->options.skip_nonfinite) {
        o->skipped = ct_slot_new("skipped", ct_full(CT_I64, CT_SCALAR, 0));
        if (!o->skipped) return ct_error();
    }
    if (!(o->options.plateau.factor > 0)) return CT_OK;
    o->plateau = cti_plateau_new(&o->options.plateau);
    return o->plateau ? CT_OK : ct_error();
}

static ct_status check_step_options(const char *function, const ct_step_options *step) {
    ct_status status = cti_check_number(function, "clip_value", step->clip_value, 0, 1e300);
    if (status == CT_OK) {
        status = cti_check_number(function, "clip_norm", step->clip_norm, 0, 1e300);
    }
    if (status == CT_OK) status = cti_check_number(function, "average", step->average, 0, 1);
    if (status == CT_OK) status = cti_plateau_check(function, &step->plateau);
    if (status == CT_OK && step->average_warmup && step->average == 0) {
        status = ct_fail(CT_ERR_RANGE, "%s: average_warmup needs average, which is 0", function);
    }
    if (status != CT_OK || step->accumulate >= 0) return status;
    return ct_fail(CT_ERR_RANGE, "%s: accumulate must be >= 0, got %lld", function,
                   (long long)step->accumulate);
}

/* What may be missing in a kind of the user's own. */
static ct_status check_kind(const char *function, const ct_optimizer_kind *kind) {
    if (!kind || !kind->name || !kind->update) {
        return ct_fail(CT_ERR_NULL, "%s: '%s' is NULL", function,
                       !kind         ? "kind"
                       : !kind->name ? "kind->name"
                                     : "kind->update");
    }
    if (kind->n_states < 0 || kind->n_states > CT_OPTIMIZER_STATES) {
        return ct_fail(CT_ERR_RANGE, "%s: n_states must be 0..%d, got %d", function,
                       CT_OPTIMIZER_STATES, kind->n_states);
    }
    for (int k = 0; k < kind->n_states; k++) {
        if (kind->state_names[k]) continue;
        return ct_fail(CT_ERR_NULL, "%s: kind->state_names[%d] is NULL", function, k);
    }
    return CT_OK;
}

ct_optimizer *cti_optimizer_new(const char *function, const ct_optimizer_kind *kind,
                                ct_module *model, ct_schedule rate, ct_step_options step,
                                const void *options, size_t size) {
    if (!model) return cti_null_in("%s: 'model' is NULL", function);
    if (cti_schedule_check(function, &rate) != CT_OK ||
        check_step_options(function, &step) != CT_OK) {
        return NULL;
    }
    ct_optimizer *o = cti_alloc(1, sizeof *o);
    if (!o) return NULL;
    o->kind = kind;
    o->rate = rate;
    o->options = step;
    o->options.groups = NULL;
    o->rule = cti_alloc(1, size);
    int64_t scope = ct_scope_open();
    ct_status status = o->rule ? keep_slots(function, o, model) : CT_ERR_MEMORY;
    if (status == CT_OK) status = cti_groups_make(function, o, &step);
    if (status == CT_OK) status = make_states(o);
    ct_scope_close(scope);
    if (status != CT_OK) {
        ct_optimizer_free(o);
        return NULL;
    }
    if (size > 0) memcpy(o->rule, options, size);
    return o;
}

ct_optimizer *ct_optimizer_new(const ct_optimizer_kind *kind, ct_module *model, ct_schedule rate,
                               ct_step_options step, const void *options, size_t size) {
    CTI_CALLED;
    static const char function[] = "ct_optimizer_new";
    if (check_kind(function, kind) != CT_OK) return NULL;
    if (size > 0 && !options) {
        return ct_fail_null(CT_ERR_NULL, "%s: 'options' is NULL, its size %zu", function, size);
    }
    ct_optimizer *o = cti_optimizer_new(function, kind, model, rate, step, options, size);
    if (o) o->is_own = true;
    return o;
}

void ct_optimizer_free(ct_optimizer *o) {
    if (!o) return;
    for (int64_t k = 0; o->states && k < o->parameters.count * o->per_parameter; k++) {
        ct_slot_drop(o->states[k]);
    }
    drop(&o->parameters);
    drop(&o->streams);
    ct_slot_drop(o->steps);
    ct_slot_drop(o->skipped);
    ct_slot_drop(o->plateau);
    cti_free(o->states);
    cti_free(o->groups);
    cti_free(o->group_of);
    cti_free(o->rule);
    cti_free(o);
}

static int64_t read_count(ct_slot *slot) {
    int64_t scope = ct_scope_open();
    const int64_t *count = ct_data_i64(ct_slot_read(slot));
    int64_t value = count ? count[0] : 0;
    ct_scope_close(scope);
    return value;
}

int64_t ct_optimizer_steps(const ct_optimizer *o) {
    CTI_CALLED;
    return o ? read_count(o->steps) : 0;
}

int64_t ct_optimizer_skipped(const ct_optimizer *o) {
    CTI_CALLED;
    return o && o->skipped ? read_count(o->skipped) : 0;
}

double ct_optimizer_rate(ct_optimizer *o) {
    CTI_CALLED;
    if (!o) {
        cti_null("ct_optimizer_rate: 'optimizer' is NULL");
        return (double)NAN;
    }
    int64_t scope = ct_scope_open();
    const int64_t *count = ct_data_i64(ct_slot_read(o->steps));
    double rate = count ? ct_item(cti_rate_after(o, count[0])) : (double)NAN;
    ct_scope_close(scope);
    return rate;
}

/* --- Listing ---------------------------------------------------------------------------------- */

/* All states of a parameter, below the path that it has in the model. */
static ct_status list_states(ct_slot_list *list, const ct_optimizer *o, int64_t number) {
    char *prefix = cti_path_new(o->kind->name, o->parameters.items[number].path);
    ct_status status = prefix ? CT_OK : CT_ERR_MEMORY;
    for (int64_t k = 0; k < o->per_parameter && status == CT_OK; k++) {
        ct_slot *slot = cti_states_of(o, number)[k];
        status = cti_slot_list_add(list, prefix, ct_slot_name(slot), (ct_named_slot){.slot = slot});
    }
    cti_free(prefix);
    return status;
}

/* A slot that belongs to no parameter; NULL where there is none. */
static ct_status list_own(ct_slot_list *list, const ct_optimizer *o, ct_slot *slot) {
    if (!slot) return CT_OK;
    return cti_slot_list_add(list, o->kind->name, ct_slot_name(slot),
                             (ct_named_slot){.slot = slot});
}

ct_status ct_optimizer_list(ct_optimizer *o, ct_slot_list *list) {
    CTI_CALLED;
    if (list) *list = (ct_slot_list){0};
    if (!o || !list) {
        return cti_null("ct_optimizer_list: '%s' is NULL", o ? "list" : "optimizer");
    }
    if (cti_check_holds_weights(o) != CT_OK) return ct_error();
    ct_status status = list_own(list, o, o->steps);
    if (status == CT_OK) status = list_own(list, o, o->skipped);
    if (status == CT_OK) status = list_own(list, o, o->plateau);
    for (int64_t i = 0; i < o->parameters.count && status == CT_OK; i++) {
        status = list_states(list, o, i);
    }
    if (status != CT_OK) ct_slot_list_free(list);
    return status;
}

ct_status ct_optimizer_parameters(ct_optimizer *o, ct_slot_list *list) {
    CTI_CALLED;
    if (list) *list = (ct_slot_list){0};
    if (!o || !list) {
        return cti_null("ct_optimizer_parameters: '%s' is NULL", o ? "list" : "optimizer");
    }
    ct_status status = CT_OK;
    for (int64_t i = 0; i < o->parameters.count && status == CT_OK; i++) {
        const ct_named_slot *item = &o->parameters.items[i];
        if (item->slot->frozen) continue;
        status = cti_slot_list_add(
            list, "", item->path,
            (ct_named_slot){.slot = item->slot, .trainable = true, .parameter = true});
    }
    if (status != CT_OK) ct_slot_list_free(list);
    return status;
}
