/* Patches of images for convolution by matrix product: the copy and its transpose.
 * It moves and adds elements and multiplies none.
 * Invariant: patch elements are in the order of the kernel's rows (tap row, tap column, channel),
 * pixel by pixel; copies of one channel lie tap by tap instead, because then runs of pixels are
 * what is contiguous on both sides. */
#include "autograd/conv_patches.h"

#include <string.h>

/* Pixels of one row of one output image. */
typedef struct {
    int64_t image, i, j, count;
} run;

static run run_at(const cti_conv *g, int64_t pixel, int64_t end) {
    int64_t width = g->axis[1].out, inside = pixel % g->image_pixels;
    run r = {pixel / g->image_pixels, inside / width, inside % width, 0};
    r.count = width - r.j < end - pixel ? width - r.j : end - pixel;
    return r;
}

/* The run behind r, which ends its row, with `left` pixels to come. */
static run run_after(const cti_conv *g, run r, int64_t left) {
    int64_t width = g->axis[1].out;
    r.j = 0;
    r.count = width < left ? width : left;
    if (++r.i == g->axis[0].out) {
        r.i = 0;
        r.image++;
    }
    return r;
}

static size_t bytes(const cti_conv *g, int64_t elements) { return (size_t)elements * g->element; }

static bool planar(const cti_conv *g) { return g->channels == 1; }

static bool plain(const cti_axis *axis) {
    return axis->extent == 1 && axis->stride == 1 && axis->before == 0 && axis->after == 0;
}

bool cti_patches_are_pixels(const cti_conv *g) { return plain(&g->axis[0]) && plain(&g->axis[1]); }

cti_matrix cti_patches_matrix(const cti_conv *g, int64_t count, void *memory) {
    return planar(g) ? (cti_matrix){memory, 1, count} : (cti_matrix){memory, g->patch, 1};
}

/* Element (row i * stride - before + tap, first inside column) of the channels of a group. */
static int64_t source(const cti_conv *g, run r, int64_t tap_row, int64_t j, int64_t tap_column,
                      int64_t group) {
    const cti_axis *v = &g->axis[0], *h = &g->axis[1];
    int64_t row = r.i * v->stride - v->before + tap_row * v->dilation;
    int64_t column = j * h->stride - h->before + tap_column * h->dilation;
    return ((r.image * v->size + row) * h->size + column) * g->channels +
           group * g->group_channels;
}

/* --- Copy ------------------------------------------------------------------------------------- */

static void copy_patch(const cti_conv *g, const char *x, int64_t group, run r, int64_t j,
                       cti_range rows, char *patch) {
    const cti_axis *h = &g->axis[1];
    cti_range columns = cti_axis_taps(h, j);
    size_t tap = bytes(g, g->group_channels), row = tap * (size_t)h->extent;
    size_t before = tap * (size_t)columns.from, after = tap * (size_t)(h->extent - columns.to);
    size_t inside = row - before - after, step = bytes(g, h->dilation * g->channels);
    memset(patch, 0, row * (size_t)rows.from);
    for (int64_t a = rows.from; a < rows.to; a++) {
        char *to = patch + row * (size_t)a;
        if (before) memset(to, 0, before);
        if (after) memset(to + before + inside, 0, after);
        if (!inside) continue;
        const char *from = x + bytes(g, source(g, r, a, j, columns.from, group));
        to += before;
        if (step == tap) {
            memcpy(to, from, inside);
            continue;
        }
        for (int64_t b = columns.from; b < columns.to; b++, to += tap, from += step) {
            memcpy(to, from, tap);
        }
    }
    memset(patch + row * (size_t)rows.to, 0, row * (size_t)(g->axis[0].extent - rows.to));
}

static void copy_strided(const cti_conv *g, const char *from, int64_t step, int64_t n, char *to) {
    if (step == 1) {
        memcpy(to, from, bytes(g, n));
        return;
    }
    size_t distance = bytes(g, step);
    if (g->element == sizeof(float)) {
        for (int64_t k = 0; k < n; k++) memcpy(to + k * 4, from + (size_t)k * distance, 4);
    } else {
        for (int64_t k = 0; k < n; k++) memcpy(to + k * 8, from + (size_t)k * distance, 8);
    }
}

static bool row_inside(const cti_axis *v, int64_t i, int64_t tap) {
    int64_t row = i * v->stride - v->before + tap * v->dilation;
    return row >= 0 && row < v->size;
}

