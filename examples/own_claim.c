/* A claim of one's own: is what cotan derives for this RMSNorm the formula in my notes?
 * The claims of the library's layers are in nn/claims.h, and ./run verify tries them. */
#include <cotan/cotan.h>

static ct_tensor *mean_square(ct_tensor *x) { /* of each row, named for the diagnosis */
    return ct_name(ct_offset(ct_mean_keep(ct_square(x), CT_AXES(-1)), 1e-5), "mean square");
}

static ct_tensor *rms_norm(void *context, ct_tensor *const in[], int64_t n) {
    (void)context, (void)n;
    return ct_mul(ct_mul(in[0], ct_rsqrt(mean_square(in[0]))), in[1]);
}

/* dx = r (g dy - h mean(g dy h)) with r = 1 / rms and h = r x; dg = sum over rows of dy h. */
static ct_status notes(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
                       ct_tensor *out[]) {
    (void)context, (void)n;
    ct_tensor *r = ct_rsqrt(mean_square(in[0])), *h = ct_mul(in[0], r), *gdy = ct_mul(in[1], dy);
    ct_tensor *mean = ct_mean_keep(ct_mul(gdy, h), CT_AXES(-1));
    out[0] = ct_mul(r, ct_sub(gdy, ct_mul(h, mean)));
    out[1] = ct_sum(ct_mul(dy, h), CT_AXES(0));
    return ct_error();
}

int main(void) {
    const ct_claim_input inputs[] = {{.name = "x", .shape = CT_SHAPE(3, 4)},
                                     {.name = "gain", .shape = CT_SHAPE(4)}};
    const ct_claim claim = {
        .name = "my RMSNorm", .f = rms_norm, .closed = notes, .inputs = inputs, .n_inputs = 2};
    ct_verify_report report;
    if (ct_verify(&claim, (ct_verify_options){.orders = 3}, &report) != CT_OK) {
        fprintf(stderr, "own_claim: %s\n", ct_error_message());
        return 1;
    }
    ct_verify_print(stdout, &report);
    int status = report.passed ? 0 : 1;
    ct_verify_free(&report);
    return status;
}
