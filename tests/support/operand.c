/* Operands of the primitive table: naive views on arrays, random layouts, random shapes.
 * It shares no code with the library's views, only their meaning.
 * Invariant: operand_read shows the elements that operand_view shows the op. */
#include "tests/support/operand.h"

#include <stdlib.h>
#include <string.h>

static void *must_alloc(int64_t count, size_t size) {
    void *block = calloc((size_t)count + 1, size);
    if (!block) abort();
    return block;
}

array array_new(ct_shape shape) {
    int64_t numel = ct_shape_numel(shape);
    return (array){shape, numel, must_alloc(numel, sizeof(double))};
}

void array_free(array *a) {
    free(a->v);
    *a = (array){0};
}

void unravel(ct_shape shape, int64_t i, int64_t index[CT_MAX_RANK]) {
    for (int d = shape.rank - 1; d >= 0; d--) {
        index[d] = i % shape.dims[d];
        i /= shape.dims[d];
    }
}

int64_t ravel(ct_shape shape, const int64_t index[CT_MAX_RANK]) {
    int64_t i = 0;
    for (int d = 0; d < shape.rank; d++) i = i * shape.dims[d] + index[d];
    return i;
}

int64_t stretched(ct_shape in, ct_shape shape, int64_t i) {
    int64_t index[CT_MAX_RANK], from[CT_MAX_RANK];
    unravel(shape, i, index);
    int shift = shape.rank - in.rank;
    for (int d = 0; d < in.rank; d++) from[d] = in.dims[d] == 1 ? 0 : index[d + shift];
    return ravel(in, from);
}

/* --- Views ------------------------------------------------------------------------------------ */

ct_tensor *view_build(const view_step *step, ct_tensor *x) {
    switch (step->kind) {
    case VIEW_PERMUTE: return ct_permute(x, step->axes);
    case VIEW_SLICE: return ct_slice(x, step->axis, step->start, step->stop, step->step);
    case VIEW_FLIP: return ct_flip(x, step->axes);
    case VIEW_BROADCAST: return ct_broadcast(x, step->out);
    case VIEW_KINDS: break;
    }
    return NULL;
}

static int64_t source_of(const view_step *step, ct_shape in, int64_t i) {
    if (step->kind == VIEW_BROADCAST) return stretched(in, step->out, i);
    int64_t index[CT_MAX_RANK], from[CT_MAX_RANK];
    unravel(step->out, i, index);
    memcpy(from, index, sizeof from);
    if (step->kind == VIEW_PERMUTE) {
        for (int d = 0; d < in.rank; d++) from[step->axes.axis[d]] = index[d];
    } else if (step->kind == VIEW_SLICE) {
        from[step->axis] = step->start + index[step->axis] * step->step;
    } else {
        for (int k = 0; k < step->axes.count; k++) {
            int axis = step->axes.axis[k];
            from[axis] = in.dims[axis] - 1 - index[axis];
        }
    }
    return ravel(in, from);
}

void view_copy(const view_step *step, const array *in, array *out) {
    for (int64_t i = 0; i < out->numel; i++) out->v[i] = in->v[source_of(step, in->shape, i)];
}

static void shuffle(test_random *r, int *items, int n) {
    for (int i = n - 1; i > 0; i--) {
        int j = (int)random_below(r, i + 1), swapped = items[i];
        items[i] = items[j];
        items[j] = swapped;
    }
}

static ct_shape before_slice(test_random *r, view_step *step) {
    ct_shape in = step->out;
    step->axis = (int)random_below(r, in.rank);
    int64_t n = in.dims[step->axis];
    step->step = random_between(r, 1, 3);
    step->start = random_between(r, 0, 2);
    step->stop = step->start + (n ? (n - 1) * step->step + 1 : 0);
    in.dims[step->axis] = step->stop + random_between(r, 0, 2);
    return in;
}

ct_shape view_sample(test_random *r, view_kind kind, ct_shape out, view_step *step) {
    *step = (view_step){.kind = kind, .out = out};
    if (kind == VIEW_SLICE) return before_slice(r, step);
    if (kind == VIEW_BROADCAST) return sample_narrower(r, out);
    int order[CT_MAX_RANK];
    for (int d = 0; d < out.rank; d++) order[d] = d;
    shuffle(r, order, out.rank);
    step->axes.count = kind == VIEW_PERMUTE ? out.rank : (int)random_between(r, 1, out.rank);
    memcpy(step->axes.axis, order, sizeof(int) * (size_t)step->axes.count);
    ct_shape in = out;
    for (int d = 0; d < out.rank && kind == VIEW_PERMUTE; d++) in.dims[order[d]] = out.dims[d];
    return in;
}

