/* Private: p61 for element.h. What decides looks at the shadow. */
#ifndef COTAN_ELEMENT_P61_H
#define COTAN_ELEMENT_P61_H

#include "tensor/p61.h"

#include <math.h>

typedef ct_p61 element;
typedef int64_t place;

#define ADD(a, b) ct_p61_add(a, b)
#define SUB(a, b) ct_p61_sub(a, b)
#define MUL(a, b) ct_p61_mul(a, b)
#define DIV(a, b) ct_p61_div(a, b)
#define STAYS(best, next) ((best).shadow >= (next).shadow || (best).shadow != (best).shadow)
#define LOWEST ((element){CT_P61_NO_NUMBER, -INFINITY})
#define ZERO ((element){0, 0})
#define WHOLE(n) ct_p61_whole(n)
#define VECTOR

#endif
