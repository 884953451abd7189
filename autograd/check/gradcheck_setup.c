/* What comes before and after a gradient check: arguments, memory, the second derivative as a
 * function of its own, the report.
 * The comparison itself is in gradcheck.c.
 * Invariant: a check works on leaves of its own, and everything it made is gone when it ends. */
#include "autograd/check/gradcheck_private.h"

#include "autograd/grad.h"
#include "autograd/ops.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/random.h"

#include <math.h>
#include <string.h>

double *cti_gradcheck_draw(cti_check *c, int64_t n) {
    double *out = cti_alloc((size_t)n, sizeof *out);
    for (int64_t i = 0; out && i < n; i++) {
        uint32_t word[4];
        ct_philox(word, (uint64_t)i, c->stream, c->seed);
        double size = 0.5 + (double)word[0] * 0x1p-32;
        out[i] = word[1] & 1 ? size : -size;
    }
    c->stream++;
    return out;
}

/* --- Arguments ---------------------------------------------------------------------------- */

static ct_status check_options(ct_gradcheck_options o) {
    if (o.order < 0 || o.order > 2) {
        return ct_fail(CT_ERR_RANGE, "ct_gradcheck: order must be 1 or 2, got %d", o.order);
    }
    double numbers[] = {o.step, o.relative, o.absolute};
    static const char *const names[] = {"step", "relative", "absolute"};
    for (int i = 0; i < 3; i++) {
        if (numbers[i] >= 0 && isfinite(numbers[i])) continue;
        return ct_fail(CT_ERR_RANGE, "ct_gradcheck: %s must be finite and >= 0, got %g", names[i],
                       numbers[i]);
    }
    if (o.full_limit >= 0 && o.directions >= 0) return CT_OK;
    return ct_fail(CT_ERR_RANGE, "ct_gradcheck: full_limit and directions must be >= 0");
}

static ct_status check_inputs(ct_tensor *const inputs[], int64_t n) {
    if (n < 1) return ct_fail(CT_ERR_RANGE, "ct_gradcheck: needs at least one input");
    for (int64_t k = 0; k < n; k++) {
        if (!inputs[k]) return cti_null("ct_gradcheck: input %lld is NULL", (long long)k);
        if (ct_dtype_of(inputs[k]) == CT_F64) continue;
        return ct_fail(CT_ERR_DTYPE,
                       "ct_gradcheck: input %lld must be f64, got %s; finite "
                       "differences in less precision show nothing",
                       (long long)k, ct_dtype_name(ct_dtype_of(inputs[k])));
    }
    return CT_OK;
}

/* --- One order ---------------------------------------------------------------------------- */

static double or_default(double value, double fallback) { return value > 0 ? value : fallback; }

static void complete(cti_check *c, ct_gradcheck_options o) {
    bool first = c->order == 1;
    c->step_given = o.step > 0;
    c->step = or_default(o.step, 1e-6);
    c->relative = or_default(o.relative, first ? 1e-6 : 1e-5);
    c->absolute = or_default(o.absolute, first ? 3e-9 : 1e-7);
    c->full_limit = o.full_limit ? o.full_limit : 4096;
    c->directions = o.directions ? o.directions : 8;
    c->seed = o.seed;
}

/* Leaves with the inputs' values: f sees them row-major whatever they are views of. */
static ct_status take_inputs(cti_check *c, ct_tensor *const inputs[]) {
    int64_t largest = 0;
    for (int64_t k = 0; k < c->n; k++) {
        c->x[k] = ct_detach(inputs[k]);
        if (!c->x[k]) return ct_error();
        int64_t numel = ct_numel(c->x[k]);
        if (__builtin_add_overflow(c->n_in, numel, &c->n_in)) {
            return ct_fail(CT_ERR_RANGE, "ct_gradcheck: more than 2^63-1 elements");
        }
        if (numel > largest) largest = numel;
    }
    double **of_input[] = {&c->up, &c->down, &c->moved, &c->rung_moved, &c->direction};
    for (int i = 0; i < 5; i++) {
        *of_input[i] = cti_alloc((size_t)largest, sizeof(double));
        if (!*of_input[i]) return CT_ERR_MEMORY;
    }
    return CT_OK;
}

static ct_status take_output(cti_check *c) {
    ct_tensor *y = cti_gradcheck_call(c, c->x);
    if (!y) return ct_error();
    c->y_known = true;
    c->y_shape = ct_shape_of(y);
    c->n_out = ct_numel(y);
    double **of_output[] = {&c->y, &c->y_down, &c->column, &c->rung};
    for (int i = 0; i < 4; i++) {
        *of_output[i] = cti_alloc((size_t)c->n_out, sizeof(double));
        if (!*of_output[i]) return CT_ERR_MEMORY;
    }
    return CT_OK;
}

static ct_status check_order(cti_check *c, ct_tensor *const inputs[],
                             ct_gradcheck_options options) {
    complete(c, options);
    int64_t scope = ct_scope_open();
    c->x = cti_alloc((size_t)c->n, sizeof *c->x);
    c->point = cti_alloc((size_t)c->n, sizeof *c->point);
    c->alive = cti_alloc((size_t)c->n, sizeof *c->alive);
    ct_status status = c->x && c->point && c->alive ? take_inputs(c, inputs) : CT_ERR_MEMORY;
    if (status == CT_OK) status = take_output(c);
    if (status == CT_OK) status = cti_gradcheck_run(c);
    ct_scope_close(scope);
    void *blocks[] = {c->x,    c->point,  c->alive,      c->y,         c->y_down,
                      c->up,   c->down,   c->moved,      c->direction, c->column,
                      c->rung, c->ladder, c->rung_moved, c->moving,    c->bent};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) cti_free(blocks[i]);
    return status;
}

