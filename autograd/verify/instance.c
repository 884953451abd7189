/* A claim at drawn inputs: f's derivatives as they are derived, beside those of the closed form.
 * It compares nothing and draws until nothing: who calls says which draw.
 * Invariant: equal draws are equal numbers in every type, as far as the type has the digits. */
#include "autograd/grad.h"
#include "autograd/ops.h"
#include "autograd/verify/verify_private.h"
#include "tensor/base/alloc.h"
#include "tensor/p61.h"
#include "tensor/random.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#define VECTORS 1024 /* the streams of what higher orders are multiplied with */

const char *cti_claim_input_name(const ct_claim *claim, int64_t input) {
    return input == claim->n_inputs ? "cotangent" : claim->inputs[input].name;
}

void cti_line(ct_verify_line *line, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(line->text, sizeof line->text, format, list);
    va_end(list);
}

/* --- Drawing ---------------------------------------------------------------------------------- */

#define OF_ALL (VECTORS - 1) /* the stream of what all inputs share */

/* A multiple of 2^-40 in [-2, 2). */
static double number_of(const cti_draw *draw, uint64_t leaf, int64_t at, uint32_t words[4]) {
    uint64_t attempt = draw->attempt;
    if (leaf < CT_CLAIM_INPUTS && draw->again[leaf]) attempt += draw->again[leaf][at];
    ct_philox(words, (uint64_t)at, leaf + (attempt << 20), draw->seed + draw->stream);
    uint64_t bits = (uint64_t)words[0] << 32 | words[1];
    return (double)((int64_t)(bits >> 22) - (INT64_C(1) << 41)) * 0x1p-40;
}

/* Exact in f64 as in the field. */
static double drawn_first(const cti_draw *draw, uint64_t leaf, int64_t at,
                          const ct_claim_input *input) {
    uint32_t words[4], common[4];
    double value = number_of(draw, leaf, at, words);
    if (draw->together && input) value = number_of(draw, OF_ALL, 0, common) + value / 64;
    bool positive = input && input->positive, may = input && !input->near && !input->fixed;
    if (may && draw->spread != 0) value *= draw->spread;
    if (positive) value = fabs(value) + 0.25;
    if (may && !positive) value += draw->far;
    if (draw->narrow) value = (double)(float)value;
    return words[2] & 1 ? value * (1 + draw->nudge) : value * (1 - draw->nudge);
}

static double drawn(const cti_draw *draw, uint64_t leaf, int64_t at, const ct_claim_input *input) {
    double value = drawn_first(draw, leaf, at, input);
    if (draw->part == 0) return value;
    cti_draw other = *draw;
    other.attempt++;
    return value + draw->part * (drawn_first(&other, leaf, at, input) - value);
}

static ct_tensor *leaf_from(ct_dtype dtype, ct_shape shape, const double *values) {
    if (dtype != CT_P61) return ct_cast(ct_from(CT_F64, shape, values), dtype);
    int64_t n = ct_shape_numel(shape);
    ct_p61 *elements = cti_alloc((size_t)n, sizeof *elements);
    if (!elements) return NULL;
    for (int64_t i = 0; i < n; i++) elements[i] = ct_p61_from(values[i]);
    ct_tensor *t = ct_from(CT_P61, shape, elements);
    cti_free(elements);
    return t;
}

static ct_tensor *draw_leaf(const cti_draw *draw, ct_dtype dtype, ct_shape shape, uint64_t leaf,
                            const ct_claim_input *input) {
    int64_t n = ct_shape_numel(shape);
    double *values = cti_alloc((size_t)n, sizeof *values);
    if (!values) return NULL;
    for (int64_t i = 0; i < n; i++) values[i] = drawn(draw, leaf, i, input);
    ct_tensor *t = leaf_from(dtype, shape, values);
    cti_free(values);
    return t;
}

static ct_tensor *given_cotangent(const cti_draw *draw, ct_dtype dtype, ct_shape shape) {
    if (!ct_shape_equal(ct_shape_of(draw->cotangent), shape)) {
        return ct_fail_null(CT_ERR_SHAPE, "ct_verify: the cotangent is %s, the value of f %s",
                            ct_shape_format(ct_shape_of(draw->cotangent)).text,
                            ct_shape_format(shape).text);
    }
    const double *values = ct_data_f64(draw->cotangent);
    for (int64_t i = 0; values && i < ct_numel(draw->cotangent); i++) {
        if (isfinite(values[i])) continue;
        return ct_fail_null(CT_ERR_RANGE, "ct_verify: the cotangent is %s at [%lld]",
                            isnan(values[i]) ? "NaN" : "infinite", (long long)i);
    }
    return values ? leaf_from(dtype, shape, values) : NULL;
}

