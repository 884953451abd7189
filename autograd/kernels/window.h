/* Private: one axis of a window that slides over an image, for convolutions and pooling alike. */
#ifndef COTAN_WINDOW_H
#define COTAN_WINDOW_H

#include "tensor/base/shape_rules.h"
#include "tensor/op.h"

#include <stdbool.h>
#include <stdint.h>

/* Tap t of output i lies on input i * stride + t * dilation - before. */
typedef struct {
    int64_t size;             /* of the input */
    int64_t extent, dilation; /* taps and their distance */
    int64_t stride;
    int64_t before, after; /* padding */
    int64_t out;           /* of the output */
} cti_axis;

/* Checks the numbers and fills in `out`. `what` is the word for the window in messages, `dim` the
 * number of the axis: 0 for height, 1 for width. */
ct_status cti_axis_check(const char *function, const char *what, int dim, cti_axis *axis);

/* Zeros around an axis so that its output is size / stride, rounded up: the larger half comes
 * after. */
void cti_axis_same(int64_t size, int64_t extent, int64_t stride, int64_t pad[2]);

/* The indices k in 0..count with 0 <= start + k * step < size, for step >= 1. */
ct_span cti_window_clip(int64_t start, int64_t step, int64_t count, int64_t size);
/* The taps of output i that lie inside of the input; most windows do as a whole, and need no
 * division. */
static inline ct_span cti_axis_taps(const cti_axis *axis, int64_t i) {
    int64_t start = i * axis->stride - axis->before;
    int64_t last = start + (axis->extent - 1) * axis->dilation;
    if (start >= 0 && last < axis->size) return (ct_span){0, axis->extent};
    return cti_window_clip(start, axis->dilation, axis->extent, axis->size);
}
/* The outputs that have tap t inside of the input. */
ct_span cti_axis_outputs(const cti_axis *axis, int64_t t);
/* The height of the bands when the input is cut into at most `wanted` of them, none of less than
 * four windows; at least 1. */
int64_t cti_axis_band(const cti_axis *axis, int64_t wanted);
/* The outputs whose window may touch inputs first .. last - 1, and the inputs under windows of
 * outputs. */
ct_span cti_axis_touching(const cti_axis *axis, ct_span inputs);
ct_span cti_axis_under(const cti_axis *axis, ct_span outputs);

/* --- Classes ---------------------------------------------------------------------------------- */
/* Positions that are reached by the same taps, and so need no test for edges. Away from padding,
 * and with a stride of one, that is all of them. */

/* Position first + k * step takes, under tap first_tap + m * tap_step, the element at
 * source + k * source_step + m * source_tap_step. */
typedef struct {
    int64_t first, count, step;
    int64_t first_tap, taps, tap_step;
    int64_t source, source_step, source_tap_step;
} cti_class;

/* The positions from..last of an output, which read an input; or, transposed, of an input, to which
 * outputs are added. A transpose numbers the taps from the last one on: then both read forwards. */
typedef struct {
    const cti_axis *axis;
    bool transposed;
    int64_t first, last;
    int64_t residue, position; /* where the next class begins */
} cti_classes;

cti_classes cti_classes_of(const cti_axis *axis, bool transposed, ct_span positions);
/* About how many classes there are on the whole axis. */
int64_t cti_classes_count(const cti_axis *axis, bool transposed);
/* The next class, one without taps too; false when there is none. */
bool cti_classes_next(cti_classes *classes, cti_class *next);

#endif
