/* Batches: rows of some tensors, in file order or in the order that belongs to the epoch.
 * It does not train and does not know what the tensors mean.
 * Invariant: a batch is a function of (options, epoch, batch number), whatever a rank has of it;
 * the position moves only when a whole batch was made. */
#include "datasets/datasets.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/base/shape_rules.h"
#include "tensor/graph/node.h"
#include "tensor/io/writer.h"
#include "tensor/random.h"

#include <float.h>
#include <string.h>

/* Apart from the streams that generators count up. */
#define EPOCH_STREAMS (UINT64_C(1) << 63)

typedef struct {
    ct_tensor *tensor;
    const void *data; /* its whole value, alive as long as the tensor is */
    int64_t row;      /* elements in one item */
    ct_dtype out;
    double divide_by; /* 0: copy */
} column;

enum { COLUMNS = 2 + CT_BATCH_MORE };

typedef struct {
    ct_source base;
    column columns[COLUMNS]; /* x, y and what is further */
    int64_t n;
    ct_batches_options options;         /* `limit` and `size` filled in */
    int64_t count;                      /* batches in an epoch */
    int64_t epoch, batch;               /* of the batch that comes next */
    int64_t *order;                     /* this epoch's; NULL: that of the items in x */
    char about[sizeof(cti_shown) + 40]; /* "" when x has no name */
} batches;

static int64_t batches_count(const ct_source *source) { return ((const batches *)source)->count; }

static void set_epoch(batches *b, int64_t epoch) {
    b->epoch = epoch;
    if (b->order) {
        ct_shuffle(b->order, b->options.limit, b->options.seed, EPOCH_STREAMS | (uint64_t)epoch);
    }
}

static ct_status batches_seek(ct_source *source, int64_t epoch, int64_t batch) {
    batches *b = (batches *)source;
    if (epoch < 0) {
        return ct_fail(CT_ERR_RANGE, "ct_source_seek: epoch must be >= 0, got %lld",
                       (long long)epoch);
    }
    if (batch < 0 || batch > b->count) {
        return ct_fail(CT_ERR_RANGE, "ct_source_seek: batch must be 0..%lld, got %lld",
                       (long long)b->count, (long long)batch);
    }
    if (epoch != b->epoch) set_epoch(b, epoch);
    b->batch = batch;
    return CT_OK;
}

static void copy_row(const column *c, int64_t item, void *out, int64_t place) {
    int64_t n = c->row;
    if (c->divide_by == 0) {
        size_t bytes = (size_t)n * ct_dtype_size(c->out);
        memcpy((char *)out + (size_t)place * bytes, (const char *)c->data + (size_t)item * bytes,
               bytes);
    } else if (c->out == CT_F64) {
        const double *from = (const double *)c->data + item * n;
        double *to = (double *)out + place * n;
        for (int64_t i = 0; i < n; i++) to[i] = from[i] / c->divide_by;
    } else if (ct_dtype_of(c->tensor) == CT_F32) {
        const float *from = (const float *)c->data + item * n;
        float *to = (float *)out + place * n, divisor = (float)c->divide_by;
        for (int64_t i = 0; i < n; i++) to[i] = from[i] / divisor;
    } else {
        const uint8_t *from = (const uint8_t *)c->data + item * n;
        float *to = (float *)out + place * n, divisor = (float)c->divide_by;
        for (int64_t i = 0; i < n; i++) to[i] = (float)from[i] / divisor;
    }
}

static ct_tensor *copy_rows(const column *c, const int64_t *order, int64_t first, int64_t n) {
    ct_shape shape = ct_shape_of(c->tensor);
    shape.dims[0] = n;
    ct_tensor *t = cti_leaf_new("ct_source_next", c->out, shape);
    if (!t || t->numel == 0) return t;
    for (int64_t i = 0; i < n; i++) {
        copy_row(c, order ? order[first + i] : first + i, t->buffer->data, i);
    }
    return t;
}

