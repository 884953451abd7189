/* A user's program in C: a model trained for some steps, and a gradient. It includes
 * <cotan/cotan.h>, and has a file of its own whose name is that of a header of cotan.
 * Invariant: the exit status is 0 only if every expectation holds. */
#include <cotan/cotan.h>

#include "tensor/tensor.h"

#include <math.h>

#ifndef OWN_TENSOR
#error "the user's tensor/tensor.h was not found"
#endif

static double step(ct_module *model, ct_optimizer *optimizer) {
    int64_t scope = ct_scope_open();
    ct_tensor *x = ct_from(CT_F32, CT_SHAPE(4, 2), (float[]){0, 0, 0, 1, 1, 0, 1, 1});
    ct_tensor *y = ct_from(CT_I64, CT_SHAPE(4), (int64_t[]){0, 1, 1, 0});
    ct_tensor *loss = ct_cross_entropy(ct_logits(model, x, CT_TRAINING), y);
    double value = ct_optimizer_step(optimizer, loss, NULL, 0) == CT_OK ? ct_item(loss) : -1;
    ct_scope_close(scope);
    return value;
}

int main(void) {
    ct_seed_set(1);
    ct_module *model = CT_SEQUENTIAL("xor", ct_dense_new(2, 16, (ct_dense_options){0}),
                                     ct_activation_new(&ct_activation_tanh),
                                     ct_dense_new(16, 2, (ct_dense_options){0}));
    ct_optimizer *sgd = ct_sgd_new(model, (ct_sgd_options){.rate = ct_rate(0.5)});
    double first = step(model, sgd), last = first;
    for (int k = 0; k < 200; k++) last = step(model, sgd);
    ct_tensor *x = ct_from(CT_F64, CT_SHAPE(2, 2), (double[]){1, 2, 3, 4}), *dx = NULL;
    ct_grad(ct_sum(ct_mul(x, x), CT_AXES(0, 1)), &x, 1, &dx);
    bool good = first > 0 && last >= 0 && last < 0.1 * first && exp(-last) > 0.5 &&
                ct_item(ct_max(dx, CT_ALL)) == 8;
    if (!good) fprintf(stderr, "consumer: %g to %g; %s\n", first, last, ct_error_message());
    ct_optimizer_free(sgd);
    ct_module_free(model);
    ct_scope_close(0);
    return good && ct_error() == CT_OK ? 0 : 1;
}
