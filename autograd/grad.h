/* Derivatives: functions from tensors to tensors. A derivative is a graph like any other: it is
 * evaluated, drawn and differentiated again in the same way. Nothing is stored in the operands. */
#ifndef COTAN_GRAD_H
#define COTAN_GRAD_H

#include <cotan/tensor/tensor.h>

CT_C_BEGIN

/* out[i] = d y / d x[i], of x[i]'s shape, for a y of one element. An x that y does not depend on
 * gets zeros. All of them or, after an error, none (then out is untouched). Results are
 * temporaries. Reverse mode; see Griewank and Walther, "Evaluating Derivatives", 2008. */
ct_status ct_grad(ct_tensor *y, ct_tensor *const x[], int64_t n, ct_tensor *out[]);
/* out[i] = the vector-Jacobian product: d <y, cotangent> / d x[i]. The cotangent has y's shape and
 * dtype; NULL is an error, not ones. */
ct_status ct_vjp(ct_tensor *y, ct_tensor *cotangent, ct_tensor *const x[], int64_t n,
                 ct_tensor *out[]);
/* The Jacobian-vector product: d y(x + t v) / dt at t = 0, of y's shape; v[i] has x[i]'s shape. By
 * differentiating the VJP, which is linear in its cotangent. */
ct_tensor *ct_jvp(ct_tensor *y, ct_tensor *const x[], ct_tensor *const v[], int64_t n);
/* out[i] = row i of the Hessian of the scalar y times v: d <grad y, v> / d x[i]. */
ct_status ct_hvp(ct_tensor *y, ct_tensor *const x[], ct_tensor *const v[], int64_t n,
                 ct_tensor *out[]);

CT_C_END

#endif
