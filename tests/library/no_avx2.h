/* Put before every file of a build that does what x86-64 processors without AVX2 do. */
#ifndef COTAN_TESTS_NO_AVX2_H
#define COTAN_TESTS_NO_AVX2_H

#undef CT_CLONES
#define CT_CLONES
#define __builtin_cpu_supports(set) 0

#endif
