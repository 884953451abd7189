/* A claim on attention: one head with its four projections, of queries, keys and values.
 * The closed form is the chain of products backwards, written by hand.
 * Invariant: as many keys as queries, so that a forgotten transpose fits. */
#include "nn/claims/claims_private.h"

#include <math.h>

/* [1,T,D] as a matrix. */
static ct_tensor *rows(ct_tensor *t) { return ct_reshape(t, CT_SHAPE(3, 4)); }

/* In order: q, k, v, and the kernels of query, key, value, output. */
enum { Q, K, V, QUERY, KEY, VALUE, OUTPUT };

#define SCALE 0.5 /* 1 / sqrt 4 */

/* Of queries' and keys' kernels, so that softmax is not one of numbers far apart, where one weight
 * is 1 and all derivatives of the scores are what is left over. */
#define QUARTER 0.25

/* The forward, and cotangents on the way back. */
typedef struct {
    ct_tensor *q, *k, *v, *dy;
    ct_tensor *projected_q, *projected_k, *projected_v, *weights, *mixed;
    ct_tensor *dmixed, *dweights;
} head;

/* Which keys a query sees. */
typedef enum { ALL, CAUSAL, AFTER } masking;

/* 1 for keys up to the query's own place. */
static ct_tensor *earlier(ct_tensor *scores) {
    ct_tensor *place = ct_cast(ct_iota(3), ct_dtype_of(scores));
    return ct_less_equal(place, ct_reshape(place, CT_SHAPE(3, 1)));
}
static ct_tensor *infinity(ct_tensor *like) { return ct_scalar(ct_dtype_of(like), -INFINITY); }

static head head_of(ct_tensor *const in[], ct_tensor *dy, masking mask) {
    head h = {.q = rows(in[Q]), .k = rows(in[K]), .v = rows(in[V]), .dy = rows(dy)};
    h.projected_q = ct_matmul(h.q, ct_scale(in[QUERY], QUARTER));
    h.projected_k = ct_matmul(h.k, ct_scale(in[KEY], QUARTER));
    h.projected_v = ct_matmul(h.v, in[VALUE]);
    ct_tensor *scores = ct_matmul(h.projected_q, ct_transpose(h.projected_k));
    scores = ct_scale(scores, SCALE);
    if (mask == CAUSAL) scores = ct_where(earlier(scores), scores, infinity(scores));
    h.weights = ct_softmax(scores, -1);
    if (mask == AFTER) h.weights = ct_mul(h.weights, earlier(scores));
    h.mixed = ct_matmul(h.weights, h.projected_v);
    h.dmixed = ct_matmul(h.dy, ct_transpose(in[OUTPUT]));
    h.dweights = ct_matmul(h.dmixed, ct_transpose(h.projected_v));
    return h;
}

/* Of the weights w = softmax(s): ds = w (dw - sum over `axis` of w dw). */
static ct_tensor *softmax_back(const head *h, int axis) {
    ct_tensor *sum = ct_sum_keep(ct_mul(h->weights, h->dweights), CT_AXES(axis));
    return ct_mul(h->weights, ct_sub(h->dweights, sum));
}

/* One sequence projected by `share` of its kernel: the cotangents of both. */
static void project_back(ct_tensor *x, ct_tensor *kernel, double share, ct_tensor *dprojected,
                         ct_tensor **dx, ct_tensor **dkernel) {
    dprojected = ct_scale(dprojected, share);
    *dx = ct_reshape(ct_matmul(dprojected, ct_transpose(kernel)), CT_SHAPE(1, 3, 4));
    *dkernel = ct_matmul(ct_transpose(x), dprojected);
}

/* From the cotangents of the scores, as the queries and as the keys see them. */
static ct_status finish(const head *h, ct_tensor *const in[], ct_tensor *dq, ct_tensor *dk,
                        ct_tensor *dv, ct_tensor *out[]) {
    project_back(h->q, in[QUERY], QUARTER, dq, &out[Q], &out[QUERY]);
    project_back(h->k, in[KEY], QUARTER, dk, &out[K], &out[KEY]);
    project_back(h->v, in[VALUE], 1, dv, &out[V], &out[VALUE]);
    out[OUTPUT] = ct_matmul(ct_transpose(h->mixed), h->dy);
    return ct_error();
}

/* dq, dk and dv are those of the projected ones, from h and ds. */
#define ATTENTION(name, ds_formula, dq, dk, dv)           \
    CTI_CLOSED(name) {                                    \
        (void)context, (void)n;                           \
        head h_here = head_of(in, dy, ALL), *h = &h_here; \
        ct_tensor *ds = ds_formula;                       \
        return finish(h, in, dq, dk, dv, out);            \
    }
#define DQ(scale) ct_scale(ct_matmul(ds, h->projected_k), scale)
#define DK(scale) ct_scale(ct_matmul(ct_transpose(ds), h->projected_q), scale)
#define DV ct_matmul(ct_transpose(h->weights), h->dmixed)
ATTENTION(closed, softmax_back(h, -1), DQ(SCALE), DK(SCALE), DV)
ATTENTION(no_scale, softmax_back(h, -1), DQ(1), DK(1), DV)
ATTENTION(scale_squared, softmax_back(h, -1), DQ(SCALE *SCALE), DK(SCALE *SCALE), DV)
ATTENTION(scale_of_q_alone, softmax_back(h, -1), DQ(SCALE), DK(1), DV)
ATTENTION(sum_over_queries, softmax_back(h, 0), DQ(SCALE), DK(SCALE), DV)
ATTENTION(no_sum, ct_mul(h->weights, h->dweights), DQ(SCALE), DK(SCALE), DV)
ATTENTION(no_softmax, h->dweights, DQ(SCALE), DK(SCALE), DV)
ATTENTION(scores_not_transposed, softmax_back(h, -1), DQ(SCALE),
          ct_scale(ct_matmul(ds, h->projected_q), SCALE), DV)
