/* What a random graph grows by: primitives as the table of their rows has them, and compositions.
 * Each step keeps values within a few units, so that f32 and f64 stay comparable.
 * Invariant: a step that does not fit the operand drawn gives NULL and records no error. */
#include "autograd/compose.h"
#include "autograd/stage.h"
#include "tests/autograd/ops/primitive_table.h"
#include "tests/support/operand.h"
#include "tests/support/random_graph.h"

typedef ct_tensor *grow_fn(random_graph *g, ct_tensor *x);

/* --- Primitives ------------------------------------------------------------------------------- */

/* x with values in low .. high, which a row names when its op has poles or kinks elsewhere. */
static ct_tensor *within(ct_tensor *x, double low, double high) {
    if (low == high) return x;
    return ct_offset(ct_scale(ct_tanh(x), (high - low) / 2), (high + low) / 2);
}

/* The first elements of x in that shape; a new leaf where there are not so many. */
static ct_tensor *fitted(random_graph *g, ct_tensor *x, ct_shape shape) {
    int64_t n = ct_shape_numel(shape);
    if (ct_shape_equal(ct_shape_of(x), shape)) return x;
    if (n > ct_numel(x) || n == 0) return random_graph_leaf(g, shape);
    ct_tensor *row = ct_reshape(x, CT_SHAPE(ct_numel(x)));
    return ct_reshape(ct_slice(row, 0, 0, n, 1), shape);
}

/* Operand i of a case: what the row fills in itself, or a node. */
static ct_tensor *operand_of(random_graph *g, const primitive_row *row, const op_case *c, int i,
                             ct_tensor *x) {
    array values = array_new(c->shapes[i]);
    ct_tensor *leaf = NULL;
    bool own = row->fill && row->fill(&g->r, c, i, &values);
    if (own) leaf = leaf_from(c->dtypes[i], c->shapes[i], values.v);
    array_free(&values);
    return own ? leaf : within(fitted(g, x, c->shapes[i]), row->low, row->high);
}

/* Whether values are no larger than the operands': they were only moved or compared. */
static bool keeps_size(const primitive_row *row, ct_tensor *y) {
    const ct_op *op = ct_op_of(y); /* NULL: it was x itself */
    return !op || op->kind == CT_VIEW || row->sampling == APART ||
           (row->exact && !row->linear && row->n_inputs == 1);
}

/* Any op of the primitive table, so that a new one is in these graphs by its row alone. An
 * elementwise one is applied to x as it is, others to as much of x as their case asks for. */
static ct_tensor *primitive(random_graph *g, ct_tensor *x) {
    int rows = 0;
    while (primitive_row_at(rows)) rows++;
    const primitive_row *row = primitive_row_at((int)random_below(&g->r, rows));
    bool floats = (row->dtypes & FLOATS) == FLOATS, large = random_chance(&g->r, 10);
    if (!floats || (g->smooth && (row->sampling != REALS || row->rough))) return NULL;
    op_case c;
    primitive_case(row, &g->r, g->dtype, large && g->most >= 3000, &c);
    ct_tensor *operands[MOST_OPERANDS];
    for (int i = 0; i < c.n; i++) {
        if (!row->shape) c.shapes[i] = ct_shape_of(x);
        if (!row->shape && i && random_chance(&g->r, 50)) {
            c.shapes[i] = sample_narrower(&g->r, c.shapes[i]);
        }
        if (ct_shape_numel(c.shapes[i]) > g->most) return NULL;
        operands[i] = operand_of(g, row, &c, i, i ? random_graph_pick(g) : x);
    }
    ct_tensor *y = row->build(operands, &c);
    if (!y || ct_numel(y) > g->most) return NULL;
    if (!keeps_size(row, y)) y = ct_tanh(y);
    return ct_cast(y, g->dtype);
}

/* --- Elementwise ------------------------------------------------------------------------------ */

/* 1 + x^2: away from every pole. */
static ct_tensor *positive(ct_tensor *x) { return ct_offset(ct_mul(x, x), 1.0); }

static ct_tensor *unary(random_graph *g, ct_tensor *x) {
    switch (random_below(&g->r, g->smooth ? 4 : 6)) {
    case 0: return ct_log(positive(x));
    case 1: return ct_scale(x, 0.5);
    case 2: return ct_tanh(ct_gelu(x));
    case 3: return ct_cast(ct_cast(x, g->dtype == CT_F32 ? CT_F64 : CT_F32), g->dtype);
    case 4: return ct_sub(x, ct_floor(x));
    default: return ct_cast(ct_cast(ct_scale(x, 3.0), CT_I64), g->dtype);
    }
}

