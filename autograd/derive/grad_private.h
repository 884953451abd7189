/* Private: derivatives that say where there is none. */
#ifndef COTAN_GRAD_PRIVATE_H
#define COTAN_GRAD_PRIVATE_H

#include "autograd/grad.h"

/* Whether a derivative reaches an x. CTI_OUTDATED: none does, but y was computed from another value
 * of the slot that x is the value of. */
typedef enum { CTI_UNREACHED, CTI_REACHED, CTI_OUTDATED } cti_reach;

/* ct_grad, and how x[i] is reached; where it is not, out[i] is zeros. */
ct_status cti_grad(ct_tensor *y, ct_tensor *const x[], int64_t n, ct_tensor *out[],
                   cti_reach reach[]);

#endif
