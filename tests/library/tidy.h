/* What clang-tidy is to know of the library beyond one file: an error is never CT_OK. */
#include "tensor/error.h"

#define ct_fail(status, ...) ((ct_fail)(status, __VA_ARGS__), (status))
