/* A primitive op of your own: softsign(x) = x / (1 + |x|), with its derivative.
 * A new op is this one stanza; no list or switch elsewhere has to know of it.
 * Its derivative is built from ops, so every higher derivative follows by itself. */
#include "options.h"
#include "program.h"

#include <cotan/cotan.h>

#include <math.h>
#include <stdio.h>

/* --- The op: what its result looks like, how to compute it, what its derivative is ------------ */

/* Type and shape of the result: those of x, which must be f32 or f64. */
static ct_status softsign_infer(const ct_infer *call, ct_type *out) {
    return ct_infer_float(call, out);
}

/* The arithmetic, on a piece of n elements at a time and for one type each. CT_CLONES makes the
 * compiler vectorize it for several processors; the right version is taken at run time. */
CT_CLONES static void softsign_f32(int64_t n, void *y, const void *const x[], const ct_tile *tile) {
    (void)tile;
    const float *from = x[0];
    float *to = y;
    for (int64_t i = 0; i < n; i++) to[i] = from[i] / (1 + fabsf(from[i]));
}

CT_CLONES static void softsign_f64(int64_t n, void *y, const void *const x[], const ct_tile *tile) {
    (void)tile;
    const double *from = x[0];
    double *to = y;
    for (int64_t i = 0; i < n; i++) to[i] = from[i] / (1 + fabs(from[i]));
}

/* The cotangent of x, given that of y: g times dy/dx = 1 / (1 + |x|)^2. */
static ct_tensor *softsign_vjp(ct_tensor *g, ct_tensor *y, int i) {
    ct_tensor *x = ct_input(y, i);
    return ct_div(g, ct_square(ct_offset(ct_abs(x), 1.0)));
}

CT_OP(softsign_op) = {
    .name = "softsign",
    .kind = CT_MAP, /* each element of y from the same element of x */
    .n_inputs = 1,
    .infer = softsign_infer,
    .tile = {[CT_F32] = softsign_f32, [CT_F64] = softsign_f64},
    .vjp = {softsign_vjp},
};

static ct_tensor *softsign(ct_tensor *x) { return ct_node(&softsign_op, &x, 1, NULL, 0); }

/* --- Its check: derivatives against differences of values ------------------------------------- */

static ct_tensor *check(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    return softsign(x[0]);
}

int main(int argc, char *argv[]) {
    int usage = options_parse("custom_op", "Checks the derivatives of an op of one's own.", NULL, 0,
                              argc, argv);
    if (usage >= 0) return usage;
    program_begin();
    int64_t scope = ct_scope_open();
    ct_tensor *x = ct_from(CT_F64, CT_SHAPE(2, 3), (double[]){-3, -0.5, -0.1, 0.2, 1, 4});
    ct_tensor *y = softsign(x), *dx;
    bool good = ct_grad(ct_sum_all(y), &x, 1, &dx) == CT_OK;
    printf("softsign and its derivative:\n");
    good = good && ct_print(stdout, y) == CT_OK && ct_print(stdout, dx) == CT_OK;
    for (int order = 1; order <= 2 && good; order++) {
        ct_gradcheck_report report;
        ct_gradcheck_options options = {.order = order};
        good = ct_gradcheck(check, NULL, &x, 1, options, &report) == CT_OK;
        printf("order %d: ", order);
        if (good) good = ct_gradcheck_print(stdout, &report) == CT_OK && report.passed;
    }
    if (ct_error() != CT_OK) fprintf(stderr, "custom_op: %s\n", ct_error_message());
    ct_scope_close(scope);
    return program_end("custom_op", good ? 0 : 1);
}
