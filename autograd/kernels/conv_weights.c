/* The kernel of a convolution's transpose in w: for each tap and channel a sum over pixels of x
 * times the outputs there.
 * Convolution and its transpose in x are in conv_pixels.c.
 * Invariant: parts are cut by shape alone, write disjoint elements, and partial sums are added in
 * the order of their lines. */
#include "autograd/kernels/conv_weights.h"

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

/* --- Parts ------------------------------------------------------------------------------------ */

static void cut_lines(cti_weights *s) {
    const cti_conv *g = &s->g;
    int64_t bytes = s->elements * (int64_t)g->element;
    int64_t ranges = cti_least(RANGES, PARTIAL_BYTES / cti_most(bytes, 1));
    ranges = cti_most(1, cti_least(ranges, g->pixels / LEAST_PIXELS));
    s->lines = cti_most(1, cti_divide_up(s->all_lines, ranges));
    s->ranges = cti_most(1, cti_divide_up(s->all_lines, s->lines));
    s->apart = s->ranges > 1;
}

/* For so many ranges. */
static void cut_outputs(cti_weights *s, int64_t ranges) {
    const cti_conv *g = &s->g;
    s->groups = g->depthwise ? 1 : g->groups;
    int64_t outputs = g->outputs / s->groups, lanes = cti_micro_lanes(g->dtype);
    int64_t stripes = cti_divide_up(RANGES, cti_least(RANGES, ranges * s->groups));
    stripes = cti_most(1, cti_least(stripes, outputs / STRIPE));
    s->outputs = outputs;
    if (!g->depthwise) {
        int64_t panels = cti_divide_up(cti_divide_up(outputs, lanes), stripes);
        s->outputs = cti_most(1, cti_least(outputs, panels * lanes));
    }
    s->stripes = cti_most(1, cti_divide_up(outputs, s->outputs));
}

static int64_t range_of(const cti_weights *s, int64_t part) {
    return part / s->stripes / s->groups;
}

static ct_span lines_of(const ct_call *call, int64_t part) {
    const cti_weights *s = call->state;
    int64_t range = range_of(s, part), first = range * s->lines, height = s->g.axis[0].out;
    ct_span lines = {first, cti_least(first + s->lines, s->all_lines)};
    if (s->g.winograd) return cti_winograd_lines(&s->g, lines);
    if (!s->by_grain) return lines;
    const cti_conv_grains_attr *attr = call->attr;
    ct_span images = cti_grain(&attr->grains, range);
    return (ct_span){images.first * height, images.last * height};
}

static ct_span writes(const ct_call *call, int64_t part) {
    const cti_weights *s = call->state;
    int64_t elements = s->g.patch * s->g.outputs;
    int64_t first = s->by_grain ? range_of(s, part) * elements : 0;
    return (ct_span){first, first + elements};
}

static ct_span reads(const ct_call *call, int stage, int i, int64_t part) {
    const cti_weights *s = call->state;
    const cti_conv *g = &s->g;
    ct_span lines = lines_of(call, part);
    if (stage == 1 || lines.first >= lines.last) return (ct_span){0, 0};
    int64_t line = g->axis[1].out * g->outputs, height = g->axis[0].out;
    int64_t image = g->axis[0].size * g->axis[1].size * g->channels;
    if (i == 1) return (ct_span){lines.first * line, lines.last * line};
    return (ct_span){lines.first / height * image, ((lines.last - 1) / height + 1) * image};
}

/* The rows of x, numbered through all images, that a block of lines reads, and those between. */
static ct_span rows_under(const cti_conv *g, ct_span block) {
    const cti_axis *v = &g->axis[0];
    int64_t first = block.first % v->out, last = (block.last - 1) % v->out;
    int64_t top = cti_axis_under(v, (ct_span){first, first + 1}).first;
    int64_t bottom = cti_axis_under(v, (ct_span){last, last + 1}).last;
    top = block.first / v->out * v->size + cti_least(top, v->size);
    bottom = (block.last - 1) / v->out * v->size + cti_most(bottom, 0);
    return (ct_span){top, cti_most(top, bottom)};
}

static int64_t most_rows_under(const cti_weights *s) {
    int64_t most = 0;
    for (int64_t i = 0; i < s->g.axis[0].out; i++) {
        ct_span rows = rows_under(&s->g, (ct_span){i, i + s->block_lines});
        most = cti_most(most, rows.last - rows.first);
    }
    return most;
}

static cti_weights *begin(const ct_call *call, ct_prepared *p) {
    cti_weights *s = p->state;
    s->g = cti_conv_of(call);
    s->all_lines = s->g.images * s->g.axis[0].out;
    s->elements = s->g.patch * s->g.outputs;
    p->operations = cti_conv_operations(&s->g);
    p->writes = writes;
    p->reads = reads;
    return s;
}

/* What follows from the ranges. */
static void prepare_parts(const cti_weights *s, ct_prepared *p) {
    const cti_conv *g = &s->g;
    p->parts[0] = s->ranges * s->groups * s->stripes;
    p->parts[1] = s->apart ? cti_divide_up(s->elements, SUM_ELEMENTS) : 0;
    p->workspace = s->apart ? (size_t)(s->ranges * s->elements) * g->element : 0;
}

