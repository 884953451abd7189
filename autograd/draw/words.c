/* Numbers, attributes and derivatives in words, for labels and tooltips.
 * It knows no op by name: attributes are written as their op's `detail` says, and derivatives as
 * what its VJP builds.
 * Invariant: the words are a function of the node alone, the same in every locale. */
#include "autograd/draw/words.h"

#include "autograd/derive/derive_private.h"
#include "autograd/ops.h"
#include "tensor/base/caller.h"
#include "tensor/base/context.h"
#include "tensor/varying.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A text of limited room; what does not fit is cut. */
typedef struct {
    char *text;
    size_t room, used;
} line;

static void put(line *to, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(line *to, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(to->text + to->used, to->room - to->used, format, arguments);
    va_end(arguments);
    size_t left = to->room - to->used - 1;
    to->used += length < 0 ? 0 : (size_t)length < left ? (size_t)length : left;
}

/* --- Numbers ---------------------------------------------------------------------------------- */

cti_real_text cti_number_shown(const ct_tensor *t) {
    cti_real_text out;
    const void *data = t->buffer->data;
    if (t->dtype != CT_I64) return cti_real_shown(cti_value(data, t->dtype, 0), 6);
    snprintf(out.text, sizeof out.text, "%" PRId64, *(const int64_t *)data);
    return out;
}

cti_real_text cti_range_shown(const ct_tensor *t) {
    cti_real_text out = {""};
    if (t->op || t->dtype != CT_I64 || t->shape.rank != 1 || t->numel < 2) return out;
    const int64_t *data = t->buffer->data;
    for (int64_t i = 1; i < t->numel; i++) {
        if (data[i - 1] == INT64_MAX || data[i] != data[i - 1] + 1) return out;
    }
    snprintf(out.text, sizeof out.text, "%" PRId64 "..%" PRId64, data[0], data[t->numel - 1]);
    return out;
}

/* --- Types ------------------------------------------------------------------------------------ */

cti_type_text cti_type_shown(const ct_tensor *t) {
    cti_type_text out;
    line to = {out.text, sizeof out.text, 0};
    put(&to, "[");
    for (int d = 0; d < t->shape.rank; d++) {
        put(&to, "%s%" PRId64, d ? "," : "", t->shape.dims[d]);
        if (d == ct_varying_axis(t)) put(&to, "/%" PRId64, cti_global_dim(t, d));
    }
    put(&to, "] %s", ct_dtype_name(t->dtype));
    return out;
}

/* --- Attributes ------------------------------------------------------------------------------- */

#define PART_NUMBERS 8

/* One part of a detail, "stride #x#|1", and the numbers that it takes. */
typedef struct {
    const char *from, *to; /* without what is behind | */
    int64_t number[PART_NUMBERS];
    int n;
    bool equal, left_out;
} part;

/* The part that begins at `from`; it takes as many numbers as there are. */
static part part_of(const char *from, const int64_t **numbers, const int64_t *end) {
    part p = {.from = from, .to = from + strcspn(from, ";|"), .equal = true};
    for (const char *at = from; at < p.to; at++) {
        if (*at != '#' || p.n == PART_NUMBERS || *numbers == end) continue;
        uint64_t less = at[1] == '-'; /* of the smallest number, wraps */
        p.number[p.n] = (int64_t)((uint64_t) * (*numbers)++ - less);
        p.equal &= p.number[p.n] == p.number[0];
        p.n++;
    }
    p.left_out = *p.to == '|' && p.equal && p.n > 0 && p.number[0] == strtoll(p.to + 1, NULL, 10);
    return p;
}

static void put_part(line *to, const part *p) {
    int k = 0;
    for (const char *at = p->from; at < p->to; at++) {
        if (*at == '#') {
            if (k == p->n) return;
            put(to, "%" PRId64, p->number[k++]);
            if (p->equal) return;
        } else if (*at != '-' || at == p->from || at[-1] != '#') {
            put(to, "%c", *at);
        }
    }
}

static void put_attribute(line *to, const char *detail, const int64_t *numbers,
                          const int64_t *end) {
    for (const char *at = detail; *at;) {
        part p = part_of(at, &numbers, end);
        if (!p.left_out) {
            if (to->used > 0) put(to, ", ");
            put_part(to, &p);
        }
        at = p.to + strcspn(p.to, ";");
        at += strspn(at, "; ");
    }
}

void cti_detail_of(const ct_tensor *t, char *text, size_t room) {
    line to = {text, room, 0};
    *text = '\0';
    double decay;
    const ct_slot *slot = t->op ? cti_staged(t, &decay) : NULL;
    if (slot) put(&to, "%s, decay %s", ct_slot_name(slot), cti_real_shown(decay, 6).text);
    if (slot || !t->op || !t->op->detail || !t->attr) return;
    const int64_t *numbers = t->attr;
    put_attribute(&to, t->op->detail, numbers, numbers + t->attr_size / sizeof *numbers);
}

/* --- Values ----------------------------------------------------------------------------------- */

#define MOST_VALUES 12
#define MOST_PARTS 100

/* 7/12 where a number is within rounding of it. */
static void put_value(line *to, double value) {
    for (int parts = 1; parts <= MOST_PARTS && fabs(value) < 1e6; parts++) {
        double n = round(value * parts);
        if (fabs(value * parts - n) > 1e-9) continue;
        put(to, "%.0f", n + 0.0);
        if (parts > 1) put(to, "/%d", parts);
        return;
    }
    put(to, "%s", cti_real_shown(value, 4).text);
}

void cti_values_of(const ct_tensor *t, char *text, size_t room) {
    line to = {text, room, 0};
    *text = '\0';
    if (!cti_has_value(t) || t->numel > MOST_VALUES || t->numel == 0) return;
    int64_t row = t->shape.rank ? t->shape.dims[t->shape.rank - 1] : 1;
    for (int64_t i = 0; i < t->numel; i++) {
        put(&to, "%s", i == 0 ? "" : i % row ? ", " : "; ");
        put_value(&to, cti_value(t->buffer->data, t->dtype, i));
    }
}

/* --- Derivatives ------------------------------------------------------------------------------ */

/* The formula of a derivative of y, with `dy` for the cotangent. */
typedef struct {
    line to;
    ct_tensor *y;
    const ct_tensor *cotangent;
} formula;

#define DEEPEST 12

static const char *operand_symbol(const formula *f, int k) {
    static const char *const letters[CT_OP_INPUTS] = {"a", "b", "c", "d"};
    return f->y->n_inputs == 1 ? "x" : letters[k];
}

static const char *symbol_of(const formula *f, const ct_tensor *t) {
    if (t == f->cotangent) return "dy";
    if (t == f->y) return "y";
    for (int k = 0; k < f->y->n_inputs && k < CT_OP_INPUTS; k++) {
        if (t == f->y->inputs[k]) return operand_symbol(f, k);
    }
    return NULL;
}

/* The number that t is a view of, or NULL. */
static const ct_tensor *number_behind(const formula *f, const ct_tensor *t) {
    while (t->op && t->op->kind == CT_VIEW && t->n_inputs == 1 && !symbol_of(f, t)) {
        t = t->inputs[0];
    }
    return !t->op && t->numel == 1 && !symbol_of(f, t) ? t : NULL;
}

/* Recursion is as deep as what one VJP builds. */
static void put_formula(formula *f, const ct_tensor *t, bool operand, int depth) {
    if (f->to.used + 1 >= f->to.room) return; /* what else there is would not be seen */
    const char *symbol = symbol_of(f, t);
    const ct_tensor *number = number_behind(f, t);
    if (symbol) {
        put(&f->to, "%s", symbol);
    } else if (number) {
        put(&f->to, "%s", cti_number_shown(number).text);
    } else if (!t->op || depth == DEEPEST) {
        put(&f->to, "...");
    } else if (t->op->infix && t->n_inputs == 2) {
        put(&f->to, "%s", operand ? "(" : "");
        put_formula(f, t->inputs[0], true, depth + 1);
        put(&f->to, " %s ", t->op->infix);
        put_formula(f, t->inputs[1], true, depth + 1);
        put(&f->to, "%s", operand ? ")" : "");
    } else {
        put(&f->to, "%s(", t->op->name);
        for (int k = 0; k < t->n_inputs; k++) {
            if (k > 0) put(&f->to, ", ");
            put_formula(f, t->inputs[k], false, depth + 1);
        }
        put(&f->to, ")");
    }
}

/* A tensor of t's type that costs no memory. */
static ct_tensor *cotangent_for(const ct_tensor *t) {
    ct_tensor *one = cti_leaf_new("cotangent", t->dtype, CT_SCALAR);
    if (!one) return NULL;
    memset(one->buffer->data, 0, ct_dtype_size(t->dtype));
    return ct_broadcast(one, t->shape);
}

static bool is_real(const ct_tensor *t) { return ct_dtype_is_float(t->dtype); }

static ct_status put_derivatives(void *context) {
    formula *f = context;
    ct_tensor *cotangent = cotangent_for(f->y);
    if (!cotangent) return ct_error();
    f->cotangent = cotangent;
    for (int i = 0; i < f->y->n_inputs && i < CT_OP_INPUTS; i++) {
        ct_vjp_fn *vjp = f->y->op->vjp_any ? f->y->op->vjp_any : f->y->op->vjp[i];
        if (!vjp || vjp == ct_no_gradient || !is_real(f->y->inputs[i])) continue;
        ct_tensor *dx = vjp(cotangent, f->y, i);
        if (!dx) return ct_error();
        put(&f->to, "%sd%s = ", f->to.used ? ", " : "", operand_symbol(f, i));
        put_formula(f, dx, false, 0);
    }
    return CT_OK;
}

/* A derivative that cannot be built has no formula, and is no error of a picture. */
ct_status cti_formula_of(ct_tensor *t, char *text, size_t room) {
    *text = '\0';
    if (!t->op || !is_real(t)) return CT_OK;
    int64_t scope = ct_scope_open();
    cti_node_context before = *cti_context();
    formula f = {{text, room, 0}, t, NULL};
    ct_status status = cti_try(put_derivatives, &f);
    *cti_context() = before;
    ct_scope_close(scope);
    if (status != CT_OK) *text = '\0';
    return status == CT_ERR_MEMORY ? ct_fail(CT_ERR_MEMORY, "out of memory") : CT_OK;
}