/* Something that stretches with x: a node of the same shape, a part of x, a new leaf. */
static ct_tensor *partner(random_graph *g, ct_tensor *x) {
    int64_t kind = random_below(&g->r, 4);
    for (int tries = 0; tries < 8 && kind < 2; tries++) {
        ct_tensor *other = random_graph_pick(g);
        if (ct_shape_equal(ct_shape_of(other), ct_shape_of(x))) return other;
    }
    ct_shape shape = ct_shape_of(x);
    if (kind == 2 && shape.rank && ct_numel(x)) {
        int axis = (int)random_below(&g->r, shape.rank);
        return ct_mean_keep(x, CT_AXES(axis));
    }
    return random_graph_leaf(g, sample_narrower(&g->r, shape));
}

static ct_tensor *binary(random_graph *g, ct_tensor *x) {
    ct_tensor *y = random_chance(&g->r, 15) ? x : partner(g, x);
    switch (random_below(&g->r, g->smooth ? 6 : 12)) {
    case 0: return ct_tanh(ct_add(x, y));
    case 1: return ct_sub(y, x);
    case 2: return ct_tanh(ct_mul(x, y));
    case 3: return ct_mul(ct_sin(x), ct_cos(y));
    case 4: return ct_div(x, positive(y));
    case 5: return ct_pow(positive(ct_tanh(x)), ct_tanh(y));
    case 6: return ct_maximum(x, y);
    case 7: return ct_minimum(x, y);
    case 8: return ct_where(ct_less(x, y), ct_sin(x), y);
    case 9: return ct_mul(x, ct_greater_equal(x, y));
    case 10: return ct_add(ct_equal(x, y), ct_not_equal(y, x));
    default: return ct_where(ct_greater(x, y), x, ct_less_equal(x, y));
    }
}

/* --- Views and copies ------------------------------------------------------------------------- */

static ct_tensor *view(random_graph *g, ct_tensor *x) {
    ct_shape shape = ct_shape_of(x);
    int axis = shape.rank ? (int)random_below(&g->r, shape.rank) : 0;
    int64_t size = ct_dim(x, axis);
    switch (random_below(&g->r, 7)) {
    case 0: return shape.rank > 1 ? ct_transpose(x) : NULL;
    case 1: return shape.rank ? ct_flip(x, CT_AXES(axis)) : NULL;
    case 2:
        return size > 1 ? ct_slice(x, axis, size > 2, CT_END, random_between(&g->r, 1, 2)) : NULL;
    case 3: return ct_reshape(x, CT_SHAPE(ct_numel(x)));
    case 4:
        if (shape.rank >= 5 || 2 * ct_numel(x) > g->most) return NULL;
        shape.rank++;
        for (int d = shape.rank - 1; d > 0; d--) shape.dims[d] = shape.dims[d - 1];
        shape.dims[0] = 2;
        return ct_broadcast(x, shape);
    case 5: return ct_stop_gradient(x);
    default: {
        ct_slot *slot = ct_slot_new("statistic", ct_full(g->dtype, CT_SCALAR, 0.0));
        ct_tensor *y = ct_stage(x, slot, 0.5, ct_sum_all(x));
        ct_slot_drop(slot);
        return y;
    }
    }
}

/* Row numbers for an axis of that size. */
static ct_tensor *rows(random_graph *g, int64_t n, int64_t size) {
    array values = array_new(CT_SHAPE(n));
    for (int64_t i = 0; i < n; i++) values.v[i] = (double)random_below(&g->r, size);
    ct_tensor *leaf = leaf_from(CT_I64, values.shape, values.v);
    array_free(&values);
    return leaf;
}

static ct_tensor *copies(random_graph *g, ct_tensor *x) {
    ct_shape shape = ct_shape_of(x);
    int64_t size = ct_dim(x, 0);
    if (shape.rank == 0 || shape.rank >= 5 || 3 * ct_numel(x) > g->most) return NULL;
    int axis = (int)random_below(&g->r, shape.rank);
    switch (random_below(&g->r, 4)) {
    case 0:
        return ct_pad(x, axis, random_below(&g->r, 3), random_below(&g->r, 3),
                      random_below(&g->r, 2));
    case 1: return CT_CONCAT(axis, x, ct_flip(x, CT_AXES(axis)), ct_sin(x));
    case 2: return size ? ct_take(x, rows(g, random_between(&g->r, 0, 5), size)) : NULL;
    default: return size ? ct_tanh(ct_scatter_add(x, rows(g, size, 4), 4)) : NULL;
    }
}

