/* Private: along which axis a tensor varies between ranks, and which of its rows are which grain's.
 */
#ifndef COTAN_ROWS_H
#define COTAN_ROWS_H

#include "tensor/group.h"
#include "tensor/op.h"

#include <stdatomic.h>

/* How a batch lies on ranks; shared by all tensors with the same. Grain k of this rank's n has the
 * rows ends[k - 1] .. ends[k] - 1 of the rank's, each of `unit` places of the axis. */
typedef struct cti_rows {
    atomic_int_least64_t refs;
    /* The record of partial sums of these rows, once there were some; kept. Threads that build
     * graphs on the same rows may both ask for it. */
    _Atomic(struct cti_rows *) grains;
    int64_t total;         /* rows of the global batch */
    int64_t before;        /* of them, those of the ranks before this one */
    int64_t epoch, number; /* of a source's batch, from 0 and from 1; 0, 0 of any other */
    int64_t most;          /* rows of the largest grain of any rank */
    int64_t unit;
    /* 0 where each rank has the rows of its grains; else a hash of how many rows each rank has:
     * what lies alike on one rank may lie otherwise on another. */
    uint64_t uneven;
    int first, n, all; /* this rank's grains: from `first` on, n of `all` */
    int64_t ends[CT_GROUP_MOST];
} cti_rows;

/* The mark of a tensor: no rows for one that is replicated. Borrowed. */
typedef struct {
    cti_rows *rows;
    int axis;
} cti_mark;

#define CTI_REPLICATED ((cti_mark){NULL, -1})

/* Which places of the batch axis are which grain's, as the end of an op's attribute: int64_t only,
 * of which cti_grains_size are there. */
typedef struct {
    int64_t all;                    /* grains of all ranks */
    int64_t most;                   /* places of the largest grain of any rank */
    int64_t n, ends[CT_GROUP_MOST]; /* of this rank's grains */
} cti_grains;

cti_grains cti_row_grains(const cti_rows *rows);
size_t cti_grains_size(const cti_grains *grains);
/* The places of grain `k` of this rank. */
static inline ct_span cti_grain(const cti_grains *grains, int64_t k) {
    return (ct_span){k ? grains->ends[k - 1] : 0, grains->ends[k]};
}

void cti_rows_drop(cti_rows *rows);
/* n rows, cut evenly among the grains of the current group: grain g of G has those from
 * ceil(n g / G) on. Without a group they are one grain. NULL: no memory. */
cti_rows *cti_rows_even(int64_t n);
/* The same for rows whose grains are known. */
void cti_rows_cut(cti_rows *rows, int64_t n);
static inline int64_t cti_rows_count(const cti_rows *rows) { return rows->ends[rows->n - 1]; }
/* One row for each of this rank's grains, as partial sums have: the grains that other rows have, or
 * for NULL those of the current group. NULL: no memory. */
cti_rows *cti_rows_of_grains(cti_rows *like);
/* With units of so many places, times those that there are. NULL: no memory. */
cti_rows *cti_rows_in_units(const cti_rows *rows, int64_t unit);
bool cti_marks_equal(cti_mark a, cti_mark b);

/* Whether t is a sum over grains of which other ranks have some. */
bool cti_sums_elsewhere(const ct_tensor *t);

/* CT_ERR_STATE where other ranks have rows of t, which the function calls `name`; `instead` says
 * what to do. */
ct_status cti_check_replicated(const char *function, const char *name, const ct_tensor *t,
                               const char *instead);
/* The same for what is written into a file. */
ct_status cti_check_for_file(const char *function, const char *name, const ct_tensor *t);

/* The size of an axis in the global tensor, and the number of its elements. */
int64_t cti_global_dim(const ct_tensor *t, int axis);
int64_t cti_global_numel(const ct_tensor *t);
cti_mark cti_mark_of(const ct_tensor *t);
/* Marks a node that nobody has used yet; takes a reference of its own to the rows. */
ct_tensor *cti_marked(ct_tensor *t, cti_mark mark);
/* An error unless the marks of these inputs go together; else that of the result. */
ct_status cti_mark_infer(const ct_op *op, const char *name, ct_tensor *const inputs[], int n,
                         const void *attr, const ct_type *out, cti_mark *mark);
/* ct_node with a mark that the constructor knows better. */
ct_tensor *cti_node_marked(const ct_op *op, ct_tensor *const inputs[], int n, const void *attr,
                           size_t attr_size, cti_mark mark);

#endif
