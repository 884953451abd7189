/* Private: f64 for element.h. */
#ifndef COTAN_ELEMENT_F64_H
#define COTAN_ELEMENT_F64_H

#include "autograd/kernels/element/real.h"

typedef double element;
typedef int64_t place;

#define FMA_256 _mm256_fmadd_pd
#define FMA_512 _mm512_fmadd_pd
#define UNIFORM(bits) ((double)(bits)*0x1p-32)
#define LOG log
#define SQRT sqrt
#define SIN sin
#define COS cos

#endif
