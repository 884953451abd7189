/* Classes of positions of an axis by the taps that reach them.
 * It knows one axis at a time, and nothing of elements.
 * Invariant: the classes of a range are disjoint and together are the range. */
#include "autograd/kernels/conv_class.h"

static int64_t common_divisor(int64_t a, int64_t b) {
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Output i reads input i * stride - before + tap * dilation. */
static cti_class output_at(const cti_axis *axis, int64_t i) {
    cti_range taps = cti_axis_taps(axis, i);
    return (cti_class){.first = i,
                       .count = 1,
                       .step = 1,
                       .first_tap = taps.from,
                       .taps = taps.to - taps.from,
                       .tap_step = 1,
                       .source = i * axis->stride - axis->before + taps.from * axis->dilation,
                       .source_step = axis->stride,
                       .source_tap_step = axis->dilation};
}

/* Input i is read by output (i + before - tap * dilation) / stride, where that has no remainder:
 * by every `period`-th tap. */
static cti_class input_at(const cti_axis *axis, int64_t i) {
    int64_t period = axis->stride / common_divisor(axis->stride, axis->dilation);
    int64_t distance = period * axis->dilation / axis->stride;
    cti_class c = {.first = i,
                   .count = 1,
                   .step = axis->stride,
                   .tap_step = period,
                   .source_step = 1,
                   .source_tap_step = distance};
    int64_t tap = 0, end = cti_least(period, axis->extent);
    while (tap < end && (i + axis->before - tap * axis->dilation) % axis->stride != 0) tap++;
    if (tap == end) return c;
    int64_t last = (axis->extent - 1 - tap) / period; /* the taps that divide: 0 .. last */
    int64_t lowest = (i + axis->before - tap * axis->dilation) / axis->stride - last * distance;
    cti_range taps = cti_window_clip(lowest, distance, last + 1, axis->out);
    c.first_tap = axis->extent - 1 - tap - (last - taps.from) * period;
    c.taps = taps.to - taps.from;
    c.source = lowest + taps.from * distance;
    return c;
}

static cti_class class_at(const cti_classes *classes, int64_t i) {
    return classes->transposed ? input_at(classes->axis, i) : output_at(classes->axis, i);
}

cti_classes cti_classes_of(const cti_axis *axis, bool transposed, cti_range positions) {
    return (cti_classes){axis, transposed, positions.from, positions.to, 0, positions.from};
}

/* One in the middle for each residue, and one for each position whose window hangs over an edge. */
int64_t cti_classes_count(const cti_axis *axis, bool transposed) {
    if (!transposed) {
        int64_t edges = cti_divide_up(axis->before, axis->stride) +
                        cti_divide_up(axis->after, axis->stride);
        return cti_least(axis->out, 1 + edges);
    }
    int64_t overlap = (axis->extent - 1) * axis->dilation;
    int64_t edges = cti_most(overlap - axis->before, 0) + cti_most(overlap - axis->after, 0);
    return cti_least(axis->size, axis->stride + edges);
}

bool cti_classes_next(cti_classes *classes, cti_class *next) {
    int64_t residues = classes->transposed ? classes->axis->stride : 1;
    if (classes->position >= classes->to) {
        classes->position = classes->from + ++classes->residue;
        if (classes->residue >= residues || classes->position >= classes->to) return false;
    }
    *next = class_at(classes, classes->position);
    for (classes->position += next->step; classes->position < classes->to;
         classes->position += next->step, next->count++) {
        cti_class other = class_at(classes, classes->position);
        if (other.taps != next->taps || (other.taps && other.first_tap != next->first_tap)) break;
    }
    return true;
}
