/* The numeric stage: both sides in f64 and f32, near 0 and far from it.
 * It tells what algebra cannot: where digits are lost, where numbers overflow.
 * Invariant: a distance is one in the max norm, against what rounding of the inputs explains. */
#include "autograd/ops.h"
#include "autograd/verify/verify_private.h"
#include "tensor/base/alloc.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define EPSILON_F64 0x1p-53
#define EPSILON_F32 0x1p-24
/* Where what is squared costs a few digits, and where it costs most of them. */
static const double far_away[] = {1000.0, 32768.0, -1000.0};
enum { FAR_AWAY = sizeof far_away / sizeof *far_away };
/* Roundings that a formula may add to those of its inputs, for each that it adds near 0: BatchNorm
 * of two values loses digits wherever they are. */
#define ALLOWED 128.0

static double largest(const double *a, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(a[i]));
    return most;
}

static bool all_finite(const double *a, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(a[i])) return false;
    }
    return true;
}

/* max |a - b| / max |b|, and where; infinite where one of them is NaN. */
static double distance(const double *a, const double *b, int64_t n, int64_t *worst) {
    double most = 0, size = largest(b, n);
    for (int64_t i = 0; i < n; i++) {
        double off = isnan(a[i] - b[i]) ? (double)INFINITY : fabs(a[i] - b[i]);
        if (off <= most) continue;
        most = off;
        if (worst) *worst = i;
    }
    return most == 0 ? 0 : most / size;
}

/* All pairs of one instance, in f64. */
typedef struct {
    double *derived[CTI_PAIRS], *closed[CTI_PAIRS];
    int64_t n, elements[CTI_PAIRS];
} values;

static double *read_wide(cti_zone *zone, ct_tensor *t) {
    ct_tensor *wide = ct_cast(t, CT_F64);
    const double *data = ct_data_f64(wide);
    size_t n = (size_t)ct_numel(t);
    double *copy = data ? cti_zone_alloc(zone, n, sizeof *copy) : NULL;
    return copy ? memcpy(copy, data, n * sizeof *copy) : NULL;
}

/* Of a mutant: `factor` times what flows through a term. */
static ct_status change_term(const cti_subject *s, cti_zone *zone, const cti_instance *of,
                             double *closed[]) {
    ct_tensor *flow[CT_CLAIM_INPUTS];
    ct_status status = cti_term_flow(s, of, s->term, flow);
    for (int64_t i = 0; i < s->claim->n_inputs && status == CT_OK; i++) {
        const double *part = read_wide(zone, flow[i]);
        if (!part) return ct_error();
        for (int64_t e = 0; e < ct_numel(flow[i]); e++) closed[i][e] += (s->factor - 1) * part[e];
    }
    return status;
}

/* The closed form over arrays: fills `closed` of all inputs that have a pair. */
static ct_status call_arrays(const cti_subject *s, cti_zone *zone, const cti_instance *of,
                             values *out) {
    const ct_claim *claim = s->claim;
    const double *in[CT_CLAIM_INPUTS + 1];
    double *closed[CT_CLAIM_INPUTS];
    for (int64_t i = 0; i <= claim->n_inputs; i++) {
        in[i] = read_wide(zone, of->x[i]);
        if (!in[i]) return ct_error();
        if (i == claim->n_inputs) break;
        int64_t n = ct_numel(of->x[i]);
        closed[i] = cti_zone_alloc(zone, (size_t)n, sizeof *closed[i]);
        if (!closed[i]) return CT_ERR_MEMORY;
        /* What adds to what is there, or leaves an element out, is wrong, and has to look so. */
        for (int64_t k = 0; k < n; k++) closed[i][k] = NAN;
    }
    claim->arrays(claim->context, in, claim->n_inputs, in[claim->n_inputs], closed);
    ct_status status = s->term ? change_term(s, zone, of, closed) : CT_OK;
    for (int64_t k = 0; k < of->n; k++) out->closed[k] = closed[of->pairs[k].input];
    return status;
}

