/* Marking data as this rank's rows of a global batch: who has how many rows, and which are whose
 * grains, all ranks tell each other once.
 * Invariant: what the ranks decide follows from what they all know. */
#include "tensor/varying.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/hash.h"
#include "tensor/base/shape_rules.h"
#include "tensor/graph/walk.h"
#include "tensor/ranks/exchange.h"
#include "tensor/runtime.h"

/* Where grain g of G begins in n rows. */
static int64_t begin_of(int64_t n, int64_t g, int64_t all) { return cti_divide_up(n * g, all); }

/* The number of each rank's rows at the place of its first grain, from one to all. */
static ct_status tell_rows(ct_group *group, cti_entry entry, int64_t mine, cti_rows *rows,
                           int64_t of[CT_GROUP_MOST]) {
    int64_t all = rows->all;
    int64_t *told = cti_alloc((size_t)(rows->n * all), sizeof *told);
    if (!told) entry.status = CT_ERR_MEMORY;
    for (int g = 0; g < all; g++) of[g] = g == rows->first ? mine : 0;
    if (told) told[rows->first] = mine;
    ct_status status = entry.status;
    if (group) status = cti_all_sum(group, entry, CT_I64, &(cti_summand){told, of, all}, 1);
    cti_free(told);
    return status;
}

/* Whether each rank's rows, from its first grain on, are those of its grains. */
static bool evenly_cut(const int64_t of[], const bool first[], int64_t n, int64_t all) {
    int64_t begin = 0;
    for (int64_t g = 0; g < all; g++) {
        if (!first[g]) continue;
        if (begin != begin_of(n, g, all)) return false;
        begin += of[g];
    }
    return true;
}

/* Each rank's rows are cut evenly among its own grains. */
static void cut_by_rank(cti_rows *rows, const int64_t of[], const bool first[]) {
    rows->most = 0;
    rows->uneven = cti_mix_bytes(1, of, sizeof *of * (size_t)rows->all);
    for (int g = 0, last; g < rows->all; g = last) {
        for (last = g + 1; !first[last]; last++) {}
        rows->most = cti_most(rows->most, cti_divide_up(of[g], last - g));
        if (g < rows->first) rows->before += of[g];
        for (int k = g; k < last && g == rows->first; k++) {
            rows->ends[k - g] = begin_of(of[g], k + 1 - g, last - g);
        }
    }
}

/* Cuts the rows of all ranks, and keeps what is this rank's. */
static void cut(cti_rows *rows, const int64_t of[], int size) {
    bool first[CT_GROUP_MOST + 1] = {0};
    for (int r = 0; r < size; r++) first[cti_divide_up((int64_t)rows->all * r, size)] = true;
    first[rows->all] = true;
    int64_t total = 0;
    for (int g = 0; g < rows->all; g++) total += of[g];
    rows->before = 0;
    rows->total = total;
    if (evenly_cut(of, first, total, rows->all)) cti_rows_cut(rows, total);
    else cut_by_rank(rows, of, first);
}

static uint64_t hash_of(const ct_tensor *x, int axis) {
    uint64_t hash = cti_mix_text(0, "ct_varying");
    hash = cti_mix(hash, (uint64_t)x->dtype << 16 | (uint64_t)x->shape.rank << 8 | (uint64_t)axis);
    for (int d = 0; d < x->shape.rank; d++) {
        if (d != axis) hash = cti_mix(hash, (uint64_t)x->shape.dims[d]);
    }
    return hash;
}

static ct_status agree_on(cti_rows *rows, ct_tensor *x, int axis, ct_status status) {
    ct_group *group = ct_group_current();
    int64_t of[CT_GROUP_MOST];
    cti_entry entry = {.hash = status == CT_OK ? hash_of(x, axis) : 0, .status = status};
    int64_t mine = status == CT_OK ? x->shape.dims[axis] : 0;
    status = tell_rows(group, entry, mine, rows, of);
    if (status == CT_OK) cut(rows, of, ct_group_size(group));
    return status;
}

static bool is_parameter(const ct_tensor *t) { return t->slot != 0 && ct_dtype_is_float(t->dtype); }

/* The inputs to which a derivative goes; or all, if to any. */
static int derived_inputs(const ct_tensor *t) {
    bool any = !t->op || t->n_inputs > CT_OP_INPUTS;
    for (int k = 0; k < t->n_inputs && !any; k++) any = t->op->vjp[k] != ct_no_gradient;
    return any ? t->n_inputs : 0;
}

static ct_status check(ct_tensor *x, int *axis) {
    if (!x) return cti_null("ct_varying: 'x' is NULL");
    if (x->rows) {
        return ct_fail(CT_ERR_STATE, "ct_varying: x varies along axis %d already", x->batch);
    }
    if (cti_walk_meets(&x, 1, derived_inputs, is_parameter)) {
        return ct_fail(CT_ERR_STATE,
                       "ct_varying: x is computed from a slot, and no derivative would go through "
                       "to it; what varies is the data that x is computed from; or ct_detach(x), "
                       "if it is no part of what is trained");
    }
    ct_status status = cti_shape_axis("ct_varying", x->shape, *axis, axis);
    return status == CT_OK && !ct_data(x) ? ct_error() : status;
}

/* Without memory for a record: the others, who are in the sum of tell_rows, have to learn of it. */
static ct_tensor *without_rows(void) {
    ct_group *group = ct_group_current();
    if (group) cti_all_sum(group, (cti_entry){.status = CT_ERR_MEMORY}, CT_I64, NULL, 0);
    return NULL;
}

ct_tensor *ct_varying(ct_tensor *x, int axis) {
    CTI_CALLED;
    ct_status status = check(x, &axis);
    cti_rows *rows = cti_rows_of_grains(NULL);
    if (!rows) return without_rows();
    status = agree_on(rows, x, axis, status);
    ct_tensor *leaf = status == CT_OK ? cti_leaf_over(x->buffer, x->dtype, x->shape) : NULL;
    if (leaf) leaf->name = x->name;
    cti_marked(leaf, (cti_mark){rows, axis});
    cti_rows_drop(rows);
    return leaf;
}

ct_tensor *ct_own_rows(ct_tensor *x) {
    CTI_CALLED;
    if (!x) return cti_null_in("ct_own_rows: 'x' is NULL");
    return cti_marked(ct_detach(x), CTI_REPLICATED);
}
