/* Random applications of primitives: operands, their elements, and the graph made of them.
 * It checks nothing.
 * Invariant: a sample is a function of its row, its seed and its dtype. */
#include "tests/autograd/ops/primitive_checks.h"

#include <stdio.h>
#include <stdlib.h>

static void fill_apart(test_random *r, sample *s);

static void fill_base(test_random *r, const sample *s, int i, array *base) {
    const primitive_row *row = s->row;
    double low = row->low, high = row->high;
    if (low == 0 && high == 0) low = -2, high = 2;
    for (int64_t k = 0; k < base->numel; k++) {
        double value = random_real(r, low, high);
        if (row->sampling == FRACTIONS) {
            value = (double)random_between(r, (int64_t)low, (int64_t)high - 1);
            value += random_real(r, 0.1, 0.9);
        }
        base->v[k] = s->c.dtypes[i] == CT_F32 ? (double)(float)value : value;
    }
}

static void fill_whole(test_random *r, const sample *s, int i, array *base) {
    bool casts = s->row->sampling == FRACTIONS;
    for (int64_t k = 0; k < base->numel; k++) {
        double value = (double)random_between(r, casts ? -300 : -4, casts ? 300 : 4);
        if (s->c.dtypes[i] == CT_U8) value = (double)random_between(r, 0, 255);
        base->v[k] = value;
    }
}

/* One lattice for all operands together, shuffled, with a little noise. */
static void fill_apart(test_random *r, sample *s) {
    int64_t n = 0, used = 0;
    for (int i = 0; i < s->c.n; i++) n += s->operands[i].base.numel;
    array order = array_new(CT_SHAPE(n));
    for (int64_t k = 0; k < n; k++) {
        int64_t j = random_below(r, k + 1);
        order.v[k] = order.v[j];
        order.v[j] = (double)(k - n / 2) * 0.06 + 0.03;
    }
    for (int i = 0; i < s->c.n; i++) {
        array *base = &s->operands[i].base;
        for (int64_t k = 0; k < base->numel; k++) {
            double value = order.v[used++] + random_real(r, -0.01, 0.01);
            base->v[k] = s->c.dtypes[i] == CT_F32 ? (double)(float)value : value;
        }
    }
    array_free(&order);
}

static void fill(test_random *r, sample *s, bool whole) {
    bool apart = s->row->sampling == APART && !whole;
    if (apart) fill_apart(r, s);
    for (int i = 0; i < s->c.n; i++) {
        array *base = &s->operands[i].base;
        if (s->row->fill && s->row->fill(r, &s->c, i, base)) continue;
        if (whole) fill_whole(r, s, i, base);
        else if (!apart) fill_base(r, s, i, base);
    }
}

void sample_new(sample *s, const primitive_row *row, uint64_t seed, ct_dtype dtype, bool large,
                bool whole) {
    test_random r = {seed};
    *s = (sample){.row = row, .seed = seed};
    primitive_case(row, &r, dtype, large, &s->c);
    for (int i = 0; i < s->c.n; i++) {
        operand_new(&s->operands[i], &r, s->c.dtypes[i], s->c.shapes[i], false);
    }
    s->same = s->c.n > 1 && !row->fill && s->c.dtypes[0] == s->c.dtypes[1] &&
              ct_shape_equal(s->c.shapes[0], s->c.shapes[1]) && random_chance(&r, 20);
    fill(&r, s, whole);
    operand_new(&s->cotangent, &r, CT_F64, s->c.out, false);
    for (int64_t k = 0; k < s->cotangent.base.numel; k++) {
        s->cotangent.base.v[k] = random_real(&r, -1, 1);
    }
}

void sample_free(sample *s) {
    for (int i = 0; i < s->c.n; i++) operand_free(&s->operands[i]);
    operand_free(&s->cotangent);
}

void sample_count(const sample *s, sample_census *census) {
    bool ones = false, empty = false, stretches = false;
    for (int i = 0; i < s->c.n; i++) {
        const operand *o = &s->operands[i];
        empty |= o->numel == 0;
        stretches |= s->row->scalar && !ct_shape_equal(o->shape, s->c.out);
        for (int d = 0; d < o->shape.rank; d++) ones |= o->shape.dims[d] == 1;
        for (int k = 0; k < o->n_steps; k++) census->laid_out[o->steps[k].kind]++;
    }
    census->samples++;
    census->paired += s->row->scalar && s->c.n > 1;
    census->stretched += stretches;
    census->ones += ones;
    census->empty += empty;
    census->same += s->same;
}

built sample_build(const sample *s, ct_dtype dtype) {
    built b = {0};
    ct_tensor *x[MOST_OPERANDS];
    op_case c = s->c;
    c.dtype = dtype;
    for (int i = 0; i < s->c.n; i++) {
        if (i == 1 && s->same) {
            x[i] = x[0];
            continue;
        }
        const operand *o = &s->operands[i];
        ct_tensor *leaf = operand_leaf(o, ct_dtype_is_float(o->dtype) ? dtype : o->dtype);
        b.of[b.n] = o;
        b.leaves[b.n++] = leaf;
        x[i] = operand_view(o, leaf);
    }
    b.y = s->row->build(x, &c);
    EXPECT(b.y, "%s: %s", sample_text(s), ct_error_message());
    if (b.y && !EXPECT(ct_shape_equal(ct_shape_of(b.y), s->c.out), "%s: the result is %s",
                       sample_text(s), ct_shape_format(ct_shape_of(b.y)).text)) {
        b.y = NULL;
    }
    return b;
}

bool sample_flows(const sample *s, const operand *o) {
    return s->row->flows >> (o - s->operands) & 1;
}

const char *sample_text(const sample *s) {
    static char text[512];
    static const char *const kinds[VIEW_KINDS] = {"permuted", "sliced", "flipped", "stretched"};
    int used = snprintf(text, sizeof text, "%s, seed %llu, %s%s", s->row->op,
                        (unsigned long long)s->seed, ct_dtype_name(s->c.dtype),
                        s->same ? ", x x" : "");
    for (int i = 0; i < s->c.n && used < 400; i++) {
        const operand *o = &s->operands[i];
        used += snprintf(text + used, sizeof text - (size_t)used, ", %s",
                         ct_shape_format(o->shape).text);
        for (int k = 0; k < o->n_steps && used < 400; k++) {
            used += snprintf(text + used, sizeof text - (size_t)used, " %s",
                             kinds[o->steps[k].kind]);
        }
    }
    snprintf(text + used, sizeof text - (size_t)used, " -> %s", ct_shape_format(s->c.out).text);
    return text;
}
