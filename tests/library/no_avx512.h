/* Put before every file of a build that does what x86-64 processors without AVX-512 do. */
#ifndef COTAN_TESTS_NO_AVX512_H
#define COTAN_TESTS_NO_AVX512_H

#ifndef CT_CLONES /* empty where clones are in the way */
#define CT_CLONES __attribute__((target_clones("default", "avx2")))
#endif
/* "avx512f" and its kind. */
#define __builtin_cpu_supports(set) ((set)[3] != '5' && __builtin_cpu_supports(set))

#endif
