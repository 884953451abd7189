/* Private: what the stages of a verification share. */
#ifndef COTAN_VERIFY_PRIVATE_H
#define COTAN_VERIFY_PRIVATE_H

#include "autograd/ops.h"
#include "autograd/verify.h"
#include "tensor/base/zone.h"
#include "tensor/p61.h"

#define CTI_TERMS 8 /* of a function: at most so many are told apart */
#define CTI_PAIRS (CT_VERIFY_ORDERS * (CT_CLAIM_INPUTS + 1))

/* Which derivatives there are, and of how many elements. */
typedef struct {
    int64_t n; /* 0: not known yet */
    struct {
        int order;
        int64_t input, numel;
    } pairs[CTI_PAIRS];
} cti_layout;

/* What is verified: a claim, or a mutant of it. */
typedef struct {
    const ct_claim *claim;
    ct_function *f;
    ct_closed_form *closed;
    const char *term; /* the closed form has `factor` times this term of f; NULL: as written */
    double factor;
    const ct_verify_row
        *right; /* of a mutant: what was found of the claim itself, `n_right` rows */
    int64_t n_right;
    cti_layout layout; /* of all instances, of which those of fewer orders have the first part */
} cti_subject;

/* A spread for branches that lie further from 0 than usual draws. */
#define CTI_SPREAD 8.0

/* Which random numbers: different ones for each seed, stream and attempt. */
typedef struct {
    uint64_t seed, stream, attempt;
    bool narrow;          /* of f32's digits, for comparisons between types */
    bool together;        /* inputs are within 1/16 of each other */
    double spread;        /* times so much are all inputs that may be far from 0; 0: 1 */
    double far;           /* and this is added */
    double nudge;         /* all inputs are off by so much of themselves, up or down */
    double part;          /* of the way to the numbers of another attempt, from 0 to 1 */
    ct_tensor *cotangent; /* the user's, or NULL */
    uint32_t *again[CT_CLAIM_INPUTS]; /* attempts of each element more; or NULL */
} cti_draw;

/* One derivative, found in both ways. */
typedef struct {
    int order;
    int64_t input; /* claim->n_inputs is the cotangent */
    ct_tensor *derived, *closed;
} cti_pair;

/* A subject at drawn inputs, up to some order. */
typedef struct {
    ct_tensor *x[CT_CLAIM_INPUTS + 1]; /* the last one is the cotangent */
    ct_tensor *y;
    int64_t n; /* pairs, in ascending order of derivatives */
    cti_pair pairs[CTI_PAIRS];
} cti_instance;

/* Builds f alone: x and y. Order 0. */
ct_status cti_instance_begin(const cti_subject *s, ct_dtype dtype, const cti_draw *draw,
                             cti_instance *out);
/* Builds the pairs of orders 1 to `orders`. */
ct_status cti_instance_derive(const cti_subject *s, const cti_draw *draw, int orders,
                              cti_instance *of);
/* Both sides of all pairs, as far as there are tensors of them; returns how many. */
int64_t cti_instance_sides(const cti_instance *of, ct_tensor *all[2 * CTI_PAIRS]);
/* Evaluates both sides of all pairs. */
ct_status cti_instance_eval(const cti_instance *of);

/* --- Terms ------------------------------------------------------------------------------------ */

/* The names within y's graph, but for inputs', the one nearest to y first; at most CTI_TERMS. */
ct_status cti_term_names(const cti_instance *of, const char *names[CTI_TERMS], int64_t *n);
/* out[i]: what flows from the cotangent to x[i] through tensors of that name. */
ct_status cti_term_flow(const cti_subject *s, const cti_instance *of, const char *name,
                        ct_tensor *out[]);
/* Says what is wrong with the closed form of an input, of an instance in the field that has been
 * evaluated; empty if no term explains it. */
ct_status cti_term_diagnose(const cti_subject *s, const cti_instance *of, const cti_pair *pair,
                            ct_verify_line *out);

/* Whether such a line names the term. */
bool cti_term_is_said(const ct_verify_line *line, const char *name);

/* Whether numbers times the closed form's own terms, which are its tensors with names, give what is
 * derived. Says so then. */
ct_status cti_term_shares(const cti_subject *s, const cti_pair *pair, ct_verify_line *out,
                          bool *found);

/* A graph like y's in which tensors of a name, or one node, let no derivative through. */
ct_tensor *cti_term_stopped(ct_tensor *y, const char *name, const ct_tensor *node);
/* y's graph with another tensor for one node. */
ct_tensor *cti_graph_with(ct_tensor *y, const ct_tensor *node, ct_tensor *other);
/* What takes the place of t: `image` is t over the images of its inputs, `images` are those of
 * all nodes before it, by index. NULL: with the error recorded. */
typedef ct_tensor *cti_map_fn(void *context, ct_tensor *t, ct_tensor *image,
                              ct_tensor *const images[]);
/* The graphs of these roots with each node mapped, inputs first. */
ct_status cti_graph_map(ct_tensor *const roots[], int64_t n, ct_tensor *out[], cti_map_fn *map,
                        void *context);
/* What a term with this factor is: " is missing", " has the factor 6/5"; false for no fraction. */
bool cti_factor_said(ct_p61 factor, ct_verify_line *out);
/* What else a person may have done: forgotten what flows through some op of f, or an input. Says so
 * in any case. */
