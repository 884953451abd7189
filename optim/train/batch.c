/* What of a batch, or of the parameters before a step, is not finite, by name and place: where a
 * loss is not, that comes first.
 * Whether it ends training is fit.c's business.
 * Invariant: elements are looked at by ops. */
#include "optim/train/train.h"
#include "tensor/ranks/exchange.h"
#include "tensor/varying.h"

#include <math.h>
#include <string.h>

/* The first element that is not finite, or -1; the difference of such a one with itself is NaN. */
static ct_status find(ct_tensor *flat, int64_t *at) {
    ct_tensor *zero = ct_scalar(ct_dtype_of(flat), 0);
    ct_tensor *bad = ct_not_equal(ct_sub(flat, flat), zero);
    ct_tensor *found[] = {ct_max(bad, CT_AXES(0)), ct_argmax(bad, 0)};
    if (ct_eval(found, 2) != CT_OK) return ct_error();
    *at = ct_item(found[0]) > 0 ? (int64_t)ct_item(found[1]) : -1;
    return CT_OK;
}

static ct_status look_at(ct_tensor *t, const char *name, cti_cause *cause) {
    int64_t n = ct_numel(t), at = -1;
    if (!t || !ct_dtype_is_float(ct_dtype_of(t)) || n == 0) return CT_OK;
    ct_tensor *flat = ct_reshape(ct_own_rows(t), CT_SHAPE(n));
    if (!flat || find(flat, &at) != CT_OK) return ct_error();
    if (at < 0) return CT_OK;
    double value = ct_item(ct_slice(flat, 0, at, at + 1, 1));
    int64_t row = ct_shape_of(t).rank > 0 ? at / (n / ct_dim(t, 0)) : 0;
    snprintf(cause->text, sizeof cause->text, ": %s is %s in row %lld, element %lld", name,
             isnan(value) ? "nan" : "infinite", (long long)row, (long long)at);
    return CT_OK;
}

/* What is to be looked at may be sums over the batch: all ranks evaluate all of it. */
static ct_status evaluate_all(const ct_batch *batch) {
    ct_tensor *roots[2 + CT_BATCH_MORE];
    int64_t n = 0;
    if (batch->x) roots[n++] = batch->x;
    if (batch->y) roots[n++] = batch->y;
    for (int i = 0; i < batch->n_more; i++) {
        if (batch->more[i]) roots[n++] = batch->more[i];
    }
    return ct_eval(roots, n);
}

static ct_status look_at_batch(const ct_batch *batch, cti_cause *cause) {
    if (evaluate_all(batch) != CT_OK) return ct_error();
    int64_t scope = ct_scope_open();
    ct_status status = look_at(batch->x, "x of its batch", cause);
    if (status == CT_OK && !*cause->text) status = look_at(batch->y, "y of its batch", cause);
    for (int i = 0; i < batch->n_more && status == CT_OK && !*cause->text; i++) {
        char name[48];
        snprintf(name, sizeof name, "more[%d] of its batch", i);
        status = look_at(batch->more[i], name, cause);
    }
    ct_scope_close(scope);
    return status;
}

/* Rows have the numbers that they have on their rank, and other ranks see whose they are. */
static ct_status share(ct_status status, cti_cause *cause) {
    ct_group *group = ct_group_current();
    if (ct_group_size(group) == 1) return status;
    size_t length = strlen(cause->text);
    uint64_t partials[CT_GROUP_MOST] = {0}, ranks = 0;
    partials[0] = (uint64_t)(length > 0) << ct_group_rank(group);
    cti_entry entry = {.hash = cti_call_hash("cause"), .status = status};
    status = cti_all_sum(group, entry, CT_I64, &(cti_summand){partials, &ranks, 1}, 1);
    if (status != CT_OK || ranks == 0) return status;
    if (length > 0) {
        snprintf(cause->text + length, sizeof cause->text - length, ", of rank %d",
                 ct_group_rank(group));
    } else {
        snprintf(cause->text, sizeof cause->text, ": the batch of rank %d is not finite",
                 __builtin_ctzll(ranks));
    }
    return CT_OK;
}

ct_status cti_batch_cause(const ct_batch *batch, cti_cause *cause) {
    *cause = (cti_cause){""};
    return share(look_at_batch(batch, cause), cause);
}

ct_status cti_parameters_cause(ct_optimizer *optimizer, cti_cause *cause) {
    ct_slot_list list;
    *cause = (cti_cause){""};
    if (ct_optimizer_parameters(optimizer, &list) != CT_OK) return ct_error();
    int64_t scope = ct_scope_open();
    ct_status status = CT_OK;
    for (int64_t i = 0; i < list.count && status == CT_OK && !*cause->text; i++) {
        char name[640];
        snprintf(name, sizeof name, "parameter '%s' before it", list.items[i].path);
        status = look_at(ct_slot_read(list.items[i].slot), name, cause);
    }
    ct_scope_close(scope);
    ct_slot_list_free(&list);
    return status;
}
