/* The claims that come with the library: for each of its layers and losses, what its derivative is
 * as a textbook writes it, and how people have got it wrong. ct_verify compares.
 *
 *     ct_verify_report report;
 *     if (ct_verify(ct_claim_named("batch_norm"), (ct_verify_options){0}, &report) == CT_OK)
 *         ct_verify_print(stdout, &report);
 *     ct_verify_free(&report);
 *
 * And claims on modules of one's own, over their parameters: ct_module_claim_open. */
#ifndef COTAN_CLAIMS_H
#define COTAN_CLAIMS_H

#include <cotan/autograd/verify.h>
#include <cotan/nn/module.h>

CT_C_BEGIN

/* All of them; they live as long as the program. n may be NULL. */
const ct_claim *const *ct_claims(int64_t *n);
/* NULL where no claim is called so; that is no error. */
const ct_claim *ct_claim_named(const char *name);

/* --- Of a module ------------------------------------------------------------------------------ */

/* A claim on y = the first output of a module, as a function of its inputs and its slots:
 *
 *     // y = gamma x: in[0] = x, in[1] = gamma
 *     static ct_status closed(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
 *                             ct_tensor *out[]) {
 *         out[0] = ct_mul(dy, in[1]);
 *         out[1] = ct_sum(ct_mul(dy, in[0]), CT_AXES(0));
 *         return ct_error();
 *     }
 *     void verify_scale(ct_module *scale) {
 *         ct_claim_input rows = {.name = "x", .shape = CT_SHAPE(4, 3)};
 *         ct_claim like = {.name = "scale", .closed = closed, .inputs = &rows, .n_inputs = 1};
 *         ct_module_claim of;
 *         ct_verify_report report;
 *         if (ct_module_claim_open(&of, scale, CT_TRAINING, like) == CT_OK &&
 *             ct_verify(&of.claim, (ct_verify_options){0}, &report) == CT_OK) {
 *             ct_verify_print(stdout, &report);
 *             ct_verify_free(&report);
 *         }
 *         ct_module_claim_close(&of); // after the report, which holds names of inputs
 *     }
 */
typedef struct {
    ct_claim claim; /* its context is this struct, which therefore stays where it is */
    void *context;  /* of `like`, for the closed forms */
    ct_module *module;
    ct_mode mode;
    int64_t n_given;        /* inputs of the module */
    ct_slot_list slots;     /* owned */
    ct_claim_input *inputs; /* owned; slots come after what is given, under their paths */
} ct_module_claim;

/* Makes a claim of a module, which is borrowed, and of `like`, whose function is ignored and whose
 * inputs are those of the module. Its slots of floating-point numbers are inputs after these, in
 * the order of ct_module_list. Slots that are no parameters, as moving statistics, are fixed
 * inputs; one that holds numbers above 0 is drawn above 0. Slots of other types keep their values:
 * dropout has one mask. No slot changes. As with ct_gradcheck_module, the forward must not make
 * numbers in a fixed type.
 * Errors, after which `of` is empty: CT_ERR_NULL; CT_ERR_RANGE for no inputs, and for more than
 * CT_CLAIM_INPUTS with the slots; CT_ERR_MEMORY. */
ct_status ct_module_claim_open(ct_module_claim *of, ct_module *module, ct_mode mode, ct_claim like);
void ct_module_claim_close(ct_module_claim *of); /* takes an empty one */

CT_C_END

#endif