static cti_range overlap(cti_range outputs, run r) {
    int64_t end = r.j + r.count;
    cti_range both = {outputs.from > r.j ? outputs.from : r.j, outputs.to < end ? outputs.to : end};
    return both.from < both.to ? both : (cti_range){r.j, r.j};
}

/* One channel: what lies under one tap, for all pixels. */
static void copy_plane(const cti_conv *g, const char *x, int64_t a, int64_t b, cti_range pixels,
                       char *to) {
    cti_range inside = cti_axis_outputs(&g->axis[1], b);
    run r = run_at(g, pixels.from, pixels.to);
    for (int64_t left = pixels.to - pixels.from; left > 0;) {
        cti_range j = {r.j, r.j};
        if (row_inside(&g->axis[0], r.i, a)) j = overlap(inside, r);
        if (j.from > r.j) memset(to, 0, bytes(g, j.from - r.j));
        if (j.from < j.to) {
            copy_strided(g, x + bytes(g, source(g, r, a, j.from, b, 0)), g->axis[1].stride,
                         j.to - j.from, to + bytes(g, j.from - r.j));
        }
        if (j.to < r.j + r.count) {
            memset(to + bytes(g, j.to - r.j), 0, bytes(g, r.j + r.count - j.to));
        }
        to += bytes(g, r.count);
        left -= r.count;
        r = run_after(g, r, left);
    }
}

void cti_patches_copy(const cti_conv *g, const void *x, int64_t group, cti_range pixels,
                      void *patches) {
    int64_t count = pixels.to - pixels.from, taps = g->axis[1].extent;
    for (int64_t t = 0; planar(g) && t < g->taps; t++) {
        copy_plane(g, x, t / taps, t % taps, pixels, (char *)patches + bytes(g, t * count));
    }
    if (planar(g)) return;
    char *patch = patches;
    run r = run_at(g, pixels.from, pixels.to);
    for (int64_t left = count; left > 0; r = run_after(g, r, left)) {
        cti_range rows = cti_axis_taps(&g->axis[0], r.i);
        for (int64_t j = r.j; j < r.j + r.count; j++, patch += bytes(g, g->patch)) {
            copy_patch(g, x, group, r, j, rows, patch);
        }
        left -= r.count;
    }
}

/* --- Add -------------------------------------------------------------------------------------- */

/* All that is under the windows of a run, tap row by tap row. */
#define ADD_RUN(name, type)                                                                   \
    static CT_CLONES void name(const cti_conv *g, const void *patches, int64_t group, run r,  \
                               cti_range rows, void *image) {                                 \
        const cti_axis *h = &g->axis[1];                                                      \
        int64_t tap = g->group_channels, step = h->dilation * g->channels;                    \
        bool joined = step == tap;                                                            \
        for (int64_t k = 0; k < r.count; k++) {                                               \
            const type *patch = (const type *)patches + k * g->patch;                         \
            cti_range columns = cti_axis_taps(h, r.j + k);                                    \
            int64_t taps = columns.to - columns.from;                                         \
            for (int64_t a = rows.from; a < rows.to && taps > 0; a++) {                       \
                const type *restrict from = patch + (a * h->extent + columns.from) * tap;     \
                type *restrict to =                                                           \
                    (type *)image + source(g, r, a, r.j + k, columns.from, group);            \
                int64_t n = joined ? taps * tap : tap, pieces = joined ? 1 : taps;            \
                for (int64_t b = 0; b < pieces; b++, from += n, to += step) {                 \
                    for (int64_t c = 0; c < n; c++) to[c] += from[c];                         \
                }                                                                             \
            }                                                                                 \
        }                                                                                     \
    }
ADD_RUN(patches_add_run_f32, float)
ADD_RUN(patches_add_run_f64, double)

void cti_patches_add(const cti_conv *g, const void *patches, int64_t group, cti_range pixels,
                     cti_range rows, void *x) {
    const cti_axis *v = &g->axis[0];
    const char *from = patches;
    run r = run_at(g, pixels.from, pixels.to);
    for (int64_t left = pixels.to - pixels.from; left > 0; r = run_after(g, r, left)) {
        cti_range taps = cti_window_clip(r.i * v->stride - v->before - rows.from, v->dilation,
                                         v->extent, rows.to - rows.from);
        if (g->dtype == CT_F32) patches_add_run_f32(g, from, group, r, taps, x);
        else patches_add_run_f64(g, from, group, r, taps, x);
        from += bytes(g, r.count * g->patch);
        left -= r.count;
    }
}
