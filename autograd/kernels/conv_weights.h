/* Private: what the ways to compute a convolution's transpose in w share: how the work is cut. */
#ifndef COTAN_CONV_WEIGHTS_H
#define COTAN_CONV_WEIGHTS_H

#include "autograd/kernels/conv.h"

/* A part is a range of the lines of y, or of its tiles, through all images, for some outputs of one
 * group; stage 1 sums over the ranges, unless each of them is a grain. */
typedef struct {
    cti_conv g;
    int64_t all_lines, elements; /* of y; of what a range sums */
    int64_t lines, ranges;       /* of one range; all of them */
    int64_t outputs, stripes;    /* of one stripe; those of one group */
    int64_t groups;              /* 1 when one part takes all */
    bool apart;                  /* summed in the workspace, for stage 1 */
    bool by_grain;               /* the ranges are grains, with a result of its own for each */
    int64_t block_lines;
    int64_t block;                         /* of tiles; see conv_winograd_weights.c */
    size_t y_bytes, x_bytes, offset_bytes; /* x: 0 when it is read where it lies */
} cti_weights;

/* The part of `winograd` in the three steps of the kernel. */
void cti_winograd_weights_prepare(cti_weights *s, ct_prepared *p);
/* The lines of y under lines of tiles. */
ct_span cti_winograd_lines(const cti_conv *g, ct_span lines);
void cti_winograd_weights_run(const ct_call *call, int64_t part, void *scratch);
void cti_winograd_weights_sum(const ct_call *call, int64_t part, void *scratch);

#endif
