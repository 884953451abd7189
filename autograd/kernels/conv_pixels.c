/* The kernels of convolution and of its transpose in x. Both sum, for each pixel that they write,
 * over taps and channels of what they read; the transpose has the kernel turned round.
 * The transpose in w sums over pixels: conv_weights.c.
 * Invariant: parts are cut by shape alone and write disjoint elements; pixels of one class differ
 * only in where their sum begins. */
#include "autograd/kernels/conv_pixels.h"

#include "autograd/kernels/conv_class.h"
#include "autograd/kernels/conv_depthwise.h"
#include "autograd/kernels/micro_kernel.h"

#include <string.h>

/* Enough parts for the threads of a small machine, none of so few pixels, of one class even, that
 * reading the kernel shows, none so large that it leaves the second-level cache. */
#define PARTS 16
#define LEAST_PIXELS 64
#define CLASS_PIXELS 16
#define MOST_PIXELS 512

typedef struct {
    int64_t height, width, channels, group_channels;
} side;

typedef struct {
    cti_conv g;
    bool transposed;
    side to, from; /* the images that are written, and read */
} face;

static face face_of(const ct_call *call) {
    const cti_conv_attr *attr = call->attr;
    bool transposed = attr->face == CTI_CONV_X;
    ct_shape x = transposed ? call->out.shape : call->in[0].shape;
    ct_shape y = transposed ? call->in[0].shape : call->out.shape;
    cti_conv g = cti_conv_of(attr, call->out.dtype, x, call->in[1].shape, y);
    side of_x = {g.axis[0].size, g.axis[1].size, g.channels, g.group_channels};
    side of_y = {g.axis[0].out, g.axis[1].out, g.outputs, g.group_outputs};
    return (face){g, transposed, transposed ? of_x : of_y, transposed ? of_y : of_x};
}

double cti_conv_pixels_operations(const ct_call *call) {
    face f = face_of(call);
    return cti_conv_operations(&f.g);
}

/* --- The kernel in panels --------------------------------------------------------------------- */

/* Rows of a panel: taps, and channels that are read. */
static int64_t panel_rows(const face *f) { return f->g.taps * f->from.group_channels; }

static int64_t group_panels(const face *f) {
    int64_t panels = cti_panels(f->g.dtype, f->to.group_channels);
    return panels * panel_rows(f) * cti_micro_lanes(f->g.dtype);
}

static bool is_empty(const ct_call *call) { return ct_shape_numel(call->out.shape) == 0; }

size_t cti_conv_pixels_workspace(const ct_call *call) {
    face f = face_of(call);
    if (is_empty(call) || cti_conv_is_depthwise(&f.g)) return 0;
    return (size_t)(f.g.groups * group_panels(&f)) * f.g.element;
}

int64_t cti_conv_pixels_pack_parts(const ct_call *call) {
    face f = face_of(call);
    bool none = is_empty(call) || cti_conv_is_depthwise(&f.g) || f.from.group_channels == 0;
    return none ? 0 : f.g.groups * f.g.taps;
}

/* One tap of one group. The kernel [taps, channels, outputs] is read along its outputs, or across
 * them for the transpose, whose taps begin with the last. */
void cti_conv_pixels_pack(const ct_call *call, int64_t part, void *scratch) {
    (void)scratch;
    face f = face_of(call);
    const cti_conv *g = &f.g;
    int64_t tap = part % g->taps, group = part / g->taps, rows = f.from.group_channels;
    int64_t source = f.transposed ? g->taps - 1 - tap : tap;
    int64_t at = source * g->group_channels * g->outputs + group * g->group_outputs;
    int64_t to = group * group_panels(&f) + tap * rows * cti_micro_lanes(g->dtype);
    cti_panels_pack(g->dtype, rows, f.to.group_channels, cti_element(g, call->in[1].data, at),
                    f.transposed ? 1 : g->outputs, f.transposed ? g->outputs : 1, panel_rows(&f),
                    cti_element(g, call->workspace, to));
}

/* --- Parts ------------------------------------------------------------------------------------ */

/* A part is some whole images, or a band of rows of one. */
typedef struct {
    int64_t images, rows; /* of one part */
    int64_t bands;        /* of one image */
} cut;

static int64_t least_pixels(const face *f) {
    int64_t classes = cti_classes_count(&f->g.axis[0], f->transposed) *
                      cti_classes_count(&f->g.axis[1], f->transposed);
    return cti_most(LEAST_PIXELS, CLASS_PIXELS * classes);
}

/* The number of parts is rounded up, so that two or four threads get the same. */
static cut cut_of(const face *f) {
    int64_t height = cti_most(f->to.height, 1), width = cti_most(f->to.width, 1);
    int64_t image = height * width, pixels = f->g.images * image;
    int64_t parts = cti_most(1, cti_least(PARTS, pixels / least_pixels(f)));
    parts = cti_most(parts, cti_divide_up(pixels, MOST_PIXELS));
    if (parts > 2) parts = cti_divide_up(parts, 4) * 4;
    if (parts <= f->g.images) return (cut){cti_divide_up(f->g.images, parts), height, 1};
    int64_t bands = cti_least(height, cti_divide_up(parts, cti_most(f->g.images, 1)));
    int64_t rows = cti_divide_up(height, bands);
    return (cut){1, rows, cti_divide_up(height, rows)};
}

typedef struct {
    int64_t first, images;
    cti_range rows; /* of each image */
} region;

static region region_of(const face *f, int64_t part) {
    cut c = cut_of(f);
    int64_t first = part / c.bands * c.images, row = part % c.bands * c.rows;
    return (region){first,
                    cti_least(c.images, f->g.images - first),
                    {row, cti_least(row + c.rows, f->to.height)}};
}

