/* Private: derivatives that say where there is none. */
#ifndef COTAN_GRAD_PRIVATE_H
#define COTAN_GRAD_PRIVATE_H

#include "autograd/grad.h"

/* ct_grad, and whether a derivative reaches x[i]; where it does not, out[i] is zeros. */
ct_status cti_grad(ct_tensor *y, ct_tensor *const x[], int64_t n, ct_tensor *out[], bool reached[]);

#endif
