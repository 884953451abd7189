/* Inputs at which all roots of both sides exist in the field: half of all numbers have one, so of
 * many roots no draw of everything has all. One element of an input is drawn again at a time, and
 * kept where no more roots are missing: of rows that are independent each finds its own.
 * It decides nothing about the claim.
 * Invariant: what is found is a draw like any other, of numbers that anybody can draw again. */
#include "autograd/verify/verify_private.h"
#include "tensor/graph/walk.h"
#include "tensor/random.h"

#include <string.h>

#define STEPS 20000
#define MOST_ROOTS 64 /* nodes */

static int64_t missing_in(ct_tensor *t) {
    const ct_p61 *data = ct_data(t);
    int64_t n = 0;
    for (int64_t i = 0; i < ct_numel(t); i++) n += !ct_p61_has_value(data[i]);
    return n;
}

/* The roots of f and of the closed form, and both: of these follows what is derived. On ranks they
 * are what all see alike, so that all draw alike. */
static ct_status find_values(const cti_instance *of, ct_tensor *values[], int64_t *n) {
    cti_walk walk;
    values[0] = of->y;
    for (int64_t k = 0; k < of->n; k++) values[1 + k] = of->pairs[k].closed;
    int64_t most = 1 + of->n + MOST_ROOTS;
    ct_status status = cti_walk_new(&walk, values, 1 + of->n, cti_walk_whole_graph);
    if (status != CT_OK) return status;
    *n = 1 + of->n;
    for (int64_t i = 0; i < walk.count && *n < most; i++) {
        ct_tensor *t = walk.items[i];
        bool root = t->op && (t->op->algebra == CT_ROOT || t->op->algebra == CT_INVERSE_ROOT);
        if (root && !t->rows) values[(*n)++] = t;
    }
    cti_walk_free(&walk);
    return CT_OK;
}

/* How many elements of them do not exist: a closed form has roots of its own where it forgets an
 * epsilon that f has. */
static ct_status count_missing(const cti_subject *s, const cti_draw *draw, int64_t *missing) {
    cti_instance of;
    ct_tensor *values[MOST_ROOTS + CTI_PAIRS + 1];
    int64_t n = 0, scope = ct_scope_open();
    ct_status status = cti_instance_begin(s, CT_P61, draw, &of);
    if (status == CT_OK) status = cti_instance_derive(s, draw, 1, &of);
    if (status == CT_OK) status = find_values(&of, values, &n);
    if (status == CT_OK) status = ct_eval(values, n);
    *missing = 0;
    for (int64_t k = 0; k < n && status == CT_OK; k++) *missing += missing_in(values[k]);
    ct_scope_close(scope);
    return status;
}

ct_status cti_find_roots(const cti_subject *s, cti_zone *zone, cti_draw *draw, bool *found) {
    const ct_claim *claim = s->claim;
    int64_t missing;
    *found = false;
    for (int64_t i = 0; i < claim->n_inputs; i++) {
        int64_t n = ct_shape_numel(claim->inputs[i].shape);
        draw->again[i] = cti_zone_alloc(zone, (size_t)n, sizeof *draw->again[i]);
        if (!draw->again[i]) return CT_ERR_MEMORY;
        memset(draw->again[i], 0, (size_t)n * sizeof *draw->again[i]);
    }
    ct_status status = count_missing(s, draw, &missing);
    for (uint64_t step = 0; step < STEPS && missing > 0 && status == CT_OK; step++) {
        uint32_t words[4];
        ct_philox(words, step, UINT64_C(1) << 62, draw->seed + draw->stream);
        int64_t i = words[0] % claim->n_inputs, now;
        int64_t at = words[1] % ct_shape_numel(claim->inputs[i].shape);
        draw->again[i][at]++;
        status = count_missing(s, draw, &now);
        if (status == CT_OK && now > missing) draw->again[i][at]--;
        else missing = now;
    }
    *found = status == CT_OK && missing == 0;
    return status;
}