/* What is on record before a function of the user's is called: an error of its own comes after. */
typedef struct {
    ct_status first;
    int later;
} record;

static record record_now(void) { return (record){ct_error(), ct_error_count()}; }
static bool has_failed(record before) {
    return ct_error() != before.first || ct_error_count() != before.later;
}

ct_status cti_instance_begin(const cti_subject *s, ct_dtype dtype, const cti_draw *draw,
                             cti_instance *out) {
    const ct_claim *claim = s->claim;
    *out = (cti_instance){0};
    for (int64_t i = 0; i < claim->n_inputs; i++) {
        const ct_claim_input *input = &claim->inputs[i];
        out->x[i] = draw_leaf(draw, dtype, input->shape, (uint64_t)i, input);
        if (!out->x[i]) return ct_error();
        ct_name(out->x[i], input->name);
    }
    record before = record_now();
    ct_tensor *y = s->f(claim->context, out->x, claim->n_inputs);
    if (!y && has_failed(before)) return ct_error();
    if (!y) return ct_fail(CT_ERR_NULL, "ct_verify: %s: f gave NULL", claim->name);
    if (ct_dtype_of(y) != dtype) {
        return ct_fail(CT_ERR_DTYPE, "ct_verify: %s: f of %s gave %s", claim->name,
                       ct_dtype_name(dtype), ct_dtype_name(ct_dtype_of(y)));
    }
    ct_tensor *c = draw->cotangent
                       ? given_cotangent(draw, dtype, ct_shape_of(y))
                       : draw_leaf(draw, dtype, ct_shape_of(y), (uint64_t)claim->n_inputs, NULL);
    out->y = y;
    out->x[claim->n_inputs] = ct_name(c, "dy");
    return c ? CT_OK : ct_error();
}

/* --- Deriving --------------------------------------------------------------------------------- */

static ct_status check_closed(const cti_subject *s, const cti_instance *of, ct_tensor *closed[]) {
    for (int64_t i = 0; i < s->claim->n_inputs; i++) {
        if (!closed[i] || s->claim->inputs[i].fixed) continue;
        if (ct_dtype_of(closed[i]) != ct_dtype_of(of->x[i])) {
            return ct_fail(CT_ERR_DTYPE,
                           "ct_verify: %s: the closed form's cotangent of '%s' is %s, '%s' is %s",
                           s->claim->name, s->claim->inputs[i].name,
                           ct_dtype_name(ct_dtype_of(closed[i])), s->claim->inputs[i].name,
                           ct_dtype_name(ct_dtype_of(of->x[i])));
        }
        ct_shape got = ct_shape_of(closed[i]), wanted = ct_shape_of(of->x[i]);
        if (ct_shape_equal(got, wanted)) continue;
        return ct_fail(CT_ERR_SHAPE,
                       "ct_verify: %s: the closed form's cotangent of '%s' is %s, '%s' "
                       "is %s",
                       s->claim->name, s->claim->inputs[i].name, ct_shape_format(got).text,
                       s->claim->inputs[i].name, ct_shape_format(wanted).text);
    }
    return CT_OK;
}

/* A mutant's closed form: `factor` times what flows through a term. */
static ct_status change_term(const cti_subject *s, const cti_instance *of, ct_tensor *closed[]) {
    ct_tensor *flow[CT_CLAIM_INPUTS];
    ct_status status = cti_term_flow(s, of, s->term, flow);
    for (int64_t i = 0; i < s->claim->n_inputs && status == CT_OK; i++) {
        if (!closed[i] || s->claim->inputs[i].fixed) continue;
        closed[i] = ct_add(closed[i], ct_scale(flow[i], s->factor - 1));
        if (!closed[i]) status = ct_error();
    }
    return status;
}

static ct_status call_closed(const cti_subject *s, const cti_instance *of, ct_tensor *closed[]) {
    const ct_claim *claim = s->claim;
    record before = record_now();
    ct_status status = s->closed(claim->context, of->x, claim->n_inputs, of->x[claim->n_inputs],
                                 closed);
    if (has_failed(before)) return status != CT_OK ? status : ct_error();
    if (status != CT_OK) {
        return ct_fail(status, "ct_verify: %s: the closed form returned an error", claim->name);
    }
    status = check_closed(s, of, closed);
    return status == CT_OK && s->term ? change_term(s, of, closed) : status;
}

