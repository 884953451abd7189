/* Recurrent layers: SimpleRNN, LSTM and GRU, a cell's step unrolled over time; two directions.
 * There is no derivative here: a step is a few ops, and backpropagation through time is theirs.
 * Invariant: time leads inside, so that a step's rows lie together; slot 0 is the kernel, slot 1
 * the recurrent kernel, slot 2 the bias if there is one. */
#include "nn/recurrent.h"

#include "autograd/ops/stanza.h"
#include "nn/module_private.h"
#include "tensor/base/alloc.h"
#include "tensor/base/caller.h"
#include "tensor/graph/node.h"

#define MOST_STATES 2

/* What steps of one forward share. */
typedef struct {
    const ct_activation *activation;
    ct_tensor *kernel, *bias; /* of the recurrent product; the bias may be NULL */
    int64_t units;
} shared;

/* Puts the next state in the place of the one before, by p, the projected input [N, gates units].
 * The first state is the output. */
typedef void step_function(const shared *s, ct_tensor *p, ct_tensor *state[]);

typedef struct {
    ct_module base;
    step_function *step;
    int n_states, gates;
    bool two_biases; /* of the projection and of the recurrent product */
    int64_t inputs, units;
    ct_recurrent_options options;
} recurrent;

/* --- Cells ------------------------------------------------------------------------------------ */

static ct_tensor *gates(const shared *s, ct_tensor *a, int first, int n) {
    return ct_slice(a, -1, first * s->units, (first + n) * s->units, 1);
}

static void simple_step(const shared *s, ct_tensor *p, ct_tensor *state[]) {
    state[0] = s->activation->apply(ct_add(p, ct_matmul(state[0], s->kernel)));
}

static void lstm_step(const shared *s, ct_tensor *p, ct_tensor *state[]) {
    ct_tensor *a = ct_add(p, ct_matmul(state[0], s->kernel));
    ct_tensor *in = cti_called(ct_sigmoid(gates(s, a, 0, 1)), "input_gate");
    ct_tensor *forget = cti_called(ct_sigmoid(gates(s, a, 1, 1)), "forget_gate");
    ct_tensor *candidate = cti_called(s->activation->apply(gates(s, a, 2, 1)), "candidate");
    ct_tensor *output = cti_called(ct_sigmoid(gates(s, a, 3, 1)), "output_gate");
    state[1] = ct_add(ct_mul(forget, state[1]), ct_mul(in, candidate));
    state[0] = ct_mul(output, s->activation->apply(state[1]));
}

static ct_tensor *update(const shared *s, ct_tensor *both) {
    return cti_called(gates(s, both, 0, 1), "update_gate");
}
static ct_tensor *reset(const shared *s, ct_tensor *both) {
    return cti_called(gates(s, both, 1, 1), "reset_gate");
}

/* n + z (h - n) would be one product less, and other roundings than those of both libraries. */
static ct_tensor *mixed(ct_tensor *z, ct_tensor *h, ct_tensor *n) {
    return ct_add(ct_mul(z, h), ct_mul(ct_offset(ct_neg(z), 1.0), n));
}

static void gru_step(const shared *s, ct_tensor *p, ct_tensor *state[]) {
    ct_tensor *h = state[0], *m = ct_matmul(h, s->kernel);
    if (s->bias) m = ct_add(m, s->bias);
    ct_tensor *both = ct_sigmoid(ct_add(gates(s, p, 0, 2), gates(s, m, 0, 2)));
    ct_tensor *inner = ct_mul(reset(s, both), gates(s, m, 2, 1));
    ct_tensor *n = s->activation->apply(ct_add(gates(s, p, 2, 1), inner));
    state[0] = mixed(update(s, both), h, n);
}

static void gru_step_reset_before(const shared *s, ct_tensor *p, ct_tensor *state[]) {
    ct_tensor *h = state[0], *m = ct_matmul(h, gates(s, s->kernel, 0, 2));
    ct_tensor *both = ct_sigmoid(ct_add(gates(s, p, 0, 2), m));
    ct_tensor *inner = ct_matmul(ct_mul(reset(s, both), h), gates(s, s->kernel, 2, 1));
    ct_tensor *n = s->activation->apply(ct_add(gates(s, p, 2, 1), inner));
    state[0] = mixed(update(s, both), h, n);
}

