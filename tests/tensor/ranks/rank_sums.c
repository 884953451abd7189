/* Sums over grains on one of several ranks, against a plain recursion over all grains.
 * Invariant: what is printed depends on the number of grains, not on rank or number of ranks. */
#include "tests/support/rank.h"

#include "tensor/base/hash.h"
#include "tensor/p61.h"
#include "tensor/ranks/exchange.h"

#include <stdlib.h>
#include <string.h>

enum { ARRAYS = 3 };

/* Element i of a grain's partial sum: of very different sizes, with -0 among them; an empty grain
 * has 0, and grain 1 -0. */
static double value(int grain, int64_t i) {
    test_random r = {(uint64_t)grain * 1000003 + (uint64_t)i};
    if (i % 7 == 3 || grain == 1) return -0.0;
    if (grain % 5 == 3) return 0;
    double scale = (double)(1 + i % 97);
    return random_real(&r, -scale, scale);
}

static void put(ct_dtype dtype, void *array, int64_t i, double x) {
    if (dtype == CT_F32) ((float *)array)[i] = (float)x;
    if (dtype == CT_F64) ((double *)array)[i] = x;
    if (dtype == CT_I64) ((int64_t *)array)[i] = (int64_t)(1e6 * x);
    if (dtype == CT_P61) ((ct_p61 *)array)[i] = ct_p61_from(x);
}

static void add(ct_dtype dtype, void *x, const void *y) {
    if (dtype == CT_F32) *(float *)x += *(const float *)y;
    if (dtype == CT_F64) *(double *)x += *(const double *)y;
    if (dtype == CT_I64) *(int64_t *)x += *(const int64_t *)y;
    if (dtype == CT_P61) *(ct_p61 *)x = ct_p61_add(*(ct_p61 *)x, *(const ct_p61 *)y);
}

static void expected(ct_dtype dtype, int low, int high, int64_t i, void *out) {
    _Alignas(16) char right[16];
    if (high - low == 1) {
        put(dtype, out, 0, value(low, i));
        return;
    }
    int mid = low + (high - low) / 2;
    expected(dtype, low, mid, i, out);
    expected(dtype, mid, high, i, right);
    add(dtype, out, right);
}

/* The sum of arrays whose elements are numbered through. */
static void sum_arrays(ct_group *group, ct_dtype dtype, const int64_t n[ARRAYS]) {
    int first, last, total;
    ct_group_grains(group, &first, &last, &total);
    cti_summand summands[ARRAYS];
    int64_t at = 0;
    for (int k = 0; k < ARRAYS; at += n[k++]) {
        char *partials = calloc((size_t)((last - first) * n[k] + 1), 16);
        summands[k] = (cti_summand){partials, calloc((size_t)n[k] + 1, 16), n[k]};
        for (int64_t i = 0; i < (last - first) * n[k]; i++) {
            put(dtype, partials, i, value(first + (int)(i / n[k]), at + i % n[k]));
        }
    }
    OK(cti_all_sum(group, (cti_entry){.hash = 42}, dtype, summands, ARRAYS));
    uint64_t hash = 0;
    int64_t different = 0;
    size_t size = ct_dtype_size(dtype);
    at = 0;
    for (int k = 0; k < ARRAYS; at += n[k++]) {
        for (int64_t i = 0; i < n[k]; i++) {
            _Alignas(16) char right[16];
            expected(dtype, 0, total, at + i, right);
            different += memcmp(right, (char *)summands[k].sum + (size_t)i * size, size) != 0;
        }
        hash = cti_mix_bytes(hash, summands[k].sum, (size_t)n[k] * size);
        free((void *)(uintptr_t)summands[k].partials);
        free(summands[k].sum);
    }
    EXPECT(different == 0, "%s, %d grains: %lld elements", ct_dtype_name(dtype), total,
           (long long)different);
    printf("%s %lld %016llx\n", ct_dtype_name(dtype), (long long)at, (unsigned long long)hash);
}

/* Of `argument` grains. */
SCENARIO(sums) {
    static const int64_t sizes[][ARRAYS] = {
        {1, 0, 0}, {0, 0, 0}, {10, 1, 3}, {1000, 2000, 77}, {5003, 0, 1}};
    static const ct_dtype dtypes[] = {CT_F32, CT_F64, CT_I64, CT_P61};
    OK(ct_group_use(group, (ct_group_options){.grains = (int)argument}));
    for (int d = 0; d < 4; d++) {
        for (int s = 0; s < 5; s++) sum_arrays(group, dtypes[d], sizes[s]);
    }
}

/* NaN that differ become one, which is the same for any number of ranks. */
SCENARIO(sum_of_nan) {
    enum { N = 37 };
    static uint32_t partials[CT_GROUP_MOST * N], sums[N];
    OK(ct_group_use(group, (ct_group_options){0}));
    for (int i = 0; i < CT_GROUP_MOST * N; i++) {
        uint32_t sign = (uint32_t)(i % 3 == 0) << 31;
        partials[i] = sign | (UINT32_C(0x7fc00001) + (uint32_t)(N * ct_group_rank(group) + i));
    }
    const cti_summand all = {partials, sums, N};
    OK(cti_all_sum(group, (cti_entry){.hash = 42}, CT_F32, &all, 1));
    for (int i = 0; i < N; i++) EXPECT(sums[i] == UINT32_C(0x7fc00000));
}

/* An array larger than what a socket holds. */
SCENARIO(large_sum) {
    OK(ct_group_use(group, (ct_group_options){0}));
    sum_arrays(group, CT_F32, (int64_t[]){argument, argument / 3, 5});
}

/* The payload of one sum of `argument` floats. */
SCENARIO(bytes) {
    OK(ct_group_use(group, (ct_group_options){0}));
    ct_group_stats before = ct_group_stats_read(group);
    sum_arrays(group, CT_F32, (int64_t[]){argument, 0, 0});
    ct_group_stats after = ct_group_stats_read(group);
    EXPECT(after.exchanges == before.exchanges + 1);
    printf("payload %lld of %lld\n", (long long)(after.payload - before.payload),
           (long long)(after.bytes - before.bytes));
}