/* --- Reductions ------------------------------------------------------------------------------- */

static ct_tensor *reduction(random_graph *g, ct_tensor *x) {
    ct_shape shape = ct_shape_of(x);
    if (shape.rank == 0 || ct_numel(x) == 0) return NULL;
    int axis = (int)random_below(&g->r, shape.rank);
    ct_axes axes = random_chance(&g->r, 25) ? CT_ALL : CT_AXES(axis);
    if (shape.rank > 2 && random_chance(&g->r, 30)) axes = CT_AXES(0, 2);
    switch (random_below(&g->r, g->smooth ? 6 : 8)) {
    case 0: return ct_mean(x, axes);
    case 1: return ct_tanh(ct_sum(x, axes));
    case 2: return ct_sqrt(ct_offset(ct_var(x, axes), 0.1));
    case 3: return ct_softmax(x, axis);
    case 4: return ct_tanh(ct_logsumexp(x, axis));
    case 5: {
        ct_tensor *gamma = random_graph_leaf(g, CT_SHAPE(shape.dims[axis]));
        if (ct_numel(x) / shape.dims[axis] < 2) return NULL;
        return ct_tanh(ct_batch_norm(x, gamma, gamma, axis, 0.1, NULL, NULL));
    }
    case 6: return ct_max(x, axes);
    default: return ct_cast(ct_argmax(x, axis), g->dtype);
    }
}

/* --- Kernels ---------------------------------------------------------------------------------- */

/* x as [rows, columns], for a factorization that it has. */
static ct_tensor *as_matrix(random_graph *g, ct_tensor *x) {
    int64_t numel = ct_numel(x), rows_of_it = ct_dim(x, 0);
    if (rows_of_it < 1 || numel == 0) return NULL;
    ct_tensor *m = ct_reshape(x, CT_SHAPE(rows_of_it, numel / rows_of_it));
    return random_chance(&g->r, 40) ? ct_transpose(m) : m;
}

static ct_tensor *product(random_graph *g, ct_tensor *x) {
    ct_tensor *a = as_matrix(g, x);
    if (!a) return NULL;
    int64_t k = ct_dim(a, 1), n = random_between(&g->r, 1, 9);
    if (ct_dim(a, 0) * n > g->most || k * n > g->most) return NULL;
    ct_tensor *b = random_graph_leaf(g, CT_SHAPE(n, k));
    if (random_chance(&g->r, 30)) b = ct_flip(b, CT_AXES(1));
    ct_tensor *y = random_chance(&g->r, 20) && ct_dim(a, 0) <= 200
                       ? ct_matmul(a, ct_transpose(ct_sin(a)))
                       : ct_matmul(a, ct_transpose(b));
    return ct_tanh(ct_scale(y, 1.0 / (double)k));
}

static ct_tensor *windows(random_graph *g, ct_tensor *x) {
    int64_t numel = ct_numel(x), channels = numel % 3 == 0 ? 3 : numel % 2 == 0 ? 2 : 1;
    int64_t width = numel / channels >= 4 ? 4 : 1, height = numel / channels / width;
    if (numel == 0 || height * width * channels != numel || height < 3 || width < 3) return NULL;
    ct_tensor *image = ct_reshape(x, CT_SHAPE(1, height, width, channels));
    ct_conv2d_spec conv = {.stride = {random_between(&g->r, 1, 2), 1}, .pad = {1, 0, 1, 1}};
    ct_pool2d_spec pool = {
        .window = {2, 2}, .stride = {random_between(&g->r, 1, 2), 2}, .pad = {0, 1, 0, 0}};
    switch (random_below(&g->r, g->smooth ? 2 : 3)) {
    case 0: {
        ct_tensor *w = random_graph_leaf(g, CT_SHAPE(2, 3, channels, 2));
        return ct_tanh(ct_scale(ct_conv2d(image, w, conv), 0.2));
    }
    case 1: return ct_avg_pool2d(image, pool);
    default: return ct_max_pool2d(image, pool);
    }
}

ct_tensor *random_graph_grow(random_graph *g) {
    static grow_fn *const kinds[] = {primitive, primitive, primitive, primitive, primitive,
                                     primitive, primitive, unary,     binary,    binary,
                                     binary,    view,      view,      copies,    reduction,
                                     reduction, product,   windows};
    grow_fn *grow = kinds[random_below(&g->r, sizeof kinds / sizeof *kinds)];
    return grow(g, random_graph_pick(g));
}