/* --- Forward ---------------------------------------------------------------------------------- */

static ct_status check_x(recurrent *r, ct_tensor *t) {
    const char *name = r->base.kind->name;
    ct_shape x = ct_shape_of(t);
    if (x.rank != 3 || x.dims[2] != r->inputs) {
        return ct_fail(CT_ERR_SHAPE, "%s: x needs [N,T,%lld], got %s", name, (long long)r->inputs,
                       ct_shape_format(x).text);
    }
    ct_dtype dtype = ct_dtype_of(ct_module_read(&r->base, 0));
    if (ct_dtype_of(t) != dtype) {
        return ct_fail(CT_ERR_DTYPE, "%s: x is %s, the weights are %s", name,
                       ct_dtype_name(ct_dtype_of(t)), ct_dtype_name(dtype));
    }
    if (x.dims[1] < 1) {
        return ct_fail(CT_ERR_SHAPE, "%s: x needs at least one time step, got %s", name,
                       ct_shape_format(x).text);
    }
    return CT_OK;
}

static ct_status check_states(const recurrent *r, ct_tensor *const in[], int n_in) {
    const char *name = r->base.kind->name;
    ct_shape wanted = CT_SHAPE(ct_dim(in[0], 0), r->units);
    for (int i = 1; i < n_in; i++) {
        if (!in[i] || ct_shape_equal(ct_shape_of(in[i]), wanted)) continue;
        return ct_fail(CT_ERR_SHAPE, "%s: state %c needs %s, got %s", name, "hc"[i - 1],
                       ct_shape_format(wanted).text, ct_shape_format(ct_shape_of(in[i])).text);
    }
    return CT_OK;
}

/* What says which time steps are there, [N,T], in the type of x; or NULL. */
static ct_status check_mask(const recurrent *r, ct_tensor *x, ct_tensor **mask) {
    if (!*mask) return CT_OK;
    ct_shape wanted = CT_SHAPE(ct_dim(x, 0), ct_dim(x, 1)), given = ct_shape_of(*mask);
    if (!ct_shape_equal(given, wanted)) {
        return ct_fail(CT_ERR_SHAPE, "%s: the mask needs %s, got %s", r->base.kind->name,
                       ct_shape_format(wanted).text, ct_shape_format(given).text);
    }
    *mask = ct_cast(*mask, ct_dtype_of(x));
    return *mask ? CT_OK : ct_error();
}

/* A row of the bias [2, gates units], or all of it if it is one row. */
static ct_tensor *bias_of(recurrent *r, int row) {
    ct_tensor *bias = ct_module_read(&r->base, 2);
    if (!r->two_biases) return bias;
    return ct_reshape(ct_slice(bias, 0, row, row + 1, 1), CT_SHAPE(r->gates * r->units));
}

/* Of all time steps: [T, N, gates units]. */
static ct_tensor *project(recurrent *r, ct_tensor *x) {
    ct_tensor *p = ct_matmul(ct_permute(x, CT_AXES(1, 0, 2)), ct_module_read(&r->base, 0));
    return r->options.no_bias ? p : ct_add(p, bias_of(r, 0));
}

/* A step that is not there leaves the state as it was. */
static void keep_masked(const recurrent *r, ct_tensor *mask, int64_t t, ct_tensor *state[],
                        ct_tensor *const before[]) {
    ct_tensor *there = ct_slice(mask, 1, t, t + 1, 1);
    for (int k = 0; k < r->n_states; k++) state[k] = ct_where(there, state[k], before[k]);
}

/* [N,units] as [1,N,units]. */
static ct_tensor *one_step(ct_tensor *state) {
    cti_mark mark = cti_mark_of(state);
    if (mark.rows) mark.axis++;
    return cti_reshape_marked(state, CT_SHAPE(1, ct_dim(state, 0), ct_dim(state, 1)), mark);
}

