/* The exact stage: both sides in the field GF(2^61 - 1), at random inputs.
 * It judges no rounding; numeric.c does.
 * Invariant: only draws count in which every value exists, so that "not equal" is a difference of
 * the formulas. */
#include "autograd/verify/verify_private.h"
#include "tensor/base/alloc.h"
#include "tensor/graph/walk.h"
#include "tensor/p61.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Half of all numbers are squares: so many attempts find a few roots at once, and then the elements
 * are drawn one by one. */
#define ATTEMPTS 64

static bool has_values(ct_tensor *t) {
    const ct_p61 *data = ct_data(t);
    int64_t n = ct_numel(t);
    for (int64_t i = 0; i < n; i++) {
        if (!data || !ct_p61_has_value(data[i])) return false;
    }
    return true;
}

static bool all_have_values(const cti_instance *of) {
    for (int64_t k = 0; k < of->n; k++) {
        if (!has_values(of->pairs[k].derived) || !has_values(of->pairs[k].closed)) return false;
    }
    return true;
}

static ct_status f_has_values(const cti_subject *s, const cti_draw *draw, bool *has) {
    cti_instance of;
    int64_t scope = ct_scope_open();
    ct_status status = cti_instance_begin(s, CT_P61, draw, &of);
    if (status == CT_OK) status = ct_eval(&of.y, 1);
    *has = status == CT_OK && has_values(of.y);
    ct_scope_close(scope);
    return status;
}

/* The next attempt in which all values exist; *found is false when there is none. */
static ct_status instance_with_values(const cti_subject *s, cti_zone *zone, cti_draw *draw,
                                      int orders, cti_instance *out, bool *found) {
    for (; draw->attempt <= ATTEMPTS; draw->attempt++) {
        ct_status status = draw->attempt == ATTEMPTS ? cti_find_roots(s, zone, draw, found)
                                                     : f_has_values(s, draw, found);
        if (status != CT_OK) return status;
        if (!*found) continue;
        int64_t scope = ct_scope_open(); /* what is found stays until the caller closes another */
        status = cti_instance_begin(s, CT_P61, draw, out);
        if (status == CT_OK) status = cti_instance_derive(s, draw, orders, out);
        if (status == CT_OK) status = cti_instance_eval(out);
        if (status != CT_OK) return status;
        *found = all_have_values(out);
        if (*found) return CT_OK;
        ct_scope_close(scope);
    }
    return CT_OK;
}

/* The type through which what is drawn leaves the field and comes back; CT_P61 if none. */
static ct_dtype left_for(const cti_walk *walk, bool from_field[]) {
    ct_dtype left = CT_P61;
    for (int64_t i = 0; i < walk->count; i++) {
        const ct_tensor *t = walk->items[i];
        from_field[i] = t->dtype == CT_P61 && !t->literal;
        for (int k = 0; k < t->n_inputs; k++) {
            const ct_tensor *in = t->inputs[k];
            bool rounded = in->dtype == CT_F32 || in->dtype == CT_F64;
            from_field[i] |= from_field[in->index];
            if (t->dtype == CT_P61 && rounded && from_field[in->index]) left = in->dtype;
        }
    }
    return left;
}

/* What comes back from f64 is rounded: equal numbers would prove nothing of the formulas. */
static ct_status check_stays(const cti_subject *s, const cti_instance *of) {
    ct_tensor *sides[2 * CTI_PAIRS];
    cti_walk walk;
    ct_status status = cti_walk_new(&walk, sides, cti_instance_sides(of, sides),
                                    cti_walk_whole_graph);
    if (status != CT_OK) return status;
    bool *from_field = cti_alloc((size_t)walk.count, sizeof *from_field);
    ct_dtype left = from_field ? left_for(&walk, from_field) : CT_P61;
    if (!from_field) status = CT_ERR_MEMORY;
    cti_free(from_field);
    cti_walk_free(&walk);
    if (status != CT_OK || left == CT_P61) return status;
    return ct_fail(CT_ERR_DTYPE,
                   "ct_verify: %s: f or the closed form computes in %s what the inputs' type "
                   "should be",
                   s->claim->name, ct_dtype_name(left));
}

/* --- The same function in f64 ----------------------------------------------------------------- */

#define APART 1e-3 /* in the max norm; both are of f64 */

/* The first element of a in the field whose shadow is not that of b in f64, -1 if none is. */
static int64_t other_value(ct_tensor *a, ct_tensor *b) {
    const ct_p61 *field = ct_data(a);
    const double *wide = ct_data_f64(b);
    double size = 1e-9;
    for (int64_t i = 0; i < ct_numel(b); i++) size = fmax(size, fabs(wide[i]));
    for (int64_t i = 0; i < ct_numel(b); i++) {
        if (fabs(field[i].shadow - wide[i]) > APART * size) return i;
    }
    return -1;
}

