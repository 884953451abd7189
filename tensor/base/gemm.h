/* Private to the kernels of contractions: matrix products by BLIS, one thread per call. */
#ifndef COTAN_GEMM_H
#define COTAN_GEMM_H

#include <stdint.h>

/* A strided matrix: element (i, j) is data[i * row + j * column]. */
typedef struct {
    void *data;
    int64_t row, column;
} cti_matrix;

/* c = a b with a [m,k], b [k,n], c [m,n]; strides of a and b may be anything >= 0. The bits do not
 * depend on them. */
typedef void cti_gemm_fn(int64_t m, int64_t n, int64_t k, cti_matrix a, cti_matrix b, cti_matrix c);
cti_gemm_fn cti_gemm_f32, cti_gemm_f64;

/* Around fork(), with the process lock held: no thread holds a lock of BLIS in between. */
void cti_gemm_hold(void);
void cti_gemm_release(void);

const char *cti_gemm_version(void);
const char *cti_gemm_kernels(void); /* the configuration chosen: "skx", "zen3", "haswell", ... */

#endif