/* Room for a block of lines of the longest range. */
static void prepare_blocks(cti_weights *s, ct_prepared *p) {
    const cti_conv *g = &s->g;
    if (g->depthwise) return;
    int64_t width = g->axis[1].out, lines = BLOCK_PIXELS / cti_most(width, 1);
    s->block_lines = cti_most(1, cti_least(lines, s->lines));
    s->y_bytes = cti_panels_bytes(g->dtype, s->block_lines * width, s->outputs);
    /* Pixels of many channels lie apart by powers of two, and would push each other out of the
     * first-level cache while the outputs of a block pass by. */
    bool packs = g->group_channels > cti_micro_lanes(g->dtype);
    int64_t pixels = packs ? most_rows_under(s) * g->axis[1].size : 0;
    s->x_bytes = cti_panels_bytes(g->dtype, pixels, g->group_channels);
    s->offset_bytes = sizeof(int64_t) * (size_t)cti_micro_offsets(g->dtype, g->patch);
    p->scratch = s->y_bytes + s->x_bytes + 2 * s->offset_bytes +
                 sizeof(cti_step) * (size_t)(s->block_lines * width);
}

static void prepare(const ct_call *call, ct_prepared *p) {
    cti_weights *s = begin(call, p);
    if (s->g.winograd) {
        cti_winograd_weights_prepare(s, p);
        return;
    }
    cut_lines(s);
    cut_outputs(s, s->ranges);
    prepare_parts(s, p);
    prepare_blocks(s, p);
}

/* Blocks and stripes follow from what is the same on all ranks, so that a grain's kernel does not
 * depend on how many others are on its rank. */
static void prepare_grains(const ct_call *call, ct_prepared *p) {
    const cti_grains *grains = &((const cti_conv_grains_attr *)call->attr)->grains;
    cti_weights *s = begin(call, p);
    s->by_grain = true;
    s->g.winograd = false;
    s->ranges = grains->n;
    s->lines = cti_most(1, grains->most * s->g.axis[0].out);
    cut_outputs(s, grains->all);
    prepare_parts(s, p);
    prepare_blocks(s, p);
}

/* --- A part ----------------------------------------------------------------------------------- */

/* The streams are elements of the kernel; the steps are the pixels of a block. */
typedef struct {
    int64_t *from, *to; /* elements behind the first pixel of a group, and in the kernel */
    cti_step *steps;
    void *y_room, *x_room; /* for the panels of a block */
    cti_panels_at x, y;    /* packed, or where they lie */
    int64_t first_pixel;   /* of x */
    int64_t n_streams, n_steps;
} work;

static work work_in(const cti_weights *s, void *scratch) {
    char *offsets = (char *)scratch + s->y_bytes + s->x_bytes;
    return (work){.y_room = scratch,
                  .x_room = (char *)scratch + s->y_bytes,
                  .from = (int64_t *)(void *)offsets,
                  .to = (int64_t *)(void *)(offsets + s->offset_bytes),
                  .steps = (cti_step *)(void *)(offsets + 2 * s->offset_bytes)};
}

/* Taps of an axis that lie inside of the input for the same outputs. */
typedef struct {
    ct_span taps, outputs;
} tap_class;

static tap_class class_from(const cti_axis *axis, int64_t tap) {
    tap_class c = {{tap, tap + 1}, cti_axis_outputs(axis, tap)};
    for (; c.taps.last < axis->extent; c.taps.last++) {
        ct_span next = cti_axis_outputs(axis, c.taps.last);
        if (next.first != c.outputs.first || next.last != c.outputs.last) break;
    }
    return c;
}

static void list_streams(work *w, const cti_conv *g, ct_span rows, ct_span columns) {
    const cti_axis *v = &g->axis[0], *h = &g->axis[1];
    int64_t lanes = cti_micro_lanes(g->dtype);
    w->n_streams = 0;
    for (int64_t a = rows.first; a < rows.last; a++) {
        for (int64_t b = columns.first; b < columns.last; b++) {
            int64_t pixel = a * v->dilation * h->size + b * h->dilation;
            int64_t row = (a * h->extent + b) * g->group_channels;
            for (int64_t c = 0; c < g->group_channels; c++, w->n_streams++) {
                w->from[w->n_streams] = pixel * w->x.row + c / lanes * w->x.panel + c % lanes;
                w->to[w->n_streams] = (row + c) * g->outputs;
            }
        }
    }
}

/* The pixels of a block whose window has the taps inside. */
static void list_steps(work *w, const cti_conv *g, ct_span block, ct_span rows, ct_span columns) {
    const cti_axis *v = &g->axis[0], *h = &g->axis[1];
    w->n_steps = 0;
    for (int64_t line = block.first; line < block.last; line++) {
        int64_t image = line / v->out, i = line % v->out;
        if (i < rows.first || i >= rows.last) continue;
        int64_t row = (image * v->size + i * v->stride - v->before) * h->size - h->before;
        for (int64_t j = columns.first; j < columns.last; j++) {
            int64_t pixel = row + j * h->stride - w->first_pixel;
            int64_t output = (line - block.first) * h->out + j;
            w->steps[w->n_steps++] = (cti_step){pixel * w->x.row, output * w->y.row};
        }
    }
}

