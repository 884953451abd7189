/* Private: positions of one axis that are reached by the same taps, and so need no test for edges.
 * Away from padding, and with a stride of one, that is all of them. */
#ifndef COTAN_CONV_CLASS_H
#define COTAN_CONV_CLASS_H

#include "autograd/kernels/window.h"

#include <stdbool.h>

/* Position first + k * step takes, under tap first_tap + m * tap_step, the element at
 * source + k * source_step + m * source_tap_step. */
typedef struct {
    int64_t first, count, step;
    int64_t first_tap, taps, tap_step;
    int64_t source, source_step, source_tap_step;
} cti_class;

/* The positions from..to of an output, which read an input; or, transposed, of an input, to which
 * outputs are added. A transpose numbers the taps from the last one on: then both read forwards. */
typedef struct {
    const cti_axis *axis;
    bool transposed;
    int64_t from, to;
    int64_t residue, position; /* where the next class begins */
} cti_classes;

cti_classes cti_classes_of(const cti_axis *axis, bool transposed, cti_range positions);
/* About how many classes there are on the whole axis. */
int64_t cti_classes_count(const cti_axis *axis, bool transposed);
/* The next class, one without taps too; false when there is none. */
bool cti_classes_next(cti_classes *classes, cti_class *next);

#endif