static ct_status evaluate(const cti_subject *s, const cti_draw *draw, ct_dtype dtype, int orders,
                          cti_zone *zone, values *out) {
    cti_instance of;
    int64_t scope = ct_scope_open();
    ct_status status = cti_instance_begin(s, dtype, draw, &of);
    if (status == CT_OK) status = cti_instance_derive(s, draw, orders, &of);
    if (status == CT_OK) status = cti_instance_eval(&of);
    *out = (values){.n = status == CT_OK ? of.n : 0};
    for (int64_t k = 0; k < of.n && status == CT_OK; k++) {
        out->elements[k] = ct_numel(of.pairs[k].derived);
        out->derived[k] = read_wide(zone, of.pairs[k].derived);
        out->closed[k] = of.pairs[k].closed ? read_wide(zone, of.pairs[k].closed) : NULL;
        if (!out->derived[k]) status = ct_error();
    }
    if (status == CT_OK && !s->closed) status = call_arrays(s, zone, &of, out);
    ct_scope_close(scope);
    return status;
}

/* Of relative changes of all inputs by 2^-30, the largest relative change of each derivative. */
static ct_status find_conditions(const cti_subject *s, cti_draw draw, int orders, cti_zone *zone,
                                 const values *at, double condition[]) {
    for (int64_t k = 0; k < at->n; k++) condition[k] = 1;
    for (int side = -1; side <= 1; side += 2) {
        values off;
        draw.nudge = side * 0x1p-30;
        ct_status status = evaluate(s, &draw, CT_F64, orders, zone, &off);
        if (status != CT_OK) return status;
        for (int64_t k = 0; k < at->n; k++) {
            double change = distance(off.derived[k], at->derived[k], at->elements[k], NULL);
            if (isfinite(change)) condition[k] = fmax(condition[k], change / 0x1p-30);
        }
    }
    return CT_OK;
}

/* What both sides are off in f32 from themselves in f64; NaN where both overflow, or underflow. */
static double error_f32(const cti_subject *s, const values *wide, const values *narrow, int64_t k) {
    int64_t n = wide->elements[k];
    if (!s->closed || largest(wide->closed[k], n) < (double)FLT_MIN) return NAN;
    if (!all_finite(narrow->derived[k], n) && !all_finite(narrow->closed[k], n)) return NAN;
    double error = distance(narrow->derived[k], wide->derived[k], wide->elements[k], NULL);
    return fmax(error, distance(narrow->closed[k], wide->closed[k], wide->elements[k], NULL));
}

static void take_usual(const cti_subject *s, const ct_verify_options *options, const values *wide,
                       const values *narrow, const double condition[], cti_findings *found) {
    for (int64_t k = 0; k < wide->n; k++) {
        ct_verify_row *row = &found->rows[k];
        int64_t worst = 0, n = wide->elements[k];
        if (row->tried && row->exact && found->zero[k]) continue;
        row->condition = condition[k];
        row->error_f64 = distance(wide->derived[k], wide->closed[k], n, &worst);
        row->error_f32 = error_f32(s, wide, narrow, k);
        double allowed = fmax(options->tolerance, ALLOWED * EPSILON_F64 * condition[k]);
        if (row->error_f64 <= allowed) continue;
        row->passed = false;
        row->worst = worst;
        row->derived = wide->derived[k][worst], row->closed = wide->closed[k][worst];
        if (found->failed_usual || found->failed_order) continue;
        found->failed_usual = true;
        if (!all_finite(wide->derived[k], n) && !all_finite(wide->closed[k], n)) {
            cti_line(&found->says, "%s: order %d is not finite in f64 with inputs of size 2",
                     row->input, row->order);
        } else
            cti_line(&found->says, "%s: order %d differs by %.1e in f64 (allowed %.1e)", row->input,
                     row->order, row->error_f64, allowed);
    }
}

/* In units of what rounding of the inputs explains. */
static double units(double error_f64, double error_f32, double condition) {
    return fmax(error_f64 / EPSILON_F64, error_f32 / EPSILON_F32) / condition;
}

/* Where nothing is finite nothing is judged, unless it is a mutant of what is finite there. */
static bool overflows(const cti_subject *s, const values *wide, int64_t k) {
    int64_t n = wide->elements[k];
    if (!s->right || k >= s->n_right || !isfinite(s->right[k].error_far)) return false;
    return !all_finite(wide->closed[k], n) || !all_finite(wide->derived[k], n);
}

