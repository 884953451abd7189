/* The kernel of a convolution's transpose in w: for each tap and channel a sum over pixels of x
 * times the outputs there.
 * Convolution and its transpose in x are in conv_pixels.c.
 * Invariant: parts are cut by shape alone, write disjoint elements, and partial sums are added in
 * the order of their lines. */
#include "autograd/kernels/conv_weights.h"

#include "autograd/kernels/conv_depthwise.h"
#include "autograd/kernels/micro_kernel.h"
#include "autograd/kernels/reduce.h"

#include <string.h>

/* Ranges of lines are summed apart, for several threads, while their partial sums are small. */
#define RANGES 8
#define LEAST_PIXELS 64
#define PARTIAL_BYTES (4 * 1024 * 1024)
/* Outputs worth reading x once more for. */
#define STRIPE 64
#define SUM_ELEMENTS 8192
/* Pixels whose outputs stay in the first-level cache while x streams past them. */
#define BLOCK_PIXELS 128

static cti_conv geometry(const ct_call *call) {
    return cti_conv_of(call->attr, call->out.dtype, call->in[0].shape, call->out.shape,
                       call->in[1].shape);
}

double cti_conv_weights_operations(const ct_call *call) {
    cti_conv g = geometry(call);
    return cti_conv_operations(&g);
}

/* --- Parts ------------------------------------------------------------------------------------ */

/* A part is a range of the lines of y, through all images, for some outputs of one group; stage 1
 * sums over the ranges. */
typedef struct {
    int64_t lines, ranges;    /* of one range; all of them */
    int64_t outputs, stripes; /* of one stripe; those of one group */
    int64_t groups;           /* 1 when one part takes all */
    bool apart;               /* summed in the workspace, for stage 1 */
} cut;

static cut cut_of(const cti_conv *g) {
    int64_t bytes = g->patch * g->outputs * (int64_t)g->element;
    int64_t ranges = cti_least(RANGES, PARTIAL_BYTES / cti_most(bytes, 1));
    ranges = cti_most(1, cti_least(ranges, g->pixels / LEAST_PIXELS));
    bool depthwise = cti_conv_is_depthwise(g);
    int64_t lines = g->images * g->axis[0].out;
    cut c = {.lines = cti_most(1, cti_divide_up(lines, ranges)),
             .groups = depthwise ? 1 : g->groups};
    c.ranges = cti_most(1, cti_divide_up(lines, c.lines));
    int64_t outputs = g->outputs / c.groups;
    int64_t stripes = cti_divide_up(RANGES, cti_least(RANGES, c.ranges * c.groups));
    stripes = depthwise ? 1 : cti_most(1, cti_least(stripes, outputs / STRIPE));
    int64_t lanes = depthwise ? 1 : cti_micro_lanes(g->dtype);
    int64_t panels = cti_divide_up(cti_divide_up(outputs, lanes), stripes);
    c.outputs = cti_most(1, cti_least(outputs, panels * lanes));
    c.stripes = cti_most(1, cti_divide_up(outputs, c.outputs));
    c.apart = c.ranges > 1;
    return c;
}

static cti_range lines_of(const cti_conv *g, const cut *c, int64_t part) {
    int64_t first = part / c->stripes / c->groups * c->lines;
    return (cti_range){first, cti_least(first + c->lines, g->images * g->axis[0].out)};
}

int64_t cti_conv_weights_parts(const ct_call *call) {
    cti_conv g = geometry(call);
    cut c = cut_of(&g);
    return c.ranges * c.groups * c.stripes;
}

size_t cti_conv_weights_workspace(const ct_call *call) {
    cti_conv g = geometry(call);
    cut c = cut_of(&g);
    return c.apart ? (size_t)(c.ranges * ct_shape_numel(call->out.shape)) * g.element : 0;
}

ct_span cti_conv_weights_writes(const ct_call *call, int64_t part) {
    (void)part;
    return (ct_span){0, ct_shape_numel(call->out.shape)};
}

