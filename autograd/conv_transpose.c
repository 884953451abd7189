/* The kernels of the two transposes of a convolution: y w^T added back into an image, and x^T y.
 * Their descriptors are in op_conv.c.
 * Invariant: parts are cut by shape alone, write disjoint elements, and partial sums are added in
 * the order of their pixels. */
#include "autograd/conv_transpose.h"

#include "autograd/conv_block.h"

#include <string.h>

/* Rows of a kernel that are transposed together: their columns stay in the first-level cache. */
#define TILE 64
/* Enough parts for the threads of a small machine, not more than the work is worth. */
#define PARTS 16
/* Pixel ranges of a kernel's gradient are summed apart, while their partial sums are small. */
#define RANGES 8
#define PARTIAL_BYTES (4 * 1024 * 1024)
/* Columns of a kernel's gradient worth copying the patches once more for. */
#define COLUMNS 64
#define SUM_ELEMENTS 8192
/* BLIS 0.9.0 reads up to 8 bytes behind a product that it adds to, when the columns are no multiple
 * of 4 (flame/blis issue 635). Such a sum is kept in the workspace, which has room for that. */
#define ROOM 64

/* --- In x: y w^T, added back ------------------------------------------------------------------ */

static cti_conv input_geometry(const ct_call *call) {
    return cti_conv_of(call->attr, call->out.dtype, call->out.shape, call->in[1].shape,
                       call->in[0].shape);
}

double cti_conv2d_input_operations(const ct_call *call) {
    cti_conv g = input_geometry(call);
    return cti_conv_operations(&g);
}

/* A part is some whole images, or a band of rows of one image; a band also reads the outputs that
 * hang over its edges, so it must be high. */
typedef struct {
    int64_t images, rows; /* of one part  */
    int64_t bands;        /* of one image */
} input_cut;

static input_cut cut_input(const cti_conv *g) {
    int64_t pixels = cti_most(g->image_pixels, 1);
    int64_t wanted = g->images < PARTS ? cti_divide_up(PARTS, cti_most(g->images, 1)) : 1;
    wanted = cti_least(wanted, pixels / CTI_BLOCK_PIXELS);
    input_cut cut = {.images = 1, .rows = cti_axis_band(&g->axis[0], wanted)};
    cut.bands = cti_divide_up(cti_most(g->axis[0].size, 1), cut.rows);
    if (cut.bands == 1) cut.images = cti_divide_up(CTI_BLOCK_PIXELS, pixels);
    return cut;
}

static int64_t input_block(const cti_conv *g, input_cut cut) {
    return cti_conv_block(g, cut.images * g->image_pixels);
}

size_t cti_conv2d_input_scratch(const ct_call *call) {
    cti_conv g = input_geometry(call);
    return cti_conv_patch_bytes(&g, input_block(&g, cut_input(&g)));
}

/* The kernel with rows and columns exchanged, [outputs, patch]. BLIS multiplies by a transposed
 * view at half the speed, and reads behind the other operand (flame/blis issue 821). */
size_t cti_conv2d_input_workspace(const ct_call *call) {
    cti_conv g = input_geometry(call);
    return cti_conv_is_depthwise(&g) ? 0 : (size_t)(g.outputs * g.patch) * g.element;
}

int64_t cti_conv2d_input_turn_parts(const ct_call *call) {
    cti_conv g = input_geometry(call);
    return cti_conv_is_depthwise(&g) ? 0 : cti_divide_up(g.patch, TILE);
}

#define TURN(name, type)                                                                      \
    static void name(const cti_conv *g, cti_range rows, const void *kernel, void *turned) {   \
        for (int64_t o = 0; o < g->outputs; o++) {                                            \
            const type *from = (const type *)kernel + o;                                      \
            type *to = (type *)turned + o * g->patch;                                         \
            for (int64_t k = rows.from; k < rows.to; k++) to[k] = from[k * g->outputs];       \
        }                                                                                     \
    }
TURN(turn_f32, float)
TURN(turn_f64, double)

