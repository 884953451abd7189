/* A claim of one's own: is what cotan derives for this RMSNorm the formula in my notes?
 * The claims of the library's layers are in nn/claims.h, and ./run verify tries them. */
#include <cotan/cotan.h>

static ct_tensor *mean(ct_tensor *t) { return ct_mean_keep(t, CT_AXES(-1)); } /* of each row */
static ct_tensor *inverse(ct_tensor *x) { return ct_rsqrt(ct_offset(mean(ct_square(x)), 1e-5)); }

static ct_tensor *rms_norm(void *context, ct_tensor *const in[], int64_t n) {
    (void)context, (void)n;
    return ct_mul(in[0], ct_name(inverse(in[0]), "1 / rms")); /* a name, by which it is reported */
}

/* dx = r (dy - y mean(dy y)), where r = 1 / rms and y = r x. */
static ct_status notes(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
                       ct_tensor *out[]) {
    (void)context, (void)n;
    ct_tensor *r = inverse(in[0]), *y = ct_mul(in[0], r);
    out[0] = ct_mul(r, ct_sub(dy, ct_mul(y, mean(ct_mul(dy, y)))));
    return ct_error();
}

int main(void) {
    const ct_claim_input x = {.name = "x", .shape = CT_SHAPE(3, 4)};
    const ct_claim claim = {
        .name = "my RMSNorm", .f = rms_norm, .closed = notes, .inputs = &x, .n_inputs = 1};
    return ct_verify_run(stdout, &claim, (ct_verify_options){.orders = 3});
}
