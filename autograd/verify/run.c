/* A claim verified and its report printed, for a program that does nothing else.
 * It verifies nothing itself.
 * Invariant: 0 only where the claim was tried, holds, and the report was written. */
#include "autograd/verify.h"
#include "tensor/base/caller.h"

int ct_verify_run(FILE *out, const ct_claim *claim, ct_verify_options options) {
    CTI_CALLED;
    if (!out) {
        ct_fail(CT_ERR_NULL, "ct_verify_run: 'out' is NULL");
        return 2;
    }
    ct_verify_report report;
    ct_status status = ct_verify(claim, options, &report);
    bool passed = report.passed;
    if (status == CT_OK) status = ct_verify_print(out, &report);
    else fprintf(out, "%s\n", ct_error_message());
    ct_verify_free(&report);
    return status != CT_OK ? 2 : passed ? 0 : 1;
}
