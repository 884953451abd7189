/* Is a derivative the one that somebody wrote down? Compares what ct_vjp derives for a function
 * with a closed form of it, in two ways that see different faults:
 *
 * exact    both are evaluated in the field GF(2^61 - 1) (p61.h), where there is no rounding and so
 *          no tolerance: equal as algebra, or not. Of order 1 and, by deriving both once more and
 *          comparing again, of higher orders.
 * numeric  both are evaluated in f64 and f32, with usual data and with data far from 0: what
 *          algebra cannot see, as overflow or a variance from the difference of two large numbers.
 *          What is derived is compared with finite differences of f, and both sides next to each
 *          branch that is found between two draws, which are in [-2,2) and in [-16,16): a note
 *          names those that are never taken. So scale what has its branches elsewhere.
 *
 * A claim is a name, the function, its inputs and the closed form, each in any ops:
 *
 *     static ct_tensor *f(void *context, ct_tensor *const in[], int64_t n) {
 *         return ct_mul(in[0], ct_sigmoid(in[0]));
 *     }
 *     static ct_status closed(void *context, ct_tensor *const in[], int64_t n, ct_tensor *dy,
 *                             ct_tensor *out[]) {
 *         ct_tensor *s = ct_sigmoid(in[0]), *x = in[0];
 *         out[0] = ct_mul(dy, ct_add(s, ct_mul(ct_mul(x, s), ct_offset(ct_neg(s), 1))));
 *         return ct_error();
 *     }
 *     static const ct_claim_input swish_x[] = {{.name = "x", .shape = {2, {3, 4}}}};
 *     static const ct_claim claim = {
 *         .name = "swish", .f = f, .closed = closed, .inputs = swish_x, .n_inputs = 1};
 *     int main(void) { return ct_verify_run(stdout, &claim, (ct_verify_options){0}); }
 *
 * A check that cannot fail proves nothing. So each claim is also tried with closed forms that are
 * wrong, its mutants: those that it lists, and three for each term of f through which a part of a
 * derivative flows and not all of it: left out, negated, doubled. The report says how many were
 * caught.
 *
 * A term is what flows back through a tensor of f that has a name (ct_name; the functions of
 * compose.h name theirs: the "mean" and "variance" of a normalization). A closed form that differs
 * from the derivative is taken apart into these terms, exactly, so that the report can say which
 * one is wrong, and by what factor. Where no term explains it, mistakes at single ops of f are
 * tried: a path that was forgotten, another tensor for an operand or a value, another function's
 * slope; whether a term of the closed form, a tensor of it that has a name, does not belong there;
 * and which one edit would make the closed form right, or f its function: another number, a mean
 * over other axes, ops in the other order. Of a closed form over arrays there is no graph, and no
 * field to compare in: its report says which element is first different, and never which term. */
#ifndef COTAN_VERIFY_H
#define COTAN_VERIFY_H

#include <cotan/autograd/gradcheck.h>

CT_C_BEGIN

#define CT_VERIFY_ORDERS 3
#define CT_CLAIM_INPUTS 16

/* out[i] = the cotangent of inputs[i], given the cotangent of f's value; NULL where the claim says
 * nothing. It is called with inputs of p61, f64 and f32: numbers are ct_scale's, ct_offset's, or
 * ct_scalar(ct_dtype_of(x), 0.5). A number stands for the simplest fraction that rounds to it. */
typedef ct_status ct_closed_form(void *context, ct_tensor *const inputs[], int64_t n,
                                 ct_tensor *cotangent, ct_tensor *out[]);
/* The same over row-major arrays in f64, such as the reference of a port: fills each out[i], which
 * holds NaN before. It is compared in f64 alone, in the max norm, and after the first draw in many
 * more, to 1e-6: for branches that are taken there, and elements that are small beside others. */
typedef void ct_closed_arrays(void *context, const double *const inputs[], int64_t n,
                              const double *cotangent, double *const out[]);

typedef struct {
    const char *name;
    ct_shape shape;
    bool positive; /* drawn above 0: a variance */
    bool fixed;    /* no cotangent of it is compared: targets, masks */
    bool near;     /* is drawn in [-2,2) alone: an angle, what is exponentiated without a shift */
} ct_claim_input;

/* A wrong claim that has to be refused. */
typedef struct {
    const char *name;
    ct_function *f;         /* in place of the claim's; NULL: that */
    ct_closed_form *closed; /* in place of the claim's; NULL: that */
    int order;              /* by which it is refused exactly; 0: by the numeric stage alone */
    const char *says;       /* what the report has to say is wrong, a part of that line; or NULL */
} ct_claim_mutant;

typedef struct {
    const char *name;
    ct_function *f;         /* builds the same graph at every call */
    ct_closed_form *closed; /* one of these two */
    ct_closed_arrays *arrays;
    void *context; /* for all functions of the claim */
    const ct_claim_input *inputs;
    int64_t n_inputs;
    const ct_claim_mutant *mutants;
    int64_t n_mutants;
    const char
        *conventions; /* for the table: "N in the variance, epsilon inside the root"; or NULL */
} ct_claim;

