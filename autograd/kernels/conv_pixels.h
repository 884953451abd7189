/* Private: what the ways to compute a convolution, or its transpose in x, share: which images are
 * written and read, and how the work is cut. */
#ifndef COTAN_CONV_PIXELS_H
#define COTAN_CONV_PIXELS_H

#include "autograd/kernels/conv.h"

/* The images that are written, or read. */
typedef struct {
    int64_t height, width, channels, group_channels;
} cti_side;

typedef struct {
    cti_conv g;
    bool transposed;
    cti_side to, from;
    /* A part is some whole images, or a band of rows of one. */
    int64_t images, rows; /* of one part */
    int64_t bands;        /* of one image */
    int64_t panel_rows;   /* taps, and channels that are read */
    size_t group_panels;  /* bytes of the panels of one group */
    int64_t offsets;      /* room for the pixels of a part */
    int64_t block;        /* tiles that are computed together; see conv_winograd.c */
} cti_face;

typedef struct {
    int64_t first, images;
    ct_span rows; /* of each image */
} cti_region;

/* The part of `winograd` in the three steps of the kernel. */
void cti_winograd_prepare(cti_face *f, ct_prepared *p);
void cti_winograd_pack(const ct_call *call, int64_t part, void *scratch);
void cti_winograd_run(const ct_call *call, cti_region r, void *scratch);

#endif
