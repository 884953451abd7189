/* Private: a gradient check in progress. gradcheck_setup.c prepares it, gradcheck.c runs it. */
#ifndef COTAN_GRADCHECK_PRIVATE_H
#define COTAN_GRADCHECK_PRIVATE_H

#include "autograd/gradcheck.h"

typedef struct {
    /* The function, and the leaves it is checked at. */
    ct_function *f;
    void *context;
    ct_tensor **x;
    int64_t n, n_in, n_out; /* inputs; elements of all of them; elements of the output */
    bool y_known;
    ct_shape y_shape;
    /* The options, completed for this order. */
    int order, directions;
    double step, relative, absolute;
    bool step_given; /* by the user: no other one is tried */
    int64_t full_limit;
    uint64_t seed, stream; /* of random numbers: seed and the next stream */
    /* Working memory. */
    ct_tensor **point;                     /* n: operands or results of the call at hand */
    double *y, *y_down, *column;           /* n_out */
    double *up, *down, *moved, *direction; /* elements of the largest input; direction is zeros */
    double *rung, *rung_moved;             /* column and moved at one of many steps */
    double *ladder;                        /* [comparisons of a column, rungs]: differences */
    bool *bent;                            /* [comparisons]: not straight over the largest step */
    int *moving;  /* [comparisons]: rungs at which their value still moves */
    bool climbed; /* the ladder holds those of the column at hand */
    bool *alive;  /* n: the input has a derivative that is not 0 */
    bool dead;    /* nothing but zeros was compared since this was set */
    double worst_ratio;
    ct_gradcheck_report *report;
} cti_check;

/* Steps from 2^-6 down by factors of 8: to 2^-45, and further for what is smaller than 1. */
#define CTI_USUAL_RUNGS 14
#define CTI_RUNGS 48
double cti_gradcheck_rung(int i);
int cti_gradcheck_rungs(double x);
/* What the differences at the first `rungs` rungs say together, and how far it may be off:
 * infinitely where they are not finite. `value` is the size of what they are differences of, *step
 * the smaller one of the two steps that the answer comes from. */
double cti_gradcheck_extrapolate(const double differences[], int rungs, double value,
                                 double *uncertainty, double *step);

/* How far a pair of smaller steps than `step` is from `numeric` beyond its own doubt: large steps
 * may agree with each other and still step over all that the function does. */
double cti_gradcheck_contradiction(const double differences[], int rungs, double value,
                                   double numeric, double step);

/* Calls f and checks what comes back; NULL with the error recorded. */
ct_tensor *cti_gradcheck_call(cti_check *c, ct_tensor *const inputs[]);
ct_status cti_gradcheck_run(cti_check *c);
/* n numbers of random sign and of sizes in [1/2, 3/2), so that none of them hides an error. The
 * caller frees them. */
double *cti_gradcheck_draw(cti_check *c, int64_t n);

#endif
