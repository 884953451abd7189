/* What ops refuse of tensors that vary between ranks, as docs/ranks.md lists it: the error names
 * the function that was called and the axis. Two ranks of four rows each.
 * Invariant: what is refused would need rows of other ranks that no sum over the batch gives. */
#include "autograd/compose.h"
#include "tensor/varying.h"
#include "tests/support/test.h"
#include "tests/support/varying_support.h"

#include <stdlib.h>

enum { N = 4, C = 3 };

static ct_tensor *x_of(rank *me) { return rows_of(me, C, 1); }
static ct_tensor *across(rank *me) { return ct_transpose(x_of(me)); }
static ct_tensor *of_all(rank *me) { return parameter(me, CT_SHAPE(N, C), 1); }
static ct_tensor *images(rank *me) { return ct_reshape(rows_of(me, 8, 1), CT_SHAPE(N, 2, 2, 2)); }
static ct_tensor *indices(void) { return ct_varying(ct_full(CT_I64, CT_SHAPE(N), 0), 0); }

/* As an expression of `me`. */
#define REFUSED(name, message, ...)                     \
    static void name(rank *me) { (void)(__VA_ARGS__); } \
    TEST(varying_refused, name) { expect_refused(N, name, message); }

/* --- Along the batch axis --------------------------------------------------------------------- */

#define TAKES_NO_ROWS(function) function ": operand 1 [4,3] varies between ranks along axis 0"

REFUSED(max, TAKES_NO_ROWS("ct_max"), ct_max(x_of(me), CT_AXES(0)))
REFUSED(min, TAKES_NO_ROWS("ct_min"), ct_min(x_of(me), CT_AXES(0)))
REFUSED(argmax, TAKES_NO_ROWS("ct_argmax"), ct_argmax(x_of(me), 0))
REFUSED(logsumexp, TAKES_NO_ROWS("ct_logsumexp"), ct_logsumexp(x_of(me), 0))
REFUSED(softmax, TAKES_NO_ROWS("ct_softmax"), ct_softmax(x_of(me), 0))
REFUSED(log_softmax, TAKES_NO_ROWS("ct_log_softmax"), ct_log_softmax(x_of(me), 0))
REFUSED(norm, "ct_norm: operand 1 [4,3] varies between ranks", ct_norm(x_of(me)))
REFUSED(slice, TAKES_NO_ROWS("ct_slice"), ct_slice(x_of(me), 0, 0, CT_END, 1))
REFUSED(flip, TAKES_NO_ROWS("ct_flip"), ct_flip(x_of(me), CT_AXES(0)))
REFUSED(pad, TAKES_NO_ROWS("ct_pad"), ct_pad(x_of(me), 0, 0, 1, 0))
REFUSED(concat, TAKES_NO_ROWS("ct_concat"), ct_concat((ct_tensor *[]){x_of(me), x_of(me)}, 2, 0))
REFUSED(take, TAKES_NO_ROWS("ct_take"), ct_take(x_of(me), indices()))
REFUSED(windows, "ct_max_pool2d: operand 1 [2,4,2,2] varies between ranks along axis 1",
        ct_max_pool2d(ct_permute(images(me), CT_AXES(1, 0, 2, 3)),
                      (ct_pool2d_spec){.window = {2, 2}}))

/* --- Rows that would be lost ------------------------------------------------------------------ */

REFUSED(split, "ct_reshape: [4,3] varies between ranks along axis 0, which [2,6]",
        ct_reshape(x_of(me), CT_SHAPE(2, 6)))
REFUSED(in_front, "ct_reshape: [4,3] varies between ranks along axis 0, which [1,4,3]",
        ct_reshape(x_of(me), CT_SHAPE(1, N, C)))
REFUSED(one_moved_behind,
        "ct_reshape: [1,4,3] varies between ranks along axis 1, and [4,1,3] would",
        ct_reshape(ct_permute(ct_reshape(x_of(me), CT_SHAPE(N, 1, C)), CT_AXES(1, 0, 2)),
                   CT_SHAPE(N, 1, C)))
REFUSED(inferred_behind, "could not tell what -1 is behind them: give -1 for axis 0",
        ct_reshape(images(me), CT_SHAPE(2 * N, -1)))
REFUSED(summed_to_rows, "ct_sum_to: x [4,3] varies between ranks along axis 0, which [4,1]",
        ct_sum_to(x_of(me), CT_SHAPE(N, 1)))
REFUSED(all_pairs, "ct_matmul: operand 1 [4,3] varies between ranks along axis 0",
        ct_matmul(x_of(me), across(me)))
REFUSED(of_one_row_less, "ct_matmul: operand 2 [4,3] varies between ranks along axis 0",
        ct_matmul(parameter(me, CT_SHAPE(2, N), 1), x_of(me)))
REFUSED(kernel, "ct_conv2d: operand 2 [2,2,2,4] varies between ranks along axis 3",
        ct_conv2d(parameter(me, CT_SHAPE(1, 3, 3, 2), 1),
                  ct_permute(images(me), CT_AXES(1, 2, 3, 0)), (ct_conv2d_spec){0}))

/* --- Operands that do not go together --------------------------------------------------------- */

#define BESIDE(function) \
    function ": an operand [4,3] is the same on all ranks, the other one varies"

REFUSED(map, BESIDE("ct_maximum"), ct_maximum(of_all(me), x_of(me)))
REFUSED(where, BESIDE("ct_where"),
        ct_where(ct_greater(x_of(me), ct_scalar(CT_F64, 0)), x_of(me), of_all(me)))
REFUSED(beside, "ct_concat: operand 1 [4,3] varies between ranks along axis 0, operand 2 [4,3]",
        ct_concat((ct_tensor *[]){x_of(me), of_all(me)}, 2, 1))
REFUSED(scattered, "ct_scatter_add: operand 1 [4,3] varies between ranks along axis 0",
        ct_scatter_add(x_of(me), ct_full(CT_I64, CT_SHAPE(N), 0), 5))
REFUSED(scattered_by_rows, "ct_scatter_add: operand 2 [4] varies between ranks along axis 0",
        ct_scatter_add(of_all(me), indices(), 5))

/* --- Of the primitives themselves ------------------------------------------------------------- */

REFUSED(no_partials, "ct_all_sum: x [4,3] has not one row for each grain", ct_all_sum(x_of(me)))
REFUSED(replicated_twice, "ct_replicate: x [4,3] varies along axis 0", ct_replicate(x_of(me)))
REFUSED(varying_twice, "ct_varying: x varies along axis 0 already", ct_varying(x_of(me), 0))

/* --- A rank of one row ------------------------------------------------------------------------ */

/* An operand [1,3] is the same on all ranks, be it meant so or as the only row of this rank: where
 * there are more rows, only the first is meant. */
static void one_row(rank *me) {
    ct_tensor *row = parameter(me, CT_SHAPE(1, C), 1);
    EXPECT(ct_varying_axis(ct_mul(x_of(me), row)) == 0);
}

TEST(varying_refused, an_operand_of_size_1_is_the_same_on_all_ranks) {
    for (int64_t rows = 1; rows < 3; rows++) {
        world *w = world_run(2, 4, (int64_t[]){rows, rows}, CT_F64, one_row);
        expect_well(w);
        free(w);
    }
}
