/* Private: what the layers share. */
#ifndef COTAN_LAYER_H
#define COTAN_LAYER_H

#include "nn/nn.h"

/* Adds a trainable slot made by `chosen`, or by `usual` when none was chosen. */
ct_status cti_add_weight(ct_module *module, const char *name, ct_initializer chosen,
                         const ct_initializer *usual, ct_dtype dtype, ct_shape shape,
                         int64_t fan_in, int64_t fan_out);
/* The finished module, or NULL after freeing it when `status` is an error. */
ct_module *cti_module_or_free(ct_module *module, ct_status status);
/* Checks that a size is in 1..2^31-1, so that products of two sizes stay below 2^62. */
ct_status cti_check_size(const char *function, const char *name, int64_t size);
/* Checks that options are those of `maker`, whose mark is the address of its name. Where zero is a
 * legal number and not the default, zeroed options would be numbers that nobody chose. */
ct_status cti_check_made_by(const char *function, const char *made_by, const char *maker);
/* Zeros around an axis so that output = ceil(input / stride): the larger half comes after. */
void cti_same_padding(int64_t input, int64_t window, int64_t stride, int64_t pad[2]);
/* This thread's stream of ct_seed_draw: the next key, to save it and to go on from it. */
void cti_seed_state(int64_t state[2]);
void cti_seed_restore(const int64_t state[2]);

#endif
