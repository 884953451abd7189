/* Parameter groups: which of them holds each parameter, found once, when the optimizer is made.
 * What a group says is applied by the step; nothing is matched there.
 * Invariant: every parameter of an optimizer has one group, the last where no other holds it. */
#include "optim/optimizer_private.h"

#include "nn/module_private.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/value/slot_private.h"

#include <fnmatch.h>
#include <stdio.h>

bool ct_holds_vectors(void *context, const ct_named_slot *parameter) {
    (void)context;
    return parameter && parameter->slot->value->shape.rank < 2;
}

const ct_parameter_group ct_group_no_decay = {.holds = ct_holds_vectors, .no_decay = true};

/* --- Checks ----------------------------------------------------------------------------------- */

static ct_status check_factor(const char *function, int64_t number, const char *name,
                              double factor) {
    char called[48];
    snprintf(called, sizeof called, "groups[%lld].%s", (long long)number, name);
    return cti_check_number(function, called, factor, 0, 1e300);
}

static ct_status check_group(const char *function, int64_t number,
                             const ct_parameter_group *group) {
    if (!group->pattern && !group->holds) {
        return ct_fail(CT_ERR_NULL, "%s: groups[%lld] has neither 'pattern' nor 'holds'", function,
                       (long long)number);
    }
    ct_status status = check_factor(function, number, "rate_factor", group->rate_factor);
    if (status != CT_OK) return status;
    return check_factor(function, number, "decay_factor", group->decay_factor);
}

static ct_status check_groups(const char *function, const ct_step_options *step) {
    ct_status status = cti_check_list(function, "groups", step->groups, "n_groups", step->n_groups);
    for (int64_t k = 0; k < step->n_groups && status == CT_OK; k++) {
        status = check_group(function, k, &step->groups[k]);
    }
    return status;
}

/* --- Finding ---------------------------------------------------------------------------------- */

static bool matches(const ct_parameter_group *group, const ct_named_slot *parameter) {
    return !group->pattern || fnmatch(group->pattern, parameter->path, 0) == 0;
}

/* A typing error would go unnoticed. */
static ct_status check_pattern(const char *function, const ct_optimizer *o, int64_t number) {
    const char *pattern = o->groups[number].pattern;
    if (!pattern) return CT_OK;
    for (int64_t i = 0; i < o->parameters.count; i++) {
        if (matches(&o->groups[number], &o->parameters.items[i])) return CT_OK;
    }
    return ct_fail(CT_ERR_STATE,
                   "%s: groups[%lld]: no parameter's path matches '%s'; the first one is '%s'",
                   function, (long long)number, pattern, o->parameters.items[0].path);
}

static int64_t find_group(const ct_optimizer *o, const ct_named_slot *parameter) {
    int64_t last = o->n_groups - 1;
    for (int64_t k = 0; k < last; k++) {
        const ct_parameter_group *group = &o->groups[k];
        if (!matches(group, parameter)) continue;
        CTI_CALLS_USER;
        if (!group->holds || group->holds(group->context, parameter)) return k;
    }
    return last;
}

/* So would a group that comes after those that hold all it matches. */
static ct_status check_held(const char *function, const ct_optimizer *o, const int64_t held[]) {
    for (int64_t k = 0; k < o->n_groups - 1; k++) {
        if (held[k] > 0 || o->groups[k].holds) continue;
        return ct_fail(CT_ERR_STATE,
                       "%s: groups[%lld]: all that '%s' matches is held by groups before it; a "
                       "parameter belongs to the first that fits",
                       function, (long long)k, o->groups[k].pattern);
    }
    return CT_OK;
}

/* Moves the parameters that are trained to the front; the others are given back. A predicate has no
 * other way to fail than to record an error. */
static ct_status assign(const char *function, ct_optimizer *o, int64_t held[]) {
    int64_t n = 0, count = o->parameters.count;
    int errors = ct_error_count();
    ct_status before = ct_error();
    for (int64_t i = 0; i < count; i++) {
        ct_named_slot parameter = o->parameters.items[i];
        int64_t group = find_group(o, &parameter);
        if (ct_error() != before || ct_error_count() != errors) return ct_error();
        held[group]++;
        bool trained = !o->groups[group].frozen;
        o->parameters.items[i] = o->parameters.items[n];
        o->parameters.items[n] = parameter;
        if (trained) o->group_of[n++] = group;
    }
    for (int64_t i = n; i < count; i++) {
        ct_slot_drop(o->parameters.items[i].slot);
        cti_free(o->parameters.items[i].path);
    }
    o->parameters.count = n;
    if (n > 0) return check_held(function, o, held);
    return ct_fail(CT_ERR_STATE,
                   "%s: nothing is left to train: the groups freeze all %lld parameters", function,
                   (long long)count);
}

ct_status cti_groups_make(const char *function, ct_optimizer *o, const ct_step_options *step) {
    if (check_groups(function, step) != CT_OK) return ct_error();
    o->groups = cti_alloc((size_t)step->n_groups + 1, sizeof *o->groups);
    o->group_of = cti_alloc((size_t)o->parameters.count, sizeof *o->group_of);
    if (!o->groups || !o->group_of) return CT_ERR_MEMORY;
    o->n_groups = step->n_groups + 1;
    for (int64_t k = 0; k < step->n_groups; k++) {
        o->groups[k] = step->groups[k];
        if (check_pattern(function, o, k) != CT_OK) return ct_error();
    }
    int64_t *held = cti_alloc((size_t)o->n_groups, sizeof *held);
    ct_status status = held ? assign(function, o, held) : CT_ERR_MEMORY;
    cti_free(held);
    /* The texts are the user's, and no longer needed. */
    for (int64_t k = 0; k < o->n_groups; k++) o->groups[k].pattern = NULL;
    return status;
}
