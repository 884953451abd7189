/* Private: what the kernels of the three faces of a convolution have in common. A matrix product
 * runs over a block of pixels whose patches are in memory together. */
#ifndef COTAN_CONV_BLOCK_H
#define COTAN_CONV_BLOCK_H

#include "autograd/conv_depthwise.h"
#include "autograd/conv_patches.h"

/* A product of fewer rows is mostly overhead. */
#define CTI_BLOCK_PIXELS 64

static inline int64_t cti_least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t cti_most(int64_t a, int64_t b) { return a > b ? a : b; }
/* a / b rounded up, for a >= 0 and b >= 1. */
static inline int64_t cti_divide_up(int64_t a, int64_t b) { return a / b + (a % b != 0); }

static inline void *cti_element(const cti_conv *g, void *data, int64_t element) {
    return (char *)data + (size_t)element * g->element;
}

/* The elements of x [N,H,W,C] in the images of output pixels [from, to). */
ct_span cti_conv_images(const cti_conv *g, cti_range pixels);
/* Pixels of one block, when `pixels` are to be cut into blocks: at least 1. */
int64_t cti_conv_block(const cti_conv *g, int64_t pixels);
/* Bytes that the copied patches of so many pixels need: 0 when nothing is copied. */
size_t cti_conv_patch_bytes(const cti_conv *g, int64_t pixels);
/* The patches of pixels as a matrix [pixels, patch]: copied to `scratch`, or x itself. */
cti_matrix cti_conv_patches(const cti_conv *g, void *x, int64_t group, cti_range pixels,
                            void *scratch);
/* The pixels of x of one group as a matrix [.., group_channels], from pixel `first` on. */
cti_matrix cti_conv_pixels(const cti_conv *g, void *x, int64_t group, int64_t first);
/* Output pixels, or rows of a kernel, from (row, column) on: rows are `outputs` long. */
cti_matrix cti_conv_outputs(const cti_conv *g, void *data, int64_t row, int64_t column);
/* c = a b or c += a b in the dtype of g; a [m,k], b [k,n]. */
void cti_conv_product(const cti_conv *g, int64_t m, int64_t n, int64_t k, cti_matrix a,
                      cti_matrix b, cti_matrix c, bool accumulate);

#endif