/* Of n items from `first` on, this rank's grains; without a group all. */
static ct_status next_rows(const batches *b, int64_t first, int64_t n, ct_tensor *rows[]) {
    cti_rows *of = ct_group_current() ? cti_rows_even(n) : NULL;
    if (ct_group_current() && !of) return CT_ERR_MEMORY;
    if (of) {
        first += of->before;
        n = cti_rows_count(of);
        of->epoch = b->epoch;
        of->number = b->batch + 1;
    }
    cti_mark mark = of ? (cti_mark){of, 0} : CTI_REPLICATED;
    ct_status status = CT_OK;
    for (int64_t k = 0; k < b->n && status == CT_OK; k++) {
        rows[k] = cti_marked(copy_rows(&b->columns[k], b->order, first, n), mark);
        if (!rows[k]) status = CT_ERR_MEMORY;
    }
    cti_rows_drop(of);
    return status;
}

static ct_status batches_next(ct_source *source, ct_batch *out) {
    if (!out) return ct_fail(CT_ERR_NULL, "ct_source_next: 'out' is NULL");
    batches *b = (batches *)source;
    *out = (ct_batch){0};
    if (b->batch == b->count) return CT_OK;
    int64_t first = b->batch * b->options.size, n = b->options.limit - first;
    ct_tensor *rows[COLUMNS] = {0};
    ct_status status = next_rows(b, first, cti_least(n, b->options.size), rows);
    if (status != CT_OK) return status;
    out->x = rows[0];
    out->y = rows[1];
    out->n_more = b->n > 2 ? b->n - 2 : 0;
    for (int64_t k = 0; k < out->n_more; k++) out->more[k] = rows[k + 2];
    b->batch++;
    return CT_OK;
}

static void batches_free(ct_source *source) {
    batches *b = (batches *)source;
    for (int64_t k = 0; k < b->n; k++) ct_drop(b->columns[k].tensor);
    cti_free(b->order);
    cti_free(b);
}

static const char *batches_describe(const ct_source *source) {
    const batches *b = (const batches *)source;
    return *b->about ? b->about : NULL;
}

static const ct_source_kind batches_kind = {
    .name = "batches",
    .count = batches_count,
    .seek = batches_seek,
    .next = batches_next,
    .free = batches_free,
    .describe = batches_describe,
};

/* What a message calls the tensors. */
typedef struct {
    char text[32];
} title;

static title title_of(int64_t k, bool pair) {
    title t;
    snprintf(t.text, sizeof t.text, pair ? "%c" : "tensors[%d]", pair ? "xy"[k] : (int)k);
    return t;
}

static ct_status check_tensors(ct_tensor *const tensors[], int64_t n, bool pair) {
    for (int64_t k = 0; k < n; k++) {
        if (tensors[k]) continue;
        /* What failed to make it is the first error, and stays. */
        if (ct_error() != CT_OK) return ct_error();
        return ct_fail(CT_ERR_NULL, "ct_batches_new: argument '%s' is NULL",
                       title_of(k, pair).text);
    }
    for (int64_t k = 0; k < n; k++) {
        if (ct_shape_of(tensors[k]).rank > 0) continue;
        return ct_fail(CT_ERR_SHAPE, "ct_batches_new: %s needs rank >= 1, got a scalar",
                       title_of(k, pair).text);
    }
    for (int64_t k = 0; k < n; k++) {
        ct_status status = cti_check_replicated(
            "ct_batches_new", title_of(k, pair).text, tensors[k],
            "each rank gives all items, of which its part of every batch is cut");
        if (status != CT_OK) return status;
    }
    int64_t items = ct_dim(tensors[0], 0);
    for (int64_t k = 1; k < n; k++) {
        int64_t others = ct_dim(tensors[k], 0);
        if (others == items) continue;
        return ct_fail(CT_ERR_SHAPE, "ct_batches_new: %s has %lld items, %s %lld",
                       title_of(0, pair).text, (long long)items, title_of(k, pair).text,
                       (long long)others);
    }
    if (items > 0) return CT_OK;
    return ct_fail(CT_ERR_SHAPE, "ct_batches_new: %s has no items", title_of(0, pair).text);
}

