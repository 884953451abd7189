/* Claims on recurrent layers: a step of an LSTM, two of it, and a step of a GRU.
 * The closed forms are backpropagation through time by hand, gate by gate.
 * Invariant: the cotangent is of all that goes on, outputs and states. */
#include "nn/claims/claims_private.h"

enum { ROWS = 2, INPUTS = 3, UNITS = 2 };

static ct_tensor *one_less(ct_tensor *t) { return ct_sub(ct_scalar(ct_dtype_of(t), 1), t); }
static ct_tensor *gate(ct_tensor *all, int64_t i) {
    return ct_slice(all, -1, i * UNITS, (i + 1) * UNITS, 1);
}
static ct_tensor *sigmoid_back(ct_tensor *s, ct_tensor *ds) {
    return ct_mul(ds, ct_mul(s, one_less(s)));
}
static ct_tensor *tanh_back(ct_tensor *t, ct_tensor *dt) {
    return ct_mul(dt, one_less(ct_square(t)));
}
/* Row t of time of x [N,T,inputs]. */
static ct_tensor *at(ct_tensor *x, int64_t t) {
    return ct_reshape(ct_slice(x, 1, t, t + 1, 1), CT_SHAPE(ROWS, INPUTS));
}

/* --- LSTM: x, h, c, kernel, recurrent kernel, bias -> (h', c') -------------------------------- */

enum { X, H, C, KERNEL, RECURRENT, BIAS, SLOTS };

/* What may be wrong with it. */
typedef struct {
    bool input_gate_for_c, forget_without_x, forget_before, c_alone, no_tanh, g_as_sigmoid;
    bool output_first, h_after, bias_mean, truncated, saved_c;
} how;

typedef struct {
    ct_tensor *x, *h, *c; /* before */
    ct_tensor *i, *f, *g, *o;
    ct_tensor *next_c, *tanh_c, *next_h;
} step;

static step step_of(ct_tensor *const in[], ct_tensor *x, ct_tensor *h, ct_tensor *c) {
    step s = {.x = x, .h = h, .c = c};
    ct_tensor *a = ct_add(ct_add(ct_matmul(x, in[KERNEL]), ct_matmul(h, in[RECURRENT])), in[BIAS]);
    s.i = ct_sigmoid(gate(a, 0)), s.f = ct_sigmoid(gate(a, 1));
    s.g = ct_tanh(gate(a, 2)), s.o = ct_sigmoid(gate(a, 3));
    s.next_c = ct_add(ct_mul(s.f, c), ct_mul(s.i, s.g));
    s.tanh_c = ct_tanh(s.next_c);
    s.next_h = ct_mul(s.o, s.tanh_c);
    return s;
}

/* Cotangents of the state, on their way back; and of the slots, summed over time. */
typedef struct {
    ct_tensor *dh, *dc, *dx, *slots[SLOTS];
} back;

static void add_to(ct_tensor **sum, ct_tensor *t) { *sum = *sum ? ct_add(*sum, t) : t; }

static ct_tensor *gates_back(const step *s, ct_tensor *dh, ct_tensor *dc, how w) {
    ct_tensor *di = sigmoid_back(s->i, ct_mul(dc, s->g));
    ct_tensor *df = sigmoid_back(s->f, ct_mul(dc, s->c));
    ct_tensor *dg = w.g_as_sigmoid ? sigmoid_back(s->g, ct_mul(dc, s->i))
                                   : tanh_back(s->g, ct_mul(dc, s->i));
    ct_tensor *do_ = sigmoid_back(s->o, ct_mul(dh, s->tanh_c));
    return w.output_first ? CT_CONCAT(-1, di, df, do_, dg) : CT_CONCAT(-1, di, df, dg, do_);
}

static void step_back(ct_tensor *const in[], const step *s, const step *before, back *b, how w) {
    ct_tensor *through_h = ct_mul(b->dh, s->o);
    if (!w.no_tanh) through_h = tanh_back(s->tanh_c, through_h);
    ct_tensor *dc = w.c_alone ? b->dc : ct_add(b->dc, through_h);
    ct_tensor *da = gates_back(s, b->dh, dc, w);
    b->dx = ct_matmul(da, ct_transpose(in[KERNEL]));
    add_to(&b->slots[KERNEL], ct_matmul(ct_transpose(s->x), da));
    add_to(&b->slots[RECURRENT], ct_matmul(ct_transpose(w.h_after ? s->next_h : s->h), da));
    add_to(&b->slots[BIAS], w.bias_mean ? ct_mean(da, CT_AXES(0)) : ct_sum(da, CT_AXES(0)));
    ct_tensor *keeps = w.input_gate_for_c ? s->i : s->f;
    if (w.forget_before && before) keeps = before->f;
    if (w.forget_without_x) {
        ct_tensor *a = ct_add(ct_matmul(s->h, in[RECURRENT]), in[BIAS]);
        keeps = ct_sigmoid(gate(a, 1));
    }
    b->dc = ct_mul(dc, keeps);
    b->dh = ct_matmul(da, ct_transpose(in[RECURRENT]));
}

