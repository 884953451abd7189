/* Files as numpy 2.4.6 writes them (numpy.save, or numpy.lib.format.write_array for a version). */
#ifndef COTAN_TESTS_GOLDEN_NPY_H
#define COTAN_TESTS_GOLDEN_NPY_H

#include <stdint.h>

/* np.array([1.5, -2, np.pi], '<f4') */
extern const uint8_t golden_f32[140];
/* np.array([[0.1, -0.0, np.inf], [1e300, 5e-324, -7]], '<f8') */
extern const uint8_t golden_f64[176];
/* np.array(-2**63, '<i8'): rank 0 */
extern const uint8_t golden_i64[136];
/* np.zeros((2, 0, 3), '|u1'): no elements */
extern const uint8_t golden_u8[128];
/* np.arange(12).reshape(2, 3, 2).astype('<f4') in Fortran order */
extern const uint8_t golden_fortran[176];
/* np.array([1, 2, 255], '|u1'), version 2.0 */
extern const uint8_t golden_v2[131];
/* The same, version 3.0 */
extern const uint8_t golden_v3[131];
/* np.array([0.0, -0.0, 1.5, -2, 65504, 6.104e-05, 5.96e-08, -3.5e-06, np.inf, -np.inf, np.nan,
 *           1 / 3], '<f2') */
extern const uint8_t golden_f16[152];
/* np.array([[0, 1], [-1, 2**31 - 1], [-2**31, 7]], '<i4') */
extern const uint8_t golden_i32[152];
/* np.array([0, 2**31, 2**32 - 1], '<u4') */
extern const uint8_t golden_u32[140];
/* np.array([True, False, True]) */
extern const uint8_t golden_bool[131];
/* np.array([[0.1, -0.0, np.inf], [1e300, 5e-324, -7]], '>f8') */
extern const uint8_t golden_big_f64[176];
/* np.asfortranarray(np.array([[1, 2, 3], [4, 5, 6]], '>f2')) */
extern const uint8_t golden_big_f16_fortran[140];
/* np.asfortranarray(np.array([[1, 2, 3], [4, 5, -6]], '<i4')) */
extern const uint8_t golden_i32_fortran[152];

#endif
