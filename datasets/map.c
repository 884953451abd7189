/* A source that gives what a function makes of each batch of another: augmentation, say.
 * It knows neither the data nor what becomes of it.
 * Invariant: what it gives is a function of (inner source, epoch, batch number); the position moves
 * only when a whole batch was made. */
#include "datasets/datasets.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"

typedef struct {
    ct_source base;
    ct_source *inner; /* owned */
    ct_batch_function *function;
    void *context;
    int64_t epoch, batch; /* of the batch that comes next */
} map;

static int64_t map_count(const ct_source *source) {
    return ct_source_count(((const map *)source)->inner);
}

static ct_status map_seek(ct_source *source, int64_t epoch, int64_t batch) {
    map *m = (map *)source;
    ct_status status = ct_source_seek(m->inner, epoch, batch);
    if (status != CT_OK) return status;
    m->epoch = epoch;
    m->batch = batch;
    return CT_OK;
}

/* Everything that `before` had is there. */
static ct_status check_batch(const ct_batch *before, const ct_batch *after) {
    if (after->n_more < 0 || after->n_more > CT_BATCH_MORE) {
        return ct_fail(CT_ERR_RANGE,
                       "ct_source_next: the function of a map says n_more %lld; it must "
                       "be 0..%d",
                       (long long)after->n_more, CT_BATCH_MORE);
    }
    char name[32] = "x";
    bool whole = after->x != NULL;
    if (whole && before->y && !after->y) {
        whole = false;
        *name = 'y';
    }
    for (int64_t k = 0; k < after->n_more && whole; k++) {
        whole = after->more[k] != NULL;
        snprintf(name, sizeof name, "more[%lld]", (long long)k);
    }
    if (whole) return CT_OK;
    cti_null_in("ct_source_next: the function of a map made NULL of %s", name);
    return ct_error();
}

static ct_status apply(map *m, ct_batch *batch) {
    ct_batch made = *batch;
    ct_status status;
    {
        CTI_CALLS_USER;
        status = m->function(m->context, m->epoch, m->batch, &made);
    }
    if (status != CT_OK) {
        if (ct_error() != CT_OK) return status;
        return ct_fail(status,
                       "ct_source_next: the function of a map failed and recorded no error");
    }
    status = check_batch(batch, &made);
    if (status == CT_OK) *batch = made;
    return status;
}

static ct_status map_next(ct_source *source, ct_batch *out) {
    map *m = (map *)source;
    ct_batch batch;
    ct_status status = ct_source_next(m->inner, &batch);
    if (status != CT_OK || !batch.x) return status;
    status = apply(m, &batch);
    if (status != CT_OK) {
        ct_source_seek(m->inner, m->epoch, m->batch);
        return status;
    }
    *out = batch;
    m->batch++;
    return CT_OK;
}

static const char *map_describe(const ct_source *source) {
    return ct_source_describe(((const map *)source)->inner);
}

static void map_free(ct_source *source) {
    ct_source_free(((map *)source)->inner);
    cti_free(source);
}

static const ct_source_kind map_kind = {
    .name = "map",
    .count = map_count,
    .seek = map_seek,
    .next = map_next,
    .free = map_free,
    .describe = map_describe,
};

ct_source *ct_source_map_new(ct_source *source, ct_batch_function *function, void *context) {
    CTI_CALLED;
    map *m = NULL;
    if (!source || !function) {
        cti_null_in("ct_source_map_new: '%s' is NULL", source ? "function" : "source");
    } else if (ct_source_seek(source, 0, 0) == CT_OK) {
        m = cti_alloc(1, sizeof *m);
    }
    if (!m) {
        ct_source_free(source);
        return NULL;
    }
    *m = (map){{&map_kind}, source, function, context, 0, 0};
    return &m->base;
}
