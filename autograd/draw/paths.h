/* Private: the paths of modules, for messages. */
#ifndef COTAN_PATHS_H
#define COTAN_PATHS_H

#include "tensor/tensor.h"

/* Records CT_ERR_RANGE: no node belongs to the module; and which modules there are, a dozen of
 * them, those with the nearest paths first. Returns it, or CT_ERR_MEMORY. */
ct_status cti_fail_no_module(const char *function, ct_tensor *const roots[], int64_t n,
                             const char *wanted);

#endif
