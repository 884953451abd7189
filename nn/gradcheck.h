/* Is a module's derivative right? ct_gradcheck by all its parameters and inputs.
 *
 *     ct_gradcheck_report report;
 *     ct_gradcheck_options options = {.order = 2};
 *     if (ct_gradcheck_module(model, x, CT_TRAINING, options, &report) == CT_OK)
 *         ct_gradcheck_print(stdout, &report);
 */
#ifndef COTAN_MODULE_GRADCHECK_H
#define COTAN_MODULE_GRADCHECK_H

#include <cotan/autograd/gradcheck.h>
#include <cotan/nn/module.h>

CT_C_BEGIN

/* Checks the derivative of ct_forward(module, x, mode) by each parameter and by x, if that is a
 * floating-point tensor, under a random cotangent. In the report input i is parameter i of
 * ct_module_parameters, and their number is x. It is checked in f64 whatever the types of slots and
 * x are, with their values: those of f32 become the same numbers in f64. So the forward must not
 * make numbers in a fixed type, and its output must be f64. Dropout keeps one mask, staged updates
 * are left out, and no slot changes. Errors: those of ct_gradcheck and of the forward. */
ct_status ct_gradcheck_module(ct_module *module, ct_tensor *x, ct_mode mode,
                              ct_gradcheck_options options, ct_gradcheck_report *report);
/* The same for a module of several inputs and outputs, by ct_forward_many: of all n_out >= 1
 * outputs together, by each parameter and then by each of the inputs that is a floating-point
 * tensor, in this order; NULL stands for one that is left out. */
ct_status ct_gradcheck_module_many(ct_module *module, ct_tensor *const in[], int n_in, int n_out,
                                   ct_mode mode, ct_gradcheck_options options,
                                   ct_gradcheck_report *report);

CT_C_END

#endif
