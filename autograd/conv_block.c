/* Blocks of pixels for convolution by matrix product: their size, and their operands as matrices.
 * It cuts no parts; each face does, because each writes something else.
 * Invariant: a block's size follows from shapes alone. */
#include "autograd/conv_block.h"

/* The patches of a block stay in the second-level cache, unless that makes too few rows. */
#define BLOCK_BYTES (256 * 1024)
#define LONG_BLOCK_BYTES (8 * 1024 * 1024)

int64_t cti_conv_block(const cti_conv *g, int64_t pixels) {
    int64_t bytes = cti_most(g->patch, 1) * (int64_t)g->element;
    int64_t block = BLOCK_BYTES / bytes;
    if (block < CTI_BLOCK_PIXELS) block = cti_least(CTI_BLOCK_PIXELS, LONG_BLOCK_BYTES / bytes);
    if (block < 1) block = 1;
    return cti_most(1, cti_divide_up(pixels, cti_most(1, cti_divide_up(pixels, block))));
}

ct_span cti_conv_images(const cti_conv *g, cti_range pixels) {
    if (pixels.from >= pixels.to) return (ct_span){0, 0};
    int64_t image = g->axis[0].size * g->axis[1].size * g->channels;
    return (ct_span){pixels.from / g->image_pixels * image,
                     ((pixels.to - 1) / g->image_pixels + 1) * image};
}

size_t cti_conv_patch_bytes(const cti_conv *g, int64_t pixels) {
    bool none = g->patch == 0 || g->outputs == 0 || cti_patches_are_pixels(g) ||
                cti_conv_is_depthwise(g);
    return none ? 0 : (size_t)(pixels * g->patch) * g->element;
}

cti_matrix cti_conv_pixels(const cti_conv *g, void *x, int64_t group, int64_t first) {
    int64_t element = first * g->channels + group * g->group_channels;
    return (cti_matrix){cti_element(g, x, element), g->channels, 1};
}

cti_matrix cti_conv_patches(const cti_conv *g, void *x, int64_t group, cti_range pixels,
                            void *scratch) {
    if (cti_patches_are_pixels(g)) return cti_conv_pixels(g, x, group, pixels.from);
    cti_patches_copy(g, x, group, pixels, scratch);
    return cti_patches_matrix(g, pixels.to - pixels.from, scratch);
}

cti_matrix cti_conv_outputs(const cti_conv *g, void *data, int64_t row, int64_t column) {
    return (cti_matrix){cti_element(g, data, row * g->outputs + column), g->outputs, 1};
}

void cti_conv_product(const cti_conv *g, int64_t m, int64_t n, int64_t k, cti_matrix a,
                      cti_matrix b, cti_matrix c, bool accumulate) {
    if (g->dtype == CT_F32) cti_gemm_f32(m, n, k, a, b, c, accumulate);
    else cti_gemm_f64(m, n, k, a, b, c, accumulate);
}
