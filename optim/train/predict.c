/* Prediction: the forward of many rows in inference mode, a batch of them at a time.
 * It measures nothing; evaluate.c does.
 * Invariant: out[] changes only when all of it is there; the memory of a batch is gone before the
 * next one, but for its outputs. */
#include "optim/fit.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/graph/rows.h"

typedef struct {
    const char *function;
    ct_module *model;
    ct_tensor *const *in;
    int n_in, n_out;
    int64_t batch, rows;
} prediction;

/* The outputs of some rows, as leaves that do not hold their graph. */
static ct_status run(const prediction *p, int64_t rows, ct_tensor *const in[], ct_tensor *out[]) {
    ct_status status = CT_OK;
    if (p->n_in == 1 && p->n_out == 1) out[0] = ct_forward(p->model, in[0], CT_INFERENCE);
    else status = ct_forward_many(p->model, in, p->n_in, out, p->n_out, CT_INFERENCE);
    if (status != CT_OK || ct_eval(out, p->n_out) != CT_OK) return ct_error();
    for (int i = 0; i < p->n_out; i++) {
        ct_shape shape = ct_shape_of(out[i]);
        if (shape.rank == 0 || shape.dims[0] != rows) {
            return ct_fail(CT_ERR_SHAPE, "%s: out[%d] is %s, of %lld rows", p->function, i,
                           ct_shape_format(shape).text, (long long)rows);
        }
        if (!(out[i] = ct_detach(out[i]))) return ct_error();
    }
    return CT_OK;
}

/* Those of the batch that begins there; `out` is kept. The rows are taken by index, because indices
 * are data and slices would be a plan each. */
static ct_status run_batch(const prediction *p, int64_t first, ct_tensor *taken[],
                           ct_tensor *out[]) {
    int64_t scope = ct_scope_open();
    int64_t end = p->rows - first > p->batch ? first + p->batch : p->rows;
    ct_tensor *rows = ct_arange(CT_I64, (double)first, (double)end, 1);
    for (int i = 0; i < p->n_in; i++) taken[i] = p->in[i] ? ct_take(p->in[i], rows) : NULL;
    ct_status status = run(p, end - first, taken, out);
    for (int i = 0; i < p->n_out && status == CT_OK; i++) ct_keep(out[i]);
    ct_scope_close(scope);
    return status;
}

static ct_status run_batches(const prediction *p, int64_t n, ct_tensor *out[]) {
    for (int i = 0; i < p->n_in; i++) { /* once, not once per batch */
        if (p->in[i] && !ct_data(p->in[i])) return ct_error();
    }
    size_t n_parts = (size_t)n * (size_t)p->n_out, made = 0;
    ct_tensor **parts = cti_alloc(n_parts + (size_t)n + (size_t)p->n_in, sizeof *parts);
    if (!parts) return CT_ERR_MEMORY;
    ct_tensor **joined = parts + n_parts, **taken = joined + n;
    ct_status status = CT_OK;
    for (int64_t b = 0; b < n && status == CT_OK; b++) {
        status = run_batch(p, b * p->batch, taken, parts + made);
        if (status == CT_OK) made += (size_t)p->n_out;
    }
    for (int i = 0; i < p->n_out && status == CT_OK; i++) {
        for (int64_t b = 0; b < n; b++) joined[b] = parts[b * p->n_out + i];
        if (!(out[i] = ct_detach(ct_concat(joined, n, 0)))) status = ct_error();
    }
    for (size_t i = 0; i < made; i++) ct_drop(parts[i]);
    cti_free(parts);
    return status;
}

/* Of rows that vary those of all ranks count, so that all come to the same. */
static ct_status count_batches(const prediction *p, int64_t *n) {
    int64_t rows = p->rows;
    bool varies = false;
    for (int i = 0; i < p->n_in && !varies; i++) {
        varies = p->in[i] && cti_mark_of(p->in[i]).axis == 0;
        if (varies) rows = cti_global_dim(p->in[i], 0);
    }
    *n = rows / p->batch + (rows % p->batch != 0);
    if (!varies || *n <= 1) return CT_OK;
    return ct_fail(CT_ERR_STATE,
                   "%s: the inputs vary between ranks and have %lld rows, batch is %lld; give one "
                   "batch, or this rank's rows by ct_own_rows",
                   p->function, (long long)rows, (long long)p->batch);
}