/* Zero is the default. */
typedef struct {
    int orders;           /* 1..CT_VERIFY_ORDERS; default 2; of arrays 1, and more is an error */
    int draws;            /* of exact comparisons; default 3 */
    uint64_t seed;        /* of all that is drawn */
    double tolerance;     /* of f64, in the max norm, below 1; default 1e-12 */
    bool no_mutants;      /* the claim alone */
    ct_tensor *cotangent; /* f64, in place of a random one: what a test of yours does */
} ct_verify_options;

/* One derivative of one order: of <f, c> with regard to an input; at order k + 1 of the sum of all
 * derivatives of order k, each times something random, with regard to all inputs and c. */
typedef struct {
    int order;
    const char *input; /* "cotangent": c */
    bool exact;        /* equal in the field, in all draws; false where it was not tried */
    bool tried;        /* false: no root was found, or the closed form is of arrays */
    bool undecided;    /* different in the field, but exp or another function with a stand-in is  */
                       /*   used, and in f64 each element is the same within rounding: either the */
                       /*   field does not know what makes them equal, as exp(a + b) =            */
                       /*   exp a exp b, or the difference is smaller than rounding               */
    double error_f64;  /* max |derived - closed| / max |closed| */
    double error_f32;  /* the larger of both sides' distances from f64, in the same norm; NaN */
                       /*   where both overflow, and where the closed form is of arrays     */
    double condition;  /* relative change per relative change of the inputs, in the same norm */
    /* error_f64 and error_f32 with inputs near 1000, 32768 and -1000, in units of what rounding of
     * the inputs explains; NaN where the closed form is not finite there. */
    double error_far;
    bool passed;
    int64_t worst;          /* flat index of the worst element */
    double derived, closed; /* in f64 */
} ct_verify_row;

typedef struct {
    char text[200];
} ct_verify_line;

typedef struct {
    ct_verify_line name;
    bool killed;
    const char *stage;   /* "exact, order 2", "numeric", "far from 0", or "none" */
    ct_verify_line says; /* the diagnosis: what is wrong, by name */
    bool named;          /* as the mutant wants it; true where it wants nothing */
} ct_verify_mutant;

typedef struct {
    const char *claim, *conventions; /* names are the claim's, which has to live as long */
    bool passed;                     /* all rows, and every mutant was killed */
    ct_verify_row *rows;
    int64_t n_rows;
    ct_verify_mutant *mutants;
    int64_t n_mutants, n_killed;
    /* Finite differences of f that were compared with what is derived, and how many are not it. */
    int64_t differences, differences_missed;
    /* A wrong formula passes the exact stage with at most the probability 2^log2_missed; 0: nothing
     * is known. */
    double log2_missed;
    /* Comparisons, maxima and the like with one outcome in all draws. Nothing is said of the other
     * branch; the claim passes, and its verdict and a note say so. */
    int64_t untaken;
    /* For pictures: f's value in f64, and what is derived of it for each input. Owned, and of the
     * thread that verified. */
    ct_tensor **graph;
    int64_t n_graph;
    ct_verify_line *notes; /* what is wrong, what was not proved, what the proof rests on */
    int64_t n_notes;
} ct_verify_report;

/* Verifies a claim. CT_OK means that it could be tried; report->passed says how it went, and
 * ct_verify_free frees what the report holds. Errors: CT_ERR_NULL; CT_ERR_RANGE for options, for a
 * claim of no inputs and for two of one name; CT_ERR_SHAPE and CT_ERR_DTYPE where a cotangent of
 * the closed form has another shape or type than its input; CT_ERR_DTYPE for an op that has no
 * arithmetic of p61, and where f or the closed form leaves the inputs' type and comes back;
 * CT_ERR_STATE where they give something else from call to call, or of p61; CT_ERR_MEMORY;
 * whatever f or the closed form recorded. Then the report is empty. */
ct_status ct_verify(const ct_claim *claim, ct_verify_options options, ct_verify_report *report);
void ct_verify_free(ct_verify_report *report); /* takes an empty one */

/* A program of one claim: verifies it and prints the report, or the error that kept it from being
 * tried. Returns the exit status: 0 where it holds, 1 where it is refused, 2 after an error, which
 * ct_error tells; those are ct_verify's and ct_verify_print's. */
int ct_verify_run(FILE *out, const ct_claim *claim, ct_verify_options options);

/* For reading: the verdict, a row for each tensor and order, what is wrong. Errors: CT_ERR_IO,
 * CT_ERR_MEMORY. */
ct_status ct_verify_print(FILE *out, const ct_verify_report *report);
/* Of several claims, whole documents. JSON: {"verdict": "pass", "claims": [..], "mutants": ..,
 * "killed": .., "worst_relative_error": ..}, where a claim has one entry for each order, and in it
 * what was found of all its mutants, so that these are the same at each; the numbers at the end
 * count each once. What is infinite is the string "Infinity", and null is what was not measured: a
 * NaN of ct_verify_row. JUnit XML: a test case for each row, with its numbers as properties, and
 * for each mutant. One page, with each claim's graph where Graphviz
 * draws it; of a refused claim it has the colours of f's terms, and the one that is wrong is called
 * so. Errors: CT_ERR_IO, CT_ERR_MEMORY. */
ct_status ct_verify_write_json(FILE *out, const ct_verify_report *reports, int64_t n);
ct_status ct_verify_write_junit(FILE *out, const ct_verify_report *reports, int64_t n);
ct_status ct_verify_write_html(FILE *out, const ct_verify_report *reports, int64_t n);

CT_C_END

#endif
