/* The report of a gradient check as text.
 * It checks nothing.
 * Invariant: what is printed depends on the report alone. */
#include "autograd/gradcheck.h"
#include "tensor/base/caller.h"

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
