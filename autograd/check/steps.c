/* Which step a difference should take: that depends on how fast the function bends and on how much
 * its values are rounded inside, so it is found from differences at many steps.
 * It evaluates nothing, and it does not know what the derivative should be.
 * Invariant: the answer depends on the differences alone. */
#include "autograd/check/steps.h"

#include <float.h>
#include <math.h>

#define FACTOR 8.0

double cti_rung(int i) { return ldexp(1.0, -6 - 3 * i); }

int cti_rungs(double x) {
    int below = x > 0 && x < 1 ? (int)ceil(-log2(x) / 3) : 0;
    return below < CTI_RUNGS - CTI_USUAL_RUNGS ? CTI_USUAL_RUNGS + below : CTI_RUNGS;
}

/* Of two differences at h and h / 8, with the term in h^2 taken out (Richardson, 1911). */
static double without_square(const double *differences) {
    return differences[1] + (differences[1] - differences[0]) / (FACTOR * FACTOR - 1);
}

/* What two neighbouring steps say, the smaller one of them h, and how far that may be off. */
typedef struct {
    double numeric, doubt, rounded, h;
} pair;

/* What is left from h^4 on falls by 4096 with each rung, what is rounded grows by 8. So the change
 * from the rung above shows the one, and the changes below show the other: the largest of them,
 * each carried back to here, because a single one may be small by chance. Where steps are so small
 * that the function stands still, nothing changes, but the value itself is rounded. */
static pair pair_at(const double differences[], int i, double value, pair finer) {
    pair here = {.numeric = without_square(differences + i), .h = cti_rung(i + 1)};
    double above = without_square(differences + i - 1);
    double change = fabs(finer.numeric - here.numeric);
    here.rounded = fmax(isfinite(change) ? change : 0, finer.rounded) / FACTOR;
    here.doubt = fabs(here.numeric - above) + here.rounded + DBL_EPSILON * value / here.h;
    return here;
}

double cti_extrapolate(const double differences[], int rungs, double value, double *uncertainty,
                       double *step) {
    pair here = {.numeric = NAN}, best = {.numeric = NAN, .doubt = INFINITY};
    for (int i = rungs - 2; i > 0; i--) {
        here = pair_at(differences, i, value, here);
        if (here.doubt < best.doubt) best = here;
    }
    *uncertainty = best.doubt;
    *step = best.h;
    return best.numeric;
}

double cti_contradiction(const double differences[], int rungs, double value, double numeric,
                         double step) {
    pair here = {.numeric = NAN};
    double worst = 0;
    for (int i = rungs - 2; i > 0 && cti_rung(i + 1) < step; i--) {
        here = pair_at(differences, i, value, here);
        double apart = fabs(here.numeric - numeric) - here.doubt;
        if (isfinite(apart)) worst = fmax(worst, apart);
    }
    return worst;
}
