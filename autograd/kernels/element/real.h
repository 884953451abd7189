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
#define LOWEST (-INFINITY)

#endif