/* What a part sums: outputs [first, first + count) of a group, into the kernel at `data`. */
typedef struct {
    int64_t group, first, count;
    void *data;
} target;

static void run_taps(work *w, const cti_conv *g, const target *t, bool accumulate) {
    if (w->n_steps == 0 && accumulate) return;
    cti_product all = {.dtype = g->dtype,
                       .steps = w->steps,
                       .n_steps = w->n_steps,
                       .streams = w->x.data,
                       .lanes = w->y.data,
                       .panel = w->y.panel,
                       .out = cti_element(g, t->data, t->first),
                       .columns = t->count,
                       .accumulate = accumulate};
    cti_micro_run(&all, w->n_streams, w->from, w->to);
}

static void pack_block(work *w, const cti_weights *s, const ct_call *call, const target *t,
                       ct_span block) {
    const cti_conv *g = &s->g;
    const cti_axis *h = &g->axis[1];
    w->y = cti_panels_of(
        g->dtype, (block.last - block.first) * h->out, t->count,
        cti_element(g, call->in[1].data, block.first * h->out * g->outputs + t->first), g->outputs,
        1, w->y_room);
    void *x = cti_element(g, call->in[0].data, t->group * g->group_channels);
    int64_t lanes = cti_micro_lanes(g->dtype);
    w->first_pixel = 0;
    w->x = (cti_panels_at){x, g->channels, lanes};
    if (s->x_bytes == 0 || block.first >= block.last) return;
    ct_span rows = rows_under(g, block);
    int64_t pixels = (rows.last - rows.first) * h->size;
    w->first_pixel = rows.first * h->size;
    cti_panels_pack(g->dtype, pixels, g->group_channels,
                    cti_element(g, x, w->first_pixel * g->channels), g->channels, 1, pixels,
                    w->x_room);
    w->x = (cti_panels_at){w->x_room, lanes, pixels * lanes};
}

static void run_block(work *w, const cti_conv *g, const target *t, ct_span block, bool accumulate) {
    for (int64_t a = 0; a < g->axis[0].extent;) {
        tap_class v = class_from(&g->axis[0], a);
        for (int64_t b = 0; b < g->axis[1].extent;) {
            tap_class h = class_from(&g->axis[1], b);
            list_streams(w, g, v.taps, h.taps);
            list_steps(w, g, block, v.outputs, h.outputs);
            if (w->n_streams > 0) run_taps(w, g, t, accumulate);
            b = h.taps.last;
        }
        a = v.taps.last;
    }
}

static void run_depthwise(const cti_conv *g, const ct_call *call, ct_span lines, void *w) {
    static const cti_depthwise *const faces[] = CTI_REALS(&cti_depthwise);
    memset(w, 0, (size_t)(g->patch * g->outputs) * g->element);
    int64_t width = g->axis[1].out;
    faces[g->dtype]->kernel(g, (ct_span){lines.first * width, lines.last * width}, call->in[0].data,
                            w, call->in[1].data);
}

static void run(const ct_call *call, int64_t part, void *scratch) {
    const cti_weights *s = call->state;
    const cti_conv *g = &s->g;
    if (g->winograd) {
        cti_winograd_weights_run(call, part, scratch);
        return;
    }
    ct_span lines = lines_of(call, part);
    void *all = s->apart ? call->workspace : call->out.data;
    void *data = cti_element(g, all, range_of(s, part) * s->elements);
    if (g->depthwise) {
        run_depthwise(g, call, lines, data);
        return;
    }
    int64_t group = part / s->stripes % s->groups, first = part % s->stripes * s->outputs;
    target t = {group, group * g->group_outputs + first,
                cti_least(s->outputs, g->group_outputs - first), data};
    work w = work_in(s, scratch);
    int64_t from = lines.first;
    do {
        ct_span block = {from, cti_least(from + s->block_lines, lines.last)};
        pack_block(&w, s, call, &t, block);
        run_block(&w, g, &t, block, from > lines.first);
        from = block.last;
    } while (from < lines.last);
}

static void add_ranges(const ct_call *call, int64_t part, void *scratch) {
    static cti_add_rows_fn *const add_rows[] = CTI_NUMBERS(cti_add_rows);
    const cti_weights *s = call->state;
    if (s->g.winograd) {
        cti_winograd_weights_sum(call, part, scratch);
        return;
    }
    int64_t first = part * SUM_ELEMENTS, count = cti_least(SUM_ELEMENTS, s->elements - first);
    add_rows[s->g.dtype](count, s->ranges, s->elements, cti_element(&s->g, call->workspace, first),
                         cti_element(&s->g, call->out.data, first));
}

const ct_kernel cti_conv_weights = {
    .state = sizeof(cti_weights), .prepare = prepare, .run = {run, add_ranges}};
const ct_kernel cti_conv_grain_weights = {
    .state = sizeof(cti_weights), .prepare = prepare_grains, .run = {run}};
