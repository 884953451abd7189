/* Private: what a node is made of. */
#ifndef COTAN_NODE_H
#define COTAN_NODE_H

#include "tensor/graph/rows.h"
#include "tensor/op.h"

#include <stdatomic.h>

/* The elements of a whole value, shared by the tensors that have it, of any threads. */
typedef struct {
    atomic_int_least64_t refs;
    void *data;
} cti_buffer;

/* Not zeroed; the shape has been checked. `function` names the caller when memory runs out. */
cti_buffer *cti_buffer_new(const char *function, ct_shape shape, ct_dtype dtype);
cti_buffer *cti_buffer_keep(cti_buffer *buffer);
void cti_buffer_drop(cti_buffer *buffer);

/* What walks and the release read comes first, in one cache line: at the end of a training step the
 * nodes of its graph have been evicted from the caches. */
struct ct_tensor {
    int64_t refs;
    const ct_op *op;    /* NULL: a leaf */
    cti_buffer *buffer; /* the whole value, row-major; NULL until evaluated */
    ct_tensor *link;    /* the next to be released; in a walk, the node it was reached from */
    uint64_t ticket;    /* visited by walk number `ticket` ... */
    int64_t index;      /* ... as node number `index` of that walk */
    int n_inputs;
    ct_dtype dtype;
    int order; /* derivative order */
    int level; /* reductions and kernels on the longest path from a value to it */
    ct_shape shape;
    int64_t numel;
    const char *name;  /* interned */
    const char *path;  /* interned */
    uint64_t id;       /* ascending in the order of construction */
    uint64_t origin;   /* id of the node this one was derived from, or 0 */
    uint64_t slot;     /* id of the slot that committed this leaf, or 0 */
    bool literal;      /* a leaf that is a number of a formula, not data */
    bool structural;   /* a literal that follows from shapes, such as a count */
    bool sums;         /* over ranks, of itself or below, which had no value when it was made */
    signed char batch; /* the axis along which it varies between ranks, if there are rows */
    cti_rows *rows;    /* kept; NULL: replicated */
    void *attr;
    size_t attr_size;
    ct_tensor *inputs[]; /* owned; the attribute's bytes follow */
};

/* A leaf whose buffer->data the caller fills. Registered with the open scope. */
ct_tensor *cti_leaf_new(const char *function, ct_dtype dtype, ct_shape shape);
/* A leaf over an existing buffer (kept). */
ct_tensor *cti_leaf_over(cti_buffer *buffer, ct_dtype dtype, ct_shape shape);

/* The name of an op's public function, for messages. */
#define CTI_TITLE 64
void cti_op_title(const ct_op *op, char title[CTI_TITLE]);
/* An unevaluated copy of a node, with the same inputs and marks. Only for ops without `release`. */
ct_tensor *cti_node_like(const ct_tensor *t);

/* Checks that the type can hold the value: integers take whole numbers in their range. */
ct_status cti_check_value(const char *function, ct_dtype dtype, double value);
/* data[i] of that type; an i64 beyond 2^53 is rounded. */
double cti_value(const void *data, ct_dtype dtype, int64_t i);
/* data[i] = value, which has passed cti_check_value. */
void cti_store(void *data, ct_dtype dtype, int64_t i, double value);

/* A scalar of a formula, such as the 1 in 1 + x; equal ones are one leaf. A plan may depend on
 * whether it is 0 or 1. */
ct_tensor *cti_literal(ct_dtype dtype, double value);
/* A scalar that follows from shapes, as the count of a mean; a plan may depend on its value. */
ct_tensor *cti_structural(ct_dtype dtype, double value);
/* Removes a literal from the table, before it is freed. */
void cti_literal_forget(ct_tensor *t);

/* What a plan may depend on of a value. */
typedef struct {
    bool known;
    double value; /* 0 when not known */
} cti_number;
cti_number cti_number_of(const ct_tensor *t);
/* The same for a view of a value, and views of views. */
cti_number cti_number_through_views(const ct_tensor *t);

/* Gives what a function computes on its way a name that lives as long as the program. */
static inline ct_tensor *cti_called(ct_tensor *t, const char *name) {
    if (t) t->name = name;
    return t;
}

/* True for a leaf or an evaluated node: its inputs are not needed any more. */
static inline bool cti_has_value(const ct_tensor *t) { return t->buffer != NULL; }

#endif