ct_span cti_conv_weights_reads(const ct_call *call, int stage, int i, int64_t part) {
    cti_conv g = geometry(call);
    cut c = cut_of(&g);
    cti_range lines = lines_of(&g, &c, part);
    if (stage == 1 || lines.from >= lines.to) return (ct_span){0, 0};
    int64_t line = g.axis[1].out * g.outputs, image = ct_shape_numel(call->in[0].shape) / g.images;
    if (i == 1) return (ct_span){lines.from * line, lines.to * line};
    int64_t height = g.axis[0].out;
    return (ct_span){lines.from / height * image, ((lines.to - 1) / height + 1) * image};
}

/* --- A part ----------------------------------------------------------------------------------- */

/* The streams are elements of the kernel; the steps are the pixels of a block. */
typedef struct {
    int64_t *from, *to; /* elements behind the first pixel of a group, and in the kernel */
    cti_step *steps;
    void *panels; /* room for the outputs of a block */
    int64_t n_streams, n_steps;
} work;

static int64_t block_lines(const cti_conv *g, const cut *c) {
    int64_t lines = BLOCK_PIXELS / cti_most(g->axis[1].out, 1);
    return cti_most(1, cti_least(lines, c->lines));
}

static int64_t block_pixels(const cti_conv *g, const cut *c) {
    return block_lines(g, c) * g->axis[1].out;
}

static size_t panel_bytes(const cti_conv *g, const cut *c) {
    int64_t lanes = cti_panels(g->dtype, c->outputs) * cti_micro_lanes(g->dtype);
    return (size_t)(lanes * block_pixels(g, c)) * g->element;
}

static size_t offset_bytes(const cti_conv *g) {
    return sizeof(int64_t) * (size_t)cti_micro_offsets(g->dtype, g->patch);
}

size_t cti_conv_weights_scratch(const ct_call *call) {
    cti_conv g = geometry(call);
    cut c = cut_of(&g);
    if (cti_conv_is_depthwise(&g)) return 0;
    return panel_bytes(&g, &c) + 2 * offset_bytes(&g) +
           sizeof(cti_step) * (size_t)block_pixels(&g, &c);
}

static work work_in(const cti_conv *g, const cut *c, void *scratch) {
    char *offsets = (char *)scratch + panel_bytes(g, c);
    return (work){.panels = scratch,
                  .from = (int64_t *)(void *)offsets,
                  .to = (int64_t *)(void *)(offsets + offset_bytes(g)),
                  .steps = (cti_step *)(void *)(offsets + 2 * offset_bytes(g))};
}

/* Taps of an axis that lie inside of the input for the same outputs. */
typedef struct {
    cti_range taps, outputs;
} tap_class;

static tap_class class_from(const cti_axis *axis, int64_t tap) {
    tap_class c = {{tap, tap + 1}, cti_axis_outputs(axis, tap)};
    for (; c.taps.to < axis->extent; c.taps.to++) {
        cti_range next = cti_axis_outputs(axis, c.taps.to);
        if (next.from != c.outputs.from || next.to != c.outputs.to) break;
    }
    return c;
}

static void list_streams(work *w, const cti_conv *g, cti_range rows, cti_range columns) {
    const cti_axis *v = &g->axis[0], *h = &g->axis[1];
    w->n_streams = 0;
    for (int64_t a = rows.from; a < rows.to; a++) {
        for (int64_t b = columns.from; b < columns.to; b++) {
            int64_t pixel = a * v->dilation * h->size + b * h->dilation;
            int64_t row = (a * h->extent + b) * g->group_channels;
            for (int64_t c = 0; c < g->group_channels; c++, w->n_streams++) {
                w->from[w->n_streams] = pixel * g->channels + c;
                w->to[w->n_streams] = (row + c) * g->outputs;
            }
        }
    }
}

/* The pixels of a block whose window has the taps inside. */
static void list_steps(work *w, const cti_conv *g, int64_t distance, cti_range block,
                       cti_range rows, cti_range columns) {
    const cti_axis *v = &g->axis[0], *h = &g->axis[1];
    w->n_steps = 0;
    for (int64_t line = block.from; line < block.to; line++) {
        int64_t image = line / v->out, i = line % v->out;
        if (i < rows.from || i >= rows.to) continue;
        int64_t row = (image * v->size + i * v->stride - v->before) * h->size - h->before;
        for (int64_t j = columns.from; j < columns.to; j++) {
            w->steps[w->n_steps++] = (cti_step){(row + j * h->stride) * g->channels,
                                                ((line - block.from) * h->out + j) * distance};
        }
    }
}

