/* Private: what a node is made of. */
#ifndef COTAN_NODE_H
#define COTAN_NODE_H

#include "tensor/op.h"

/* A block of elements, shared by the tensors whose whole value it is. */
typedef struct {
    int64_t refs;
    void *data;
} cti_buffer;

/* Not zeroed; the shape has been checked. `function` names the caller when memory runs out. */
cti_buffer *cti_buffer_new(const char *function, ct_shape shape, ct_dtype dtype);
cti_buffer *cti_buffer_keep(cti_buffer *buffer);
void cti_buffer_drop(cti_buffer *buffer);

/* What every walk and the release look at comes first, in one line of the cache: after a training
 * step the nodes of its graph lie in none. */
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
    int level; /* reductions and kernels on the longest way to it from a value */
    ct_shape shape;
    int64_t numel;
    const char *name; /* interned */
    const char *path; /* interned */
    uint64_t id;      /* counts up in the order of construction */
    uint64_t origin;  /* id of the node this one was derived from, or 0 */
    uint64_t slot;    /* id of the slot that committed this leaf, or 0 */
    bool literal;     /* a leaf that is a number of the formula and not data */
    bool structural;  /* a literal whose value is part of the structure: a count */
    void *attr;
    size_t attr_size;
    ct_tensor *inputs[]; /* owned; the attribute's bytes follow */
};

/* A leaf without a value; the caller fills buffer->data. Registered with the open scope. */
ct_tensor *cti_leaf_new(const char *function, ct_dtype dtype, ct_shape shape);
/* A leaf over an existing buffer (kept). */
ct_tensor *cti_leaf_over(cti_buffer *buffer, ct_dtype dtype, ct_shape shape);

/* The name of an op's public function, for messages. */
#define CTI_TITLE 64
void cti_op_title(const ct_op *op, char title[CTI_TITLE]);
/* An unevaluated copy of a node, with the same inputs and marks. Its op owns no attribute. */
ct_tensor *cti_node_like(const ct_tensor *t);

/* Whether the type can hold the value: integers take whole numbers in their range. */
ct_status cti_check_value(const char *function, ct_dtype dtype, double value);
/* data[i] of that type; an i64 beyond 2^53 is rounded. */
double cti_value(const void *data, ct_dtype dtype, int64_t i);
/* data[i] = value in that type, which must be able to hold it. */
void cti_store(void *data, ct_dtype dtype, int64_t i, double value);

/* A scalar that belongs to a formula, such as the 1 in 1 + x; equal ones are one leaf. Plans may
 * know whether it is 0 or 1. */
ct_tensor *cti_literal(ct_dtype dtype, double value);
/* A number that follows from shapes, such as the count of a mean: plans know its value. */
ct_tensor *cti_structural(ct_dtype dtype, double value);
/* Before a literal's memory goes. */
void cti_literal_forget(ct_tensor *t);

/* What a plan may know of a value. */
typedef struct {
    bool known;
    double value; /* 0 when not known */
} cti_number;
cti_number cti_number_of(const ct_tensor *t);
cti_number cti_number_through_views(const ct_tensor *t); /* behind views */

/* True for a leaf or an evaluated node: nothing behind it is needed. */
static inline bool cti_has_value(const ct_tensor *t) { return t->buffer != NULL; }

#endif
