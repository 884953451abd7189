/* The profile as a table for people.
 * It collects nothing; profile.c does.
 * Invariant: both tables show the same seconds. */
#include "tensor/profile.h"

#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"

#include <stdlib.h>
#include <string.h>

#define MOST_LINES 40 /* of passes; the others are summed up */

typedef struct {
    const char *name;
    int64_t passes;
    double seconds, bytes, operations;
} share;

static int by_seconds(const void *a, const void *b) {
    double x = ((const share *)a)->seconds, y = ((const share *)b)->seconds;
    return (x < y) - (x > y);
}

static void put_line(FILE *out, double seconds, double whole, double calls, double bytes,
                     double operations) {
    fprintf(out, "%10.1f %5.1f %% %9.2f %9.2f %7.1f %7.1f", seconds / calls * 1e6,
            whole > 0 ? 100 * seconds / whole : 0, bytes * 1e-6, operations * 1e-6,
            seconds > 0 ? bytes * calls / seconds * 1e-9 : 0,
            seconds > 0 ? operations * calls / seconds * 1e-9 : 0);
}

static void put_passes(FILE *out, const ct_profile_pass *passes, int64_t n, double whole) {
    fprintf(out, "%10s %7s %9s %9s %7s %7s  %s\n", "us/call", "time", "MB", "MFLOP", "GB/s",
            "GFLOP/s", "pass");
    double rest = 0;
    for (int64_t i = MOST_LINES; i < n; i++) rest += passes[i].seconds;
    for (int64_t i = 0; i < n && i < MOST_LINES; i++) {
        const ct_profile_pass *p = &passes[i];
        put_line(out, p->seconds, whole, (double)p->calls, p->bytes, p->operations);
        fprintf(out, "  %s%s%s%s\n", p->module, *p->module ? ": " : "", p->ops,
                p->order > 0 ? " (derivative)" : "");
    }
    if (n > MOST_LINES) {
        fprintf(out, "%10s %5.1f %% %37s %lld smaller ones\n", "",
                whole > 0 ? 100 * rest / whole : 0, "", (long long)(n - MOST_LINES));
    }
}

/* The modules' shares of all passes; their number. */
static int64_t add_up(const ct_profile_pass *passes, int64_t n, share *modules) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t s = 0; s < passes[i].n_shares; s++) {
            const char *name = passes[i].shares[s].module;
            double part = passes[i].shares[s].share, runs = part * (double)passes[i].calls;
            int64_t k = 0;
            while (k < count && strcmp(modules[k].name, name) != 0) k++;
            if (k == count) modules[count++] = (share){.name = name};
            modules[k].passes++;
            modules[k].seconds += passes[i].seconds * part;
            modules[k].bytes += passes[i].bytes * runs;
            modules[k].operations += passes[i].operations * runs;
        }
    }
    return count;
}

static void put_modules(FILE *out, share *modules, int64_t count, double whole) {
    double evaluations = (double)ct_profile_evaluations();
    qsort(modules, (size_t)count, sizeof *modules, by_seconds);
    fprintf(out, "\n%10s %7s %7s %7s %7s  %s\n", "us/eval", "time", "passes", "GB/s", "GFLOP/s",
            "module");
    for (int64_t k = 0; k < count; k++) {
        const share *m = &modules[k];
        fprintf(out, "%10.1f %5.1f %% %7lld %7.1f %7.1f  %s\n", m->seconds / evaluations * 1e6,
                whole > 0 ? 100 * m->seconds / whole : 0, (long long)m->passes,
                m->seconds > 0 ? m->bytes / m->seconds * 1e-9 : 0,
                m->seconds > 0 ? m->operations / m->seconds * 1e-9 : 0,
                *m->name ? m->name : "(no module)");
    }
}

ct_status ct_profile_write(FILE *out) {
    CTI_CALLED;
    if (!out) return ct_fail(CT_ERR_NULL, "ct_profile_write: 'out' is NULL");
    int64_t n;
    const ct_profile_pass *passes = ct_profile_passes(&n);
    int64_t most = 0;
    for (int64_t i = 0; i < n; i++) most += passes[i].n_shares;
    share *modules = cti_alloc((size_t)most, sizeof *modules);
    if (!passes || !modules) {
        cti_free(modules);
        return CT_ERR_MEMORY;
    }
    double whole = 0;
    for (int64_t i = 0; i < n; i++) whole += passes[i].seconds;
    put_passes(out, passes, n, whole);
    put_modules(out, modules, add_up(passes, n, modules), whole);
    cti_free(modules);
    if (fflush(out) != 0 || ferror(out)) {
        return ct_fail(CT_ERR_IO, "ct_profile_write: cannot write");
    }
    return CT_OK;
}