static ct_status lstm_back(ct_tensor *const in[], ct_tensor *dy, how w, ct_tensor *out[]) {
    int64_t steps = ct_dim(in[X], 1);
    step s[2] = {0};
    for (int64_t t = 0; t < steps; t++) {
        s[t] = step_of(in, at(in[X], t), t ? s[0].next_h : in[H], t ? s[0].next_c : in[C]);
        if (w.saved_c) s[t].tanh_c = ct_stop_gradient(s[t].tanh_c);
    }
    back b = {.dh = gate(dy, 0), .dc = gate(dy, 1)};
    ct_tensor *dx[2];
    for (int64_t t = steps - 1; t >= 0; t--) {
        if (w.truncated && t < steps - 1) b.dh = ct_scale(b.dh, 0), b.dc = ct_scale(b.dc, 0);
        step_back(in, &s[t], t ? &s[t - 1] : NULL, &b, w);
        dx[t] = ct_reshape(b.dx, CT_SHAPE(ROWS, 1, INPUTS));
    }
    out[X] = ct_concat(dx, steps, 1), out[H] = b.dh, out[C] = b.dc;
    for (int i = KERNEL; i < SLOTS; i++) out[i] = b.slots[i];
    return ct_error();
}

#define LSTM(name, ...)                                    \
    CTI_CLOSED(name) {                                     \
        (void)context, (void)n;                            \
        return lstm_back(in, dy, (how){__VA_ARGS__}, out); \
    }
LSTM(lstm_closed, 0)
LSTM(lstm_input_gate_for_c, .input_gate_for_c = true)
LSTM(lstm_forget_without_x, .forget_without_x = true)
LSTM(lstm_forget_before, .forget_before = true)
LSTM(lstm_c_alone, .c_alone = true)
LSTM(lstm_no_tanh, .no_tanh = true)
LSTM(lstm_g_as_sigmoid, .g_as_sigmoid = true)
LSTM(lstm_output_first, .output_first = true)
LSTM(lstm_h_after, .h_after = true)
LSTM(lstm_bias_mean, .bias_mean = true)
LSTM(lstm_truncated, .truncated = true)
LSTM(lstm_saved, .saved_c = true)

static ct_tensor *lstm(void *context, ct_tensor *const in[], int64_t n) {
    (void)context;
    ct_recurrent_options options = {.kernel = ct_init_zeros, .recurrent = ct_init_zeros};
    ct_tensor *out[3] = {0}; /* y, h, c */
    cti_claimed_outputs(ct_lstm_new(INPUTS, UNITS, options), CT_TRAINING, in, 3, n, out, 3);
    return out[1] ? CT_CONCAT(-1, out[1], out[2]) : NULL;
}

#define CELL_INPUTS(inputs_name, steps)                                                         \
    static const ct_claim_input inputs_name[] = {                                               \
        {.name = "x", .shape = CTI_CLAIM_SHAPE(ROWS, steps, INPUTS), .near = true},             \
        {.name = "h", .shape = CTI_CLAIM_SHAPE(ROWS, UNITS), .near = true},                     \
        {.name = "c", .shape = CTI_CLAIM_SHAPE(ROWS, UNITS), .near = true},                     \
        {.name = "kernel", .shape = CTI_CLAIM_SHAPE(INPUTS, 4 * UNITS), .near = true},          \
        {.name = "recurrent_kernel", .shape = CTI_CLAIM_SHAPE(UNITS, 4 * UNITS), .near = true}, \
        {.name = "bias", .shape = CTI_CLAIM_SHAPE(4 * UNITS), .near = true}}