void cti_conv2d_input_turn_run(const ct_call *call, int64_t part, void *scratch) {
    (void)scratch;
    cti_conv g = input_geometry(call);
    cti_range rows = {part * TILE, cti_least((part + 1) * TILE, g.patch)};
    (g.dtype == CT_F32 ? turn_f32 : turn_f64)(&g, rows, call->in[1].data, call->workspace);
}

int64_t cti_conv2d_input_parts(const ct_call *call) {
    cti_conv g = input_geometry(call);
    input_cut cut = cut_input(&g);
    return cti_divide_up(g.images, cut.images) * cut.bands;
}

static void add_block(const cti_conv *g, const ct_call *call, cti_range pixels, cti_range rows,
                      void *scratch) {
    if (cti_conv_is_depthwise(g)) {
        cti_depthwise_input(g, pixels, rows, call->out.data, call->in[1].data, call->in[0].data);
        return;
    }
    int64_t count = pixels.to - pixels.from;
    for (int64_t group = 0; group < g->groups; group++) {
        int64_t column = group * g->group_outputs;
        cti_matrix y = cti_conv_outputs(g, call->in[0].data, pixels.from, column);
        cti_matrix w = {cti_element(g, call->workspace, column * g->patch), g->patch, 1};
        bool whole = cti_patches_are_pixels(g);
        cti_matrix x = whole ? cti_conv_pixels(g, call->out.data, group, pixels.from)
                             : (cti_matrix){scratch, g->patch, 1};
        cti_conv_product(g, count, g->patch, g->group_outputs, y, w, x, false);
        if (!whole) cti_patches_add(g, scratch, group, pixels, rows, call->out.data);
    }
}

/* What a part computes, and from what. */
typedef struct {
    int64_t first;            /* image                                            */
    cti_range rows;           /* of it                                            */
    int64_t height;           /* rows, of all images                              */
    cti_range pixels;         /* outputs, numbered through all images             */
} input_part;

static input_part part_of(const cti_conv *g, input_cut cut, int64_t part) {
    const cti_axis *v = &g->axis[0];
    int64_t first = part / cut.bands * cut.images, row = part % cut.bands * cut.rows;
    int64_t images = cti_least(cut.images, g->images - first);
    cti_range rows = {row, cti_least(row + cut.rows, v->size)};
    /* Several images are one stretch of rows, and so are their outputs. */
    bool whole = cut.bands == 1;
    cti_range lines = whole ? (cti_range){0, images * v->out} : cti_axis_touching(v, rows);
    int64_t start = first * g->image_pixels, width = g->axis[1].out;
    return (input_part){first, rows, whole ? images * v->size : rows.to - rows.from,
                        {start + lines.from * width, start + lines.to * width}};
}

static ct_span input_rows(const cti_conv *g, input_part p) {
    int64_t line = g->axis[1].size * g->channels;
    int64_t from = (p.first * g->axis[0].size + p.rows.from) * line;
    return (ct_span){from, from + p.height * line};
}

ct_span cti_conv2d_input_writes(const ct_call *call, int64_t part) {
    cti_conv g = input_geometry(call);
    return input_rows(&g, part_of(&g, cut_input(&g), part));
}

ct_span cti_conv2d_input_reads(const ct_call *call, int stage, int i, int64_t part) {
    cti_conv g = input_geometry(call);
    if (i == 1) return (ct_span){0, ct_shape_numel(call->in[1].shape)};
    if (stage == 0) return (ct_span){0, 0};
    cti_range pixels = part_of(&g, cut_input(&g), part).pixels;
    return (ct_span){pixels.from * g.outputs, pixels.to * g.outputs};
}