/* --- Operands --------------------------------------------------------------------------------- */

/* Numbers the base's elements and sends the numbers through the views. */
static void find_map(operand *o) {
    array at = array_new(o->base.shape);
    for (int64_t i = 0; i < at.numel; i++) at.v[i] = (double)i;
    for (int k = 0; k < o->n_steps; k++) {
        array next = array_new(o->steps[k].out);
        view_copy(&o->steps[k], &at, &next);
        array_free(&at);
        at = next;
    }
    o->map = must_alloc(o->numel, sizeof *o->map);
    for (int64_t i = 0; i < o->numel; i++) o->map[i] = (int64_t)at.v[i];
    array_free(&at);
}

void operand_new(operand *o, test_random *r, ct_dtype dtype, ct_shape shape, bool plain) {
    *o = (operand){.dtype = dtype, .shape = shape, .numel = ct_shape_numel(shape)};
    int chance = plain ? 0 : (int)random_below(r, 100);
    o->n_steps = chance < 35 ? 0 : chance < 75 ? 1 : OPERAND_STEPS;
    for (int k = o->n_steps - 1; k >= 0; k--) {
        view_kind kind = shape.rank ? (view_kind)random_below(r, VIEW_KINDS) : VIEW_BROADCAST;
        shape = view_sample(r, kind, shape, &o->steps[k]);
    }
    o->base = array_new(shape);
    find_map(o);
}

void operand_free(operand *o) {
    array_free(&o->base);
    free(o->map);
    *o = (operand){0};
}

ct_tensor *operand_leaf(const operand *o, ct_dtype dtype) {
    return leaf_from(dtype, o->base.shape, o->base.v);
}

ct_tensor *operand_view(const operand *o, ct_tensor *leaf) {
    for (int k = 0; k < o->n_steps; k++) leaf = view_build(&o->steps[k], leaf);
    return leaf;
}

void operand_read(const operand *o, array *out) {
    for (int64_t i = 0; i < o->numel; i++) out->v[i] = o->base.v[o->map[i]];
}

/* --- Shapes ----------------------------------------------------------------------------------- */

static int64_t sample_dim(test_random *r, bool large) {
    static const int64_t small[] = {1, 1, 2, 2, 3, 3, 5, 7};
    static const int64_t tiles[] = {1, 2, 3, 17, 130, 1023, 1024, 1025, 2500, 20000};
    if (large) return tiles[random_below(r, sizeof tiles / sizeof *tiles)];
    return small[random_below(r, sizeof small / sizeof *small)];
}

ct_shape sample_shape(test_random *r, int low_rank, int high_rank, int64_t most, bool large) {
    for (;;) {
        ct_shape shape = {.rank = (int)random_between(r, low_rank, high_rank)};
        for (int d = 0; d < shape.rank; d++) shape.dims[d] = sample_dim(r, large);
        int64_t numel = ct_shape_numel(shape);
        if (numel > most || (large && high_rank > 0 && numel < 1000)) continue;
        if (!large && shape.rank && random_chance(r, 14)) {
            shape.dims[random_below(r, shape.rank)] = 0;
        }
        return shape;
    }
}

ct_shape broadcast_shape(ct_shape a, ct_shape b) {
    ct_shape out = a.rank > b.rank ? a : b;
    for (int d = 1; d <= out.rank; d++) {
        int64_t in_a = d <= a.rank ? a.dims[a.rank - d] : 1;
        int64_t in_b = d <= b.rank ? b.dims[b.rank - d] : 1;
        out.dims[out.rank - d] = in_a == 1 ? in_b : in_a;
    }
    return out;
}

ct_shape sample_narrower(test_random *r, ct_shape shape) {
    int drop = random_chance(r, 40) ? (int)random_between(r, 0, shape.rank) : 0;
    ct_shape out = {.rank = shape.rank - drop};
    for (int d = 0; d < out.rank; d++) {
        out.dims[d] = random_chance(r, 40) ? 1 : shape.dims[d + drop];
    }
    return out;
}
