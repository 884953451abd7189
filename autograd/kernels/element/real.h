/* Private: what f32 and f64 share. The names are those of element.h. */
#ifndef COTAN_ELEMENT_REAL_H
#define COTAN_ELEMENT_REAL_H

#include "autograd/kernels/math32.h"

#include <math.h>

#define ADD(a, b) ((a) + (b))
#define SUB(a, b) ((a) - (b))
#define MUL(a, b) ((a) * (b))
#define DIV(a, b) ((a) / (b))
/* An earlier NaN stays, and a later one replaces a number. */
#define STAYS(best, next) (((best) >= (next)) | ((best) != (best)))
#define LOWEST ((element)-INFINITY)
#define ZERO ((element)0)
#define WHOLE(n) ((element)(n))
#define VECTOR __attribute__((vector_size(32), aligned(sizeof(element)), may_alias))

#endif
