/* Which elements of a value depend on which elements of an input: BatchNorm couples the rows of a
 * batch in training and not in inference.
 *
 *     static ct_tensor *rows(void *context, ct_tensor *const in[], int64_t n) {
 *         return ct_softmax(in[0], -1);
 *     }
 *     static const ct_claim_input x_of[] = {{.name = "x", .shape = {2, {3, 4}}}};
 *     ct_tensor *mask = ct_depends(rows, NULL, x_of, 1, 0); // u8 [12,12], blocks of 4 x 4
 */
#ifndef COTAN_DEPENDS_H
#define COTAN_DEPENDS_H

#include <cotan/autograd/verify.h>

CT_C_BEGIN

/* The pattern of the Jacobian of f's value y with regard to inputs[input]: u8 [elements of y,
 * elements of that input], 1 where the derivative is not 0. It is found in the field of p61.h at a
 * random point, row by row of what is derived, and not by a rule for each op; so it holds for the
 * branches that are taken there (of a maximum, one), and what cancels as algebra is 0. Where f has
 * a derivative of 0 by definition (ct_stop_gradient, an index) it does not depend.
 * Errors: CT_ERR_NULL; CT_ERR_RANGE for a number of inputs outside of 1..CT_CLAIM_INPUTS, and for
 * `input`; CT_ERR_STATE when no point was found at which all roots exist; CT_ERR_MEMORY; those of
 * f. Then NULL. */
ct_tensor *ct_depends(ct_function f, void *context, const ct_claim_input *inputs, int64_t n,
                      int64_t input);

CT_C_END

#endif
