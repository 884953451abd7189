/* Private: tables by dtype of functions that are there once for each element type: of those that
 * the machine computes with (FLOATS), of all that are real numbers, and of those that count too.
 * A table without an entry for CT_P61 is one that a plan, or its user, does without. */
#ifndef COTAN_BY_DTYPE_H
#define COTAN_BY_DTYPE_H

#include "tensor/op.h"

/* clang-format off */
#define CTI_FLOATS(name) {[CT_F32] = name##_f32, [CT_F64] = name##_f64}
#define CTI_REALS(name) {[CT_F32] = name##_f32, [CT_F64] = name##_f64, [CT_P61] = name##_p61}
#define CTI_NUMBERS(name) \
    {[CT_F32] = name##_f32, [CT_F64] = name##_f64, [CT_I64] = name##_i64, [CT_P61] = name##_p61}
/* clang-format on */

/* Their declarations, by the type of the function. */
#define CTI_DECLARE_REALS(function, name) function name##_f32, name##_f64, name##_p61
#define CTI_DECLARE_NUMBERS(function, name) function name##_f32, name##_f64, name##_i64, name##_p61

/* Element `index` of an operand whose elements lie side by side. */
static inline void *cti_at(const ct_operand *t, int64_t index) {
    return (char *)t->data + (size_t)index * ct_dtype_size(t->dtype);
}

#endif