/* Fills in what follows from the number of items. */
static ct_status check_options(ct_batches_options *options, ct_dtype dtype, int64_t items) {
    if (options->limit < 0 || options->limit > items) {
        return ct_fail(CT_ERR_RANGE,
                       "ct_batches_new: limit must be 0 (all) or 1..%lld (items), "
                       "got %lld",
                       (long long)items, (long long)options->limit);
    }
    if (options->limit == 0) options->limit = items;
    if (options->size < 0) {
        return ct_fail(CT_ERR_RANGE, "ct_batches_new: size must be >= 0, got %lld",
                       (long long)options->size);
    }
    if (options->drop_last && options->size > options->limit) {
        return ct_fail(CT_ERR_RANGE,
                       "ct_batches_new: drop_last leaves no batch: %lld items, "
                       "size %lld",
                       (long long)options->limit, (long long)options->size);
    }
    if (options->size == 0) options->size = 32;
    if (options->size > options->limit) options->size = options->limit;
    double divisor = options->divide_by;
    if (divisor != 0 && !(divisor >= (double)FLT_MIN && divisor <= (double)FLT_MAX)) {
        return ct_fail(CT_ERR_RANGE, "ct_batches_new: divide_by must be 0 (none) or %g..%g, got %g",
                       (double)FLT_MIN, (double)FLT_MAX, divisor);
    }
    if (divisor != 0 && dtype != CT_U8 && dtype != CT_F32 && dtype != CT_F64) {
        return ct_fail(CT_ERR_DTYPE,
                       "ct_batches_new: divide_by needs x of u8, f32 or f64, got %s; use ct_cast",
                       ct_dtype_name(dtype));
    }
    return CT_OK;
}

static ct_status column_init(column *c, ct_tensor *t, double divide_by) {
    ct_shape shape = ct_shape_of(t);
    ct_dtype dtype = ct_dtype_of(t);
    *c = (column){
        .tensor = ct_keep(t),
        .data = ct_data(t),
        .row = cti_shape_span(shape, 1, shape.rank),
        .out = divide_by != 0 && dtype == CT_U8 ? CT_F32 : dtype,
        .divide_by = divide_by,
    };
    return c->data ? CT_OK : ct_error();
}

static ct_status fill_columns(batches *b, ct_tensor *const tensors[], int64_t n) {
    for (; b->n < n; b->n++) {
        double divide_by = b->n == 0 ? b->options.divide_by : 0;
        ct_status status = column_init(&b->columns[b->n], tensors[b->n], divide_by);
        if (status == CT_OK) continue;
        b->n++;
        return status;
    }
    return CT_OK;
}

/* `pair`: messages call the tensors x and y. */
static ct_source *make(ct_tensor *const tensors[], int64_t n, bool pair,
                       ct_batches_options options) {
    if (check_tensors(tensors, n, pair) != CT_OK) return NULL;
    ct_tensor *x = tensors[0];
    if (check_options(&options, ct_dtype_of(x), ct_dim(x, 0)) != CT_OK) return NULL;
    batches *b = cti_alloc(1, sizeof *b);
    if (!b) return NULL;
    b->base.kind = &batches_kind;
    b->options = options;
    b->count = options.limit / options.size;
    if (!options.drop_last && options.limit % options.size) b->count++;
    if (options.shuffle) b->order = cti_alloc((size_t)options.limit, sizeof *b->order);
    if ((options.shuffle && !b->order) || fill_columns(b, tensors, n) != CT_OK) {
        batches_free(&b->base);
        return NULL;
    }
    if (*ct_name_of(x)) {
        snprintf(b->about, sizeof b->about, "%lld item%s of %s", (long long)b->options.limit,
                 b->options.limit == 1 ? "" : "s", cti_show_path(ct_name_of(x)).text);
    }
    set_epoch(b, 0);
    return &b->base;
}

ct_source *ct_batches_new(ct_tensor *x, ct_tensor *y, ct_batches_options options) {
    CTI_CALLED;
    return make((ct_tensor *[]){x, y}, 2, true, options);
}

ct_source *ct_batches_many_new(ct_tensor *const tensors[], int64_t n, ct_batches_options options) {
    CTI_CALLED;
    if (!tensors) return cti_null_in("ct_batches_many_new: 'tensors' is NULL");
    if (n < 1 || n > COLUMNS) {
        return ct_fail_null(CT_ERR_RANGE, "ct_batches_many_new: n must be 1..%d, got %lld", COLUMNS,
                            (long long)n);
    }
    return make(tensors, n, false, options);
}
