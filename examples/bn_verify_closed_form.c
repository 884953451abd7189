/* BatchNorm's gradient in closed form, by hand, and the comparison with the derived one.
 * The library holds no such code: there the gradient follows from the ops of the forward pass.
 * Invariant: the closed form is computed in long double from the same operands, so what is
 * measured is the error of the derived gradient. */
#include "bn_verify.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

const char *const gradient_names[GRADIENTS] = {"dx", "dgamma", "dbeta"};

/* --- Operands --------------------------------------------------------------------------------- */

ct_status make_operands(test_case of, ct_generator *generator, ct_tensor *operands[OPERANDS]) {
    int64_t channels = of.shape.dims[of.shape.rank - 1];
    for (int i = 0; i < OPERANDS; i++) {
        ct_shape shape = i == X || i == COTANGENT ? of.shape : CT_SHAPE(channels);
        ct_tensor *t = ct_random_normal(ct_generator_draw(generator), CT_F64, shape);
        if (i == X) t = ct_offset(t, of.ratio);
        operands[i] = ct_detach(ct_cast(t, of.dtype));
        if (!operands[i]) return ct_error();
    }
    return CT_OK;
}

/* --- The closed form -------------------------------------------------------------------------- */

/* An operand's elements, whatever its type. */
static double *elements_of(ct_tensor *t) {
    ct_tensor *wide = ct_cast(t, CT_F64);
    const double *data = ct_data_f64(wide);
    size_t bytes = (size_t)ct_numel(t) * sizeof(double);
    double *copy = data ? malloc(bytes) : NULL;
    if (data && !copy) ct_fail(CT_ERR_MEMORY, "bn_verify: out of memory");
    return copy ? memcpy(copy, data, bytes) : NULL;
}

/* For each channel, over its N values:
 *     xhat   = (x - mean) / sqrt(variance + epsilon)
 *     dbeta  = sum dy
 *     dgamma = sum dy xhat
 *     dx     = gamma / sqrt(variance + epsilon) (dy - dbeta / N - xhat dgamma / N)
 * (Ioffe and Szegedy, 2015, section 3, with the sums gathered). */
static void closed_form(int64_t rows, int64_t channels, double *const operands[OPERANDS],
                        double *const out[GRADIENTS]) {
    const double *x = operands[X], *dy = operands[COTANGENT];
    for (int64_t c = 0; c < channels; c++) {
        long double mean = 0, variance = 0, dbeta = 0, dgamma = 0;
        for (int64_t r = 0; r < rows; r++) mean += x[r * channels + c];
        mean /= rows;
        for (int64_t r = 0; r < rows; r++) {
            long double centred = x[r * channels + c] - mean;
            variance += centred * centred;
        }
        long double scale = 1 / sqrtl(variance / rows + (long double)EPSILON);
        for (int64_t r = 0; r < rows; r++) {
            dbeta += dy[r * channels + c];
            dgamma += dy[r * channels + c] * ((x[r * channels + c] - mean) * scale);
        }
        for (int64_t r = 0; r < rows; r++) {
            int64_t i = r * channels + c;
            long double xhat = (x[i] - mean) * scale;
            out[DX][i] = (double)(operands[GAMMA][c] * scale *
                                  (dy[i] - dbeta / rows - xhat * dgamma / rows));
        }
        out[DGAMMA][c] = (double)dgamma;
        out[DBETA][c] = (double)dbeta;
    }
}

/* --- The comparison --------------------------------------------------------------------------- */

/* f64: no shape may be off by more than 1e-12. f32: the inputs near `ratio` carry that many times
 * the rounding of a number near 1 into the mean, and from there into everything. */
static double bound_of(test_case of) {
    return of.dtype == CT_F64 ? 1e-12 : 32 * 0x1p-24 * (1 + of.ratio);
}

/* |a - b| in units of the last place of b in the case's type. */
static double ulps(double a, double b, ct_dtype dtype) {
    double size = fabs(b);
    double next = dtype == CT_F64 ? nextafter(size, INFINITY)
                                  : (double)nextafterf((float)size, INFINITY);
    double place = next - (dtype == CT_F64 ? size : (double)(float)size);
    return fabs(a - b) / place;
}

static comparison compare(test_case of, int gradient, const double *a, const double *b, int64_t n) {
    comparison c = {.of = of, .gradient = gradient, .bound = bound_of(of)};
    double largest = 0;
    for (int64_t i = 0; i < n; i++) {
        double off = fabs(a[i] - b[i]);
        if (isnan(off)) off = INFINITY;
        largest = fmax(largest, fabs(b[i]));
        c.absolute = fmax(c.absolute, off);
        if (off > 0) c.relative = fmax(c.relative, off / fabs(b[i]));
        if (off > 0) c.ulp = fmax(c.ulp, ulps(a[i], b[i], of.dtype));
    }
    c.error = c.absolute > 0 ? c.absolute / largest : 0;
    c.pass = c.error <= c.bound;
    return c;
}

static ct_status derive(ct_tensor *const operands[OPERANDS], ct_tensor *out[GRADIENTS]) {
    ct_tensor *y = ct_batch_norm(operands[X], operands[GAMMA], operands[BETA], -1, EPSILON, NULL,
                                 NULL);
    ct_status status = ct_vjp(y, operands[COTANGENT], operands, GRADIENTS, out);
    return status == CT_OK ? ct_eval(out, GRADIENTS) : status;
}

ct_status compare_gradients(test_case of, ct_tensor *const operands[OPERANDS],
                            comparison out[GRADIENTS]) {
    ct_tensor *derived[GRADIENTS];
    ct_status status = derive(operands, derived);
    double *given[OPERANDS] = {NULL}, *by_hand[GRADIENTS] = {NULL}, *found[GRADIENTS] = {NULL};
    for (int i = 0; i < OPERANDS && status == CT_OK; i++) {
        given[i] = elements_of(operands[i]);
        if (!given[i]) status = ct_error();
    }
    for (int i = 0; i < GRADIENTS && status == CT_OK; i++) {
        found[i] = elements_of(derived[i]);
        by_hand[i] = elements_of(operands[i]); /* of the right size; overwritten */
        if (!found[i] || !by_hand[i]) status = ct_error();
    }
    if (status == CT_OK) {
        int64_t channels = ct_dim(operands[X], -1);
        closed_form(ct_numel(operands[X]) / channels, channels, given, by_hand);
        for (int i = 0; i < GRADIENTS; i++) {
            out[i] = compare(of, i, found[i], by_hand[i], ct_numel(derived[i]));
        }
    }
    for (int i = 0; i < OPERANDS; i++) free(given[i]);
    for (int i = 0; i < GRADIENTS; i++) free(found[i]), free(by_hand[i]);
    return status;
}
