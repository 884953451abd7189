/* Is BatchNorm's gradient right? The library derives it from primitive ops; here it is compared
 * with the closed form that textbooks give, and with finite differences of the forward pass.
 * The closed form is in bn_verify_closed_form.c.
 * Invariant: the exit status is 0 only if every comparison holds. */
#include "bn_verify.h"
#include "options.h"
#include "program.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- Against the closed form ------------------------------------------------------------------ */

static void print_comparison(const comparison *c) {
    printf("%-14s %s %9g  %-6s %12.2e %8.0e   %9.1e %9.1e %9.3g  %s\n",
           ct_shape_format(c->of.shape).text, ct_dtype_name(c->of.dtype), c->of.ratio,
           gradient_names[c->gradient], c->error, c->bound, c->absolute, c->relative, c->ulp,
           c->pass ? "ok" : "WRONG");
}

static ct_status compare_case(findings *found, test_case of, ct_generator *generator) {
    int64_t scope = ct_scope_open();
    ct_tensor *operands[OPERANDS];
    comparison *out = &found->compared[found->n_compared];
    ct_status status = make_operands(of, generator, operands);
    if (status == CT_OK) status = compare_gradients(of, operands, out);
    ct_scope_close(scope);
    if (status != CT_OK) return status;
    for (int i = 0; i < GRADIENTS; i++) {
        print_comparison(&out[i]);
        found->pass &= out[i].pass;
        if (of.dtype == CT_F64) found->worst = fmax(found->worst, out[i].error);
    }
    found->n_compared += GRADIENTS;
    return CT_OK;
}

static ct_status compare_all(findings *found, ct_generator *generator) {
    /* What comes out of dense layers, and of convolutions. */
    const ct_shape shapes[] = {CT_SHAPE(16, 8),         CT_SHAPE(32, 10),
                               CT_SHAPE(128, 64),       CT_SHAPE(2, 5, 7, 8),
                               CT_SHAPE(8, 13, 13, 16), CT_SHAPE(16, 26, 26, 32)};
    const double ratios[] = {0, 10, 1000};
    const ct_dtype dtypes[] = {CT_F64, CT_F32};
    printf("Against the closed form. Gated: max|a-b| / max|b|, over all elements of a gradient a.\n"
           "The worst single elements are shown beside it; entries of b can be near 0.\n\n"
           "%-14s %s %9s  %-6s %12s %8s   %9s %9s %9s\n",
           "shape of x", "   ", "mean/std", "tensor", "error", "bound", "absolute", "relative",
           "ulp");
    for (int d = 0; d < 2; d++) {
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            for (int r = 0; r < 3; r++) {
                test_case of = {shapes[s], dtypes[d], ratios[r]};
                if (compare_case(found, of, generator) != CT_OK) return ct_error();
            }
        }
    }
    return CT_OK;
}

/* --- Against finite differences --------------------------------------------------------------- */

static ct_tensor *forward(void *context, ct_tensor *const x[], int64_t n) {
    (void)context, (void)n;
    return ct_batch_norm(x[X], x[GAMMA], x[BETA], -1, EPSILON, NULL, NULL);
}

static ct_status check_case(findings *found, test_case of, int order, ct_generator *generator) {
    difference_check *check = &found->checked[found->n_checked];
    *check = (difference_check){.of = of, .order = order};
    ct_gradcheck_options options = {.order = order};
    int64_t scope = ct_scope_open();
    ct_tensor *operands[OPERANDS];
    ct_status status = make_operands(of, generator, operands);
    if (status == CT_OK) {
        status = ct_gradcheck(forward, NULL, operands, COTANGENT, options, &check->report);
    }
    ct_scope_close(scope);
    if (status != CT_OK) return status;
    const ct_gradcheck_report *report = &check->report;
    printf("%-14s     %9g  %5d  %9lld  %-12s %10.1e %10.1e  %s\n", ct_shape_format(of.shape).text,
           of.ratio, order, (long long)report->compared,
           report->full ? "every entry" : "projections", report->worst.error, report->worst.allowed,
           report->passed ? "ok" : "WRONG");
    found->pass &= report->passed;
    found->n_checked++;
    return CT_OK;
}

static ct_status check_all(findings *found, ct_generator *generator) {
    const struct {
        test_case of;
        int order;
    } checks[] = {
        {{CT_SHAPE(7, 3), CT_F64, 0}, 2},          {{CT_SHAPE(7, 3), CT_F64, 1000}, 2},
        {{CT_SHAPE(2, 3, 2, 4), CT_F64, 0}, 2},    {{CT_SHAPE(2, 3, 2, 4), CT_F64, 1000}, 2},
        {{CT_SHAPE(32, 10), CT_F64, 0}, 2},        {{CT_SHAPE(128, 64), CT_F64, 0}, 1},
        {{CT_SHAPE(8, 13, 13, 16), CT_F64, 0}, 2},
    };
    printf("\nAgainst central differences, f64, with a random cotangent; order 2 checks the\n"
           "gradient's own gradient too.\n\n%-14s     %9s  %5s  %9s  %-12s %10s %10s\n",
           "shape of x", "mean/std", "order", "compared", "of the", "worst", "allowed");
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        if (check_case(found, checks[i].of, checks[i].order, generator) != CT_OK) {
            return ct_error();
        }
    }
    return CT_OK;
}

/* --- The program ------------------------------------------------------------------------------ */

static int finish(const findings *found, const char *json) {
    printf("\nworst error against the closed form in f64: %.2e\nverdict: %s\n", found->worst,
           found->pass ? "the derived gradient is right" : "WRONG");
    if (json && write_json(found, json) != 0) {
        fprintf(stderr, "bn_verify: %s: %s\n", show(json).text, strerror(errno));
        return EXIT_IO;
    }
    return found->pass ? 0 : 1;
}

int main(int argc, char *argv[]) {
    const char *json = NULL;
    const option list[] = {
        {"--json", "FILE", "write the findings there, too", OPTION_TEXT, &json, 0, 0},
    };
    int usage = options_parse("bn_verify",
                              "Compares BatchNorm's derived gradient with the closed "
                              "form and with finite differences.",
                              list, 1, argc, argv);
    if (usage >= 0) return usage;
    program_begin();
    static findings found;
    found.pass = true;
    ct_generator *generator = ct_generator_new(1);
    ct_status status = generator ? compare_all(&found, generator) : ct_error();
    if (status == CT_OK) status = check_all(&found, generator);
    ct_generator_free(generator);
    if (status != CT_OK) fprintf(stderr, "bn_verify: %s\n", ct_error_message());
    return program_end("bn_verify", status == CT_OK ? finish(&found, json) : 1);
}