/* --- The second derivative ---------------------------------------------------------------- */

typedef struct {
    ct_function *f;
    void *context;
} derivative;

/* (x, cotangent) -> J(x)^T cotangent, all inputs one behind the other. */
static ct_tensor *derive(void *context, ct_tensor *const inputs[], int64_t n) {
    const derivative *d = context;
    int64_t n_x = n - 1;
    ct_tensor *y = d->f(d->context, inputs, n_x), *all = NULL;
    ct_tensor **g = y ? cti_alloc((size_t)n_x, sizeof *g) : NULL;
    if (g && ct_vjp(y, inputs[n_x], inputs, n_x, g) == CT_OK) {
        for (int64_t k = 0; k < n_x; k++) g[k] = ct_reshape(g[k], CT_SHAPE(ct_numel(g[k])));
        all = ct_concat(g, n_x, 0);
    }
    cti_free(g);
    return all;
}

static ct_status check_second(const cti_check *first, ct_tensor *const inputs[],
                              ct_gradcheck_options options) {
    derivative d = {first->f, first->context};
    cti_check c = {.f = derive,
                   .context = &d,
                   .n = first->n + 1,
                   .order = 2,
                   .stream = 1u << 16,
                   .report = first->report,
                   .seed = options.seed,
                   .worst_ratio = first->worst_ratio};
    int64_t scope = ct_scope_open();
    ct_tensor **all = cti_alloc((size_t)c.n, sizeof *all);
    double *cotangent = cti_gradcheck_draw(&c, first->n_out);
    ct_status status = CT_ERR_MEMORY;
    if (all && cotangent) {
        memcpy(all, inputs, (size_t)first->n * sizeof(ct_tensor *));
        all[first->n] = ct_from(CT_F64, first->y_shape, cotangent);
        status = all[first->n] ? check_order(&c, all, options) : ct_error();
    }
    cti_free(all);
    cti_free(cotangent);
    ct_scope_close(scope);
    return status;
}

ct_status ct_gradcheck(ct_function f, void *context, ct_tensor *const inputs[], int64_t n,
                       ct_gradcheck_options options, ct_gradcheck_report *report) {
    CTI_CALLED;
    if (!f || !inputs || !report) {
        return ct_fail(CT_ERR_NULL, "ct_gradcheck: '%s' is NULL",
                       !f        ? "f"
                       : !inputs ? "inputs"
                                 : "report");
    }
    ct_status status = check_options(options);
    if (status == CT_OK) status = check_inputs(inputs, n);
    if (status != CT_OK) return status;
    ct_gradcheck_report made = {.passed = true, .full = true, .degenerate_input = -1};
    made.worst = (ct_gradcheck_entry){.order = 1, .input = -1, .index = -1, .output = -1};
    cti_check c = {
        .f = f, .context = context, .n = n, .order = 1, .report = &made, .worst_ratio = -1};
    status = check_order(&c, inputs, options);
    if (status == CT_OK && options.order == 2) status = check_second(&c, inputs, options);
    if (status == CT_OK) *report = made;
    return status;
}

/* --- The report --------------------------------------------------------------------------- */

static void print_place(FILE *out, const char *what, int64_t place, const char *otherwise) {
    if (place < 0) fprintf(out, "%s", otherwise);
    else fprintf(out, "%s %lld", what, (long long)place);
}

static void print_worst(FILE *out, const ct_gradcheck_report *report) {
    const ct_gradcheck_entry *worst = &report->worst;
    fprintf(out, "  worst: order %d, input %lld, ", worst->order, (long long)worst->input);
    print_place(out, "element", worst->index, "a random direction");
    fputs(", ", out);
    print_place(out, "output", worst->output, "a random cotangent");
    fprintf(out,
            "\n    analytic %24.17g\n    numeric  %24.17g\n    error    %24.3g\n"
            "    allowed  %24.3g\n",
            worst->analytic, worst->numeric, worst->error, worst->allowed);
    if (report->worst_step > 0) {
        fprintf(out, "    numeric by a step of %.1e max(1, |x|), give or take %.1e\n",
                report->worst_step, report->worst_uncertainty);
    }
}

ct_status ct_gradcheck_print(FILE *out, const ct_gradcheck_report *report) {
    CTI_CALLED;
    if (!out || !report) {
        return ct_fail(CT_ERR_NULL, "ct_gradcheck_print: '%s' is NULL", out ? "report" : "out");
    }
    fprintf(out, "gradient check %s: %lld of %lld comparisons within tolerance (%s)\n",
            report->passed ? "passed" : "FAILED", (long long)(report->compared - report->missed),
            (long long)report->compared,
            report->full ? "every entry of the Jacobian" : "random projections");
    if (report->compared) print_worst(out, report);
    if (report->degenerate) {
        fprintf(out,
                "  note: the gradient of input %lld is 0 everywhere, so little was shown "
                "there: does f depend on it?\n",
                (long long)report->degenerate_input);
    }
    return ferror(out) ? ct_fail(CT_ERR_IO, "ct_gradcheck_print: writing failed") : CT_OK;
}