void cti_conv2d_input_run(const ct_call *call, int64_t part, void *scratch) {
    cti_conv g = input_geometry(call);
    input_cut cut = cut_input(&g);
    input_part p = part_of(&g, cut, part);
    ct_span out = input_rows(&g, p);
    memset(cti_element(&g, call->out.data, out.first), 0,
           (size_t)(out.last - out.first) * g.element);
    int64_t block = input_block(&g, cut), from = p.pixels.from;
    for (; from < p.pixels.to && g.outputs > 0; from += block) {
        cti_range pixels = {from, cti_least(from + block, p.pixels.to)};
        add_block(&g, call, pixels, p.rows, scratch);
    }
}

/* --- In w: x^T y ------------------------------------------------------------------------------ */

static cti_conv kernel_geometry(const ct_call *call) {
    return cti_conv_of(call->attr, call->out.dtype, call->in[0].shape, call->out.shape,
                       call->in[1].shape);
}

double cti_conv2d_kernel_operations(const ct_call *call) {
    cti_conv g = kernel_geometry(call);
    return cti_conv_operations(&g);
}

/* A part is a range of pixels for some columns of one group; stage 1 sums over the ranges. */
typedef struct {
    int64_t pixels, ranges;   /* of one range; all of them              */
    int64_t columns, stripes; /* of one stripe; those of one group      */
    int64_t groups;           /* 1 when one part takes all              */
    bool apart;               /* summed in the workspace, for stage 1   */
} kernel_cut;

static kernel_cut cut_kernel(const cti_conv *g) {
    int64_t bytes = g->taps * g->group_channels * g->outputs * (int64_t)g->element;
    int64_t ranges = cti_least(RANGES, PARTIAL_BYTES / cti_most(bytes, 1));
    ranges = cti_most(1, cti_least(ranges, g->pixels / CTI_BLOCK_PIXELS));
    bool depthwise = cti_conv_is_depthwise(g);
    kernel_cut cut = {.pixels = cti_most(1, cti_divide_up(g->pixels, ranges)),
                      .groups = depthwise ? 1 : g->groups};
    cut.ranges = cti_most(1, cti_divide_up(g->pixels, cut.pixels));
    int64_t columns = g->outputs / cut.groups;
    int64_t stripes = cti_divide_up(RANGES, cti_least(RANGES, cut.ranges * cut.groups));
    stripes = depthwise ? 1 : cti_most(1, cti_least(stripes, columns / COLUMNS));
    cut.columns = cti_most(1, cti_divide_up(columns, stripes));
    cut.stripes = cti_most(1, cti_divide_up(columns, cut.columns));
    bool adds = cti_conv_block(g, cut.pixels) < cut.pixels && !depthwise;
    cut.apart = cut.ranges > 1 || (adds && (columns % 4 != 0 || cut.columns % 4 != 0));
    return cut;
}

size_t cti_conv2d_kernel_scratch(const ct_call *call) {
    cti_conv g = kernel_geometry(call);
    return cti_conv_patch_bytes(&g, cti_conv_block(&g, cut_kernel(&g).pixels));
}

size_t cti_conv2d_kernel_workspace(const ct_call *call) {
    cti_conv g = kernel_geometry(call);
    kernel_cut cut = cut_kernel(&g);
    if (!cut.apart) return 0;
    return (size_t)(cut.ranges * ct_shape_numel(call->out.shape)) * g.element + ROOM;
}

int64_t cti_conv2d_kernel_parts(const ct_call *call) {
    cti_conv g = kernel_geometry(call);
    kernel_cut cut = cut_kernel(&g);
    return cut.ranges * cut.groups * cut.stripes;
}

static cti_range kernel_pixels(const cti_conv *g, kernel_cut cut, int64_t part) {
    int64_t first = part / cut.stripes / cut.groups * cut.pixels;
    return (cti_range){first, cti_least(first + cut.pixels, g->pixels)};
}

ct_span cti_conv2d_kernel_writes(const ct_call *call, int64_t part) {
    (void)part;
    return (ct_span){0, ct_shape_numel(call->out.shape)};
}