/* Whether f and the closed form are the same functions in f64, on the numbers of a draw: not so
 * where they ask for the type, or where an op's arithmetic of p61 is of something else. */
static ct_status check_same(const cti_subject *s, const cti_draw *draw, const cti_instance *of) {
    cti_instance wide;
    ct_tensor *a[2 * CTI_PAIRS], *b[2 * CTI_PAIRS];
    int64_t scope = ct_scope_open(), n = 0;
    ct_status status = cti_instance_begin(s, CT_F64, draw, &wide);
    if (status == CT_OK) status = cti_instance_derive(s, draw, 1, &wide);
    if (status == CT_OK) status = cti_instance_eval(&wide);
    if (status == CT_OK) n = cti_instance_sides(&wide, b);
    cti_instance_sides(of, a);
    for (int64_t k = 0; k < n && status == CT_OK; k++) {
        int64_t i = other_value(a[k], b[k]);
        if (i < 0) continue;
        status = ct_fail(CT_ERR_STATE,
                         "ct_verify: %s: f or the closed form is another function of p61 than of "
                         "f64: %.9g, and %.9g",
                         s->claim->name, ((const ct_p61 *)ct_data(a[k]))[i].shadow,
                         ct_data_f64(b[k])[i]);
    }
    ct_scope_close(scope);
    return status;
}

/* --- Comparing -------------------------------------------------------------------------------- */

static double relative(double a, double b) {
    return fabs(a - b) / fmax(fmax(fabs(a), fabs(b)), DBL_MIN);
}

/* Of several elements that differ, that one is told in which it is seen best. */
static void compare(const cti_pair *p, ct_verify_row *row, bool *zero, bool zeros[]) {
    const ct_p61 *derived = ct_data(p->derived), *closed = ct_data(p->closed);
    int64_t n = ct_numel(p->derived);
    for (int64_t i = 0; i < n; i++) {
        *zero &= derived[i].field == 0;
        zeros[i] &= derived[i].field == 0;
        if (derived[i].field == closed[i].field) continue;
        double off = relative(derived[i].shadow, closed[i].shadow);
        if (!row->exact && off <= relative(row->derived, row->closed)) continue;
        row->exact = false;
        row->worst = i;
        row->derived = derived[i].shadow, row->closed = closed[i].shadow;
    }
}

/* What is wrong: at order 1 by its term, later by its order. */
static ct_status explain(const cti_subject *s, const cti_instance *of, int64_t k,
                         cti_findings *found) {
    const cti_pair *p = &of->pairs[k];
    found->failed_order = p->order;
    const char *name = cti_claim_input_name(s->claim, p->input);
    if (p->order > 1) {
        cti_line(&found->says,
                 "%s: equal at order %d, different at order %d: something in %s is held constant "
                 "that depends on the inputs",
                 name, p->order - 1, p->order, "f or in the closed form");
        return CT_OK;
    }
    return cti_term_diagnose(s, of, p, &found->says);
}

static ct_status take_draw(const cti_subject *s, const cti_instance *of, cti_findings *found) {
    for (int64_t k = 0; k < of->n; k++) {
        compare(&of->pairs[k], &found->rows[k], &found->zero[k], found->zeros[k]);
    }
    for (int64_t k = 0; k < of->n && !found->failed_order; k++) {
        if (found->rows[k].exact) continue;
        ct_status status = explain(s, of, k, found);
        if (status != CT_OK) return status;
    }
    return CT_OK;
}

ct_status cti_verify_exact(const cti_subject *s, const ct_verify_options *options,
                           cti_findings *found) {
    for (int64_t k = 0; k < found->n; k++) found->zero[k] = true;
    for (int d = 0; d < options->draws; d++) {
        cti_draw draw = {
            .seed = options->seed, .stream = (uint64_t)d << 40, .cotangent = options->cotangent};
        cti_instance of;
        bool there = false;
        cti_zone zone = {0};
        int64_t scope = ct_scope_open();
        ct_status status = instance_with_values(s, &zone, &draw, options->orders, &of, &there);
        if (status == CT_OK && there && d == 0) status = check_stays(s, &of);
        if (status == CT_OK && there && d == 0) status = check_same(s, &draw, &of);
        if (status == CT_OK && there) {
            for (int64_t k = 0; k < found->n && d == 0; k++) {
                found->rows[k].tried = found->rows[k].exact = true;
            }
            status = take_draw(s, &of, found);
        }
        ct_scope_close(scope);
        cti_zone_free(&zone);
        if (status != CT_OK) return status;
        if (!there) {
            for (int64_t k = 0; k < found->n; k++) found->zero[k] = false;
            found->n_roots_missing++;
            break;
        }
        if (found->failed_order) break;
    }
    return CT_OK;
}