/* Sets outputs[t], unless NULL, to the output of step t, [1,N,units], and state to the last one. */
static void unroll(recurrent *r, ct_tensor *p, ct_tensor *mask, ct_tensor *state[],
                   ct_tensor *outputs[]) {
    shared s = {.activation = r->options.activation, .units = r->units};
    s.kernel = ct_module_read(&r->base, 1);
    if (r->two_biases && !r->options.no_bias) s.bias = bias_of(r, 1);
    int64_t steps = ct_dim(p, 0), rows = ct_dim(p, 1), width = ct_dim(p, 2);
    for (int64_t i = 0; i < steps && state[0]; i++) {
        int64_t t = r->options.backward ? steps - 1 - i : i;
        ct_tensor *now = ct_reshape(ct_slice(p, 0, t, t + 1, 1), CT_SHAPE(rows, width));
        ct_tensor *before[MOST_STATES] = {state[0], r->n_states > 1 ? state[1] : NULL};
        r->step(&s, now, state);
        if (mask) keep_masked(r, mask, t, state, before);
        if (outputs) outputs[t] = one_step(state[0]);
    }
}

static ct_tensor *run(recurrent *r, ct_tensor *x, ct_tensor *mask, ct_tensor *state[]) {
    ct_tensor *p = project(r, x);
    if (!p) return NULL;
    if (r->options.last_only) {
        unroll(r, p, mask, state, NULL);
        return state[0];
    }
    int64_t steps = ct_dim(x, 1);
    ct_tensor **outputs = cti_alloc((size_t)steps, sizeof *outputs);
    if (!outputs) return NULL;
    unroll(r, p, mask, state, outputs);
    ct_tensor *y = state[0] ? ct_permute(ct_concat(outputs, steps, 0), CT_AXES(1, 0, 2)) : NULL;
    cti_free(outputs);
    return y;
}

static ct_tensor *no_state(const recurrent *r, ct_tensor *x) {
    return cti_broadcast_along(ct_scalar(ct_dtype_of(x), 0), CT_SHAPE(ct_dim(x, 0), r->units),
                               cti_mark_of(x));
}

static ct_status forward(ct_module *self, ct_tensor *const in[], int n_in, ct_tensor *out[],
                         int n_out, ct_mode mode) {
    CTI_CALLED_AS(self->kind->name);
    (void)mode;
    recurrent *r = (recurrent *)self;
    int most = 1 + r->n_states;
    ct_tensor *state[MOST_STATES] = {0}, *mask = n_in > most ? in[most] : NULL;
    if (cti_check_many(self, in, n_in, 1, most + 1, n_out, most) != CT_OK) return ct_error();
    if (n_in > most) n_in = most;
    if (check_x(r, in[0]) != CT_OK || check_states(r, in, n_in) != CT_OK ||
        check_mask(r, in[0], &mask) != CT_OK) {
        return ct_error();
    }
    for (int i = 0; i < r->n_states; i++) {
        bool given = 1 + i < n_in && in[1 + i];
        state[i] = given ? in[1 + i] : no_state(r, in[0]);
    }
    out[0] = run(r, in[0], mask, state);
    for (int i = 1; i < n_out; i++) out[i] = state[i - 1];
    return out[0] ? CT_OK : ct_error();
}

/* --- Making ----------------------------------------------------------------------------------- */

static const ct_weights_slot pytorch[] = {
    {"kernel", "weight_ih", NULL, "_l0", {.axes = {2, {1, 0}}}},
    {"recurrent_kernel", "weight_hh", NULL, "_l0", {.axes = {2, {1, 0}}}},
    {.slot = "bias", .name = "bias_ih", .second = "bias_hh", .ending = "_l0"},
    {0}};
/* There the gates are r, z, n, here z, r, n. */
#define SWAPPED .blocks = {3, 3, {1, 0, 2}}
static const ct_weights_slot pytorch_gru[] = {
    {"kernel", "weight_ih", NULL, "_l0", {SWAPPED, .axes = {2, {1, 0}}}},
    {"recurrent_kernel", "weight_hh", NULL, "_l0", {SWAPPED, .axes = {2, {1, 0}}}},
    {"bias", "bias_ih", "bias_hh", "_l0", {SWAPPED, .stacked = true}},
    {0}};

static const ct_weights_slot keras[] = {{.slot = "kernel", .name = "cell/vars/0"},
                                        {.slot = "recurrent_kernel", .name = "cell/vars/1"},
                                        {.slot = "bias", .name = "cell/vars/2"},
                                        {0}};

static const ct_module_kind simple_rnn_kind = {
    .name = "SimpleRNN", .forward_many = forward, .pytorch = pytorch, .keras = keras};
static const ct_module_kind lstm_kind = {
    .name = "LSTM", .forward_many = forward, .pytorch = pytorch, .keras = keras};
