/* In place of the field, where it cannot decide: whether both sides agree in f64, element by
 * element, to what rounding explains.
 * What rounding explains is tried, not estimated: every node of both graphs is off by up to 2^-30
 * of itself, and what that changes, at the scale of f64, is what rounding may do to an element.
 * The max norm would not do: beside exp(40) everything is small.
 * Invariant: nothing that the user chose as a tolerance decides here. */
#include "autograd/ops.h"
#include "autograd/verify/verify_private.h"
#include "tensor/base/alloc.h"
#include "tensor/graph/node.h"
#include "tensor/graph/walk.h"
#include "tensor/random.h"

#include <math.h>

#define DRAWS 3
#define SHAKES 3 /* changes may cancel by accident, not in all of them */
#define OFF 0x1p-30
#define EPSILON_F64 0x1p-53
#define ALLOWED 128.0

/* --- Both sides, off at every node ------------------------------------------------------------ */

/* t times numbers in 1 - OFF .. 1 + OFF, which vary between ranks where it does. */
static ct_tensor *shaken(ct_tensor *t, uint64_t seed, uint64_t stream) {
    int64_t n = ct_numel(t);
    double *by = cti_alloc((size_t)n, sizeof *by);
    if (!by) return NULL;
    for (int64_t i = 0; i < n; i++) {
        uint32_t words[4];
        ct_philox(words, (uint64_t)i, stream, seed);
        by[i] = 1 + OFF * ((double)words[0] * 0x1p-31 - 1);
    }
    ct_tensor *factor = ct_from(CT_F64, ct_shape_of(t), by);
    cti_free(by);
    return ct_mul(t, cti_marked(factor, cti_mark_of(t)));
}

/* What selects or decides rounds nothing, and equal numbers have to stay equal for it: a maximum
 * and the element that it is. Like it in kind are sums, whose operands are off in any case. */
static bool is_rounded(const ct_tensor *t) {
    const ct_op *op = t->op;
    bool moves = op && op->algebra == CT_LINEAR && op->n_inputs == 1;
    bool decides = op && (op->branches || op->algebra == CT_DECISION);
    return t->dtype == CT_F64 && !t->literal && !moves && !decides;
}

static ct_tensor *shake_one(void *context, ct_tensor *t, ct_tensor *image,
                            ct_tensor *const images[]) {
    (void)images;
    return is_rounded(t) ? shaken(image, *(const uint64_t *)context, (uint64_t)t->index) : image;
}

/* Graphs like those of `sides`, all of whose nodes are off. */
static ct_status shake(ct_tensor *const sides[], int64_t n, uint64_t seed, ct_tensor *off[]) {
    ct_status status = cti_graph_map(sides, n, off, shake_one, &seed);
    return status == CT_OK ? ct_eval(off, n) : status;
}

/* --- Judging ---------------------------------------------------------------------------------- */

/* The most that rounding does to each element of both sides, a row for each side. */
static ct_status find_allowed(ct_tensor *const sides[], int64_t n, uint64_t seed,
                              double *allowed[]) {
    for (int64_t k = 0; k < n; k++) {
        const double *right = ct_data_f64(sides[k]);
        for (int64_t e = 0; e < ct_numel(sides[k]); e++) allowed[k][e] = fabs(right[e]) * OFF;
    }
    for (uint64_t s = 0; s < SHAKES; s++) {
        ct_tensor *off[2 * CTI_PAIRS];
        ct_status status = shake(sides, n, seed + s, off);
        if (status != CT_OK) return status;
        for (int64_t k = 0; k < n; k++) {
            const double *right = ct_data_f64(sides[k]), *moved = ct_data_f64(off[k]);
            for (int64_t e = 0; e < ct_numel(sides[k]); e++) {
                allowed[k][e] = fmax(allowed[k][e], fabs(moved[e] - right[e]));
            }
        }
    }
    return CT_OK;
}

static bool agree(ct_tensor *const sides[], int64_t n, double *const allowed[]) {
    for (int64_t k = 0; k < n; k += 2) {
        const double *a = ct_data_f64(sides[k]), *b = ct_data_f64(sides[k + 1]);
        for (int64_t e = 0; e < ct_numel(sides[k]); e++) {
            double most = fmax(allowed[k][e], allowed[k + 1][e]) * (ALLOWED * EPSILON_F64 / OFF);
            if (!(fabs(a[e] - b[e]) <= most)) return false;
        }
    }
    return true;
}

ct_status cti_instance_agrees(const cti_instance *of, uint64_t seed, bool *agrees) {
    ct_tensor *sides[2 * CTI_PAIRS];
    double *allowed[2 * CTI_PAIRS];
    cti_zone zone = {0};
    ct_status status = CT_OK;
    int64_t n = cti_instance_sides(of, sides);
    for (int64_t k = 0; k < n && status == CT_OK; k++) {
        allowed[k] = cti_zone_alloc(&zone, (size_t)ct_numel(sides[k]), sizeof *allowed[k]);
        if (!allowed[k]) status = CT_ERR_MEMORY;
    }
    if (status == CT_OK) status = find_allowed(sides, n, seed, allowed);
    if (status == CT_OK) *agrees = agree(sides, n, allowed);
    cti_zone_free(&zone);
    return status;
}

static ct_status one_draw(const cti_subject *s, const cti_draw *draw, int orders, bool *agrees) {
    cti_instance of;
    ct_status status = cti_instance_begin(s, CT_F64, draw, &of);
    if (status == CT_OK) status = cti_instance_derive(s, draw, orders, &of);
    if (status == CT_OK) status = cti_instance_eval(&of);
    return status == CT_OK ? cti_instance_agrees(&of, draw->seed + draw->stream, agrees) : status;
}

ct_status cti_numeric_agrees(const cti_subject *s, const ct_verify_options *options, bool *agrees) {
    ct_status status = CT_OK;
    *agrees = true;
    for (uint64_t d = 0; d < DRAWS && *agrees && status == CT_OK; d++) {
        cti_draw draw = {
            .seed = options->seed, .stream = (20 + d) << 50, .cotangent = options->cotangent};
        int64_t scope = ct_scope_open();
        status = one_draw(s, &draw, options->orders, agrees);
        ct_scope_close(scope);
    }
    return status;
}
