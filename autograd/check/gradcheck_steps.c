/* Which step a difference should take: that depends on how fast the function bends and on how much
 * its values are rounded inside, so it is found from differences at many steps.
 * It evaluates nothing, and it does not know what the derivative should be.
 * Invariant: the answer depends on the differences alone. */
#include "autograd/check/gradcheck_private.h"

#include <float.h>
#include <math.h>

#define FACTOR 8.0

double cti_gradcheck_rung(int i) { return ldexp(1.0, -6 - 3 * i); }

/* As many as it takes to come down to 2^-45 of x. */
int cti_gradcheck_rungs(double x) {
    int below = x > 0 && x < 1 ? (int)ceil(-log2(x) / 3) : 0;
    return below < CTI_RUNGS - CTI_USUAL_RUNGS ? CTI_USUAL_RUNGS + below : CTI_RUNGS;
}

/* Of two differences at h and h / 8, with the term in h^2 taken out (Richardson, 1911). */
static double without_square(const double *differences) {
    return differences[1] + (differences[1] - differences[0]) / (FACTOR * FACTOR - 1);
}

/* What is left from h^4 on falls by 4096 with each rung, what is rounded grows by 8. So the change
 * from the rung above shows the one, and the changes below show the other: the largest of them,
 * each carried back to here, because a single one may be small by chance. Where steps are so small
 * that the function stands still, nothing changes, but the value itself is rounded. */
double cti_gradcheck_extrapolate(const double differences[], int rungs, double value,
                                 double *uncertainty, double *step) {
    double rounded = 0, finer = NAN, best = NAN;
    *uncertainty = INFINITY;
    *step = 0;
    for (int i = rungs - 2; i > 0; i--) {
        double here = without_square(differences + i);
        double above = without_square(differences + i - 1);
        double change = fabs(finer - here), h = cti_gradcheck_rung(i + 1);
        finer = here;
        rounded = fmax(isfinite(change) ? change : 0, rounded) / FACTOR;
        double doubt = fabs(here - above) + rounded + DBL_EPSILON * value / h;
        if (!(doubt < *uncertainty)) continue;
        *uncertainty = doubt;
        *step = h;
        best = here;
    }
    return best;
}

double cti_gradcheck_contradiction(const double differences[], int rungs, double value,
                                   double numeric, double step) {
    double worst = 0, rounded = 0, finer = NAN;
    for (int i = rungs - 2; i > 0 && cti_gradcheck_rung(i + 1) < step; i--) {
        double here = without_square(differences + i);
        double above = without_square(differences + i - 1);
        double change = fabs(finer - here);
        finer = here;
        rounded = fmax(isfinite(change) ? change : 0, rounded) / FACTOR;
        double doubt = fabs(here - above) + rounded;
        doubt += DBL_EPSILON * value / cti_gradcheck_rung(i + 1);
        double apart = fabs(here - numeric) - doubt;
        if (isfinite(apart)) worst = fmax(worst, apart);
    }
    return worst;
}
