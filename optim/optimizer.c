/* The optimizer: from a loss to one commit of parameters, moments and staged statistics.
 * The update rules are in rules/; the derivatives come from ct_grad.
 * Invariant: everything is evaluated before anything changes. */
#include "optim/optim.h"

#include "autograd/derive/derive_private.h"
#include "autograd/stage.h"
#include "nn/module_private.h"
#include "optim/optimizer_private.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/context.h"
#include "tensor/value/slot_private.h"

#include <string.h>

struct ct_optimizer {
    const ct_optimizer_kind *kind;
    ct_schedule rate;
    ct_step_options options;
    void *rule;              /* the kind's options */
    ct_slot_list parameters; /* frozen ones too; the slots are kept */
    int64_t per_parameter;   /* states, then, if any, the accumulated gradient and whether
                                there is one                                           */
    ct_slot **states;        /* [parameter][per_parameter] */
    ct_slot *steps;          /* i64 [2]: applied, accumulated */
};

/* --- Making ----------------------------------------------------------------------------------- */

static ct_status keep_parameters(const char *function, ct_optimizer *o, ct_module *model) {
    if (ct_module_parameters(model, &o->parameters) != CT_OK) return ct_error();
    for (int64_t i = 0; i < o->parameters.count; i++) ct_slot_keep(o->parameters.items[i].slot);
    if (o->parameters.count > 0) return CT_OK;
    return ct_fail(CT_ERR_STATE, "%s: the model has no parameters", function);
}

static bool accumulates(const ct_optimizer *o) { return o->options.accumulate > 1; }

/* Whether a parameter may have a gradient in some steps of a round of accumulation and not in
 * others. */
static bool tells_reached(const ct_optimizer *o) {
    return accumulates(o) && o->options.allow_unused;
}

static ct_slot *state_new(const ct_optimizer *o, int64_t k, ct_tensor *parameter) {
    if (k > o->kind->n_states) return ct_slot_new("reached", ct_full(CT_I64, CT_SCALAR, 0));
    const char *name = k < o->kind->n_states ? o->kind->state_names[k] : "accumulated";
    return ct_slot_new(name, ct_full(ct_dtype_of(parameter), ct_shape_of(parameter), 0.0));
}

static ct_status make_states(ct_optimizer *o) {
    o->per_parameter = o->kind->n_states + accumulates(o) + tells_reached(o);
    o->states = cti_alloc((size_t)(o->parameters.count * o->per_parameter), sizeof *o->states);
    if (!o->states) return CT_ERR_MEMORY;
    for (int64_t i = 0; i < o->parameters.count; i++) {
        for (int64_t k = 0; k < o->per_parameter; k++) {
            ct_slot *slot = state_new(o, k, ct_slot_read(o->parameters.items[i].slot));
            if (!slot) return ct_error();
            o->states[i * o->per_parameter + k] = slot;
        }
    }
    o->steps = ct_slot_new("steps", ct_full(CT_I64, CT_SHAPE(2), 0));
    return o->steps ? CT_OK : ct_error();
}