ct_span cti_conv2d_kernel_reads(const ct_call *call, int stage, int i, int64_t part) {
    cti_conv g = kernel_geometry(call);
    if (stage == 1) return (ct_span){0, 0};
    cti_range pixels = kernel_pixels(&g, cut_kernel(&g), part);
    if (i == 0) return cti_conv_images(&g, pixels);
    return (ct_span){pixels.from * g.outputs, pixels.to * g.outputs};
}

/* w += x^T y over pixels [from, to), or w = for the first block. */
static void multiply_block(const cti_conv *g, const ct_call *call, int64_t group, int64_t column,
                           int64_t columns, cti_range pixels, cti_matrix w, bool accumulate,
                           void *scratch) {
    cti_matrix x = cti_conv_patches(g, call->in[0].data, group, pixels, scratch);
    cti_matrix y = cti_conv_outputs(g, call->in[1].data, pixels.from, column);
    cti_matrix transposed = {x.data, x.column, x.row};
    cti_conv_product(g, g->patch, columns, pixels.to - pixels.from, transposed, y, w, accumulate);
}

void cti_conv2d_kernel_run(const ct_call *call, int64_t part, void *scratch) {
    cti_conv g = kernel_geometry(call);
    kernel_cut cut = cut_kernel(&g);
    bool depthwise = cti_conv_is_depthwise(&g);
    int64_t stripe = part % cut.stripes, group = part / cut.stripes % cut.groups;
    int64_t range = part / cut.stripes / cut.groups;
    int64_t column = group * g.group_outputs + stripe * cut.columns;
    int64_t columns = cti_least(cut.columns, g.outputs / cut.groups - stripe * cut.columns);
    void *to = cut.apart ? call->workspace : call->out.data;
    cti_matrix w = cti_conv_outputs(&g, to, range * g.patch, column);
    int64_t first = kernel_pixels(&g, cut, part).from, last = kernel_pixels(&g, cut, part).to;
    for (int64_t k = 0; (first == last || depthwise) && k < g.patch; k++) {
        memset(cti_element(&g, w.data, k * w.row), 0, (size_t)columns * g.element);
    }
    if (depthwise) {
        cti_depthwise_kernel(&g, (cti_range){first, last}, call->in[0].data, w.data,
                             call->in[1].data);
        return;
    }
    int64_t block = cti_conv_block(&g, cut.pixels);
    for (int64_t p = first; p < last; p += block) {
        cti_range pixels = {p, cti_least(p + block, last)};
        multiply_block(&g, call, group, column, columns, pixels, w, p > first, scratch);
    }
}

int64_t cti_conv2d_kernel_sum_parts(const ct_call *call) {
    cti_conv g = kernel_geometry(call);
    if (!cut_kernel(&g).apart) return 0;
    return cti_divide_up(ct_shape_numel(call->out.shape), SUM_ELEMENTS);
}

#define SUM(name, type)                                                                       \
    static CT_CLONES void name(int64_t n, int64_t count, int64_t distance, const void *in,    \
                               void *out) {                                                   \
        type *restrict y = out;                                                               \
        for (int64_t i = 0; i < n; i++) y[i] = ((const type *)in)[i];                         \
        for (int64_t k = 1; k < count; k++) {                                                 \
            const type *restrict x = (const type *)in + k * distance;                         \
            for (int64_t i = 0; i < n; i++) y[i] += x[i];                                     \
        }                                                                                     \
    }
SUM(sum_partials_f32, float)
SUM(sum_partials_f64, double)

void cti_conv2d_kernel_sum_run(const ct_call *call, int64_t part, void *scratch) {
    (void)scratch;
    cti_conv g = kernel_geometry(call);
    int64_t numel = ct_shape_numel(call->out.shape), first = part * SUM_ELEMENTS;
    int64_t count = cti_least(SUM_ELEMENTS, numel - first), ranges = cut_kernel(&g).ranges;
    const void *partials = cti_element(&g, call->workspace, first);
    void *w = cti_element(&g, call->out.data, first);
    if (g.dtype == CT_F32) sum_partials_f32(count, ranges, numel, partials, w);
    else sum_partials_f64(count, ranges, numel, partials, w);
}