/* What is said where both sides are so many units apart. */
static void say_far(const ct_verify_row *row, double far, double error, double off,
                    ct_verify_line *line) {
    if (!isfinite(off)) {
        cti_line(line, "%s: not finite near %g, where the closed form is", row->input, far);
    } else if (error > 1e-2) {
        cti_line(line, "%s: order %d differs by %.1e near %g, in f64", row->input, row->order,
                 error, far);
    } else {
        cti_line(line,
                 "%s: digits are lost near %g: %.0f times what rounding of the inputs explains",
                 row->input, far, off);
    }
}

/* A softmax without a shift: as algebra it is right, so it is not refused. */
static void note_beyond(const ct_verify_row *row, double far, const values *wide, int64_t k,
                        cti_findings *found) {
    int64_t n = wide->elements[k];
    if (found->beyond.text[0] || !all_finite(wide->derived[k], n)) return;
    if (all_finite(wide->closed[k], n)) return;
    cti_line(&found->beyond,
             "%s: the closed form is not finite near %g, where what is derived is: nothing is "
             "compared there",
             row->input, far);
}

static void take_far(const cti_subject *s, double far, const values *wide, const values *narrow,
                     const double condition[], cti_findings *found) {
    for (int64_t k = 0; k < wide->n; k++) {
        ct_verify_row *row = &found->rows[k];
        int64_t worst = 0, n = wide->elements[k];
        bool zero = row->tried && row->exact && found->zero[k], over = overflows(s, wide, k);
        bool nothing = largest(wide->closed[k], n) == 0; /* what underflows may be, too */
        bool judged = all_finite(wide->closed[k], n) &&
                      (!nothing || largest(wide->derived[k], n) > 1e-6);
        note_beyond(row, far, wide, k, found);
        if (zero || !(judged || over)) continue;
        double near = units(row->error_f64, row->error_f32, row->condition);
        double error = distance(wide->derived[k], wide->closed[k], n, &worst);
        if (nothing) error = 1;
        /* Of numbers so far away the differences, of size 1, are rounded so much. */
        double allowed = fmax(condition[k], fabs(far));
        double off = over ? (double)INFINITY : units(error, error_f32(s, wide, narrow, k), allowed);
        row->error_far = isnan(row->error_far) ? off : fmax(row->error_far, off);
        if (off <= ALLOWED * fmax(1, near)) continue;
        if (row->passed) {
            row->worst = worst;
            row->derived = wide->derived[k][worst], row->closed = wide->closed[k][worst];
        }
        row->passed = false;
        if (found->failed_far || found->failed_order || found->failed_usual) continue;
        found->failed_far = true;
        say_far(row, far, error, off, &found->says);
    }
}

/* Of arrays the field was not asked where a derivative is 0: it is small beside another
 * cotangent's, which has the size 2. */
static ct_status find_zeros(const cti_subject *s, cti_draw draw, cti_zone *zone, const values *at,
                            bool zero[]) {
    values other;
    double given = 2;
    if (draw.cotangent) given = largest(ct_data_f64(draw.cotangent), ct_numel(draw.cotangent));
    draw.cotangent = NULL;
    ct_status status = evaluate(s, &draw, CT_F64, 1, zone, &other);
    for (int64_t k = 0; k < at->n && status == CT_OK; k++) {
        double size = largest(other.derived[k], other.elements[k]);
        zero[k] &= largest(at->derived[k], at->elements[k]) <= 1e-9 * size * given / 2;
    }
    return status;
}

static cti_draw draw_number(const ct_verify_options *options, uint64_t stream) {
    return (cti_draw){.seed = options->seed,
                      .stream = (7 + stream) << 50,
                      .narrow = true,
                      .cotangent = options->cotangent};
}

static ct_status regime(const cti_subject *s, const ct_verify_options *options, cti_draw draw,
                        cti_findings *found) {
    const double far = draw.far;
    cti_zone zone = {0};
    values wide, narrow;
    double condition[CTI_PAIRS];
    int orders = far != 0 ? 1 : options->orders;
    ct_status status = evaluate(s, &draw, CT_F64, orders, &zone, &wide);
    if (status == CT_OK && s->closed) status = evaluate(s, &draw, CT_F32, orders, &zone, &narrow);
    if (status == CT_OK && !s->closed) narrow = wide;
    if (status == CT_OK) {
        status = find_conditions(s, draw, orders, &zone, &wide, condition);
    }
    if (status == CT_OK && far == 0 && !s->closed) {
        status = find_zeros(s, draw, &zone, &wide, found->zero);
    }
    if (status == CT_OK && far == 0) take_usual(s, options, &wide, &narrow, condition, found);
    if (status == CT_OK && far != 0) take_far(s, far, &wide, &narrow, condition, found);
    cti_zone_free(&zone);
    return status;
}