/* What a part sums: outputs [first, first + count) of a group, into the kernel at `data`. */
typedef struct {
    int64_t group, first, count;
    void *data;
} target;

static void run_taps(work *w, const cti_conv *g, const ct_call *call, const target *t,
                     const cti_panels_at *y, bool accumulate) {
    if (w->n_steps == 0 && accumulate) return;
    cti_product all = {.dtype = g->dtype,
                       .steps = w->steps,
                       .n_steps = w->n_steps,
                       .streams = cti_element(g, call->in[0].data, t->group * g->group_channels),
                       .lanes = y->data,
                       .panel = y->panel,
                       .out = cti_element(g, t->data, t->first),
                       .columns = t->count,
                       .accumulate = accumulate};
    cti_micro_run(&all, w->n_streams, w->from, w->to);
}

static void run_block(work *w, const cti_conv *g, const ct_call *call, const target *t,
                      cti_range block, bool accumulate) {
    int64_t width = g->axis[1].out, pixels = (block.to - block.from) * width;
    cti_panels_at y = cti_panels_of(
        g->dtype, pixels, t->count,
        cti_element(g, call->in[1].data, block.from * width * g->outputs + t->first), g->outputs, 1,
        w->panels);
    for (int64_t a = 0; a < g->axis[0].extent;) {
        tap_class v = class_from(&g->axis[0], a);
        for (int64_t b = 0; b < g->axis[1].extent;) {
            tap_class h = class_from(&g->axis[1], b);
            list_streams(w, g, v.taps, h.taps);
            list_steps(w, g, y.row, block, v.outputs, h.outputs);
            if (w->n_streams > 0) run_taps(w, g, call, t, &y, accumulate);
            b = h.taps.to;
        }
        a = v.taps.to;
    }
}

static void run_depthwise(const cti_conv *g, const ct_call *call, cti_range lines, void *w) {
    memset(w, 0, (size_t)ct_shape_numel(call->out.shape) * g->element);
    int64_t width = g->axis[1].out;
    static cti_depthwise_kernel_fn *const kernel[] = CTI_REALS(cti_depthwise_kernel);
    kernel[g->dtype](g, (cti_range){lines.from * width, lines.to * width}, call->in[0].data, w,
                     call->in[1].data);
}

void cti_conv_weights_run(const ct_call *call, int64_t part, void *scratch) {
    cti_conv g = geometry(call);
    cut c = cut_of(&g);
    cti_range lines = lines_of(&g, &c, part);
    int64_t range = part / c.stripes / c.groups;
    void *data = c.apart ? cti_element(&g, call->workspace, range * g.patch * g.outputs)
                         : call->out.data;
    if (cti_conv_is_depthwise(&g)) {
        run_depthwise(&g, call, lines, data);
        return;
    }
    int64_t group = part / c.stripes % c.groups, first = part % c.stripes * c.outputs;
    target t = {group, group * g.group_outputs + first,
                cti_least(c.outputs, g.group_outputs - first), data};
    work w = work_in(&g, &c, scratch);
    int64_t from = lines.from;
    do {
        cti_range block = {from, cti_least(from + block_lines(&g, &c), lines.to)};
        run_block(&w, &g, call, &t, block, from > lines.from);
        from = block.to;
    } while (from < lines.to);
}

/* --- The sum over ranges ---------------------------------------------------------------------- */

int64_t cti_conv_weights_sum_parts(const ct_call *call) {
    cti_conv g = geometry(call);
    if (!cut_of(&g).apart) return 0;
    return cti_divide_up(ct_shape_numel(call->out.shape), SUM_ELEMENTS);
}

void cti_conv_weights_sum(const ct_call *call, int64_t part, void *scratch) {
    (void)scratch;
    cti_conv g = geometry(call);
    int64_t numel = ct_shape_numel(call->out.shape), first = part * SUM_ELEMENTS;
    int64_t count = cti_least(SUM_ELEMENTS, numel - first), ranges = cut_of(&g).ranges;
    const void *partials = cti_element(&g, call->workspace, first);
    void *w = cti_element(&g, call->out.data, first);
    static cti_add_rows_fn *const add_rows[] = CTI_NUMBERS(cti_add_rows);
    add_rows[g.dtype](count, ranges, numel, partials, w);
}