static ct_status predict(const prediction *p, ct_tensor *out[]) {
    int64_t n;
    if (count_batches(p, &n) != CT_OK) return ct_error();
    ct_tensor **made = cti_alloc((size_t)p->n_out, sizeof *made);
    if (!made) return CT_ERR_MEMORY;
    int64_t scope = ct_scope_open();
    ct_status status = n <= 1 ? run(p, p->rows, p->in, made) : run_batches(p, n, made);
    int kept = status == CT_OK ? p->n_out : 0;
    for (int i = 0; i < kept; i++) ct_keep(made[i]);
    ct_scope_close(scope);
    for (int i = 0; i < kept && status == CT_OK; i++) {
        if (!ct_scope_add(made[i])) status = ct_error();
    }
    for (int i = 0; i < kept; i++) {
        if (status == CT_OK) out[i] = made[i];
        ct_drop(made[i]);
    }
    cti_free(made);
    return status;
}

/* Sets the number of rows, which all inputs that are there have. */
static ct_status check_inputs(prediction *p) {
    int first = -1;
    for (int i = 0; i < p->n_in; i++) {
        ct_shape shape = ct_shape_of(p->in[i]);
        if (!p->in[i] && ct_error() != CT_OK) {
            return cti_null("%s: in[%d] is NULL", p->function, i);
        }
        if (!p->in[i]) continue;
        if (shape.rank == 0) {
            return ct_fail(CT_ERR_SHAPE, "%s: in[%d] needs rank >= 1, got a scalar", p->function,
                           i);
        }
        if (first >= 0 && shape.dims[0] != p->rows) {
            return ct_fail(CT_ERR_SHAPE, "%s: in[%d] has %lld rows, in[%d] %lld", p->function,
                           first, (long long)p->rows, i, (long long)shape.dims[0]);
        }
        first = first < 0 ? i : first;
        p->rows = shape.dims[0];
    }
    return first < 0 ? cti_null("%s: in[0] is NULL", p->function) : CT_OK;
}

static ct_status check_batch(prediction *p) {
    if (p->batch < 0) {
        return ct_fail(CT_ERR_RANGE, "%s: batch must be >= 0, got %lld", p->function,
                       (long long)p->batch);
    }
    if (p->batch == 0) p->batch = 256;
    return CT_OK;
}

ct_tensor *ct_predict(ct_module *model, ct_tensor *x, int64_t batch) {
    CTI_CALLED;
    prediction p = {.function = "ct_predict",
                    .model = model,
                    .in = &x,
                    .n_in = 1,
                    .n_out = 1,
                    .batch = batch,
                    .rows = ct_dim(x, 0)};
    if (!model || !x) return cti_null_in("ct_predict: '%s' is NULL", model ? "x" : "model");
    if (check_batch(&p) != CT_OK) return NULL;
    if (ct_shape_of(x).rank == 0) {
        return ct_fail_null(CT_ERR_SHAPE, "ct_predict: x needs rank >= 1, got a scalar");
    }
    ct_tensor *y = NULL;
    return predict(&p, &y) == CT_OK ? y : NULL;
}

ct_status ct_predict_many(ct_module *model, ct_tensor *const in[], int n_in, ct_tensor *out[],
                          int n_out, int64_t batch) {
    CTI_CALLED;
    prediction p = {.function = "ct_predict_many",
                    .model = model,
                    .in = in,
                    .n_in = n_in,
                    .n_out = n_out,
                    .batch = batch};
    if (!model || !in || !out) {
        return cti_null("ct_predict_many: '%s' is NULL", !model ? "model" : in ? "out" : "in");
    }
    if (n_in < 1 || n_out < 1) {
        return ct_fail(CT_ERR_RANGE, "ct_predict_many: n_in and n_out must be >= 1, got %d and %d",
                       n_in, n_out);
    }
    if (check_batch(&p) != CT_OK || check_inputs(&p) != CT_OK) return ct_error();
    return predict(&p, out);
}
