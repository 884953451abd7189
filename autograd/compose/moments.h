/* Private: mean, deviation and variance as normalizations need them. */
#ifndef COTAN_MOMENTS_H
#define COTAN_MOMENTS_H

#include "autograd/ops.h"

/* Over some axes of x, which stay with size 1:
 *
 *     mean      s + mean(x - s), s the first element of each group
 *     deviation (x - mean) * scale
 *     variance  sum(deviation^2) / (count * scale^2): biased, in two passes
 *
 * The mean of equal numbers is that number, which a rounded sum of them would miss: a constant
 * group has deviation 0 at any size. Nothing flows through s, which cancels. `scale` is the power
 * of two next to 1 / sqrt(count): it rounds nothing, and the sum of the squares is then finite
 * wherever their mean is. */
typedef struct {
    ct_tensor *mean, *deviation, *variance;
    double scale;
} cti_moments;

/* How many elements of x are averaged into one, over axes that are also put in order; 0 with the
 * error recorded, for none too. An axis that stays may be of size 0. */
double cti_averaged(const char *function, ct_tensor *x, ct_axes axes, ct_axes *sorted);
/* All NULL after an error; `function` names the caller. */
cti_moments cti_moments_of(const char *function, ct_tensor *x, ct_axes axes);

#endif
