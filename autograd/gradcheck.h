/* Are derivatives right? Compares what ct_vjp derives with central differences, in f64.
 *
 *     static ct_tensor *f(void *context, ct_tensor *const x[], int64_t n) {
 *         return ct_batch_norm(x[0], x[1], x[2], -1, 1e-3, NULL, NULL);
 *     }
 *     ct_gradcheck_report report;
 *     if (ct_gradcheck(f, NULL, inputs, 3, (ct_gradcheck_options){.order = 2}, &report) == CT_OK)
 *         ct_gradcheck_print(stdout, &report);
 *
 * The cotangent is random. One of all ones would be blind where it matters: the sum of a
 * normalized tensor is constant, so every gradient of it, right or wrong, would have to be 0. */
#ifndef COTAN_GRADCHECK_H
#define COTAN_GRADCHECK_H

#include <cotan/tensor/tensor.h>

CT_C_BEGIN

/* A function of tensors, f64 in and out. It must build the same graph at every call and give the
 * same values for the same inputs: random numbers come from a key that it is given. */
typedef ct_tensor *ct_function(void *context, ct_tensor *const inputs[], int64_t n);

/* Zero is the default everywhere: no check can do with 0 of anything here. A tolerance that is not
 * to count is 1e-300. */
typedef struct {
    int order;          /* 1, or 2: the first and the second derivative; default 1 */
    uint64_t seed;      /* of cotangents and directions */
    double step;        /* h = step * max(1, |x|); by default it follows the data, see below */
    double relative;    /* an entry passes with |analytic - numeric| <= relative * |analytic| */
    double absolute;    /*   + absolute * max(1, |f|); default 1e-6 and 3e-9, at the second */
                        /*   derivative 1e-5 and 1e-7. |f| is the value that was differenced.    */
    int64_t full_limit; /* all entries of a Jacobian of at most so many; default 4096 */
    int directions;     /* of a larger one: so many random projections per input; default 8 */
} ct_gradcheck_options;

/* One comparison. With a dense cotangent `output` is -1, with a direction `index` is -1. */
typedef struct {
    int order;      /* of the derivative */
    int64_t input;  /* number of the input; n is the cotangent, at the second derivative */
    int64_t index;  /* flat index in it */
    int64_t output; /* flat index in the output */
    double analytic, numeric;
    double error; /* |analytic - numeric|; infinite when one of them is NaN */
    double allowed;
} ct_gradcheck_entry;

typedef struct {
    bool passed;
    bool full;                /* every entry of every Jacobian was compared */
    bool degenerate;          /* some input's gradient is 0 everywhere: nothing was shown there */
    int64_t degenerate_input; /* the first such input */
    int64_t compared, missed; /* comparisons, and those outside of the tolerance */
    ct_gradcheck_entry worst; /* the largest error / allowed */
    double worst_step;        /* by which its numeric value was found, relative to max(1, |x|), */
    double worst_uncertainty; /*   and how far that may be off; 0 when the usual step did */
} ct_gradcheck_report;

/* Checks d f / d inputs, n >= 1 of them. CT_OK means that the check could be made;
 * report->passed says how it went. The inputs stay what they are; f is called with leaves in their
 * place. A Jacobian of at most full_limit entries is compared entry by entry, row by row and once
 * more under a random dense cotangent. A larger one by 8 pairs of random cotangent u and direction
 * v for each input: <J^T u, v> against <u, (f(x + h v) - f(x - h v)) / 2h>. The second derivative
 * is that of (x, c) -> J(x)^T c for a random c, which is the graph that ct_vjp builds.
 *
 * No step fits all data: too large a one does not see how f bends (x is tiny, or a deviation from a
 * large mean counts), too small a one sees how f is rounded. Without options.step, 1e-6 is taken at
 * its word where it agrees by far: to a tenth of what is allowed, with an absolute part of
 * absolute * max(1e-6, |f|) / max(1, |x|), which rounding of f itself explains. Otherwise steps of
 * 2^-6, 2^-9, .. 2^-45 are extrapolated (Richardson, 1911); the pair counts whose neighbours agree
 * best, and how they disagree is the numeric value's uncertainty. Ten times that is allowed more,
 * but no more than absolute * max(1, |f|), or 10 relative of the largest derivative by the element.
 * There the value counts as rounded like one of size max(1, |f|), since f may be small beside what
 * is rounded inside. Where that does not agree, and differences ahead and behind by the largest
 * step are of two functions (a kink, or a step beyond all that the data knows; where they agree f
 * is straight, and stands still at small steps by rounding alone), steps are judged once more with
 * |f| itself, down to 2^-45 |x| (for x = 0, of the input's smallest other element) but no further
 * than 2^-147, and no further than f moves when all elements do; an entry passes where either
 * agrees. When neither does, the check fails, and the stated uncertainty covers the distance of the
 * two, and that of any smaller pair which contradicts by more than its own doubt: one as large as
 * the derivative says that no step decides. Under a dense cotangent |f| is that of the outputs
 * which moved.
 * Errors: CT_ERR_DTYPE when an input or f's value is not f64; CT_ERR_RANGE for options;
 * CT_ERR_STATE when f does not repeat itself, or an input or f's value varies between ranks;
 * whatever f or its derivative recorded. */
ct_status ct_gradcheck(ct_function f, void *context, ct_tensor *const inputs[], int64_t n,
                       ct_gradcheck_options options, ct_gradcheck_report *report);
/* A few lines: the verdict, how much was compared, the worst entry. Errors: CT_ERR_IO. */
ct_status ct_gradcheck_print(FILE *out, const ct_gradcheck_report *report);

CT_C_END

#endif