CELL_INPUTS(lstm_inputs, 1);
CELL_INPUTS(two_inputs, 2);
static const ct_claim_mutant lstm_mutants[] = {
    {"the input gate for the forget gate", NULL, lstm_input_gate_for_c, 1,
     "c: input_gate stands where forget_gate belongs"},
    {"the forget gate without x", NULL, lstm_forget_without_x, 1, "c: "},
    {"c without what comes through h", NULL, lstm_c_alone, 1, "the term through tanh("},
    {"tanh(c) is not derived", NULL, lstm_no_tanh, 1, "1 stands where the slope of tanh("},
    {"the candidate derived as a sigmoid", NULL, lstm_g_as_sigmoid, 1,
     "v (1 - v), of its value v, stands where the slope of candidate"},
    {"gates in the order i, f, o, g", NULL, lstm_output_first, 1,
     "the other order of its operands in place of concat(mul(.., ..), mu"},
    {"the recurrent kernel's cotangent from h after the step", NULL, lstm_h_after, 1,
     "recurrent_kernel: mul(output_gate, tanh(..)) stands where h belongs"},
    {"dbias as a mean", NULL, lstm_bias_mean, 1, "bias: all of it has the factor 1/2"},
    {"tanh(c) is saved as a number", NULL, lstm_saved, 2, "held constant"},
};
static const ct_claim_mutant two_mutants[] = {
    {"the forget gate of the step before", NULL, lstm_forget_before, 1,
     "the earlier forget_gate stands where the later forget_gate belongs"},
    {"truncated after a step", NULL, lstm_truncated, 1, "is missing"},
    {"c without what comes through h", NULL, lstm_c_alone, 1, NULL},
};

/* --- GRU: x, h, kernel, recurrent kernel, bias [2,.] -> h' ------------------------------------ */

enum { GRU_X, GRU_H, GRU_KERNEL, GRU_RECURRENT, GRU_BIAS };

typedef struct {
    ct_tensor *x, *h, *dh; /* dh: the cotangent of h' */
    ct_tensor *z, *r, *n;
    ct_tensor *inner; /* h Un + cn, which r gates */
} gated;

static ct_tensor *bias_row(ct_tensor *bias, int64_t row) {
    return ct_reshape(ct_slice(bias, 0, row, row + 1, 1), CT_SHAPE(3 * UNITS));
}

static gated gated_of(ct_tensor *const in[], ct_tensor *dy) {
    gated k = {.x = at(in[GRU_X], 0), .h = in[GRU_H]};
    k.dh = ct_reshape(dy, CT_SHAPE(ROWS, UNITS));
    ct_tensor *p = ct_add(ct_matmul(k.x, in[GRU_KERNEL]), bias_row(in[GRU_BIAS], 0));
    ct_tensor *m = ct_add(ct_matmul(k.h, in[GRU_RECURRENT]), bias_row(in[GRU_BIAS], 1));
    k.z = ct_sigmoid(ct_add(gate(p, 0), gate(m, 0)));
    k.r = ct_sigmoid(ct_add(gate(p, 1), gate(m, 1)));
    k.inner = gate(m, 2);
    k.n = ct_tanh(ct_add(gate(p, 2), ct_mul(k.r, k.inner)));
    return k;
}

/* From cotangents of what goes into z, r and n; and of h as it goes straight on. */
static ct_status gru_finish(const gated *k, ct_tensor *const in[], ct_tensor *dz, ct_tensor *dr,
                            ct_tensor *dn, ct_tensor *dinner, ct_tensor *straight,
                            ct_tensor *out[]) {
    ct_tensor *dp = CT_CONCAT(-1, dz, dr, dn), *dm = CT_CONCAT(-1, dz, dr, dinner);
    ct_tensor *dx = ct_matmul(dp, ct_transpose(in[GRU_KERNEL]));
    out[GRU_X] = ct_reshape(dx, CT_SHAPE(ROWS, 1, INPUTS));
    out[GRU_H] = ct_add(straight, ct_matmul(dm, ct_transpose(in[GRU_RECURRENT])));
    out[GRU_KERNEL] = ct_matmul(ct_transpose(k->x), dp);
    out[GRU_RECURRENT] = ct_matmul(ct_transpose(k->h), dm);
    ct_tensor *both = CT_CONCAT(0, ct_sum(dp, CT_AXES(0)), ct_sum(dm, CT_AXES(0)));
    out[GRU_BIAS] = ct_reshape(both, CT_SHAPE(2, 3 * UNITS));
    return ct_error();
}

/* h' = z h + (1 - z) n, by the parts of k. */
#define GRU(name, dz, dn_out, inner_gate, straight)                             \
    CTI_CLOSED(name) {                                                          \
        (void)context, (void)n;                                                 \
        gated k_here = gated_of(in, dy), *k = &k_here;                          \
        ct_tensor *dn = dn_out, *dr = sigmoid_back(k->r, ct_mul(dn, k->inner)); \
        return gru_finish(k, in, dz, dr, dn, inner_gate, straight, out);        \
    }
