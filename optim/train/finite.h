/* Private: whether training has left the parameters of a model finite. */
#ifndef COTAN_FINITE_H
#define COTAN_FINITE_H

#include "nn/nn.h"

typedef struct {
    char path[640]; /* of the first parameter that is not finite; "": all are */
    double value;   /* its largest magnitude: infinite or NaN */
} cti_nonfinite;

/* Looks at the parameters that are trained, in the model's order. */
ct_status cti_nonfinite_find(ct_module *model, cti_nonfinite *found);

#endif