ct_status cti_guess(const cti_subject *s, const cti_instance *of, const cti_pair *pair,
                    ct_verify_line *out);

/* Or made a mistake at one op, on the way back. Says so where that explains the difference. */
ct_status cti_guess_mistake(const cti_subject *s, const cti_instance *of, const cti_pair *pair,
                            ct_verify_line *out, bool *found);
/* Or took another value for that of an op: before it was divided by n, before the op. */
ct_status cti_guess_value(const cti_subject *s, const cti_instance *of, const cti_pair *pair,
                          ct_verify_line *out, bool *found);
/* A sum, or a mean, that is stretched to the shape of what it is the sum of, along which axes; and
 * root's graph with that one, or with all alike, over other axes. In the field. */
bool cti_is_stretched_sum(const ct_tensor *t);
ct_axes cti_stretched_axes(const ct_tensor *t);
ct_tensor *cti_graph_over(ct_tensor *root, const ct_tensor *like, bool all, ct_axes axes,
                          bool mean);
/* Or would be right after one edit: of the closed form, or of f. */
ct_status cti_guess_repair(const cti_subject *s, const cti_instance *of, const cti_pair *pair,
                           ct_verify_line *out, bool *found);
/* Appends "exp(sub(x, max(x)))", as deep as said; names in place of what has one. */
void cti_write_formula(const ct_tensor *t, int depth, char text[], size_t size);
#define CTI_CALLED_SIZE 80
typedef struct {
    char text[CTI_CALLED_SIZE];
} cti_written;
/* The same to a depth of two. */
cti_written cti_written_of(const ct_tensor *t);
/* What a and b are called where both are: deep enough to differ; of one name the earlier and the
 * later. */
void cti_write_both(const ct_tensor *a, const ct_tensor *b, char of_a[CTI_CALLED_SIZE],
                    char of_b[CTI_CALLED_SIZE]);
/* The same where t is a term, whose name stands in quotes. */
void cti_write_called(const ct_tensor *t, int depth, char text[], size_t size);

/* --- Stages ----------------------------------------------------------------------------------- */

/* What is found out about a subject. */
typedef struct {
    ct_verify_row *rows; /* one for each pair */
    bool *zero;          /* and whether its derivative was 0 in all draws */
    bool **zeros;        /* the same of each element, in the field; true where it was not tried */
    cti_zone zone;       /* of these */
    int64_t n, n_roots_missing;
    uint64_t attempts;     /* of the last draw */
    ct_verify_line says;   /* what is wrong, the first of it */
    ct_verify_line beyond; /* where the closed form alone overflows; or nothing */
    int failed_order;      /* of the exact stage; 0: none */
    bool failed_usual, failed_far;
    bool stands_in; /* a function in it has a stand-in, whose identities the field does not know */
} cti_findings;

ct_status cti_verify_exact(const cti_subject *s, const ct_verify_options *options,
                           cti_findings *found);
ct_status cti_verify_numeric(const cti_subject *s, const ct_verify_options *options,
                             cti_findings *found);

/* Draws elements again until all values of f and of both sides exist, or gives up. What the draw
 * then holds is of the zone. */
ct_status cti_find_roots(const cti_subject *s, cti_zone *zone, cti_draw *draw, bool *found);
/* Whether each element of both sides of an instance in f64 that has been evaluated agrees, to what
 * rounding explains. */
ct_status cti_instance_agrees(const cti_instance *of, uint64_t seed, bool *agrees);
/* Whether each element of both sides agrees in f64, to what rounding explains, in several draws at
 * all orders. */
ct_status cti_numeric_agrees(const cti_subject *s, const ct_verify_options *options, bool *agrees);
/* Finite differences of f against what is derived, into the report; what is wrong, or nothing. */
ct_status cti_verify_differences(const cti_subject *s, const ct_verify_options *options,
                                 ct_verify_report *report, ct_verify_line *line);
/* Both sides shortly before and after branches of either; what is wrong, or nothing. */
ct_status cti_verify_branches(const cti_subject *s, const ct_verify_options *options,
                              ct_verify_line *line);
/* Of order 1, the first slice of each input whose derivative is 0 in all draws. */
typedef struct {
    ct_verify_line lines[2 * CT_CLAIM_INPUTS];
    int64_t n;
    bool hidden; /* by the cotangent that was given; another would show it */
} cti_degenerate;
ct_status cti_verify_degenerate(const cti_subject *s, const ct_verify_options *options,
                                const cti_findings *found, cti_degenerate *out);
/* How many decisions of both sides have one outcome in all draws, and a line that names the first;
 * or nothing. */
ct_status cti_verify_untaken(const cti_subject *s, const ct_verify_options *options,
                             ct_verify_line *line, int64_t *untaken);
/* The probability that a wrong formula passes the exact stage, and a line that says it. */
ct_status cti_verify_chance(const cti_subject *s, const ct_verify_options *options,
                            double *log2_missed, ct_verify_line *line);

#define CTI_GROUNDS 3
/* What a proof rests on, a line each; empty where there is nothing to say. */
ct_status cti_verify_grounds(const cti_subject *s, const ct_verify_options *options,
                             ct_verify_line lines[CTI_GROUNDS], int64_t *untaken);

/* The name of an input, or "cotangent". */
const char *cti_claim_input_name(const ct_claim *claim, int64_t input);
/* printf into a line; what does not fit is cut. */
void cti_line(ct_verify_line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
