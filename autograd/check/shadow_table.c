/* The precision shadow as a table for people.
 * It compares nothing; shadow.c does.
 * Invariant: what is printed depends on the report alone. */
#include "autograd/shadow.h"

#include "tensor/base/caller.h"
#include "tensor/io/writer.h"

#include <string.h>

#define MOST_LINES 40  /* of nodes */
#define LEAST_LOSS 0.5 /* of a node with a line */

static void put_verdict(FILE *out, const ct_shadow_report *report) {
    fprintf(out, "f32 beside f64: the roots are off by %.1e; ", report->error);
    if (report->n_lossy == 0) fprintf(out, "no node of %lld loses", (long long)report->n);
    else if (report->n_lossy == 1) fprintf(out, "1 of %lld nodes loses", (long long)report->n);
    else fprintf(out, "%lld of %lld nodes lose", (long long)report->n_lossy, (long long)report->n);
    fprintf(out, " half of %s digits\n", report->n_lossy > 1 ? "their" : "its");
}

static void put_entry(FILE *out, const ct_shadow_entry *e) {
    const char *name = ct_name_of(e->tensor);
    fprintf(out, "%8.1f%8.1f%10.1e%11.1e  ", e->lost, e->left, e->error, e->amplification);
    if (*e->path) fprintf(out, "%s: ", cti_show_path(e->path).text);
    if (*name) fprintf(out, "%s = ", cti_show(name, strlen(name)).text);
    fputs(e->op, out);
    if (e->order == 1) fputs(" (derivative)", out);
    else if (e->order > 1) fprintf(out, " (derivative of order %d)", e->order);
    fputs(e->noise ? " (noise)\n" : "\n", out);
}

ct_status ct_shadow_print(FILE *out, const ct_shadow_report *report) {
    CTI_CALLED;
    if (!out || !report) return cti_null("ct_shadow_print: '%s' is NULL", out ? "report" : "out");
    put_verdict(out, report);
    fprintf(out, "%8s%8s%10s%11s  %s\n", "lost", "left", "error", "amplified", "node");
    int64_t shown = 0;
    while (shown < report->n && shown < MOST_LINES && report->entries[shown].lost >= LEAST_LOSS) {
        put_entry(out, &report->entries[shown++]);
    }
    if (shown < report->n) {
        bool less = report->entries[shown].lost < LEAST_LOSS;
        fprintf(out, "%37s  %lld others%s\n", "", (long long)(report->n - shown),
                less ? " lose less than 0.5" : "");
    }
    if (report->n_noise > 0) {
        fprintf(out, "%lld of noise: f64 itself has less than three digits there\n",
                (long long)report->n_noise);
    }
    if (report->n_unshadowed > 0) {
        fprintf(out, "%lld not there in f64: what follows is compared from there on\n",
                (long long)report->n_unshadowed);
    }
    return ferror(out) ? ct_fail(CT_ERR_IO, "ct_shadow_print: writing failed") : CT_OK;
}
