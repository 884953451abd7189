/* Products of the rows of a batch, of sizes at which that of all ranks is computed in another way
 * than one of the rows of a rank would be.
 * Invariant: what is printed does not depend on the number of ranks. */
#include "tests/support/rank.h"

#include "autograd/compose.h"
#include "autograd/grad.h"
#include "autograd/kernels/micro_kernel.h"
#include "autograd/ops.h"
#include "nn/init.h"
#include "tensor/base/hash.h"
#include "tensor/graph/rows.h"
#include "tensor/runtime.h"
#include "tensor/varying.h"

static uint64_t mix(uint64_t hash, ct_tensor *t) {
    const void *data = ct_data(t);
    REQUIRE(data, "%s", ct_error_message());
    return cti_mix_bytes(hash, data, (size_t)ct_numel(t) * ct_dtype_size(ct_dtype_of(t)));
}

/* The rows of this rank's grains of a tensor that all ranks have. */
static ct_tensor *own_rows(ct_tensor *all) {
    cti_rows *rows = cti_rows_even(ct_dim(all, 0));
    REQUIRE(rows);
    int64_t first = rows->before, last = first + cti_rows_count(rows);
    cti_rows_drop(rows);
    ct_tensor *own = ct_slice(all, 0, first, last, 1);
    OK(ct_eval(&own, 1));
    return ct_varying(ct_detach(own), 0);
}

/* x w, and the gradients of the sum of its squares: columns of those of x are summed over all rows,
 * with weights, or they would be nothing but sums. */
static uint64_t product(ct_dtype dtype, int64_t rows, int64_t inner, int64_t units) {
    int64_t scope = ct_scope_open();
    ct_tensor *all = ct_random_normal(ct_seed_draw(), dtype, CT_SHAPE(rows, inner));
    ct_tensor *w = ct_random_normal(ct_seed_draw(), dtype, CT_SHAPE(inner, units)), *gradients[2];
    ct_tensor *x = own_rows(all);
    ct_tensor *y = ct_matmul(x, w);
    ct_tensor *turned = ct_matmul(ct_transpose(w), ct_transpose(x)); /* the rows are columns */
    OK(ct_grad(ct_sum_all(ct_square(y)), (ct_tensor *[]){x, w}, 2, gradients));
    uint64_t hash = mix(0, ct_sum(ct_square(y), CT_AXES(0)));
    hash = mix(hash, ct_sum(ct_square(turned), CT_AXES(1)));
    hash = mix(hash, ct_sum(ct_square(gradients[0]), CT_AXES(0)));
    hash = mix(hash, gradients[1]);
    ct_scope_close(scope);
    return hash;
}

SCENARIO(products) {
    static const ct_dtype dtypes[] = {CT_F32, CT_F64};
    enum { ROWS = 64, UNITS = 48, MOST = 100000000 };
    OK(ct_group_use(group, (ct_group_options){0}));
    ct_threads_set(1);
    ct_seed_set(5);
    for (int d = 0; d < 2; d++) {
        /* Of so few rows that on one rank the products of grains and their sum are one op. */
        printf("%s few %016llx\n", ct_dtype_name(dtypes[d]),
               (unsigned long long)product(dtypes[d], 27, 300, UNITS));
        /* With AVX-512 only huge products of f32 are faster in BLIS, which no test has time for. */
        if (cti_micro_most(dtypes[d]) > MOST) continue;
        /* Small on all ranks, or, of the rows of one, on two, four or eight. */
        for (double most = 0.75; most <= 6; most *= 2) {
            int64_t inner = (int64_t)(most * cti_micro_most(dtypes[d]) / (ROWS * UNITS));
            printf("%s %lld %016llx\n", ct_dtype_name(dtypes[d]), (long long)inner,
                   (unsigned long long)product(dtypes[d], ROWS, inner, UNITS));
        }
    }
}