#define DZ sigmoid_back(k->z, ct_mul(k->dh, ct_sub(k->h, k->n)))
#define DN tanh_back(k->n, ct_mul(k->dh, one_less(k->z)))
#define DINNER ct_mul(dn, k->r)
#define STRAIGHT ct_mul(k->dh, k->z)
GRU(gru_closed, DZ, DN, DINNER, STRAIGHT)
GRU(gru_swapped_in_z, sigmoid_back(k->z, ct_mul(k->dh, ct_sub(k->n, k->h))), DN, DINNER, STRAIGHT)
GRU(gru_swapped, sigmoid_back(k->z, ct_mul(k->dh, ct_sub(k->n, k->h))),
    tanh_back(k->n, ct_mul(k->dh, k->z)), DINNER, ct_mul(k->dh, one_less(k->z)))
GRU(gru_no_straight, DZ, DN, DINNER, ct_scale(k->dh, 0))
GRU(gru_inner_not_gated, DZ, DN, dn, STRAIGHT)
GRU(gru_z_of_h_alone, sigmoid_back(k->z, ct_mul(k->dh, k->h)), DN, DINNER, STRAIGHT)
GRU(gru_n_as_sigmoid, DZ, sigmoid_back(k->n, ct_mul(k->dh, one_less(k->z))), DINNER, STRAIGHT)
GRU(gru_n_saved, DZ, tanh_back(ct_stop_gradient(k->n), ct_mul(k->dh, one_less(k->z))), DINNER,
    STRAIGHT)
CTI_CLOSED(gru_reset_of_h) {
    (void)context, (void)n;
    gated k_here = gated_of(in, dy), *k = &k_here;
    ct_tensor *dn = DN, *dr = sigmoid_back(k->r, ct_mul(dn, k->h));
    return gru_finish(k, in, DZ, dr, dn, DINNER, STRAIGHT, out);
}
CTI_CLOSED(gru_one_bias) {
    ct_status status = gru_closed(context, in, n, dy, out);
    ct_tensor *first = ct_slice(out[GRU_BIAS], 0, 0, 1, 1);
    out[GRU_BIAS] = CT_CONCAT(0, first, first);
    return status;
}

static ct_tensor *gru(void *context, ct_tensor *const in[], int64_t n) {
    (void)context;
    ct_recurrent_options options = {.kernel = ct_init_zeros, .recurrent = ct_init_zeros};
    return cti_claimed_module(ct_gru_new(INPUTS, UNITS, options), CT_TRAINING, in, 2, n);
}

static const ct_claim_input gru_inputs[] = {
    {.name = "x", .shape = CTI_CLAIM_SHAPE(ROWS, 1, INPUTS), .near = true},
    {.name = "h", .shape = CTI_CLAIM_SHAPE(ROWS, UNITS), .near = true},
    {.name = "kernel", .shape = CTI_CLAIM_SHAPE(INPUTS, 3 * UNITS), .near = true},
    {.name = "recurrent_kernel", .shape = CTI_CLAIM_SHAPE(UNITS, 3 * UNITS), .near = true},
    {.name = "bias", .shape = CTI_CLAIM_SHAPE(2, 3 * UNITS), .near = true}};
static const ct_claim_mutant gru_mutants[] = {
    {"h and n are swapped in z", NULL, gru_swapped_in_z, 1, "has the wrong sign"},
    {"h' = (1 - z) h + z n", NULL, gru_swapped, 1, NULL},
    {"h as it goes straight on is missing", NULL, gru_no_straight, 1,
     "h: 0 stands where update_gate belongs"},
    {"what r gates is not gated", NULL, gru_inner_not_gated, 1,
     "1 stands where reset_gate belongs"},
    {"z of h alone", NULL, gru_z_of_h_alone, 1, "is missing"},
    {"the candidate derived as a sigmoid", NULL, gru_n_as_sigmoid, 1,
     "v (1 - v), of its value v, stands where the slope of tanh("},
    {"r from h, as if it were reset before", NULL, gru_reset_of_h, 1,
     "h stands where slice(add(.., ..)) belongs, in what flows to reset_gate"},
    {"one bias for both", NULL, gru_one_bias, 1, "bias: 1 stands where reset_gate belongs"},
    {"n is saved as a number", NULL, gru_n_saved, 2, "held constant"},
};

static const ct_claim claims[] = {
    {"lstm_cell", lstm, lstm_closed, CTI_INPUTS(lstm_inputs), CTI_MUTANTS(lstm_mutants),
     .conventions = "gates i, f, g, o; cotangents of h and c"},
    {"lstm_two_steps", lstm, lstm_closed, CTI_INPUTS(two_inputs), CTI_MUTANTS(two_mutants),
     .conventions = "backpropagation through two steps"},
    {"gru_cell", gru, gru_closed, CTI_INPUTS(gru_inputs), CTI_MUTANTS(gru_mutants),
     .conventions = "z h + (1 - z) n, gates z, r, n, reset after the product"},
};
const cti_claim_family cti_recurrent_claims = {claims, CTI_ITEMS(claims)};
