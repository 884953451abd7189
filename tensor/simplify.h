/* Simplification: the same values from less work. It is a function from graphs to graphs: what it
 * returns can be drawn, differentiated and evaluated like any other. */
#ifndef COTAN_SIMPLIFY_H
#define COTAN_SIMPLIFY_H

#include <cotan/tensor/tensor.h>

CT_C_BEGIN

/* out[i] computes what roots[i] computes, and has the same derivatives. Equal expressions become
 * one, and each op's own rewrites are applied until none fires: x*1, x+0, -(-x), views of views,
 * sums of what is stretched, sums of padded neighbours (the derivatives of slices), terms of a sum
 * that are centred (x - mean x) beside others that are not, and whatever ops of users offer
 * (ct_op.simplify). Staged updates are left away: only ct_commit applies them, and it looks at the
 * graph as it was built. The roots stay as they are.
 *
 * Evaluation does this by itself, once per plan; call it to see what is run:
 *
 *     ct_simplify(&loss, 1, &loss);
 *     ct_dot_save("loss.svg", &loss, 1, (ct_dot_options){0});
 *
 * Values are the same up to rounding, and no worse: a rewrite never loses digits that the graph as
 * written keeps, and overflows nowhere below 2^100 (f64: 2^900). Zeros may change their sign. There
 * are three exceptions. In a normalization of N values a factor below sqrt(N) times the smallest
 * normal number (1e-36, say) may become subnormal. A sum with an infinite factor may be inf where
 * it would be NaN. And where a term beside a centred one cancels what is centred, or the sum of a
 * whole gradient of a normalization is 0 by structure, what remains of 0 is the rounding of the
 * mean of x, which as written would cancel too.
 *
 * What happens to a tensor follows from its own graph as far as it is still to be computed, so its
 * bits do not depend on what is evaluated beside it; they may differ by rounding when a part of its
 * graph was read before it, because a value is never looked behind: what is centred or stretched in
 * a value that is there already is summed like any other. Errors: CT_ERR_NULL, CT_ERR_MEMORY; then
 * out is not touched. */
ct_status ct_simplify(ct_tensor *const roots[], int64_t n, ct_tensor *out[]);

CT_C_END

#endif
