/* Dropout: a random mask in training, nothing in inference.
 * The mask is an op of a key, so it is the same whenever it is computed again.
 * Invariant: each training forward takes the next key of the layer's own stream, which is a slot
 * and so is saved with the model; a forward that is given the stream leaves the slot alone. */
#include "nn/module_private.h"

#include "tensor/base/caller.h"
#include "tensor/value/slot_private.h"

typedef struct {
    ct_module base;
    double rate;
} dropout;

/* The key of this forward. The slot gets the next one, unless the key was given by a functional
 * call. */
static ct_tensor *next_key(ct_module *self) {
    ct_slot *slot = self->slots[0].slot;
    ct_tensor *key = ct_module_read(self, 0);
    if (slot->replacement) return key;
    const int64_t *now = ct_data_i64(key);
    if (!now) return NULL;
    int64_t next[2] = {now[0], (int64_t)((uint64_t)now[1] + 1)};
    return ct_slot_write(slot, ct_from(CT_I64, CT_SHAPE(2), next)) == CT_OK ? key : NULL;
}

static ct_tensor *forward(ct_module *self, ct_tensor *x, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    double rate = ((dropout *)self)->rate;
    if (mode != CT_TRAINING || rate == 0) return ct_scope_add(x);
    ct_tensor *u = ct_random_uniform(next_key(self), ct_dtype_of(x), ct_shape_of(x));
    ct_tensor *kept = ct_greater_equal(u, ct_scalar(ct_dtype_of(x), rate));
    return ct_mul(x, ct_scale(kept, 1.0 / (1.0 - rate)));
}

static const ct_module_kind dropout_kind = {.name = "Dropout", .forward = forward};

ct_module *ct_dropout_new(double rate) {
    CTI_CALLED;
    if (!(rate >= 0 && rate < 1)) {
        return ct_fail_null(CT_ERR_RANGE, "ct_dropout_new: rate must be in [0,1), got %g", rate);
    }
    dropout *layer = (dropout *)ct_module_new(sizeof *layer, &dropout_kind);
    if (!layer) return NULL;
    layer->rate = rate;
    int64_t scope = ct_scope_open();
    /* The layer's own seed: the drawn key's stream number, with the seed's bits mixed in. */
    ct_tensor *key = ct_seed_draw();
    ct_tensor *mixed = key ? ct_sum_all(ct_mul(key, ct_from(CT_I64, CT_SHAPE(2),
                                                            (int64_t[]){INT64_C(0x2545F4914F6CDD1D),
                                                                        INT64_C(0x1234567)})))
                           : NULL;
    ct_tensor *zero = ct_from(CT_I64, CT_SHAPE(1), (int64_t[]){0});
    ct_tensor *first = mixed ? CT_CONCAT(0, ct_reshape(mixed, CT_SHAPE(1)), zero) : NULL;
    ct_status status = ct_module_add_slot(&layer->base, "stream", first, false);
    ct_scope_close(scope);
    return cti_module_or_free(&layer->base, status);
}
