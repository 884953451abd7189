/* Private: differences at many steps, and what they say together. */
#ifndef COTAN_STEPS_H
#define COTAN_STEPS_H

/* Steps go from 2^-6 down by factors of 8: to 2^-45, and further for what is smaller than 1. */
#define CTI_USUAL_RUNGS 14
#define CTI_RUNGS 48
double cti_rung(int i);  /* step number i */
int cti_rungs(double x); /* how many come down to 2^-45 of x */

/* What the differences at the first `rungs` steps say together, and how far it may be off:
 * infinitely where they are not finite. `value` is the size of what they are differences of, *step
 * the smaller one of the two steps that the answer comes from. */
double cti_extrapolate(const double differences[], int rungs, double value, double *uncertainty,
                       double *step);

/* How far a pair of smaller steps than `step` is from `numeric` beyond its own doubt: large steps
 * may agree with each other and still step over all that the function does. */
double cti_contradiction(const double differences[], int rungs, double value, double numeric,
                         double step);

#endif