static ct_status first_order(const cti_subject *s, cti_instance *of) {
    int64_t n = s->claim->n_inputs;
    ct_tensor *derived[CT_CLAIM_INPUTS], *closed[CT_CLAIM_INPUTS] = {0};
    ct_status status = ct_vjp(of->y, of->x[n], of->x, n, derived);
    if (status == CT_OK && s->closed) status = call_closed(s, of, closed);
    for (int64_t i = 0; i < n && status == CT_OK; i++) {
        if (s->claim->inputs[i].fixed || (s->closed && !closed[i])) continue;
        of->pairs[of->n++] = (cti_pair){1, i, derived[i], closed[i]};
    }
    if (status != CT_OK || of->n) return status;
    return ct_fail(CT_ERR_STATE, "ct_verify: %s: the closed form gave no cotangent",
                   s->claim->name);
}

/* Both sides' sums of all derivatives of an order, each times something random. */
static ct_status project(const cti_draw *draw, const cti_instance *of, int order,
                         ct_tensor *sums[2]) {
    sums[0] = sums[1] = NULL;
    for (int64_t k = 0; k < of->n; k++) {
        const cti_pair *p = &of->pairs[k];
        if (p->order != order) continue;
        uint64_t leaf = VECTORS * (uint64_t)order + (uint64_t)p->input;
        ct_tensor *v = draw_leaf(draw, ct_dtype_of(p->derived), ct_shape_of(p->derived), leaf,
                                 NULL);
        ct_tensor *a = ct_sum_all(ct_mul(v, p->derived)), *b = ct_sum_all(ct_mul(v, p->closed));
        sums[0] = sums[0] ? ct_add(sums[0], a) : a;
        sums[1] = sums[1] ? ct_add(sums[1], b) : b;
        if (!sums[0] || !sums[1]) return ct_error();
    }
    return CT_OK;
}

static ct_status next_order(const cti_subject *s, const cti_draw *draw, int order,
                            cti_instance *of) {
    int64_t n = s->claim->n_inputs + 1;
    ct_tensor *sums[2], *derived[CT_CLAIM_INPUTS + 1], *closed[CT_CLAIM_INPUTS + 1];
    ct_status status = project(draw, of, order - 1, sums);
    if (status == CT_OK) status = ct_grad(sums[0], of->x, n, derived);
    if (status == CT_OK) status = ct_grad(sums[1], of->x, n, closed);
    for (int64_t i = 0; i < n && status == CT_OK; i++) {
        if (i < n - 1 && s->claim->inputs[i].fixed) continue;
        of->pairs[of->n++] = (cti_pair){order, i, derived[i], closed[i]};
    }
    return status;
}

static bool fits(const cti_layout *layout, const cti_instance *of, int orders) {
    for (int64_t k = 0; k < of->n; k++) {
        const cti_pair *p = &of->pairs[k];
        if (k == layout->n || layout->pairs[k].order != p->order) return false;
        if (layout->pairs[k].input != p->input) return false;
        if (layout->pairs[k].numel != ct_numel(p->derived)) return false;
    }
    return of->n == layout->n || layout->pairs[of->n].order > orders;
}

ct_status cti_instance_derive(const cti_subject *s, const cti_draw *draw, int orders,
                              cti_instance *of) {
    ct_status status = first_order(s, of);
    for (int order = 2; order <= orders && status == CT_OK; order++) {
        status = next_order(s, draw, order, of);
    }
    if (status != CT_OK || s->layout.n == 0 || fits(&s->layout, of, orders)) return status;
    return ct_fail(CT_ERR_STATE, "ct_verify: %s: f or the closed form gave something else before",
                   s->claim->name);
}

int64_t cti_instance_sides(const cti_instance *of, ct_tensor *all[2 * CTI_PAIRS]) {
    int64_t n = 0;
    for (int64_t k = 0; k < of->n; k++) {
        all[n++] = of->pairs[k].derived;
        if (of->pairs[k].closed) all[n++] = of->pairs[k].closed;
    }
    return n;
}

ct_status cti_instance_eval(const cti_instance *of) {
    ct_tensor *all[2 * CTI_PAIRS];
    return ct_eval(all, cti_instance_sides(of, all));
}
