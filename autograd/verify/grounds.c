/* What a proof in the field rests on: numbers that are no fractions, functions that have stand-ins,
 * branches that were taken.
 * It judges nothing; a note says it.
 * Invariant: it looks at f and at the closed form alike. */
#include "autograd/ops.h"
#include "autograd/verify/verify_private.h"
#include "tensor/graph/walk.h"
#include "tensor/p61.h"

#include <string.h>

/* --- Numbers ---------------------------------------------------------------------------------- */

static void note_numbers(const cti_walk *walk, ct_verify_line *line) {
    char list[120] = "";
    for (int64_t i = 0; i < walk->count; i++) {
        const ct_tensor *t = walk->items[i];
        int64_t n, d;
        if (!t->literal || t->structural || t->dtype != CT_F64) continue;
        double value = cti_value(t->buffer->data, t->dtype, 0);
        if (ct_p61_is_fraction(value, &n, &d)) continue;
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%.17g", used ? ", " : "", value);
    }
    line->text[0] = '\0';
    if (!list[0]) return;
    cti_line(line,
             "taken as they are, as no small fractions: %s; both sides have to write them alike",
             list);
}

/* --- Stand-ins -------------------------------------------------------------------------------- */

static void note_stand_ins(const cti_walk *walk, ct_verify_line *line) {
    static const ct_op *const hashed[] = {&ct_op_exp, &ct_op_log,  &ct_op_sin,    &ct_op_cos,
                                          &ct_op_erf, &ct_op_tanh, &ct_op_sigmoid};
    char list[80] = "";
    for (size_t k = 0; k < sizeof hashed / sizeof *hashed; k++) {
        bool used = false;
        for (int64_t i = 0; i < walk->count && !used; i++) used = ct_is(walk->items[i], hashed[k]);
        size_t length = strlen(list);
        if (used) {
            snprintf(list + length, sizeof list - length, "%s%s", length ? ", " : "",
                     hashed[k]->name);
        }
    }
    line->text[0] = '\0';
    if (!list[0]) return;
    cti_line(line,
             "no algebra is known of %s but what p61.h lists, exp(a + b) = exp a exp b is not",
             list);
}

/* --- Branches --------------------------------------------------------------------------------- */

/* What decides a branch of t: where it is 0 the one is taken, elsewhere the other; NULL: none. */
static ct_tensor *condition_of(ct_tensor *t) {
    if (ct_is(t, &ct_op_where)) return ct_input(t, 0);
    if (ct_is(t, &ct_op_maximum) || ct_is(t, &ct_op_minimum)) {
        return ct_greater(ct_input(t, 0), ct_input(t, 1));
    }
    if (ct_is(t, &ct_op_abs)) return ct_greater(ct_input(t, 0), ct_scalar(ct_dtype_of(t), 0));
    return NULL;
}

static ct_status count_branches(ct_tensor *t, bool *taken, bool *left) {
    ct_tensor *condition = ct_cast(condition_of(t), CT_F64);
    const double *data = ct_data_f64(condition);
    if (!data) return ct_error();
    for (int64_t i = 0; i < ct_numel(condition); i++) {
        *taken |= data[i] != 0;
        *left |= data[i] == 0;
    }
    return CT_OK;
}

static ct_status note_branches(cti_walk *walk, ct_verify_line *line) {
    line->text[0] = '\0';
    for (int64_t i = 0; i < walk->count; i++) {
        ct_tensor *t = walk->items[i];
        bool taken = false, left = false;
        if (!condition_of(t)) continue;
        ct_status status = count_branches(t, &taken, &left);
        if (status != CT_OK) return status;
        if (taken != left) {
            cti_line(line, "one branch of %s was never taken: nothing is said of it", t->op->name);
        }
    }
    return CT_OK;
}

ct_status cti_verify_grounds(const cti_subject *s, const ct_verify_options *options,
                             ct_verify_line lines[CTI_GROUNDS]) {
    cti_draw draw = {.seed = options->seed, .cotangent = options->cotangent};
    cti_instance of;
    cti_walk walk;
    ct_tensor *roots[1 + CTI_PAIRS];
    int64_t n = 0, scope = ct_scope_open();
    ct_status status = cti_instance_begin(s, CT_F64, &draw, &of);
    if (status == CT_OK) status = cti_instance_derive(s, &draw, 1, &of);
    roots[n++] = of.y;
    for (int64_t k = 0; k < of.n && s->closed; k++) roots[n++] = of.pairs[k].closed;
    if (status == CT_OK) status = cti_walk_new(&walk, roots, n, cti_walk_whole_graph);
    if (status == CT_OK) {
        note_numbers(&walk, &lines[0]);
        note_stand_ins(&walk, &lines[1]);
        status = note_branches(&walk, &lines[2]);
        cti_walk_free(&walk);
    }
    ct_scope_close(scope);
    return status;
}
