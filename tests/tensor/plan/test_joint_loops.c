/* Joint loops: two or three ops in one loop give the bits that they give one after the other.
 * That each op alone is right is checked elsewhere.
 * Invariant: what is a root is stored, and what is stored runs in a loop of its own. */
#include "tests/support/test.h"

#include "autograd/grad.h"
#include "autograd/ops.h"
#include "tensor/graph/node.h"

#include <string.h>

typedef ct_tensor *binary(ct_tensor *, ct_tensor *);
static binary *const inner_ops[] = {ct_add, ct_sub, ct_mul};
static binary *const outer_ops[] = {ct_add, ct_sub, ct_mul, ct_maximum, ct_minimum};
enum { INNER = 3, OUTER = 5 };

/* Numbers whose sums and products are rounded. */
static ct_tensor *operand(ct_dtype dtype, double phase) {
    ct_tensor *turns = ct_offset(ct_arange(dtype, 0, 777, 1), phase);
    return ct_detach(ct_reshape(ct_scale(ct_sin(turns), 3.7), CT_SHAPE(37, 21)));
}

/* y alone, and what the function builds again beside the operands of its last op. */
static void expect_same(ct_tensor *joint, ct_tensor *apart, int line, int a, int b) {
    ct_tensor *roots[] = {apart, apart->inputs[0], apart->inputs[apart->n_inputs > 1]};
    EXPECT(ct_eval(&joint, 1) == CT_OK && ct_eval(roots, 3) == CT_OK, "%s", ct_error_message());
    size_t size = (size_t)ct_numel(joint) * ct_dtype_size(ct_dtype_of(joint));
    EXPECT(memcmp(ct_data(joint), ct_data(apart), size) == 0, "line %d: inner %d, outer %d", line,
           a, b);
}
#define SAME(build, a, b) expect_same(build, build, __LINE__, a, b)

TEST(joint_loops, arithmetic_behind_arithmetic) {
    for (int f = 0; f < 2; f++) {
        ct_dtype dtype = f ? CT_F64 : CT_F32;
        ct_tensor *x = operand(dtype, 0.1), *y = operand(dtype, 0.7), *z = operand(dtype, 1.9);
        for (int o = 0; o < OUTER; o++) {
            for (int i = 0; i < INNER; i++) {
                SAME(outer_ops[o](inner_ops[i](x, y), z), i, o);
                SAME(outer_ops[o](z, inner_ops[i](x, y)), i, o);
                SAME(outer_ops[o](inner_ops[i](x, y), inner_ops[i](y, z)), i, o);
                SAME(outer_ops[o](inner_ops[i](x, y), ct_mul(z, x)), i, o);
            }
        }
    }
}

TEST(joint_loops, a_sum_of_arithmetic) {
    for (int f = 0; f < 2; f++) {
        ct_dtype dtype = f ? CT_F64 : CT_F32;
        ct_tensor *x = operand(dtype, 0.1), *y = operand(dtype, 0.7);
        for (int i = 0; i < INNER; i++) {
            for (int axis = 0; axis < 2; axis++) {
                SAME(ct_sum(inner_ops[i](x, y), CT_AXES(axis)), i, axis);
                SAME(ct_sum(inner_ops[i](ct_slice(x, 1, 0, 4, 1), ct_slice(y, 1, 0, 4, 1)),
                            CT_AXES(axis)),
                     i, axis);
            }
        }
    }
}

TEST(joint_loops, the_choice_of_a_maximum) {
    for (int f = 0; f < 2; f++) {
        ct_dtype dtype = f ? CT_F64 : CT_F32;
        ct_tensor *x = operand(dtype, 0.1), *y = operand(dtype, 0.7), *z = operand(dtype, 1.9);
        ct_tensor *gradients[2], *in[] = {x, y};
        EXPECT(ct_vjp(ct_maximum(x, y), z, in, 2, gradients) == CT_OK);
        for (int k = 0; k < 2; k++) {
            ct_tensor *again[2];
            EXPECT(ct_vjp(ct_maximum(x, y), z, in, 2, again) == CT_OK);
            expect_same(gradients[k], again[k], __LINE__, k, f);
        }
    }
}
