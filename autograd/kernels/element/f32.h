/* Private: f32 for element.h. */
#ifndef COTAN_ELEMENT_F32_H
#define COTAN_ELEMENT_F32_H

#include "autograd/kernels/element/real.h"

typedef float element;
typedef int32_t place;

#define FMA_256 _mm256_fmadd_ps
#define FMA_512 _mm512_fmadd_ps
#define UNIFORM(bits) ((float)((bits) >> 8) * 0x1p-24f)
#define LOG cti_logf
#define SQRT sqrtf
#define SIN cti_sinf
#define COS cti_cosf

#endif
