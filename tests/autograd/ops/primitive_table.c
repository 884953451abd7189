/* The table of primitives as one list, its counterpart in the linker section of descriptors, and
 * what all rows share: sampling of shapes and the loop of elementwise references.
 * The rows themselves are in the primitive_rows_*.c files.
 * Invariant: nothing here asks the library for a value. */
#include "tests/autograd/ops/primitive_table.h"

#include <string.h>

typedef struct {
    const primitive_row *rows;
    const int *n;
} block_of_rows;

static const block_of_rows blocks[] = {
    {elementwise_rows, &n_elementwise_rows},
    {view_rows, &n_view_rows},
    {copy_rows, &n_copy_rows},
    {ranks_rows, &n_ranks_rows},
    {reduction_rows, &n_reduction_rows},
    {contraction_rows, &n_contraction_rows},
    {pool_rows, &n_pool_rows},
    {random_rows, &n_random_rows},
};

const primitive_row *primitive_row_at(int i) {
    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++) {
        if (i < *blocks[b].n) return &blocks[b].rows[i];
        i -= *blocks[b].n;
    }
    return NULL;
}

const primitive_row *primitive_row_of(const char *op) {
    const primitive_row *row;
    for (int i = 0; (row = primitive_row_at(i)); i++) {
        if (strcmp(row->op, op) == 0) return row;
    }
    return NULL;
}

extern const ct_op *const __start_ct_ops[], *const __stop_ct_ops[];

const ct_op *primitive_descriptor(int i) {
    return i < __stop_ct_ops - __start_ct_ops ? __start_ct_ops[i] : NULL;
}

/* Operands that stretch to one shape; more than a quarter of the cases really stretch. */
static void sample_operands(test_random *r, op_case *c) {
    int64_t most = c->large ? 30000 : 60;
    ct_shape shape = sample_shape(r, 0, c->large ? 3 : 5, most, c->large);
    bool stretch = c->n > 1 && random_chance(r, 45);
    for (int i = 0; i < c->n; i++) {
        c->shapes[i] = stretch ? sample_narrower(r, shape) : shape;
        c->out = i ? broadcast_shape(c->out, c->shapes[i]) : c->shapes[i];
    }
}

void primitive_case(const primitive_row *row, test_random *r, ct_dtype dtype, bool large,
                    op_case *c) {
    *c = (op_case){.n = row->n_inputs, .dtype = dtype, .large = large};
    for (int i = 0; i < MOST_OPERANDS; i++) c->dtypes[i] = dtype;
    if (row->shape) row->shape(r, c);
    else sample_operands(r, c);
}

void primitive_reference(const primitive_row *row, const op_case *c, const array x[], array *y) {
    if (row->reference) {
        row->reference(c, x, y);
        return;
    }
    for (int64_t i = 0; i < y->numel; i++) {
        double operands[MOST_OPERANDS];
        for (int k = 0; k < c->n; k++) operands[k] = x[k].v[stretched(x[k].shape, y->shape, i)];
        y->v[i] = row->scalar(operands);
    }
}
