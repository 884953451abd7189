/* The rate after measurements: a factor that shrinks when they stop getting better.
 * When to measure is the caller's business; the schedule goes on by itself.
 * Invariant: all that it knows is one slot of the optimizer. */
#include "optim/optimizer_private.h"

#include "tensor/base/caller.h"
#include "tensor/ranks/exchange.h"
#include "tensor/value/slot_private.h"

#include <math.h>
#include <string.h>

/* As the slot holds them. */
typedef struct {
    double scale, best, bad, cooldown;
} state;

ct_status cti_plateau_check(const char *function, const ct_plateau *p) {
    if (p->factor == 0 && (p->patience != 0 || p->threshold != 0 || p->cooldown != 0 ||
                           p->min_scale != 0 || p->maximize || p->own)) {
        return ct_fail(CT_ERR_RANGE,
                       "%s: plateau.factor is 0, which is no plateau; PyTorch's is 0.1", function);
    }
    if (cti_check_number(function, "plateau.factor", p->factor, 0, 1) != CT_OK ||
        cti_check_number(function, "plateau.threshold", p->threshold, 0, 1e300) != CT_OK ||
        cti_check_number(function, "plateau.min_scale", p->min_scale, 0, 1) != CT_OK) {
        return ct_error();
    }
    if (p->patience >= 0 && p->cooldown >= 0) return CT_OK;
    bool patience = p->patience < 0;
    return ct_fail(CT_ERR_RANGE, "%s: plateau.%s must be >= 0, got %lld", function,
                   patience ? "patience" : "cooldown",
                   (long long)(patience ? p->patience : p->cooldown));
}

ct_slot *cti_plateau_new(const ct_plateau *p) {
    state first = {.scale = 1, .best = p->maximize ? -(double)INFINITY : (double)INFINITY};
    return ct_slot_new("plateau", ct_from(CT_F64, CT_SHAPE(4), &first));
}

static ct_status read(ct_slot *slot, state *out) {
    const double *numbers = ct_data_f64(ct_slot_read(slot));
    if (!numbers) return ct_error();
    memcpy(out, numbers, sizeof *out);
    return CT_OK;
}

ct_tensor *cti_plateau_scale(ct_slot *slot) {
    state now = {0};
    return read(slot, &now) == CT_OK ? ct_scalar(CT_F64, now.scale) : NULL;
}

/* NaN is not better. */
static bool is_better(const ct_plateau *p, double value, double best) {
    if (p->maximize) return value > best * (1 + p->threshold);
    return value < best * (1 - p->threshold);
}

/* As PyTorch's ReduceLROnPlateau.step. */
static state measured(const ct_plateau *p, state s, double value) {
    if (is_better(p, value, s.best)) {
        s.best = value;
        s.bad = 0;
    } else {
        s.bad++;
    }
    if (s.cooldown > 0) {
        s.cooldown--;
        s.bad = 0;
    }
    if (s.bad > (double)p->patience) {
        s.scale = s.scale * p->factor > p->min_scale ? s.scale * p->factor : p->min_scale;
        s.cooldown = (double)p->cooldown;
        s.bad = 0;
    }
    return s;
}

/* What the slot is to hold after a measurement. */
static ct_tensor *prepare(ct_optimizer *o, double value) {
    state now;
    if (read(o->plateau, &now) != CT_OK) return NULL;
    now = measured(&o->options.plateau, now, value);
    return cti_slot_prepare(o->plateau, ct_from(CT_F64, CT_SHAPE(4), &now));
}

static ct_status check_plateau(const ct_optimizer *o) {
    if (!o) return cti_null("ct_optimizer_measured: 'optimizer' is NULL");
    if (o->plateau) return CT_OK;
    return ct_fail(CT_ERR_STATE,
                   "ct_optimizer_measured: the optimizer has no plateau; step.plateau makes one");
}

/* On all ranks of a group or on none. */
ct_status ct_optimizer_measured(ct_optimizer *o, double value) {
    CTI_CALLED;
    int64_t scope = ct_scope_open();
    ct_status status = check_plateau(o);
    ct_tensor *next = status == CT_OK ? prepare(o, value) : NULL;
    status = cti_agreed(next ? CT_OK : ct_error());
    if (status == CT_OK) cti_slot_swap(o->plateau, next);
    ct_scope_close(scope);
    return status;
}

ct_status cti_optimizer_tell(ct_optimizer *o, double value, ct_update *told) {
    if (!o->plateau || o->options.plateau.own) return CT_OK;
    *told = (ct_update){o->plateau, prepare(o, value)};
    return told->value ? CT_OK : ct_error();
}