/* What is equal in the field may cancel nearly to nothing, as BatchNorm of two values does beside a
 * small epsilon. The condition of the whole does not show that; trying what rounding does, does. */
static ct_status excuse_cancellation(const cti_subject *s, const ct_verify_options *options,
                                     const ct_verify_line *says, cti_findings *found) {
    bool agrees = s->closed && found->failed_usual;
    for (int64_t k = 0; k < found->n; k++) {
        const ct_verify_row *row = &found->rows[k];
        agrees &= row->passed || (row->exact && isfinite(row->error_f64));
    }
    ct_status status = agrees ? cti_numeric_agrees(s, options, &agrees) : CT_OK;
    if (status != CT_OK || !agrees) return status;
    for (int64_t k = 0; k < found->n; k++) found->rows[k].passed = true;
    found->failed_usual = false;
    found->says = *says;
    return CT_OK;
}

static ct_status both_regimes(const cti_subject *s, const ct_verify_options *options,
                              uint64_t stream, cti_findings *found) {
    const ct_verify_line says = found->says;
    found->failed_usual = found->failed_far = false;
    found->beyond = (ct_verify_line){""};
    for (int64_t k = 0; k < found->n; k++) {
        found->rows[k].passed = true;
        found->rows[k].error_far = NAN;
        if (!s->closed) found->zero[k] = true;
    }
    cti_draw draw = draw_number(options, stream);
    ct_status status = regime(s, options, draw, found);
    if (status == CT_OK) status = excuse_cancellation(s, options, &says, found);
    for (int k = 0; k < FAR_AWAY && status == CT_OK; k++) {
        draw.far = far_away[k];
        status = regime(s, options, draw, found);
    }
    return status;
}

#define DRAWS_OF_ARRAYS 64
#define GROSS 1e-6 /* what no draw near a cancellation explains */

/* Other branches of arrays, which the field does not see: one draw that is far off is enough. In
 * every other one all inputs are near to each other, so that no element is small beside others; of
 * the rest half are wide. */
static ct_status other_draws(const cti_subject *s, const ct_verify_options *options,
                             cti_findings *found) {
    ct_verify_options gross = *options;
    ct_verify_row first[CTI_PAIRS]; /* a report has the numbers of the first draw */
    gross.tolerance = fmax(GROSS, options->tolerance);
    memcpy(first, found->rows, (size_t)found->n * sizeof *first);
    for (uint64_t d = 3; d < 3 + DRAWS_OF_ARRAYS && !found->failed_usual; d++) {
        cti_draw draw = draw_number(options, d);
        draw.together = d % 2 == 1;
        draw.spread = d % 4 == 2 ? CTI_SPREAD : 1;
        ct_status status = regime(s, &gross, draw, found);
        if (status != CT_OK) return status;
    }
    if (!found->failed_usual) memcpy(found->rows, first, (size_t)found->n * sizeof *first);
    return CT_OK;
}

/* In one draw of many some difference is nearly 0, and both sides lose digits in it that the
 * condition of the whole does not show. So one failure is one only if another draw has it too. */
ct_status cti_verify_numeric(const cti_subject *s, const ct_verify_options *options,
                             cti_findings *found) {
    ct_verify_line says = found->says;
    ct_status status = both_regimes(s, options, 0, found);
    bool fails = found->failed_usual || found->failed_far;
    for (uint64_t draw = 1; draw <= 2 && status == CT_OK && fails; draw++) {
        found->says = says;
        status = both_regimes(s, options, draw, found);
        if (found->failed_usual || found->failed_far) break;
    }
    fails = found->failed_usual || found->failed_far;
    if (status == CT_OK && !s->closed && !fails) status = other_draws(s, options, found);
    return status;
}
