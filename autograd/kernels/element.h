/* Private: the element type that a file is compiled for, and its arithmetic by name.
 *
 * A kernel that loops over elements is a plain C file, compiled once for each of its element types.
 * It names them where it includes this header, and CMake reads them there:
 *
 *     #include "autograd/kernels/element.h" // f32 f64, in a comment
 *     #define max_row TYPED(max_row)        // max_row_f32, max_row_f64
 *
 * A type's header in element/ gives, for numbers as for vectors of them:
 *   element         the C type
 *   place           an integer as wide, so that both fill the same vectors
 *   ADD SUB MUL     its arithmetic; DIV where it has one
 *   STAYS(a, b)     whether a running maximum a stays when b comes next; numbers only
 *   LOWEST          the maximum of nothing
 *   ZERO, WHOLE(n)  the sum of nothing, and an integer as a number
 *   VECTOR          makes a vector of 32 bytes of a type; of what no register holds, nothing
 * The tables by dtype are in by_dtype.h. */
#ifndef COTAN_ELEMENT_H
#define COTAN_ELEMENT_H

#include "tensor/op.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CTI_JOINED_(a, b) a##_##b
#define CTI_JOINED(a, b) CTI_JOINED_(a, b)
/* The name of a function for this element type. It is a name of its own also where the function is
 * static, as CT_CLONES asks. */
#define TYPED(name) CTI_JOINED(name, CTI_ELEMENT)

#include CTI_ELEMENT_HEADER

#define INLINE static inline __attribute__((always_inline))

#endif
