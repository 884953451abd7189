/* What looks at each value of a graph, where rows vary between ranks: each rank at its own, and at
 * the sums over all of them.
 * Invariant: all ranks evaluate the same sums, whatever they see. */
#include "autograd/anomaly.h"
#include "autograd/compose.h"
#include "autograd/grad.h"
#include "autograd/shadow.h"
#include "tensor/varying.h"
#include "tests/support/test.h"
#include "tests/support/varying_support.h"

#include <stdlib.h>
#include <string.h>

enum { C = 3 };

/* A loss behind BatchNorm, and its gradient. */
static void shadow(rank *me) {
    ct_tensor *x = ct_cast(rows_of(me, C, 1), CT_F32);
    ct_tensor *gamma = ct_cast(parameter(me, CT_SHAPE(C), 2), CT_F32);
    ct_tensor *beta = ct_cast(parameter(me, CT_SHAPE(C), 3), CT_F32);
    ct_tensor *y = ct_batch_norm(x, gamma, beta, 1, 1e-3, NULL, NULL);
    ct_tensor *roots[2] = {ct_mean_all(ct_square(ct_tanh(y)))};
    OK(ct_grad(roots[0], &gamma, 1, &roots[1]));
    ct_shadow_report report;
    OK(ct_shadow(roots, 2, &report));
    EXPECT(report.n_unshadowed == 0 && report.error > 0 && report.error < 1e-5,
           "rank %d: off by %g, %lld nodes are not there", me->rank, report.error,
           (long long)report.n_unshadowed);
    note(me, ct_full(CT_F64, CT_SCALAR, report.error));
    ct_shadow_free(&report);
}

TEST(varying_checks, a_shadow_has_the_rows_of_all_ranks) { same_bits_for_any_ranks(shadow); }

/* The logarithm of rows that are negative on rank 1. */
static void anomaly(rank *me) {
    ct_tensor *own = ct_full(CT_F64, CT_SHAPE(me->rows, C), me->rank == 1 ? -1 : 1);
    ct_tensor *loss = ct_mean_all(ct_log(ct_varying(own, 0)));
    ct_anomaly_report report;
    OK(ct_anomaly(&loss, 1, &report));
    EXPECT(report.found);
    const char *words = me->rank == 1 ? "first NaN: log (forward), element [0,0]" : "all_sum";
    EXPECT(strstr(report.text, words), "rank %d: %s", me->rank, report.text);
    EXPECT(!strstr(report.text, ", and those of other ranks") == (me->rank == 1), "rank %d: %s",
           me->rank, report.text);
}

TEST(varying_checks, who_has_sound_rows_names_the_sum_with_those_of_others) {
    world *w = world_run(3, 3, (int64_t[]){2, 1, 2}, CT_F64, anomaly);
    expect_well(w);
    free(w);
}
