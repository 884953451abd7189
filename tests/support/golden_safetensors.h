/* Files as the safetensors 0.8.0 package for Python writes them. */
#ifndef COTAN_TESTS_GOLDEN_SAFETENSORS_H
#define COTAN_TESTS_GOLDEN_SAFETENSORS_H

#include <stdint.h>

/* F64 'fc 1."b"\n' 0.1, I64 'labels' [-1, 2**62], F32 'w' [[1.5, -2, 3], [4, 5, 6]],
 * U8 'empty' of [3, 0], U8 '\u00fc\U0001f600' [7]; metadata {'format': 'pt'} */
extern const uint8_t golden_safetensors[393];
/* F16 'f16' [[0.0, -0.0, 1.5], [65504, 5.96e-08, -inf]], BF16 'bf16' [1.0, -3.140625, 3.3895e38,
 * 1e-40], I32 'i32' [-2**31, 2**31 - 1], I16 'i16' [-2**15, 2**15 - 1], I8 'i8' [-128, 127],
 * U16 'u16' [2**16 - 1], U32 'u32' [2**32 - 1], BOOL 'bool' [True, False, True],
 * U64 'u64' [2**64 - 1], C64 'c64' [1+2j], F8_E4M3 'f8' [1.0, 0.5], F32 'w' [7.0] */
extern const uint8_t golden_types[761];

#endif
