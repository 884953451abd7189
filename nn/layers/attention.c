/* Multi-head attention.
 * It is a composition of dense layers and a few ops; no score is looked at twice.
 * Invariant: children are query, key, value, output and, if there is some, dropout. */
#include "nn/attention.h"

#include "nn/module_private.h"
#include "tensor/base/caller.h"

#include <math.h>

typedef struct {
    ct_module base;
    int64_t width, kv_width, heads;
    bool causal;
} attention;

enum { QUERY, KEY, VALUE, OUTPUT, DROPOUT };

typedef struct {
    ct_tensor *q, *k, *v, *mask;
} operands;

/* --- Shapes ----------------------------------------------------------------------------------- */

/* NULL passes: it stands for what was checked before. */
static ct_status check_sequence(const attention *a, const char *name, ct_tensor *t, int64_t rows,
                                int64_t steps, int64_t width) {
    ct_shape shape = ct_shape_of(t);
    if (shape.rank == 3 && shape.dims[2] == width && (rows < 0 || shape.dims[0] == rows) &&
        (steps < 0 || shape.dims[1] == steps)) {
        return CT_OK;
    }
    char wanted[2][24] = {"N", "T"};
    if (rows >= 0) snprintf(wanted[0], sizeof wanted[0], "%lld", (long long)rows);
    if (steps >= 0) snprintf(wanted[1], sizeof wanted[1], "%lld", (long long)steps);
    return ct_fail(CT_ERR_SHAPE, "%s: %s needs [%s,%s,%lld], got %s", a->base.kind->name, name,
                   wanted[0], wanted[1], (long long)width, ct_shape_format(shape).text);
}

static ct_status check_mask(const attention *a, const operands *o) {
    ct_shape wanted = CT_SHAPE(ct_dim(o->q, 0), a->heads, ct_dim(o->q, 1), ct_dim(o->k, 1));
    ct_shape mask = ct_shape_of(o->mask);
    bool fits = mask.rank <= wanted.rank;
    for (int d = 0; d < mask.rank && fits; d++) {
        int64_t size = mask.dims[d];
        fits = size == 1 || size == wanted.dims[wanted.rank - mask.rank + d];
    }
    if (fits) return CT_OK;
    return ct_fail(CT_ERR_SHAPE, "%s: the mask must broadcast to %s, got %s", a->base.kind->name,
                   ct_shape_format(wanted).text, ct_shape_format(mask).text);
}

static ct_status check(const attention *a, const operands *o) {
    int64_t rows = ct_dim(o->q, 0), steps = ct_dim(o->k, 1);
    ct_status status = check_sequence(a, "q", o->q, -1, -1, a->width);
    if (status == CT_OK) status = check_sequence(a, "k", o->k, rows, -1, a->kv_width);
    if (status == CT_OK) status = check_sequence(a, "v", o->v, rows, steps, a->kv_width);
    if (status == CT_OK && steps < 1) {
        status = ct_fail(CT_ERR_SHAPE, "%s: k needs at least one time step, got %s",
                         a->base.kind->name, ct_shape_format(ct_shape_of(o->k)).text);
    }
    if (status == CT_OK && o->mask) status = check_mask(a, o);
    if (status != CT_OK || !a->causal || steps == ct_dim(o->q, 1)) return status;
    return ct_fail(CT_ERR_SHAPE,
                   "%s: causal attention needs as many keys as queries, got %lld and "
                   "%lld",
                   a->base.kind->name, (long long)steps, (long long)ct_dim(o->q, 1));
}

/* --- Forward ---------------------------------------------------------------------------------- */

static int64_t head_width(const attention *a) { return a->width / a->heads; }

/* Projected, and cut into heads: [N,heads,T,D]. */
static ct_tensor *heads_of(attention *a, int child, ct_tensor *x, ct_mode mode) {
    ct_tensor *y = ct_forward(a->base.children[child], x, mode);
    int64_t rows = ct_dim(x, 0), steps = ct_dim(x, 1);
    y = ct_reshape(y, CT_SHAPE(rows, steps, a->heads, head_width(a)));
    return ct_permute(y, CT_AXES(0, 2, 1, 3));
}

/* The softmax of -inf alone is 0. */
static ct_tensor *masked(ct_tensor *scores, ct_tensor *mask) {
    ct_dtype dtype = ct_dtype_of(scores);
    if (mask && ct_dtype_of(mask) != dtype) mask = ct_cast(mask, dtype);
    return ct_where(mask, scores, ct_scalar(dtype, -INFINITY));
}

static ct_tensor *weights_of(attention *a, const operands *o, ct_mode mode) {
    ct_tensor *q = heads_of(a, QUERY, o->q, mode), *k = heads_of(a, KEY, o->k, mode);
    ct_tensor *size = ct_scalar(ct_dtype_of(q), (double)head_width(a));
    ct_tensor *scores = ct_matmul(ct_mul(q, ct_rsqrt(size)), ct_transpose(k));
    if (a->causal) {
        int64_t steps = ct_dim(o->q, 1);
        ct_tensor *place = ct_iota(steps);
        scores = masked(scores, ct_less_equal(place, ct_reshape(place, CT_SHAPE(steps, 1))));
    }
    if (o->mask) scores = masked(scores, o->mask);
    return ct_softmax(scores, -1);
}

