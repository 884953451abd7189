/* Private: what the layers that convolve have in common. */
#ifndef COTAN_CONV_H
#define COTAN_CONV_H

#include "nn/module_private.h"

/* Slot 0 is the kernel, slot 1 the bias if there is one. */
typedef struct {
    ct_module base;
    ct_conv2d_options options; /* without zeros that stand for something else */
} cti_conv;

/* Replaces zeros by what they stand for, and checks. */
ct_status cti_conv_complete(const char *function, int64_t inputs, int64_t filters,
                            ct_conv2d_options *options);
/* A layer with a kernel of this shape, whose last two axes are its fans, and a bias of `filters`
 * elements; `options` are complete. */
ct_module *cti_conv_new(const char *function, const ct_module_kind *kind, ct_shape kernel,
                        int64_t filters, const ct_conv2d_options *options);
/* The taps of one axis: what they span. */
int64_t cti_conv_window(const ct_conv2d_options *options, int d);
/* "Same" padding depends on the size of the input, so each forward computes it. */
ct_conv2d_spec cti_conv_spec(const ct_module *self, int64_t height, int64_t width);
/* y with the bias, if there is one. */
ct_tensor *cti_conv_biased(ct_module *self, ct_tensor *y);

#endif
