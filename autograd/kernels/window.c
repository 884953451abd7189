/* Sliding windows along one axis: which outputs there are, which taps meet the input, and which
 * positions have the same ones.
 * It knows neither tensors nor what is computed over a window.
 * Invariant: an axis that passed the check has sums and products below 2^63 in all that follows:
 * its parameters are below 2^31, its input is below 2^61. The classes of a range are disjoint and
 * together are the range. */
#include "autograd/kernels/window.h"

#include <stdio.h>

/* The longest dimension that a shape of the smallest floating type can have. */
#define LONGEST (INT64_MAX / 4)

ct_status cti_axis_check(const char *function, const char *what, int dim, cti_axis *axis) {
    const struct {
        const char *what;
        int64_t value, lowest, highest;
    } numbers[] = {
        {what, axis->extent, 1, INT32_MAX},         {"stride", axis->stride, 1, INT32_MAX},
        {"dilation", axis->dilation, 1, INT32_MAX}, {"pad", axis->before, 0, INT32_MAX},
        {"pad", axis->after, 0, INT32_MAX},         {"input", axis->size, 0, LONGEST}};
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
        int64_t value = numbers[k].value, lowest = numbers[k].lowest;
        bool low = value < lowest;
        if (!low && value <= numbers[k].highest) continue;
        return ct_fail(CT_ERR_RANGE, "%s: %s must be %s %lld, got %lld (dim %d)", function,
                       numbers[k].what,
                       low ? ">=" : "<=", (long long)(low ? lowest : numbers[k].highest),
                       (long long)value, dim);
    }
    int64_t padded = axis->size + axis->before + axis->after;
    int64_t dilated = (axis->extent - 1) * axis->dilation + 1;
    if (dilated > padded) {
        char dilation[40] = "";
        if (axis->dilation > 1) {
            snprintf(dilation, sizeof dilation, " (dilated %lld)", (long long)dilated);
        }
        return ct_fail(CT_ERR_SHAPE, "%s: %s %lld%s exceeds padded input %lld on dim %d", function,
                       what, (long long)axis->extent, dilation, (long long)padded, dim);
    }
    axis->out = (padded - dilated) / axis->stride + 1;
    return CT_OK;
}

ct_span cti_window_clip(int64_t start, int64_t step, int64_t count, int64_t size) {
    if (start >= size) return (ct_span){0, 0};
    int64_t from = start < 0 ? cti_least(cti_divide_up(-start, step), count) : 0;
    int64_t to = cti_least(cti_divide_up(size - start, step), count);
    return (ct_span){from, to > from ? to : from};
}

ct_span cti_axis_outputs(const cti_axis *axis, int64_t t) {
    return cti_window_clip(t * axis->dilation - axis->before, axis->stride, axis->out, axis->size);
}

int64_t cti_axis_band(const cti_axis *axis, int64_t wanted) {
    int64_t dilated = (axis->extent - 1) * axis->dilation + 1, bands = axis->size / dilated / 4;
    if (bands > wanted) bands = wanted;
    return axis->size > 0 ? cti_divide_up(axis->size, bands > 1 ? bands : 1) : 1;
}

ct_span cti_axis_touching(const cti_axis *axis, ct_span inputs) {
    /* Output i covers the inputs from i * stride - before on, `dilated` of them. */
    int64_t dilated = (axis->extent - 1) * axis->dilation + 1;
    int64_t first = inputs.first + axis->before - dilated + 1;
    int64_t last = inputs.last - 1 + axis->before;
    int64_t from = first > 0 ? cti_divide_up(first, axis->stride) : 0;
    int64_t to = cti_least(last / axis->stride + 1, axis->out);
    return (ct_span){from, to > from ? to : from};
}

void cti_axis_same(int64_t size, int64_t extent, int64_t stride, int64_t pad[2]) {
    int64_t out = cti_divide_up(size, stride);
    int64_t total = out > 0 ? (out - 1) * stride + extent - size : 0;
    if (total < 0) total = 0;
    pad[0] = total / 2;
    pad[1] = total - pad[0];
}

ct_span cti_axis_under(const cti_axis *axis, ct_span outputs) {
    int64_t dilated = (axis->extent - 1) * axis->dilation + 1;
    int64_t first = outputs.first * axis->stride - axis->before;
    int64_t last = (outputs.last - 1) * axis->stride - axis->before + dilated;
    return (ct_span){cti_most(first, 0), cti_least(last, axis->size)};
}

/* --- Classes ---------------------------------------------------------------------------------- */

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
    ct_span taps = cti_axis_taps(axis, i);
    return (cti_class){.first = i,
                       .count = 1,
                       .step = 1,
                       .first_tap = taps.first,
                       .taps = taps.last - taps.first,
                       .tap_step = 1,
                       .source = i * axis->stride - axis->before + taps.first * axis->dilation,
                       .source_step = axis->stride,
                       .source_tap_step = axis->dilation};
}

/* Input i is read by output (i + before - tap * dilation) / stride, where that has no remainder:
 * by every `period`-th tap. */
static cti_class input_at(const cti_axis *axis, int64_t i) {
    int64_t period = axis->stride / common_divisor(axis->stride, axis->dilation);
    int64_t distance = cti_most(1, period * axis->dilation / axis->stride); /* it is whole */
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
    ct_span taps = cti_window_clip(lowest, distance, last + 1, axis->out);
    c.first_tap = axis->extent - 1 - tap - (last - taps.first) * period;
    c.taps = taps.last - taps.first;
    c.source = lowest + taps.first * distance;
    return c;
}

static cti_class class_at(const cti_classes *classes, int64_t i) {
    return classes->transposed ? input_at(classes->axis, i) : output_at(classes->axis, i);
}

cti_classes cti_classes_of(const cti_axis *axis, bool transposed, ct_span positions) {
    return (cti_classes){axis, transposed, positions.first, positions.last, 0, positions.first};
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
    if (classes->position >= classes->last) {
        classes->position = classes->first + ++classes->residue;
        if (classes->residue >= residues || classes->position >= classes->last) return false;
    }
    *next = class_at(classes, classes->position);
    for (classes->position += next->step; classes->position < classes->last;
         classes->position += next->step, next->count++) {
        cti_class other = class_at(classes, classes->position);
        if (other.taps != next->taps || (other.taps && other.first_tap != next->first_tap)) break;
    }
    return true;
}