int64_t cti_conv_pixels_parts(const ct_call *call) {
    face f = face_of(call);
    cut c = cut_of(&f);
    return is_empty(call) ? 0 : cti_divide_up(f.g.images, c.images) * c.bands;
}

/* Rows of the first image up to rows of the last: what lies between belongs to the span. */
static ct_span span_of(const side *s, region r, cti_range rows) {
    if (rows.from >= rows.to) return (ct_span){0, 0};
    int64_t line = s->width * s->channels, last = r.first + r.images - 1;
    return (ct_span){(r.first * s->height + rows.from) * line, (last * s->height + rows.to) * line};
}

ct_span cti_conv_pixels_writes(const ct_call *call, int64_t part) {
    face f = face_of(call);
    region r = region_of(&f, part);
    return span_of(&f.to, r, r.rows);
}

/* The rows of x that are under the windows of output rows. */
static cti_range under(const cti_axis *axis, cti_range outputs) {
    int64_t dilated = (axis->extent - 1) * axis->dilation + 1;
    int64_t first = outputs.from * axis->stride - axis->before;
    int64_t last = (outputs.to - 1) * axis->stride - axis->before + dilated;
    return (cti_range){cti_most(first, 0), cti_least(last, axis->size)};
}

ct_span cti_conv_pixels_reads(const ct_call *call, int stage, int i, int64_t part) {
    face f = face_of(call);
    if (i == 1) return (ct_span){0, ct_shape_numel(call->in[1].shape)};
    if (stage == 0) return (ct_span){0, 0};
    region r = region_of(&f, part);
    const cti_axis *axis = &f.g.axis[0];
    cti_range rows = f.transposed ? cti_axis_touching(axis, r.rows) : under(axis, r.rows);
    return span_of(&f.from, r, rows);
}

/* --- A part ----------------------------------------------------------------------------------- */

/* The streams are pixels; the steps are the channels of all taps. */
typedef struct {
    int64_t *from, *to; /* elements behind the channels of a group in the first image */
    cti_step *steps;
    int64_t n_pixels, n_steps;
} work;

static int64_t most_pixels(const face *f) {
    cut c = cut_of(f);
    return cti_micro_offsets(f->g.dtype, c.images * c.rows * f->to.width);
}

size_t cti_conv_pixels_scratch(const ct_call *call) {
    face f = face_of(call);
    if (is_empty(call) || cti_conv_is_depthwise(&f.g)) return 0;
    return 2 * sizeof(int64_t) * (size_t)most_pixels(&f) +
           sizeof(cti_step) * (size_t)panel_rows(&f);
}

static work work_in(const face *f, void *scratch) {
    int64_t n = most_pixels(f);
    int64_t *offsets = scratch;
    return (work){.from = offsets, .to = offsets + n, .steps = (cti_step *)(offsets + 2 * n)};
}

static void list_pixels(work *w, const face *f, region r, const cti_class *v, const cti_class *h) {
    const side *to = &f->to, *from = &f->from;
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

static void list_steps(work *w, const face *f, const cti_class *v, const cti_class *h) {
    const side *from = &f->from;
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

static void run_class(work *w, const face *f, const ct_call *call, int64_t group) {
    const cti_conv *g = &f->g;
    int64_t outputs = f->to.group_channels, channels = f->from.group_channels;
    cti_product all = {.dtype = g->dtype,
                       .steps = w->steps,
                       .n_steps = w->n_steps,
                       .streams = cti_element(g, call->in[0].data, group * channels),
                       .lanes = cti_element(g, call->workspace, group * group_panels(f)),
                       .panel = panel_rows(f) * cti_micro_lanes(g->dtype),
                       .out = cti_element(g, call->out.data, group * outputs),
                       .columns = outputs};
    cti_micro_run(&all, w->n_pixels, w->from, w->to);
}

static void run_depthwise(const face *f, const ct_call *call, int64_t part) {
    const cti_conv *g = &f->g;
    region r = region_of(f, part);
    ct_span out = span_of(&f->to, r, r.rows);
    void *x = call->in[0].data, *w = call->in[1].data, *y = call->out.data;
    memset(cti_element(g, y, out.first), 0, (size_t)(out.last - out.first) * g->element);
    if (!f->transposed) {
        cti_range pixels = {out.first / g->outputs, out.last / g->outputs};
        static cti_depthwise_outputs_fn *const outputs[] = CTI_REALS(cti_depthwise_outputs);
        outputs[g->dtype](g, pixels, x, w, y);
        return;
    }
    cti_range rows = cti_axis_touching(&g->axis[0], r.rows);
    ct_span in = span_of(&f->from, r, rows);
    cti_range pixels = {in.first / g->outputs, in.last / g->outputs};
    static cti_depthwise_input_fn *const input[] = CTI_REALS(cti_depthwise_input);
    input[g->dtype](g, pixels, r.rows, y, w, x);
}

void cti_conv_pixels_run(const ct_call *call, int64_t part, void *scratch) {
    face f = face_of(call);
    if (cti_conv_is_depthwise(&f.g)) {
        run_depthwise(&f, call, part);
        return;
    }
    work w = work_in(&f, scratch);
    region r = region_of(&f, part);
    cti_class v, h;
    cti_classes rows = cti_classes_of(&f.g.axis[0], f.transposed, r.rows);
    while (cti_classes_next(&rows, &v)) {
        cti_classes columns = cti_classes_of(&f.g.axis[1], f.transposed,
                                             (cti_range){0, f.to.width});
        while (cti_classes_next(&columns, &h)) {
            list_pixels(&w, &f, r, &v, &h);
            list_steps(&w, &f, &v, &h);
            for (int64_t group = 0; group < f.g.groups; group++) run_class(&w, &f, call, group);
        }
    }
}
