/* Private: the patches of an image, what lies under the window of each output pixel, as rows of a
 * matrix; and the transpose, which adds such rows back into the image. */
#ifndef COTAN_CONV_PATCHES_H
#define COTAN_CONV_PATCHES_H

#include "autograd/conv_geometry.h"
#include "tensor/gemm.h"

/* True when the patches are the pixels of x themselves and need no copy. */
bool cti_patches_are_pixels(const cti_conv *g);
/* The matrix [count, g->patch] that copied patches of `count` pixels form in `memory`. */
cti_matrix cti_patches_matrix(const cti_conv *g, int64_t count, void *memory);

/* Copies the patches of output pixels [from, to), numbered through all images, of one group of the
 * channels of x [N,H,W,C]; zeros where a patch hangs over the edge. */
void cti_patches_copy(const cti_conv *g, const void *x, int64_t group, cti_range pixels,
                      void *patches);
/* Adds patches, the rows of a matrix [pixels, g->patch], into x, touching only the image rows
 * [from, to) of `rows`. */
void cti_patches_add(const cti_conv *g, const void *patches, int64_t group, cti_range pixels,
                     cti_range rows, void *x);

#endif
