/* Simplification: the same values from less work. It is a function from graphs to graphs: what it
 * returns can be drawn, differentiated and evaluated like any other. */
#ifndef COTAN_SIMPLIFY_H
#define COTAN_SIMPLIFY_H

#include "tensor/tensor.h"

/* out[i] computes what roots[i] computes. Equal expressions become one, and each op's own rewrites
 * are applied until none fires: x*1, x+0, -(-x), views of views, sum(a + c*b) where that saves a
 * pass, and whatever ops of users offer (ct_op.simplify). Staged updates are left away: only
 * ct_commit applies them, and it looks at the graph as it was built. The roots stay as they are.
 *
 * Evaluation does this by itself, once per plan; call it to see what is run:
 *
 *     ct_simplify(&loss, 1, &loss);
 *     ct_dot_save("loss.svg", &loss, 1, (ct_dot_options){0});
 *
 * Values are the same up to rounding: sums may be formed in another order, and zeros may change
 * their sign. x*u + x*u with a stretched u doubles u, which may overflow above half of the largest
 * number. Errors: CT_ERR_NULL, CT_ERR_MEMORY; then out is not touched. */
ct_status ct_simplify(ct_tensor *const roots[], int64_t n, ct_tensor *out[]);

#endif