ATTENTION(weights_not_transposed, softmax_back(h, -1), DQ(SCALE), DK(SCALE),
          ct_matmul(h->weights, h->dmixed))
ATTENTION(from_unprojected, softmax_back(h, -1), ct_scale(ct_matmul(ds, h->k), SCALE), DK(SCALE),
          DV)
/* The sum of w dw is that of dy y, as FlashAttention has it; here with dy after the projection. */
ATTENTION(sum_of_outputs,
          ct_mul(h->weights,
                 ct_sub(h->dweights, ct_sum_keep(ct_mul(h->dy, h->mixed), CT_AXES(-1)))),
          DQ(SCALE), DK(SCALE), DV)
CTI_CLOSED(saved_weights) {
    (void)context, (void)n;
    head h_here = head_of(in, dy, ALL), *h = &h_here;
    h->weights = ct_stop_gradient(h->weights);
    ct_tensor *ds = softmax_back(h, -1);
    return finish(h, in, DQ(SCALE), DK(SCALE), DV, out);
}

/* --- With a mask ------------------------------------------------------------------------------ */

static ct_status masked(ct_tensor *const in[], ct_tensor *dy, masking mask, ct_tensor *out[]) {
    head h_here = head_of(in, dy, mask), *h = &h_here;
    ct_tensor *ds = softmax_back(h, -1);
    return finish(h, in, DQ(SCALE), DK(SCALE), DV, out);
}
CTI_CLOSED(causal_closed) {
    (void)context, (void)n;
    return masked(in, dy, CAUSAL, out);
}
CTI_CLOSED(mask_after_softmax) {
    (void)context, (void)n;
    return masked(in, dy, AFTER, out);
}

/* --- Claims ----------------------------------------------------------------------------------- */

static ct_tensor *applied(int64_t heads, bool causal, ct_tensor *const in[], int64_t n) {
    ct_attention_options options = {.causal = causal, .no_bias = true, .kernel = ct_init_zeros};
    ct_tensor *all[CT_CLAIM_INPUTS];
    for (int64_t i = 0; i < n; i++) {
        all[i] = i == QUERY || i == KEY ? ct_scale(in[i], QUARTER) : in[i];
    }
    return cti_claimed_module(ct_multi_head_attention_new(4, heads, options), CT_TRAINING, all, 3,
                              n);
}
CTI_FUNCTION(attention, applied(1, false, in, n))
CTI_FUNCTION(causal, applied(1, true, in, n))
CTI_FUNCTION(two_heads, applied(2, false, in, n))

#define SEQUENCE .shape = CTI_CLAIM_SHAPE(1, 3, 4), .near = true
#define PROJECTION .shape = CTI_CLAIM_SHAPE(4, 4), .near = true
static const ct_claim_input inputs[] = {
    {.name = "q", SEQUENCE},
    {.name = "k", SEQUENCE},
    {.name = "v", SEQUENCE},
    {.name = "query/kernel", PROJECTION},
    {.name = "key/kernel", PROJECTION},
    {.name = "value/kernel", PROJECTION},
    {.name = "output/kernel", PROJECTION},
};
static const ct_claim_mutant mutants[] = {
    {"the scale is missing", NULL, no_scale, 1, "has the factor 2"},
    {"1 / D for 1 / sqrt D", NULL, scale_squared, 1, "has the factor 1/2"},
    {"the scale is missing for keys", NULL, scale_of_q_alone, 1, "k: all of it has the factor 2"},
    {"the sum over queries", NULL, sum_over_queries, 1,
     "axis 1 in place of axis 0, in sum(mul(.., ..))"},
    {"softmax without the sum", NULL, no_sum, 1, "is missing"},
    {"softmax is left out", NULL, no_softmax, 1, "stands where div(exp(..)"},
    {"scores are not transposed for keys", NULL, scores_not_transposed, 1, "k: "},
    {"weights are not transposed for values", NULL, weights_not_transposed, 1,
     "v: its transpose stands where"},
    {"keys before they are projected", NULL, from_unprojected, 1, "q: "},
    {"the sum of dy y with dy after the projection", NULL, sum_of_outputs, 1,
     "matmul(dy, permute(output/kernel)) in place of dy"},
    {"weights are saved as numbers", NULL, saved_weights, 2, "held constant"},
    {"a causal mask is forgotten", causal, NULL, 1, "stands where where("},
    {"two heads as one", two_heads, NULL, 1,
     "matmul(div(.., ..), matmul(v, value/kernel)) in place of permute(m"},
};

static const ct_claim_mutant causal_mutants[] = {
    {"the mask is forgotten", NULL, closed, 1, "stands where where("},
    {"the mask after softmax, and weights that do not add up", NULL, mask_after_softmax, 1, NULL},
};

static const ct_claim claims[] = {
    {"attention", attention, closed, CTI_INPUTS(inputs), CTI_MUTANTS(mutants),
     .conventions = "one head of D = 4, scale 1 / sqrt D; kernels of q and k by a quarter"},
    {"attention_causal", causal, causal_closed, CTI_INPUTS(inputs), CTI_MUTANTS(causal_mutants),
     .conventions = "the same, and a query sees no keys after its own place"},
};
const cti_claim_family cti_attention_claims = {claims, CTI_ITEMS(claims)};