static ct_status forward(ct_module *self, ct_tensor *const in[], int n_in, ct_tensor *out[],
                         int n_out, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    attention *a = (attention *)self;
    if (cti_check_many(self, in, n_in, 1, 4, n_out, 2) != CT_OK) return ct_error();
    operands o = {.q = in[0], .mask = n_in > 3 ? in[3] : NULL};
    o.k = n_in > 1 && in[1] ? in[1] : o.q;
    o.v = n_in > 2 && in[2] ? in[2] : o.k;
    if (check(a, &o) != CT_OK) return ct_error();
    ct_tensor *weights = weights_of(a, &o, mode), *used = weights;
    if (self->n_children > DROPOUT) used = ct_forward(self->children[DROPOUT], used, mode);
    ct_tensor *y = ct_matmul(used, heads_of(a, VALUE, o.v, mode));
    ct_shape joined = CT_SHAPE(ct_dim(o.q, 0), ct_dim(o.q, 1), a->width);
    y = ct_reshape(ct_permute(y, CT_AXES(0, 2, 1, 3)), joined);
    out[0] = ct_forward(self->children[OUTPUT], y, mode);
    if (n_out > 1) out[1] = weights;
    return out[0] ? CT_OK : ct_error();
}

/* In one matrix where keys and values are as wide as queries. */
#define PART(i) .blocks = {3, 1, {i}}
static const ct_weights_slot pytorch[] = {
    {"query/kernel", "in_proj_weight", NULL, NULL, {PART(0), .axes = {2, {1, 0}}}},
    {"key/kernel", "in_proj_weight", NULL, NULL, {PART(1), .axes = {2, {1, 0}}}},
    {"value/kernel", "in_proj_weight", NULL, NULL, {PART(2), .axes = {2, {1, 0}}}},
    {"query/kernel", "q_proj_weight", NULL, NULL, {.axes = {2, {1, 0}}}},
    {"key/kernel", "k_proj_weight", NULL, NULL, {.axes = {2, {1, 0}}}},
    {"value/kernel", "v_proj_weight", NULL, NULL, {.axes = {2, {1, 0}}}},
    {"query/bias", "in_proj_bias", NULL, NULL, {PART(0)}},
    {"key/bias", "in_proj_bias", NULL, NULL, {PART(1)}},
    {"value/bias", "in_proj_bias", NULL, NULL, {PART(2)}},
    {"output/kernel", "out_proj.weight", NULL, NULL, {.axes = {2, {1, 0}}}},
    {.slot = "output/bias", .name = "out_proj.bias"},
    {0}};

/* With an axis for the heads. */
#define HEADS .layout = {.reshaped = true}
static const ct_weights_slot keras[] = {
    {.slot = "query/kernel", .name = "query_dense/vars/0", HEADS},
    {.slot = "query/bias", .name = "query_dense/vars/1", HEADS},
    {.slot = "key/kernel", .name = "key_dense/vars/0", HEADS},
    {.slot = "key/bias", .name = "key_dense/vars/1", HEADS},
    {.slot = "value/kernel", .name = "value_dense/vars/0", HEADS},
    {.slot = "value/bias", .name = "value_dense/vars/1", HEADS},
    {.slot = "output/kernel", .name = "output_dense/vars/0", HEADS},
    {.slot = "output/bias", .name = "output_dense/vars/1"},
    {0}};

static const ct_module_kind attention_kind = {
    .name = "MultiHeadAttention", .forward_many = forward, .pytorch = pytorch, .keras = keras};

/* --- Making ----------------------------------------------------------------------------------- */

static ct_status add_child(ct_module *self, const char *name, ct_module *child) {
    ct_status status = child ? ct_module_rename(child, name) : ct_error();
    ct_status added = child ? ct_module_add_children(self, &child, 1) : status;
    return status == CT_OK ? added : status;
}

static ct_status add_children(attention *a, const ct_attention_options *o) {
    static const char *const names[] = {"query", "key", "value", "output"};
    ct_dense_options dense = {.no_bias = o->no_bias, .kernel = o->kernel, .dtype = o->dtype};
    ct_status status = CT_OK;
    for (int i = QUERY; i <= OUTPUT && status == CT_OK; i++) {
        int64_t inputs = i == KEY || i == VALUE ? a->kv_width : a->width;
        status = add_child(&a->base, names[i], ct_dense_new(inputs, a->width, dense));
    }
    if (status != CT_OK || o->dropout == 0) return status;
    return add_child(&a->base, "dropout", ct_dropout_new(o->dropout));
}

ct_module *ct_multi_head_attention_new(int64_t width, int64_t heads, ct_attention_options options) {
    CTI_CALLED;
    static const char function[] = "ct_multi_head_attention_new";
    int64_t kv_width = options.kv_width ? options.kv_width : width;
    if (cti_check_size(function, "width", width) != CT_OK ||
        cti_check_size(function, "heads", heads) != CT_OK ||
        cti_check_size(function, "kv_width", kv_width) != CT_OK ||
        cti_check_number(function, "dropout", options.dropout, 0, 1) != CT_OK) {
        return NULL;
    }
    if (width % heads) {
        return ct_fail_null(CT_ERR_RANGE, "%s: heads %lld must divide width %lld", function,
                            (long long)heads, (long long)width);
    }
    attention *a = (attention *)ct_module_new(sizeof *a, &attention_kind);
    if (!a) return NULL;
    a->width = width, a->kv_width = kv_width, a->heads = heads, a->causal = options.causal;
    return cti_module_or_free(&a->base, add_children(a, &options));
}
