/* Private: what the families of claims share. A claim's functions are short and many, so they are
 * written by CTI_FUNCTION and CTI_CLOSED, and their parameters are called the same everywhere. */
#ifndef COTAN_CLAIMS_PRIVATE_H
#define COTAN_CLAIMS_PRIVATE_H

#include "autograd/compose.h"
#include "autograd/verify.h"
#include "nn/nn.h"

typedef struct {
    const ct_claim *claims;
    int64_t n;
} cti_claim_family;
extern const cti_claim_family cti_batch_norm_claims, cti_normalization_claims, cti_loss_claims,
    cti_linear_claims, cti_pool_claims, cti_attention_claims, cti_recurrent_claims,
    cti_activation_claims;

#define CTI_ITEMS(array) (int64_t)(sizeof(array) / sizeof(array)[0])
#define CTI_INPUTS(array) .inputs = (array), .n_inputs = CTI_ITEMS(array)
#define CTI_MUTANTS(array) .mutants = (array), .n_mutants = CTI_ITEMS(array)
/* CTI_CLAIM_SHAPE(6, 2) as a constant. */
#define CTI_CLAIM_SHAPE(...)                                                       \
    {                                                                              \
        (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), { __VA_ARGS__ } \
    }
/* Only read, whatever the type says. */
#define CTI_CONTEXT(constant) .context = (void *)&(constant)

/* One ct_function, of `context` and in[0..n). */
#define CTI_FUNCTION(name, ...)                                               \
    static ct_tensor *name(void *context, ct_tensor *const in[], int64_t n) { \
        (void)context, (void)n;                                               \
        return __VA_ARGS__;                                                   \
    }
/* One ct_closed_form, of `context`, in[0..n) and dy, into out[0..n). */
#define CTI_CLOSED(name)                                                                  \
    static ct_status name(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy, \
                          ct_tensor *out[])

/* The first output of a new module in a functional call: in[0..n_given) are what it is given, and
 * the rest its slots. Frees the module. */
ct_tensor *cti_claimed_module(ct_module *module, ct_mode mode, ct_tensor *const in[],
                              int64_t n_given, int64_t n);
/* The same of several outputs; NULLs after an error. */
void cti_claimed_outputs(ct_module *module, ct_mode mode, ct_tensor *const in[], int64_t n_given,
                         int64_t n, ct_tensor *out[], int n_out);

/* The first n axes. */
ct_axes cti_first_axes(int n);

/* What normalizations divide by, over some axes, which stay with size 1. */
typedef struct {
    ct_axes axes;
    ct_tensor *x, *mean, *centred, *variance;
    ct_tensor *inverse; /* 1 / sqrt(variance + epsilon) */
    ct_tensor *normal;  /* (x - mean) inverse */
    double n;           /* values that are averaged */
} cti_normal;
cti_normal cti_normal_of(ct_tensor *x, ct_axes axes, double epsilon);
ct_tensor *cti_normal_mean(const cti_normal *s, ct_tensor *t); /* over the same axes */
/* inverse (g - mean(g) - normal mean(g normal)): the cotangent of x where that of normal is g. */
ct_tensor *cti_normal_back(const cti_normal *s, ct_tensor *g);

#endif
