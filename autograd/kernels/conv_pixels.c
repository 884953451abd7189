/* The kernels of convolution and of its transpose in x. Both sum, for each pixel that they write,
 * over taps and channels of what they read; the transpose has the kernel turned round.
 * The transpose in w sums over pixels: conv_weights.c. How tiles of 3 x 3 kernels are computed with
 * fewer multiplications: conv_winograd.c.
 * Invariant: parts are cut by shape alone and write disjoint elements; pixels of one class differ
 * only in where their sum begins. */
#include "autograd/kernels/conv_pixels.h"

#include "autograd/kernels/micro_kernel.h"
#include "autograd/kernels/winograd.h"

#include <string.h>

/* Enough parts for the threads of a small machine, none of so few pixels, of one class even, that
 * reading the kernel shows, none so large that it leaves the second-level cache. */
#define PARTS 16
#define LEAST_PIXELS 64
#define CLASS_PIXELS 16
#define MOST_PIXELS 512
/* Each part reads sixteen matrices, and bands are whole tiles. */
#define WINOGRAD_PIXELS 128

/* --- Parts ------------------------------------------------------------------------------------ */

static int64_t least_pixels(const cti_face *f) {
    if (f->g.winograd) return WINOGRAD_PIXELS;
    int64_t classes = cti_classes_count(&f->g.axis[0], f->transposed) *
                      cti_classes_count(&f->g.axis[1], f->transposed);
    return cti_most(LEAST_PIXELS, CLASS_PIXELS * classes);
}

/* The number of parts is rounded up, so that two or four threads get the same. */
static void cut(cti_face *f) {
    int64_t pixels = f->g.images * f->to.height * f->to.width;
    int64_t parts = cti_most(1, cti_least(PARTS, pixels / least_pixels(f)));
    parts = cti_most(parts, cti_divide_up(pixels, MOST_PIXELS));
    if (parts > 2) parts = cti_divide_up(parts, 4) * 4;
    f->images = 1;
    f->rows = f->to.height;
    if (parts <= f->g.images) f->images = cti_divide_up(f->g.images, parts);
    else
        f->rows = cti_divide_up(f->to.height,
                                cti_least(f->to.height, cti_divide_up(parts, f->g.images)));
    if (f->g.winograd) f->rows = cti_divide_up(f->rows, CTI_TILE_OUTPUTS) * CTI_TILE_OUTPUTS;
    f->bands = cti_divide_up(f->to.height, f->rows);
}

static cti_region region_of(const cti_face *f, int64_t part) {
    int64_t first = part / f->bands * f->images, row = part % f->bands * f->rows;
    return (cti_region){first,
                        cti_least(f->images, f->g.images - first),
                        {row, cti_least(row + f->rows, f->to.height)}};
}

/* Rows of the first image up to rows of the last: what lies between belongs to the span. */
static ct_span span_of(const cti_side *s, cti_region r, ct_span rows) {
    if (rows.first >= rows.last) return (ct_span){0, 0};
    int64_t line = s->width * s->channels, last = r.first + r.images - 1;
    return (ct_span){(r.first * s->height + rows.first) * line,
                     (last * s->height + rows.last) * line};
}

static ct_span writes(const ct_call *call, int64_t part) {
    const cti_face *f = call->state;
    cti_region r = region_of(f, part);
    return span_of(&f->to, r, r.rows);
}

static ct_span rows_read(const cti_face *f, ct_span rows) {
    const cti_axis *axis = &f->g.axis[0];
    if (f->g.winograd) rows.last += rows.last % CTI_TILE_OUTPUTS; /* whole tiles */
    return f->transposed ? cti_axis_touching(axis, rows) : cti_axis_under(axis, rows);
}

static ct_span reads(const ct_call *call, int stage, int i, int64_t part) {
    const cti_face *f = call->state;
    if (i == 1) return (ct_span){0, ct_shape_numel(call->in[1].shape)};
    if (stage == 0) return (ct_span){0, 0};
    cti_region r = region_of(f, part);
    return span_of(&f->from, r, rows_read(f, r.rows));
}

static void prepare(const ct_call *call, ct_prepared *p) {
    const cti_conv g = cti_conv_of(call);
    bool transposed = ((const cti_conv_attr *)call->attr)->face == CTI_CONV_X;
    cti_side x = {g.axis[0].size, g.axis[1].size, g.channels, g.group_channels};
    cti_side y = {g.axis[0].out, g.axis[1].out, g.outputs, g.group_outputs};
    cti_face *f = p->state;
    *f = (cti_face){g, transposed, .to = transposed ? x : y, .from = transposed ? y : x};
    cut(f);
    p->parts[0] = 0;
    p->parts[1] = cti_divide_up(g.images, f->images) * f->bands;
    p->operations = cti_conv_operations(&g);
    p->writes = writes;
    p->reads = reads;
    if (g.depthwise) return;
    if (g.winograd) {
        cti_winograd_prepare(f, p);
        return;
    }
    f->panel_rows = g.taps * f->from.group_channels;
    f->group_panels = cti_panels_bytes(g.dtype, f->panel_rows, f->to.group_channels);
    f->offsets = cti_micro_offsets(g.dtype, f->images * f->rows * f->to.width);
    p->parts[0] = f->from.group_channels ? g.groups * g.taps : 0;
    p->workspace = (size_t)g.groups * f->group_panels;
    p->scratch = 2 * sizeof(int64_t) * (size_t)f->offsets +
                 sizeof(cti_step) * (size_t)f->panel_rows;
}

/* --- The kernel in panels --------------------------------------------------------------------- */

static void *group_panels(const cti_face *f, const ct_call *call, int64_t group) {
    return (char *)call->workspace + (size_t)group * f->group_panels;
}

