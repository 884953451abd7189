/* What a proof in the field rests on: numbers that are no fractions, functions that have stand-ins.
 * It judges nothing; a note says it.
 * Invariant: it looks at f and at the closed form alike. */
#include "autograd/ops.h"
#include "autograd/verify/verify_private.h"
#include "tensor/graph/walk.h"
#include "tensor/p61.h"

#include <math.h>
#include <string.h>

/* --- Numbers ---------------------------------------------------------------------------------- */

#define MOST_NUMBERS 5 /* of which a line has the digits */

/* A number of a formula: of ct_scale and its like, or a tensor of one element that is no input. */
static bool is_number(const ct_tensor *t, const cti_instance *of, int64_t inputs) {
    bool is = t->literal || (t->n_inputs == 0 && t->numel == 1 && t->buffer);
    for (int64_t i = 0; i <= inputs; i++) is &= t != of->x[i];
    return is && !t->structural && t->dtype == CT_F64;
}

static void note_numbers(const cti_walk *walk, const cti_instance *of, int64_t inputs,
                         ct_verify_line *line) {
    char list[120] = "";
    double known[MOST_NUMBERS];
    int found = 0;
    for (int64_t i = 0; i < walk->count && found < MOST_NUMBERS; i++) {
        const ct_tensor *t = walk->items[i];
        int64_t n, d;
        if (!is_number(t, of, inputs)) continue;
        double value = cti_value(t->buffer->data, t->dtype, 0);
        bool is_new = isfinite(value) && !ct_p61_is_fraction(value, &n, &d);
        for (int k = 0; k < found; k++) is_new &= known[k] != value;
        if (!is_new) continue;
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%.17g", used ? ", " : "", value);
        known[found++] = value;
    }
    line->text[0] = '\0';
    if (!list[0]) return;
    cti_line(line,
             "taken as they are, as no small fractions: %s; both sides have to write them alike",
             list);
}

/* --- Stand-ins -------------------------------------------------------------------------------- */

#define MOST_STAND_INS 16

static void note_stand_ins(const cti_walk *walk, ct_verify_line *line) {
    char list[80] = "";
    const ct_op *known[MOST_STAND_INS];
    int n = 0;
    for (int64_t i = 0; i < walk->count && n < MOST_STAND_INS; i++) {
        const ct_op *op = walk->items[i]->op;
        bool is_new = op && op->algebra == CT_STAND_IN;
        for (int k = 0; k < n && is_new; k++) is_new = known[k] != op;
        if (!is_new) continue;
        size_t length = strlen(list);
        snprintf(list + length, sizeof list - length, "%s%s", length ? ", " : "", op->name);
        known[n++] = op;
    }
    line->text[0] = '\0';
    if (!list[0]) return;
    cti_line(line,
             "no algebra is known of %s but what p61.h lists, exp(a + b) = exp a exp b is not",
             list);
}

ct_status cti_verify_grounds(const cti_subject *s, const ct_verify_options *options,
                             ct_verify_line lines[CTI_GROUNDS], int64_t *untaken) {
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
        note_numbers(&walk, &of, s->claim->n_inputs, &lines[0]);
        note_stand_ins(&walk, &lines[1]);
        cti_walk_free(&walk);
    }
    ct_scope_close(scope);
    return status == CT_OK ? cti_verify_untaken(s, options, &lines[2], untaken) : status;
}