static const ct_module_kind gru_kind = {
    .name = "GRU", .forward_many = forward, .pytorch = pytorch_gru, .keras = keras};

/* The gates i, f, g, o: what is remembered first is not forgotten (Jozefowicz et al., 2015). */
static ct_tensor *make_lstm_bias(const ct_initializer *self, ct_dtype dtype, ct_shape shape,
                                 int64_t fan_in, int64_t fan_out) {
    (void)self, (void)fan_in, (void)fan_out;
    int64_t units = shape.dims[0] / 4;
    return ct_pad(ct_full(dtype, CT_SHAPE(units), 1.0), 0, units, 2 * units, 0);
}
static const ct_initializer lstm_bias = {make_lstm_bias, 0};

static ct_status add_slots(recurrent *r) {
    const ct_recurrent_options *o = &r->options;
    ct_module *self = &r->base;
    int64_t width = r->gates * r->units;
    ct_shape bias = r->two_biases ? CT_SHAPE(2, width) : CT_SHAPE(width);
    const ct_initializer *usual = self->kind == &lstm_kind ? &lstm_bias : &ct_init_zeros;
    ct_status status = cti_add_weight(self, "kernel", o->kernel, &ct_glorot_uniform, o->dtype,
                                      CT_SHAPE(r->inputs, width), r->inputs, width);
    if (status == CT_OK) {
        status = cti_add_weight(self, "recurrent_kernel", o->recurrent, &ct_glorot_uniform,
                                o->dtype, CT_SHAPE(r->units, width), r->units, width);
    }
    if (status != CT_OK || o->no_bias) return status;
    return cti_add_weight(self, "bias", o->bias, usual, o->dtype, bias, r->inputs, width);
}

/* `like` has the cell. */
static ct_module *make(const char *function, const ct_module_kind *kind, recurrent like) {
    if (cti_check_size(function, "inputs", like.inputs) != CT_OK ||
        cti_check_size(function, "units", like.units) != CT_OK) {
        return NULL;
    }
    if (!like.options.activation) like.options.activation = &ct_activation_tanh;
    if (like.options.reset_before && kind != &gru_kind) {
        return ct_fail_null(CT_ERR_RANGE, "%s: reset_before is an option of a GRU alone", function);
    }
    if (!like.options.activation->apply) {
        return ct_fail_null(CT_ERR_NULL, "%s: 'activation->apply' is NULL", function);
    }
    recurrent *r = (recurrent *)ct_module_new(sizeof *r, kind);
    if (!r) return NULL;
    like.base = r->base;
    *r = like;
    return cti_module_or_free(&r->base, add_slots(r));
}

ct_module *ct_simple_rnn_new(int64_t inputs, int64_t units, ct_recurrent_options options) {
    CTI_CALLED;
    return make("ct_simple_rnn_new", &simple_rnn_kind,
                (recurrent){.step = simple_step,
                            .n_states = 1,
                            .gates = 1,
                            .inputs = inputs,
                            .units = units,
                            .options = options});
}

ct_module *ct_lstm_new(int64_t inputs, int64_t units, ct_recurrent_options options) {
    CTI_CALLED;
    return make("ct_lstm_new", &lstm_kind,
                (recurrent){.step = lstm_step,
                            .n_states = 2,
                            .gates = 4,
                            .inputs = inputs,
                            .units = units,
                            .options = options});
}

ct_module *ct_gru_new(int64_t inputs, int64_t units, ct_recurrent_options options) {
    CTI_CALLED;
    return make("ct_gru_new", &gru_kind,
                (recurrent){.step = options.reset_before ? gru_step_reset_before : gru_step,
                            .n_states = 1,
                            .gates = 3,
                            .two_biases = !options.reset_before,
                            .inputs = inputs,
                            .units = units,
                            .options = options});
}

/* --- Both directions -------------------------------------------------------------------------- */

static bool is_recurrent(const ct_module *module) { return module->kind->forward_many == forward; }

static bool runs(const ct_module *module, bool backward) {
    return is_recurrent(module) && ((const recurrent *)module)->options.backward == backward;
}

static bool last_only(const ct_module *module) {
    return ((const recurrent *)module)->options.last_only;
}

/* What both directions are given, and what is wanted of each. */
typedef struct {
    ct_tensor *x, *mask;
    int n_given, n_states; /* for each */
    ct_mode mode;
} both_call;

