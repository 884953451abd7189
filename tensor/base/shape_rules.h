/* Private: what is asked of shapes and element types before a tensor gets them, and how sizes are
 * computed with. */
#ifndef COTAN_SHAPE_RULES_H
#define COTAN_SHAPE_RULES_H

#include "tensor/shape.h"

/* Checks rank, signs and that the elements (dimensions of 0 left out of the product) and their
 * bytes stay below 2^63; `function` names the caller in the message. */
ct_status cti_shape_check(const char *function, ct_shape shape, ct_dtype dtype);
/* Sets of element types, a bit for each: those that compute with real numbers, those that count as
 * well, and those that files hold. */
#define CTI_SET(dtype) (1u << (dtype))
#define CTI_REAL (CTI_SET(CT_F32) | CTI_SET(CT_F64) | CTI_SET(CT_P61))
#define CTI_NUMBER (CTI_REAL | CTI_SET(CT_I64))
#define CTI_STORED (CTI_SET(CT_F32) | CTI_SET(CT_F64) | CTI_SET(CT_I64) | CTI_SET(CT_U8))
/* That a type is one of those that are held. */
ct_status cti_dtype_check(const char *function, ct_dtype dtype, unsigned held);
/* That two operands have one type. */
ct_status cti_dtypes_equal(const char *function, ct_dtype a, ct_dtype b);
/* NumPy's rule: align at the last dimension, 1 stretches. */
ct_status cti_shape_broadcast(const char *function, ct_shape a, ct_shape b, ct_shape *out);
/* Maps an axis in -rank..rank-1 to 0..rank-1. */
ct_status cti_shape_axis(const char *function, ct_shape shape, int axis, int *out);
/* Row-major strides in elements. */
void cti_shape_strides(ct_shape shape, int64_t strides[CT_MAX_RANK]);
/* The product of dims[from..to). */
int64_t cti_shape_span(ct_shape shape, int from, int to);
static inline int64_t cti_least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t cti_most(int64_t a, int64_t b) { return a > b ? a : b; }
/* a / b rounded up, for a >= 0 and b >= 1. */
static inline int64_t cti_divide_up(int64_t a, int64_t b) { return a / b + (a % b != 0); }

#endif
