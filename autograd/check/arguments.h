/* Private: ct_gradcheck's arguments. */
#ifndef COTAN_GRADCHECK_ARGUMENTS_H
#define COTAN_GRADCHECK_ARGUMENTS_H

#include "autograd/gradcheck.h"

/* CT_ERR_RANGE */
ct_status cti_gradcheck_options_check(ct_gradcheck_options options);
/* CT_ERR_RANGE, CT_ERR_NULL, CT_ERR_DTYPE; CT_ERR_STATE for one that varies between ranks */
ct_status cti_gradcheck_inputs_check(ct_tensor *const inputs[], int64_t n);

#endif
