/* Embedding: rows of a table by whole numbers.
 * There is no gradient here: that of ct_take adds up in the rows that were read.
 * Invariant: slot 0 is the table, a row for each id. */
#include "nn/module_private.h"

#include "autograd/ops/stanza.h"
#include "tensor/base/caller.h"
#include "tensor/base/shape_rules.h"

typedef struct {
    ct_module base;
    bool pads;
    int64_t pad_id;
} embedding;

/* 1 for ids that are the padding id, as [..., 1]. */
static ct_tensor *is_padding(const embedding *layer, ct_tensor *ids, ct_dtype dtype) {
    ct_tensor *pad_id = ct_scalar(CT_I64, (double)layer->pad_id);
    return ct_cast(ct_equal(cti_column(ids), pad_id), dtype);
}

static ct_tensor *forward(ct_module *self, ct_tensor *ids, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    const embedding *layer = (embedding *)self;
    ct_tensor *y = ct_take(ct_module_read(self, 0), ids);
    if (!y || !layer->pads) return y;
    return ct_where(is_padding(layer, ids, ct_dtype_of(y)), ct_stop_gradient(y), y);
}

static const ct_weights_slot pytorch[] = {{.slot = "embeddings", .name = "weight"}, {0}};

static const ct_module_kind embedding_kind = {
    .name = "Embedding", .forward = forward, .takes_ids = true, .pytorch = pytorch};

/* The padding row begins as zeros, and stays what it is. */
static ct_status clear_padding(embedding *layer) {
    int64_t scope = ct_scope_open();
    ct_tensor *table = ct_module_read(&layer->base, 0);
    ct_tensor *padding = is_padding(layer, ct_iota(ct_dim(table, 0)), ct_dtype_of(table));
    ct_tensor *zero = ct_scalar(ct_dtype_of(table), 0.0);
    ct_status status = ct_slot_write(layer->base.slots[0].slot, ct_where(padding, zero, table));
    ct_scope_close(scope);
    return status;
}

ct_module *ct_embedding_new(int64_t count, int64_t size, ct_embedding_options options) {
    CTI_CALLED;
    static const char function[] = "ct_embedding_new";
    if (cti_check_size(function, "count", count) != CT_OK ||
        cti_check_size(function, "size", size) != CT_OK ||
        cti_shape_check(function, CT_SHAPE(count, size), options.dtype) != CT_OK) {
        return NULL;
    }
    if (options.pads && (options.pad_id < 0 || options.pad_id >= count)) {
        return ct_fail_null(CT_ERR_RANGE, "%s: pad_id must be in 0..%lld, got %lld", function,
                            (long long)count - 1, (long long)options.pad_id);
    }
    if (!options.pads && options.pad_id != 0) {
        return ct_fail_null(CT_ERR_STATE, "%s: pad_id is %lld, and pads is false", function,
                            (long long)options.pad_id);
    }
    embedding *layer = (embedding *)ct_module_new(sizeof *layer, &embedding_kind);
    if (!layer) return NULL;
    layer->pads = options.pads;
    layer->pad_id = options.pad_id;
    ct_status status = cti_add_weight(&layer->base, "embeddings", options.embeddings,
                                      &ct_truncated_normal, options.dtype, CT_SHAPE(count, size),
                                      count, size);
    if (status == CT_OK && options.pads) status = clear_padding(layer);
    return cti_module_or_free(&layer->base, status);
}