static ct_status check_step_options(const char *function, const ct_step_options *step) {
    ct_status status = cti_check_number(function, "clip_value", step->clip_value, 0, 1e300);
    if (status == CT_OK) {
        status = cti_check_number(function, "clip_norm", step->clip_norm, 0, 1e300);
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
    o->rule = cti_alloc(1, size);
    int64_t scope = ct_scope_open();
    ct_status status = o->rule ? keep_parameters(function, o, model) : CT_ERR_MEMORY;
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
    return cti_optimizer_new(function, kind, model, rate, step, options, size);
}

void ct_optimizer_free(ct_optimizer *o) {
    if (!o) return;
    for (int64_t k = 0; o->states && k < o->parameters.count * o->per_parameter; k++) {
        ct_slot_drop(o->states[k]);
    }
    for (int64_t i = 0; i < o->parameters.count; i++) ct_slot_drop(o->parameters.items[i].slot);
    ct_slot_list_free(&o->parameters);
    ct_slot_drop(o->steps);
    cti_free(o->states);
    cti_free(o->rule);
    cti_free(o);
}

/* --- A step ----------------------------------------------------------------------------------- */

/* What a step works on: the parameters that it trains, by their numbers. */
typedef struct {
    int64_t *numbers, n;
    ct_tensor **parameters, **gradients;
    cti_reach *reach;
    ct_update *updates;
    int64_t n_updates;
    cti_accept *accept;
    void *context;
} work;

static ct_slot **states_of(const ct_optimizer *o, int64_t number) {
    return &o->states[number * o->per_parameter];
}

/* The loss must have been built from the values that the slots hold now. */
static ct_status check_unreached(const ct_optimizer *o, const char *path, cti_reach reach) {
    if (reach == CTI_OUTDATED) {
        return ct_fail(CT_ERR_STATE,
                       "ct_optimizer_step: '%s' was changed after the loss was "
                       "built; build the loss again",
                       path);
    }
    if (o->options.allow_unused) return CT_OK;
    return ct_fail(CT_ERR_GRADIENT,
                   "ct_optimizer_step: '%s' has no gradient (not reached from "
                   "the loss); step.allow_unused leaves such parameters alone",
                   path);
}

/* Whether an earlier step of the round has reached the parameter. */
static ct_status reached_before(const ct_optimizer *o, int64_t number, bool *reached) {
    *reached = false;
    if (!tells_reached(o)) return CT_OK;
    const int64_t *flag = ct_data_i64(ct_slot_read(states_of(o, number)[o->per_parameter - 1]));
    if (!flag) return ct_error();
    *reached = *flag != 0;
    return CT_OK;
}

/* Drops parameters without a gradient: neither old moments nor weight decay may move them. */
static ct_status drop_unused(const ct_optimizer *o, work *w) {
    int64_t n = 0;
    bool any = false;
    for (int64_t k = 0; k < w->n; k++) {
        int64_t number = w->numbers[k];
        bool used = w->reach[k] == CTI_REACHED;
        any |= used;
        if (!used && (check_unreached(o, o->parameters.items[number].path, w->reach[k]) != CT_OK ||
                      reached_before(o, number, &used) != CT_OK)) {
            return ct_error();
        }
        if (!used) continue;
        w->numbers[n] = number;
        w->parameters[n] = w->parameters[k];
        w->gradients[n++] = w->gradients[k];
    }
    w->n = n;
    if (any) return CT_OK;
    return ct_fail(CT_ERR_GRADIENT, "ct_optimizer_step: the loss reaches no parameter");
}

static ct_status derive(const ct_optimizer *o, work *w, ct_tensor *loss) {
    for (int64_t i = 0; i < o->parameters.count; i++) {
        ct_slot *slot = o->parameters.items[i].slot;
        if (slot->frozen) continue;
        w->numbers[w->n] = i;
        w->parameters[w->n++] = ct_slot_read(slot);
    }
    if (w->n == 0) {
        return ct_fail(CT_ERR_STATE, "ct_optimizer_step: every parameter is frozen");
    }
    ct_status status = cti_grad(loss, w->parameters, w->n, w->gradients, w->reach);
    return status == CT_OK ? drop_unused(o, w) : status;
}

static void add_update(work *w, ct_slot *slot, ct_tensor *value) {
    w->updates[w->n_updates++] = (ct_update){slot, value};
}

static void clear(work *w, ct_slot *slot) {
    ct_tensor *old = ct_slot_read(slot);
    add_update(w, slot, ct_full(ct_dtype_of(old), ct_shape_of(old), 0.0));
}

/* Adds this step's gradients to the accumulated ones; true when it is time to apply them, and
 * then the gradients are the means. What was accumulated before a parameter was frozen is
 * forgotten with the round that it belongs to. */
static bool accumulate(const ct_optimizer *o, work *w, int64_t done) {
    if (!accumulates(o)) return true;
    bool apply = done + 1 >= o->options.accumulate;
    for (int64_t i = 0, k = 0; i < o->parameters.count; i++) {
        ct_slot *slot = states_of(o, i)[o->kind->n_states];
        ct_slot *reached = tells_reached(o) ? states_of(o, i)[o->per_parameter - 1] : NULL;
        if (k < w->n && w->numbers[k] == i) {
            ct_tensor *sum = ct_add(ct_slot_read(slot), w->gradients[k]);
            w->gradients[k++] = ct_scale(sum, 1.0 / (double)o->options.accumulate);
            if (!apply) add_update(w, slot, sum);
            if (!apply && reached) add_update(w, reached, ct_full(CT_I64, CT_SCALAR, 1));
        }
        if (apply) clear(w, slot);
        if (apply && reached) clear(w, reached);
    }
    return apply;
}

/* A function of a user's kind that fails is an error also when it recorded none. */
static ct_status failed(const ct_optimizer *o, const char *function) {
    cti_null_in("ct_optimizer_step: %s of '%s' failed and recorded no error", function,
                o->kind->name);
    return ct_error();
}

/* Scalars in the dtype of a parameter; made once per step and dtype. An absent one stays NULL. */
static ct_status scalars_for(const ct_step *f64, ct_dtype dtype, ct_step *step) {
    if (!(step->rate = ct_cast(f64->rate, dtype))) return ct_error();
    for (int k = 0; k < CT_OPTIMIZER_SCALARS; k++) {
        if (!f64->scalars[k]) continue;
        if (!(step->scalars[k] = ct_cast(f64->scalars[k], dtype))) return ct_error();
    }
    return CT_OK;
}

/* What all parameters share, in f64. */
static ct_status prepare(const ct_optimizer *o, int64_t applied, ct_step *f64) {
    f64->rate = cti_schedule_rate(&o->rate, ct_scalar(CT_F64, (double)applied));
    if (!f64->rate) return failed(o, "the rate");
    if (ct_numel(f64->rate) != 1) {
        return ct_fail(CT_ERR_SHAPE,
                       "ct_optimizer_step: the rate of '%s' must be one number, got "
                       "%s",
                       o->kind->name, ct_shape_format(ct_shape_of(f64->rate)).text);
    }
    ct_tensor *number = ct_scalar(CT_F64, (double)applied + 1);
    if (!o->kind->prepare) return number ? CT_OK : ct_error();
    ct_status status = o->kind->prepare(o->rule, number, f64->rate, f64->scalars);
    return status == CT_OK ? CT_OK : failed(o, "'prepare'");
}

/* A slot takes values of its own dtype and shape only. */
static ct_status check_update(const ct_optimizer *o, int64_t number, const ct_slot *slot,
                              ct_tensor *value, ct_tensor *old) {
    if (!value) return failed(o, "'update'");
    if (ct_dtype_of(value) == ct_dtype_of(old) &&
        ct_shape_equal(ct_shape_of(value), ct_shape_of(old))) {
        return CT_OK;
    }
    return ct_fail(CT_ERR_SHAPE,
                   "ct_optimizer_step: 'update' of '%s' makes %s %s for '%s' of "
                   "'%s', which is %s %s",
                   o->kind->name, ct_dtype_name(ct_dtype_of(value)),
                   ct_shape_format(ct_shape_of(value)).text, ct_slot_name(slot),
                   o->parameters.items[number].path, ct_dtype_name(ct_dtype_of(old)),
                   ct_shape_format(ct_shape_of(old)).text);
}

static ct_status update(const ct_optimizer *o, work *w, int64_t i, const ct_step *step) {
    ct_slot **slots = states_of(o, w->numbers[i]);
    ct_tensor *state[CT_OPTIMIZER_STATES] = {0}, *next[CT_OPTIMIZER_STATES] = {0};
    for (int k = 0; k < o->kind->n_states; k++) state[k] = ct_slot_read(slots[k]);
    ct_tensor *p = o->kind->update(o->rule, step, w->parameters[i], w->gradients[i], state, next);
    ct_slot *slot = o->parameters.items[w->numbers[i]].slot;
    if (check_update(o, w->numbers[i], slot, p, w->parameters[i]) != CT_OK) return ct_error();
    add_update(w, slot, p);
    for (int k = 0; k < o->kind->n_states; k++) {
        if (!next[k]) return failed(o, "the next state");
        if (check_update(o, w->numbers[i], slots[k], next[k], state[k]) != CT_OK) {
            return ct_error();
        }
        add_update(w, slots[k], next[k]);
    }
    return CT_OK;
}

static ct_status apply(const ct_optimizer *o, work *w, int64_t applied) {
    ct_step f64 = {0}, by_dtype[CT_DTYPES] = {0};
    if (prepare(o, applied, &f64) != CT_OK) return ct_error();
    for (int64_t i = 0; i < w->n; i++) {
        ct_dtype dtype = ct_dtype_of(w->parameters[i]);
        ct_step *step = &by_dtype[dtype];
        if (!step->rate && scalars_for(&f64, dtype, step) != CT_OK) return ct_error();
        if (update(o, w, i, step) != CT_OK) return ct_error();
    }
    return CT_OK;
}

static ct_status step(ct_optimizer *o, work *w, ct_tensor *loss, ct_tensor *const also[],
                      int64_t n_also) {
    const int64_t *count = ct_data_i64(ct_slot_read(o->steps));
    if (!count) return ct_error();
    if (derive(o, w, loss) != CT_OK) return ct_error();
    bool now = accumulate(o, w, count[1]);
    if (now &&
        (cti_clip(w->gradients, w->n, &o->options) != CT_OK || apply(o, w, count[0]) != CT_OK)) {
        return ct_error();
    }
    int64_t next[2] = {count[0] + now, now ? 0 : count[1] + 1};
    add_update(w, o->steps, ct_from(CT_I64, CT_SHAPE(2), next));
    ct_tensor **roots = cti_alloc((size_t)n_also + 1, sizeof *roots);
    if (!roots) return CT_ERR_MEMORY;
    roots[0] = loss;
    for (int64_t k = 0; k < n_also; k++) roots[k + 1] = also[k];
    ct_status status = cti_commit_if(roots, n_also + 1, w->updates, w->n_updates, w->accept,
                                     w->context);
    cti_free(roots);
    return status;
}

static ct_status check_arguments(const ct_optimizer *o, ct_tensor *loss, ct_tensor *const also[],
                                 int64_t n_also) {
    static const char function[] = "ct_optimizer_step";
    if (!o || !loss) {
        return cti_null("%s: '%s' is NULL", function, o ? "loss" : "optimizer");
    }
    if (ct_numel(loss) != 1 || !ct_dtype_is_float(ct_dtype_of(loss))) {
        return ct_fail(CT_ERR_SHAPE, "%s: the loss must be one number of f32 or f64, got %s %s",
                       function, ct_dtype_name(ct_dtype_of(loss)),
                       ct_shape_format(ct_shape_of(loss)).text);
    }
    ct_status status = cti_check_array(function, "also", also, "n_also", n_also);
    if (status != CT_OK) return status;
    for (int64_t k = 0; k < n_also; k++) {
        if (!also[k]) return cti_null("%s: also[%lld] is NULL", function, (long long)k);
    }
    return CT_OK;
}

ct_status cti_optimizer_step_if(ct_optimizer *o, ct_tensor *loss, ct_tensor *const also[],
                                int64_t n_also, cti_accept *accept, void *context) {
    ct_status status = check_arguments(o, loss, also, n_also);
    if (status != CT_OK) return status;
    size_t n = (size_t)o->parameters.count;
    int64_t scope = ct_scope_open();
    work w = {.numbers = cti_alloc(n, sizeof(int64_t)),
              .parameters = cti_alloc(n, sizeof(ct_tensor *)),
              .gradients = cti_alloc(n, sizeof(ct_tensor *)),
              .reach = cti_alloc(n, sizeof(cti_reach)),
              .updates = cti_alloc(n * (size_t)(2 + o->per_parameter) + 1, sizeof(ct_update)),
              .accept = accept,
              .context = context};
    status = CT_ERR_MEMORY;
    if (w.numbers && w.parameters && w.gradients && w.reach && w.updates) {
        status = step(o, &w, loss, also, n_also);
    }
    cti_free(w.numbers);
    cti_free(w.parameters);
    cti_free(w.gradients);
    cti_free(w.reach);
    cti_free(w.updates);
    ct_scope_close(scope);
    return status;
}

ct_status ct_optimizer_step(ct_optimizer *o, ct_tensor *loss, ct_tensor *const also[],
                            int64_t n_also) {
    CTI_CALLED;
    return cti_optimizer_step_if(o, loss, also, n_also, NULL, NULL);
}

int64_t ct_optimizer_steps(const ct_optimizer *o) {
    CTI_CALLED;
    if (!o) return 0;
    int64_t scope = ct_scope_open();
    const int64_t *count = ct_data_i64(ct_slot_read(o->steps));
    int64_t steps = count ? count[0] : 0;
    ct_scope_close(scope);
    return steps;
}

/* --- Listing ---------------------------------------------------------------------------------- */

/* All states of a parameter, below the path that it has in the model. */
static ct_status list_states(ct_slot_list *list, const ct_optimizer *o, int64_t number) {
    char *prefix = cti_path_new(o->kind->name, o->parameters.items[number].path);
    ct_status status = prefix ? CT_OK : CT_ERR_MEMORY;
    for (int64_t k = 0; k < o->per_parameter && status == CT_OK; k++) {
        ct_slot *slot = states_of(o, number)[k];
        status = cti_slot_list_add(list, prefix, ct_slot_name(slot), (ct_named_slot){.slot = slot});
    }
    cti_free(prefix);
    return status;
}

ct_status ct_optimizer_list(ct_optimizer *o, ct_slot_list *list) {
    CTI_CALLED;
    if (list) *list = (ct_slot_list){0};
    if (!o || !list) {
        return cti_null("ct_optimizer_list: '%s' is NULL", o ? "list" : "optimizer");
    }
    ct_status status = cti_slot_list_add(list, o->kind->name, ct_slot_name(o->steps),
                                         (ct_named_slot){.slot = o->steps});
    for (int64_t i = 0; i < o->parameters.count && status == CT_OK; i++) {
        status = list_states(list, o, i);
    }
    if (status != CT_OK) ct_slot_list_free(list);
    return status;
}
