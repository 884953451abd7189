/* Private: what losses and metrics check of predictions and targets. */
#ifndef COTAN_LOSS_PRIVATE_H
#define COTAN_LOSS_PRIVATE_H

#include "tensor/tensor.h"

/* Both are there, and of one shape. */
ct_status cti_check_pair(const char *function, ct_tensor *prediction, ct_tensor *target);
/* The class of each label, i64 [...], for scores [...,K]: labels of i64 as they are, one-hot ones
 * [...,K] by their largest entry. NULL for shapes and types that do not fit. */
ct_tensor *cti_class_of(const char *function, ct_tensor *scores, ct_tensor *labels);

#endif
