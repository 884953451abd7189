/* Are the derivatives right? Verifies the claims that come with the library: what is derived for a
 * layer against the closed form of a textbook, exactly in a field and numerically; and that the
 * check refuses closed forms that are wrong.
 * Claims of one's own are verified by ct_verify: examples/own_claim.c.
 * Invariant: the exit status is 0 only if every claim holds and every wrong one was refused. */
#include "options.h"
#include "program.h"
#include "verify_ranks.h"

#include <cotan/nn/claims.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *claim, *json, *junit, *html;
    int64_t orders, seed;
} request;

/* --- What is printed -------------------------------------------------------------------------- */

static const char *exact_word(const ct_verify_report *report, int order) {
    const char *word = "";
    for (int64_t k = 0; k < report->n_rows; k++) {
        const ct_verify_row *row = &report->rows[k];
        if (row->order != order) continue;
        if (!row->tried) return "-";
        if (!row->exact) return row->undecided ? "undecided" : "WRONG";
        word = "equal";
    }
    return word;
}

static void print_line(const ct_verify_report *report) {
    double f64 = 0, f32 = 0, condition = 1;
    for (int64_t k = 0; k < report->n_rows; k++) {
        f64 = fmax(f64, report->rows[k].error_f64);
        f32 = fmax(f32, report->rows[k].error_f32);
        condition = fmax(condition, report->rows[k].condition);
    }
    printf("%-26s %-5s %-5s %-5s %7.1e %7.1e %9.1e %3lld/%-3lld %-5s  %s\n", report->claim,
           exact_word(report, 1), exact_word(report, 2), exact_word(report, 3), f64, f32, condition,
           (long long)report->n_killed, (long long)report->n_mutants,
           report->passed ? "ok" : "WRONG", report->conventions ? report->conventions : "");
}

static void print_table(const ct_verify_report *reports, int64_t n) {
    printf("%-26s %-5s %-5s %-5s %7s %7s %9s %7s %5s  %s\n", "derived = closed, order", "1", "2",
           "3", "f64", "f32", "condition", "mutants", "", "conventions");
    for (int64_t i = 0; i < n; i++) print_line(&reports[i]);
    printf("\nExact: equal in the field GF(2^61 - 1), where nothing is rounded. f64: max "
           "|derived - closed| /\nmax |closed|; f32: either side from itself in f64, likewise. "
           "Mutants: wrong formulas that were\nrefused, of how many. One claim in full: --claim "
           "NAME.\n");
    for (int64_t i = 0; i < n; i++) {
        if (!reports[i].passed) ct_verify_print(stdout, &reports[i]);
    }
}

static bool write_file(const char *path, const ct_verify_report *reports, int64_t n,
                       ct_status (*writer)(FILE *, const ct_verify_report *, int64_t)) {
    if (!path) return true;
    FILE *out = fopen(path, "w");
    ct_status status = out ? writer(out, reports, n) : CT_ERR_IO;
    int failed = errno;
    if (out && fclose(out) != 0 && status == CT_OK) {
        failed = errno;
        status = CT_ERR_IO;
    }
    if (status == CT_OK) return true;
    fprintf(stderr, "verify: %s: %s\n", show(path).text, strerror(failed));
    return false;
}

static int finish(const request *r, const ct_verify_report *reports, int64_t n) {
    bool passed = true;
    for (int64_t i = 0; i < n; i++) passed &= reports[i].passed;
    if (r->claim) {
        for (int64_t i = 0; i < n; i++) ct_verify_print(stdout, &reports[i]);
    } else {
        print_table(reports, n);
    }
    printf("\nverdict: %s\n", passed ? "all claims hold" : "WRONG");
    int status = passed ? 0 : 1;
    if (!write_file(r->json, reports, n, ct_verify_write_json)) status = EXIT_IO;
    if (!write_file(r->junit, reports, n, ct_verify_write_junit)) status = EXIT_IO;
    if (!write_file(r->html, reports, n, ct_verify_write_html)) status = EXIT_IO;
    return status;
}

/* --- What is verified ------------------------------------------------------------------------- */

/* The library's claims, then those that need ranks; NULL behind the last one. */
static const ct_claim *claim_at(int64_t i) {
    int64_t n;
    const ct_claim *const *claims = ct_claims(&n);
    if (i < n) return claims[i];
    return i < n + RANK_CLAIMS ? &rank_claims[i - n] : NULL;
}

static ct_status verify_one(const ct_claim *claim, ct_verify_options options,
                            ct_verify_report *report) {
    bool on_ranks = claim >= rank_claims && claim < rank_claims + RANK_CLAIMS;
    return (on_ranks ? verify_on_ranks : ct_verify)(claim, options, report);
}

static bool wanted(const request *r, const ct_claim *claim) {
    return !r->claim || strncmp(claim->name, r->claim, strlen(r->claim)) == 0;
}

static int verify_all(const request *r, ct_verify_report *reports) {
    int64_t n = 0;
    ct_verify_options options = {.orders = (int)r->orders, .seed = (uint64_t)r->seed};
    const ct_claim *claim;
    for (int64_t i = 0; (claim = claim_at(i)) != NULL; i++) {
        if (!wanted(r, claim)) continue;
        if (verify_one(claim, options, &reports[n]) != CT_OK) {
            fprintf(stderr, "verify: %s: %s\n", claim->name, ct_error_message());
            return 1;
        }
        n++;
    }
    if (n == 0) {
        fprintf(stderr, "verify: no claim begins with %s; there are:", show(r->claim).text);
        for (int64_t i = 0; (claim = claim_at(i)) != NULL; i++) fprintf(stderr, " %s", claim->name);
        fputc('\n', stderr);
        return EXIT_USAGE;
    }
    int status = finish(r, reports, n);
    for (int64_t i = 0; i < n; i++) ct_verify_free(&reports[i]);
    return status;
}

int main(int argc, char *argv[]) {
    request r = {.orders = 3, .seed = 1};
    const option list[] = {
        {"--claim", "NAME", "those whose names begin so, in full", OPTION_TEXT, &r.claim, 0, 0},
        {"--orders", "N", "of derivatives, 1 to 3", OPTION_INTEGER, &r.orders, 1, 3},
        {"--seed", "N", "of all that is drawn", OPTION_INTEGER, &r.seed, 0, INT32_MAX},
        {"--json", "FILE", "write the report there, too", OPTION_TEXT, &r.json, 0, 0},
        {"--junit", "FILE", "as JUnit XML", OPTION_TEXT, &r.junit, 0, 0},
        {"--html", "FILE", "as a page", OPTION_TEXT, &r.html, 0, 0},
    };
    int usage = options_parse("verify",
                              "Verifies that derived gradients are the closed forms of textbooks, "
                              "exactly and numerically.",
                              list, sizeof list / sizeof *list, argc, argv);
    if (usage >= 0) return usage;
    program_begin();
    int64_t n = 0;
    while (claim_at(n)) n++;
    ct_verify_report *reports = calloc((size_t)n, sizeof *reports);
    int status = 1;
    if (reports) status = verify_all(&r, reports);
    else fprintf(stderr, "verify: out of memory\n");
    free(reports);
    return program_end("verify", status);
}
