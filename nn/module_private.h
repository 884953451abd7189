/* Private: what modules and lists of slots are made with. */
#ifndef COTAN_MODULE_PRIVATE_H
#define COTAN_MODULE_PRIVATE_H

#include "nn/nn.h"
#include "nn/options_private.h"

/* The finished module, or NULL after freeing it when `status` is an error. */
ct_module *cti_module_or_free(ct_module *module, ct_status status);
/* Adds a trainable slot made by `chosen`, or by `usual` when none was chosen. */
ct_status cti_add_weight(ct_module *module, const char *name, ct_initializer chosen,
                         const ct_initializer *usual, ct_dtype dtype, ct_shape shape,
                         int64_t fan_in, int64_t fan_out);
/* For a kind of several inputs and outputs: there are at most so many of them, and the first
 * `needed` inputs are not NULL. */
ct_status cti_check_many(const ct_module *self, ct_tensor *const in[], int n_in, int needed,
                         int most_in, int n_out, int most_out);
/* Adds slots gamma (1) and beta (0), [size], but for those that are left out. */
ct_status cti_add_affine(ct_module *module, int64_t size, ct_dtype dtype, bool no_scale,
                         bool no_center);
/* PyTorch's names of these two. */
extern const ct_weights_slot cti_pytorch_affine[];
/* Checks for a constructor that the padding is one of the two. */
ct_status cti_check_padding(const char *function, ct_padding padding);
/* Checks for a forward that x has this rank; `form` says what it stands for, "[N,H,W,C]". */
ct_status cti_check_rank(const ct_module *self, const ct_tensor *x, int rank, const char *form);
/* The same for images [N,H,W,C], whose sizes are in 1..2^31-1. */
ct_status cti_check_images(const ct_module *self, const ct_tensor *x);
/* Checks for a forward that the last axis of x has this size. */
ct_status cti_check_channels(const ct_module *self, const ct_tensor *x, int64_t channels);
/* Is told of the modules that run in this thread. */
typedef struct cti_observer cti_observer;
struct cti_observer {
    /* Called after each forward that made its outputs, in the order in which forwards end and with
     * the module's path in the context; `out` may be changed. An error is one of the forward. */
    ct_status (*called)(cti_observer *self, ct_module *module, ct_tensor *const in[], int n_in,
                        ct_tensor *out[], int n_out);
    int depth; /* forwards that go on around it: 0 in that of the outermost module */
};
/* Sets this thread's observer, borrowed, or none. Returns the one before, for whoever restores. */
cti_observer *cti_observe(cti_observer *observer);
/* Adds an item whose path is "prefix/name"; its own path is not looked at. */
ct_status cti_slot_list_add(ct_slot_list *list, const char *prefix, const char *name,
                            ct_named_slot item);
/* Drops the other items. */
void cti_slot_list_keep(ct_slot_list *list, bool (*wanted)(const ct_named_slot *item));

#endif