/* x, one child's states and the mask are its inputs; its outputs are y and its states. */
static ct_tensor *run_direction(ct_module *child, const both_call *c, ct_tensor *const given[],
                                ct_tensor *states[]) {
    ct_tensor *in[2 + MOST_STATES] = {c->x}, *out[1 + MOST_STATES] = {0};
    int n_in = 1 + c->n_given, n_out = 1 + c->n_states;
    for (int i = 0; i < c->n_given; i++) in[1 + i] = given[i];
    if (c->mask) {
        n_in = 2 + (is_recurrent(child) ? ((const recurrent *)child)->n_states : c->n_given);
        in[n_in - 1] = c->mask;
    }
    if (ct_forward_many(child, in, n_in, out, n_out, c->mode) != CT_OK) return NULL;
    int n_states = c->n_states;
    for (int i = 0; i < n_states; i++) states[i] = out[1 + i];
    return out[0];
}

static ct_status both_forward(ct_module *self, ct_tensor *const in[], int n_in, ct_tensor *out[],
                              int n_out, ct_mode mode) {
    int most = 1 + 2 * MOST_STATES;
    if (cti_check_many(self, in, n_in, 1, most + 1, n_out, most) != CT_OK) return ct_error();
    if (n_out % 2 == 0) {
        return ct_fail(CT_ERR_RANGE,
                       "Bidirectional: y and equally many states of both layers, got %d outputs",
                       n_out);
    }
    ct_tensor *y[2];
    /* An even number of inputs ends in a mask. */
    both_call c = {.x = in[0], .mask = n_in % 2 ? NULL : in[n_in - 1], .mode = mode};
    c.n_given = (n_in - 1) / 2, c.n_states = n_out / 2;
    for (int i = 0; i < 2; i++) {
        y[i] = run_direction(self->children[i], &c, in + 1 + i * c.n_given,
                             out + 1 + i * c.n_states);
        if (!y[i]) return ct_error();
    }
    out[0] = ct_concat(y, 2, -1);
    return out[0] ? CT_OK : ct_error();
}

static const ct_weights_slot keras_both[] = {
    {.slot = "forward/kernel", .name = "forward_layer/cell/vars/0"},
    {.slot = "forward/recurrent_kernel", .name = "forward_layer/cell/vars/1"},
    {.slot = "forward/bias", .name = "forward_layer/cell/vars/2"},
    {.slot = "backward/kernel", .name = "backward_layer/cell/vars/0"},
    {.slot = "backward/recurrent_kernel", .name = "backward_layer/cell/vars/1"},
    {.slot = "backward/bias", .name = "backward_layer/cell/vars/2"},
    {0}};

static const ct_module_kind bidirectional_kind = {
    .name = "Bidirectional", .forward_many = both_forward, .keras = keras_both};

static ct_status check_directions(const ct_module *ahead, const ct_module *back) {
    if (!ahead || !back) {
        cti_null_in("ct_bidirectional_new: '%s' is NULL", ahead ? "backward" : "forward");
        return ct_error();
    }
    if (!runs(back, false) && !runs(ahead, true)) {
        if (is_recurrent(ahead) && is_recurrent(back) && last_only(ahead) != last_only(back)) {
            return ct_fail(CT_ERR_STATE, "ct_bidirectional_new: only '%s' has the option last_only",
                           last_only(ahead) ? "forward" : "backward");
        }
        return CT_OK;
    }
    bool first = runs(ahead, true);
    return ct_fail(CT_ERR_STATE, "ct_bidirectional_new: '%s' was made %s the option backward",
                   first ? "forward" : "backward", first ? "with" : "without");
}

static ct_status name_child(ct_module *child, const char *name) {
    return child && !child->name ? ct_module_rename(child, name) : CT_OK;
}

ct_module *ct_bidirectional_new(ct_module *ahead, ct_module *back) {
    CTI_CALLED;
    ct_module *module = ct_module_new(sizeof *module, &bidirectional_kind);
    ct_module *children[] = {ahead, back};
    ct_status status = check_directions(ahead, back);
    if (status == CT_OK) status = name_child(ahead, "forward");
    if (status == CT_OK) status = name_child(back, "backward");
    ct_status added = ct_module_add_children(module, children, 2);
    return cti_module_or_free(module, status == CT_OK ? added : status);
}
