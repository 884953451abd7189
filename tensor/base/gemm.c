/* The one file that includes blis.h: typed products with an explicit context and one thread.
 * It does not use cblas (32-bit sizes, exits on bad arguments) nor, on x86-64, BLIS's own choice of
 * kernels: 0.9.0 falls back to its generic ones on processors newer than itself.
 * Invariant: arguments were checked by the op's shape rule; BLIS would abort. */
#include "tensor/base/gemm.h"

#include "tensor/base/process.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-function"
#include <blis.h>
#pragma GCC diagnostic pop

static _Atomic(cntx_t *) context; /* NULL until the first product */
static const char *kernels;

/* BLIS aborts when BLIS_ARCH_TYPE names kernels that it was built without. cotan chooses by
 * itself, so BLIS is not shown the variable. */
static void init_blis(void) {
    static const char name[] = "BLIS_ARCH_TYPE";
    char saved[64] = "";
    const char *value = getenv(name);
    if (value) snprintf(saved, sizeof saved, "%s", value);
    if (value) unsetenv(name);
    bli_init();
    if (value) setenv(name, saved, 1);
}

#if defined(__x86_64__)
/* By instruction set, not by the processor's name; in the order of measured speed. */
static arch_t best_kernels(void) {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
        return BLIS_ARCH_SKX;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return __builtin_cpu_is("amd") ? BLIS_ARCH_ZEN3 : BLIS_ARCH_HASWELL;
    }
    return BLIS_ARCH_GENERIC;
}
#else
static arch_t best_kernels(void) { return bli_arch_query_id(); }
#endif

static void choose(void) {
    init_blis();
    arch_t arch = best_kernels();
    kernels = bli_arch_string(arch);
    context = (cntx_t *)bli_gks_lookup_nat_cntx(arch);
}

static cntx_t *chosen_context(void) {
    if (context) return context;
    cti_process_lock();
    if (!context) choose();
    cti_process_unlock();
    return context;
}

/* The locks that BLIS takes within a product: of its small blocks, and of its packing buffers. */
void cti_gemm_hold(void) {
    if (!context) return;
    bli_apool_lock(bli_sba_query());
    bli_pba_lock(bli_pba_query());
}

void cti_gemm_release(void) {
    if (!context) return;
    bli_pba_unlock(bli_pba_query());
    bli_apool_unlock(bli_sba_query());
}

/* Without BLIS's kernels for small products: these read operands in place, and their order of
 * additions depends on the strides. Packed operands give the same bits from any layout. */
static rntm_t one_thread(void) {
    rntm_t runtime = BLIS_RNTM_INITIALIZER;
    bli_rntm_set_num_threads(1, &runtime);
    bli_rntm_disable_l3_sup(&runtime);
    return runtime;
}

void cti_gemm_f32(int64_t m, int64_t n, int64_t k, cti_matrix a, cti_matrix b, cti_matrix c) {
    rntm_t runtime = one_thread();
    float one = 1.0f, zero = 0.0f;
    bli_sgemm_ex(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, m, n, k, &one, a.data, a.row, a.column,
                 b.data, b.row, b.column, &zero, c.data, c.row, c.column, chosen_context(),
                 &runtime);
}

void cti_gemm_f64(int64_t m, int64_t n, int64_t k, cti_matrix a, cti_matrix b, cti_matrix c) {
    rntm_t runtime = one_thread();
    double one = 1.0, zero = 0.0;
    bli_dgemm_ex(BLIS_NO_TRANSPOSE, BLIS_NO_TRANSPOSE, m, n, k, &one, a.data, a.row, a.column,
                 b.data, b.row, b.column, &zero, c.data, c.row, c.column, chosen_context(),
                 &runtime);
}

const char *cti_gemm_version(void) { return bli_info_get_version_str(); }

const char *cti_gemm_kernels(void) {
    chosen_context();
    return kernels;
}