/* One tap of one group. The kernel [taps, channels, outputs] is read along its outputs, or across
 * them for the transpose, whose taps begin with the last. */
static void pack(const ct_call *call, int64_t part, void *scratch) {
    const cti_face *f = call->state;
    const cti_conv *g = &f->g;
    if (g->winograd) {
        cti_winograd_pack(call, part, scratch);
        return;
    }
    int64_t tap = part % g->taps, group = part / g->taps, rows = f->from.group_channels;
    int64_t source = f->transposed ? g->taps - 1 - tap : tap;
    int64_t at = source * g->group_channels * g->outputs + group * g->group_outputs;
    int64_t to = tap * rows * cti_micro_lanes(g->dtype);
    cti_panels_pack(g->dtype, rows, f->to.group_channels, cti_element(g, call->in[1].data, at),
                    f->transposed ? 1 : g->outputs, f->transposed ? g->outputs : 1, f->panel_rows,
                    cti_element(g, group_panels(f, call, group), to));
}

/* --- A part ----------------------------------------------------------------------------------- */

/* The streams are pixels; the steps are the channels of all taps. */
typedef struct {
    int64_t *from, *to; /* elements behind the channels of a group in the first image */
    cti_step *steps;
    int64_t n_pixels, n_steps;
} work;

static void list_pixels(work *w, const cti_face *f, cti_region r, const cti_class *v,
                        const cti_class *h) {
    const cti_side *to = &f->to, *from = &f->from;
    w->n_pixels = 0;
    for (int64_t image = r.first; image < r.first + r.images; image++) {
        for (int64_t i = 0; i < v->count; i++) {
            int64_t row = image * to->height + v->first + i * v->step;
            int64_t source_row = image * from->height + v->source + i * v->source_step;
            int64_t at = (row * to->width + h->first) * to->channels;
            int64_t source = (source_row * from->width + h->source) * from->channels;
            for (int64_t j = 0; j < h->count; j++, w->n_pixels++) {
                w->to[w->n_pixels] = at + j * h->step * to->channels;
                w->from[w->n_pixels] = source + j * h->source_step * from->channels;
            }
        }
    }
}

static void list_steps(work *w, const cti_face *f, const cti_class *v, const cti_class *h) {
    const cti_side *from = &f->from;
    int64_t channels = from->group_channels, lanes = cti_micro_lanes(f->g.dtype);
    w->n_steps = 0;
    for (int64_t a = 0; a < v->taps; a++) {
        for (int64_t b = 0; b < h->taps; b++) {
            int64_t pixel = a * v->source_tap_step * from->width + b * h->source_tap_step;
            int64_t tap = (v->first_tap + a * v->tap_step) * f->g.axis[1].extent + h->first_tap +
                          b * h->tap_step;
            for (int64_t c = 0; c < channels; c++) {
                w->steps[w->n_steps++] = (cti_step){pixel * from->channels + c,
                                                    (tap * channels + c) * lanes};
            }
        }
    }
}

static void run_class(work *w, const cti_face *f, const ct_call *call, int64_t group) {
    const cti_conv *g = &f->g;
    int64_t outputs = f->to.group_channels, channels = f->from.group_channels;
    cti_product all = {.dtype = g->dtype,
                       .steps = w->steps,
                       .n_steps = w->n_steps,
                       .streams = cti_element(g, call->in[0].data, group * channels),
                       .lanes = group_panels(f, call, group),
                       .panel = f->panel_rows * cti_micro_lanes(g->dtype),
                       .out = cti_element(g, call->out.data, group * outputs),
                       .columns = outputs};
    cti_micro_run(&all, w->n_pixels, w->from, w->to);
}

static void run_depthwise(const cti_face *f, const ct_call *call, cti_region r) {
    static const cti_depthwise *const faces[] = CTI_REALS(&cti_depthwise);
    const cti_conv *g = &f->g;
    ct_span out = span_of(&f->to, r, r.rows), in = span_of(&f->from, r, rows_read(f, r.rows));
    void *x = call->in[0].data, *w = call->in[1].data, *y = call->out.data;
    memset(cti_element(g, y, out.first), 0, (size_t)(out.last - out.first) * g->element);
    ct_span pixels = f->transposed ? in : out;
    ct_span range = {pixels.first / g->outputs, pixels.last / g->outputs};
    if (f->transposed) faces[g->dtype]->input(g, range, r.rows, y, w, x);
    else faces[g->dtype]->outputs(g, range, x, w, y);
}

static void run(const ct_call *call, int64_t part, void *scratch) {
    const cti_face *f = call->state;
    cti_region r = region_of(f, part);
    if (f->g.depthwise) {
        run_depthwise(f, call, r);
        return;
    }
    if (f->g.winograd) {
        cti_winograd_run(call, r, scratch);
        return;
    }
    int64_t *offsets = scratch;
    work w = {.from = offsets,
              .to = offsets + f->offsets,
              .steps = (cti_step *)(offsets + 2 * f->offsets)};
    cti_class v, h;
    cti_classes rows = cti_classes_of(&f->g.axis[0], f->transposed, r.rows);
    while (cti_classes_next(&rows, &v)) {
        cti_classes columns = cti_classes_of(&f->g.axis[1], f->transposed,
                                             (ct_span){0, f->to.width});
        while (cti_classes_next(&columns, &h)) {
            list_pixels(&w, f, r, &v, &h);
            list_steps(&w, f, &v, &h);
            for (int64_t group = 0; group < f->g.groups; group++) run_class(&w, f, call, group);
        }
    }
}

const ct_kernel cti_conv_pixels = {
    .state = sizeof(cti_face), .prepare = prepare, .run = {pack, run}};
