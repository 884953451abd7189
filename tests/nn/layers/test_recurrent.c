/* Recurrent layers against PyTorch and Keras in f64, their states, directions, errors, files. */
#include "tests/reference/sequences.h"
#include "tests/support/nn_support.h"

#include "nn/gradcheck.h"

#include <stdio.h>
#include <unistd.h>

enum { N = 2, T = 3, INPUTS = 3, UNITS = 2 };

static ct_tensor *steps(void) { return centred(CT_F64, CT_SHAPE(N, T, INPUTS), 1, 1, 0); }

static ct_tensor *state(uint32_t salt) { return centred(CT_F64, CT_SHAPE(N, UNITS), salt, 1, 0); }

typedef ct_module *constructor(int64_t inputs, int64_t units, ct_recurrent_options options);

static void fill(ct_module *module, int salt) {
    for (int i = 0; i < module->n_slots; i++) {
        ct_slot *slot = module->slots[i].slot;
        ct_shape shape = ct_shape_of(ct_slot_read(slot));
        OK(ct_slot_write(slot, centred(CT_F64, shape, (uint32_t)(salt + i), 1, 0)));
    }
}

/* In f64, with the numbers of sequences.py in its slots. */
static ct_module *layer(constructor *make, ct_recurrent_options options) {
    options.dtype = CT_F64;
    ct_module *module = make(INPUTS, UNITS, options);
    MADE(module);
    fill(module, 4);
    return module;
}

/* --- Against the libraries -------------------------------------------------------------------- */

enum { MOST = 12 };

/* Results in the order of sequences.py: n outputs, then gradients by the first n of n_in inputs and
 * by all slots. Frees the module. */
static void expect_results_of(ct_module *module, ct_tensor *const in[], int n_in, int n,
                              const double *const wanted[]) {
    ct_tensor *out[MOST], *from[MOST], *gradients[MOST], *total = NULL;
    ct_slot_list slots;
    int k = 0, n_from = 0;
    OK(ct_module_list(module, &slots));
    OK(ct_forward_many(module, in, n_in, out, n, CT_TRAINING));
    for (int i = 0; i < n; i++) {
        cr_expect_lt(distance(out[i], wanted[k]), 1e-12, "output %d: %g", i,
                     distance(out[i], wanted[k]));
        k++;
        ct_tensor *weight = centred(CT_F64, ct_shape_of(out[i]), (uint32_t)(90 + i), 1, 0);
        ct_tensor *term = ct_sum_all(ct_mul(out[i], weight));
        total = total ? ct_add(total, term) : term;
    }
    for (int i = 0; i < n; i++) from[n_from++] = in[i];
    for (int64_t i = 0; i < slots.count; i++) from[n_from++] = ct_slot_read(slots.items[i].slot);
    OK(ct_grad(total, from, n_from, gradients));
    for (int i = 0; i < n_from; i++) {
        cr_expect_lt(distance(gradients[i], wanted[k]), 1e-12, "gradient %d", i);
        k++;
    }
    ct_slot_list_free(&slots);
    ct_module_free(module);
}

static void expect_results(ct_module *module, int n_states, const double *const wanted[]) {
    ct_tensor *in[] = {steps(), state(2), state(3)};
    expect_results_of(module, in, 1 + n_states, 1 + n_states, wanted);
}

static void expect_masked_results(ct_module *module, int n_states, const double *const wanted[]) {
    ct_tensor *there = ct_from(CT_U8, CT_SHAPE(N, T), (uint8_t[]){1, 1, 0, 1, 0, 0});
    ct_tensor *in[] = {steps(), state(2), n_states > 1 ? state(3) : there, there};
    expect_results_of(module, in, 2 + n_states, 1 + n_states, wanted);
}

#define ONE_STATE(name)                                                              \
    (const double *const[]) {                                                        \
        name##_y0, name##_y1, name##_dx, name##_dh0, name##_dw, name##_du, name##_db \
    }
#define TWO_STATES(name)                                                                          \
    (const double *const[]) {                                                                     \
        name##_y0, name##_y1, name##_y2, name##_dx, name##_dh0, name##_dh1, name##_dw, name##_du, \
            name##_db                                                                             \
    }

TEST(recurrent, as_pytorch) {
    ct_recurrent_options usual = {0}, relu = {.activation = &ct_activation_relu};
    expect_results(layer(ct_simple_rnn_new, usual), 1, ONE_STATE(torch_rnn));
    expect_results(layer(ct_simple_rnn_new, relu), 1, ONE_STATE(torch_relu));
    expect_results(layer(ct_lstm_new, usual), 2, TWO_STATES(torch_lstm));
    expect_results(layer(ct_gru_new, usual), 1, ONE_STATE(torch_gru));
}

TEST(recurrent, as_keras) {
    ct_recurrent_options usual = {0}, before = {.reset_before = true}, back = {.backward = true};
    expect_results(layer(ct_lstm_new, usual), 2, TWO_STATES(keras_lstm));
    expect_results(layer(ct_simple_rnn_new, usual), 1, ONE_STATE(keras_rnn));
    expect_results(layer(ct_gru_new, usual), 1, ONE_STATE(keras_gru));
    expect_masked_results(layer(ct_lstm_new, usual), 2, TWO_STATES(keras_lstm_masked));
    expect_masked_results(layer(ct_gru_new, usual), 1, ONE_STATE(keras_gru_masked));
    expect_results(layer(ct_gru_new, before), 1, ONE_STATE(keras_gru_before));
    expect_results(layer(ct_lstm_new, back), 2, TWO_STATES(keras_lstm_backward));
}

/* Both libraries', which agree. */
TEST(recurrent, bidirectional_as_pytorch_and_keras) {
    ct_recurrent_options ahead = {0}, back = {.backward = true};
    ct_module *module = ct_bidirectional_new(layer(ct_lstm_new, ahead), layer(ct_lstm_new, back));
    MADE(module);
    fill(module->children[1], 10);
    ct_tensor *in[] = {steps(), state(2), state(3), state(8), state(9)};
    static const double *const wanted[] = {
        bidirectional_y0,  bidirectional_y1,  bidirectional_y2,  bidirectional_y3,
        bidirectional_y4,  bidirectional_dx,  bidirectional_dh0, bidirectional_dh1,
        bidirectional_dh2, bidirectional_dh3, bidirectional_dw0, bidirectional_du0,
        bidirectional_db0, bidirectional_dw1, bidirectional_du1, bidirectional_db1};
    expect_results_of(module, in, 5, 5, wanted);
}

static constructor *const all[] = {ct_simple_rnn_new, ct_lstm_new, ct_gru_new};

TEST(recurrent, derivatives_of_two_orders) {
    for (int i = 0; i < 5; i++) {
        ct_recurrent_options options = {
            .last_only = i == 1, .backward = i == 2, .no_bias = i == 3, .reset_before = i == 4};
        for (int k = 0; k < 3; k++) {
            if (options.reset_before && all[k] != ct_gru_new) continue;
            ct_module *module = layer(all[k], options);
            ct_gradcheck_report report;
            OK(ct_gradcheck_module(module, steps(), CT_TRAINING, (ct_gradcheck_options){.order = 2},
                                   &report));
            cr_expect(report.passed, "%s: %g for %g", module->kind->name, report.worst.analytic,
                      report.worst.numeric);
            ct_module_free(module);
        }
    }
}

/* --- States and directions -------------------------------------------------------------------- */

static double gap(ct_tensor *a, ct_tensor *b) {
    return ct_item(ct_max(ct_abs(ct_sub(a, b)), CT_ALL));
}

TEST(recurrent, states_that_are_left_out_are_zeros) {
    for (int k = 0; k < 3; k++) {
        ct_module *module = layer(all[k], (ct_recurrent_options){0});
        int n = k == 1 ? 3 : 2;
        ct_tensor *zero = ct_full(CT_F64, CT_SHAPE(N, UNITS), 0), *x = steps(), *a[3], *b[3], *y;
        OK(ct_forward_many(module, (ct_tensor *[]){x, zero, zero}, n, a, n, CT_TRAINING));
        OK(ct_forward_many(module, (ct_tensor *[]){x, NULL, zero}, n, b, n, CT_TRAINING));
        for (int i = 0; i < n; i++) cr_expect(same_bits(a[i], b[i]));
        cr_expect(same_bits(ct_forward(module, x, CT_TRAINING), a[0]));
        OK(ct_forward_many(module, &x, 1, &y, 1, CT_INFERENCE));
        cr_expect(same_bits(y, a[0]));
        cr_expect(same_bits(ct_reshape(ct_slice(y, 1, T - 1, T, 1), CT_SHAPE(N, UNITS)), a[1]));
        ct_module_free(module);
    }
}

TEST(recurrent, chunks_give_what_the_whole_gives) {
    for (int k = 0; k < 3; k++) {
        ct_module *module = layer(all[k], (ct_recurrent_options){0});
        ct_tensor *x = steps(), *whole = ct_forward(module, x, CT_TRAINING), *in[3], *out[3];
        ct_tensor *parts[T], *held[2] = {NULL, NULL};
        int n = k == 1 ? 3 : 2;
        for (int t = 0; t < T; t++) {
            in[0] = ct_slice(x, 1, t, t + 1, 1);
            for (int i = 1; i < n; i++) in[i] = held[i - 1];
            OK(ct_forward_many(module, in, n, out, n, CT_TRAINING));
            parts[t] = out[0];
            for (int i = 1; i < n; i++) held[i - 1] = ct_detach(out[i]);
        }
        cr_expect_lt(gap(ct_concat(parts, T, 1), whole), 1e-15);
        /* What was detached passes nothing on. */
        ct_tensor *dx;
        OK(ct_grad(ct_sum_all(parts[T - 1]), &x, 1, &dx));
        cr_expect_eq(ct_item(ct_max(ct_abs(ct_slice(dx, 1, 0, T - 1, 1)), CT_ALL)), 0);
        ct_module_free(module);
    }
}

TEST(recurrent, backward_is_forward_of_what_is_turned) {
    for (int k = 0; k < 3; k++) {
        ct_module *ahead = layer(all[k], (ct_recurrent_options){0});
        ct_module *back = layer(all[k], (ct_recurrent_options){.backward = true});
        ct_module *last = layer(all[k],
                                (ct_recurrent_options){.backward = true, .last_only = true});
        ct_tensor *x = steps(), *y = ct_forward(back, x, CT_TRAINING);
        ct_tensor *turned = ct_forward(ahead, ct_flip(x, CT_AXES(1)), CT_TRAINING);
        cr_expect(same_bits(y, ct_flip(turned, CT_AXES(1))));
        ct_tensor *end = ct_forward(last, x, CT_TRAINING);
        cr_expect(same_bits(end, ct_reshape(ct_slice(y, 1, 0, 1, 1), CT_SHAPE(N, UNITS))));
        ct_module_free(ahead), ct_module_free(back), ct_module_free(last);
    }
}

static ct_module *both_ways(constructor *make, bool last_only) {
    ct_recurrent_options ahead = {.last_only = last_only}, back = ahead;
    back.backward = true;
    ct_module *module = ct_bidirectional_new(layer(make, ahead), layer(make, back));
    MADE(module);
    return module;
}

TEST(recurrent, bidirectional_joins_both_directions) {
    ct_module *module = both_ways(ct_lstm_new, false), *last = both_ways(ct_gru_new, true);
    ct_module *ahead = module->children[0], *back = module->children[1];
    cr_expect_str_eq(ahead->name, "forward");
    cr_expect_str_eq(back->name, "backward");
    ct_tensor *in[] = {steps(), state(10), state(11), state(12), state(13)}, *out[5], *a[3], *b[3];
    OK(ct_forward_many(module, in, 5, out, 5, CT_TRAINING));
    OK(ct_forward_many(ahead, in, 3, a, 3, CT_TRAINING));
    OK(ct_forward_many(back, (ct_tensor *[]){in[0], in[3], in[4]}, 3, b, 3, CT_TRAINING));
    cr_expect(same_bits(out[0], CT_CONCAT(2, a[0], b[0])));
    cr_expect(same_bits(out[1], a[1]) && same_bits(out[2], a[2]));
    cr_expect(same_bits(out[3], b[1]) && same_bits(out[4], b[2]));
    ct_tensor *y = ct_forward(last, in[0], CT_TRAINING);
    cr_expect(ct_shape_equal(ct_shape_of(y), CT_SHAPE(N, 2 * UNITS)));
    ct_gradcheck_report report;
    OK(ct_gradcheck_module(last, steps(), CT_TRAINING, (ct_gradcheck_options){0}, &report));
    cr_expect(report.passed);
    ct_module_free(module), ct_module_free(last);
}

/* --- Masks ------------------------------------------------------------------------------------ */

/* Row i of x and states, without its padding. */
static void expect_row(ct_module *module, ct_tensor *const padded[3], ct_tensor *x, int64_t row,
                       int64_t length, int n_out) {
    ct_tensor *own = ct_slice(ct_slice(x, 0, row, row + 1, 1), 1, 0, length, 1), *out[3] = {0};
    OK(ct_forward_many(module, &own, 1, out, n_out, CT_INFERENCE));
    for (int i = 0; i < n_out; i++) {
        ct_tensor *there = ct_slice(padded[i], 0, row, row + 1, 1);
        if (i == 0) there = ct_slice(there, 1, 0, length, 1);
        cr_expect_lt(ct_item(ct_max(ct_abs(ct_sub(out[i], there)), CT_ALL)), 1e-15);
    }
}

static void expect_masked(ct_module *module, int n_states, bool both) {
    static const int64_t lengths[] = {2, 4};
    ct_tensor *x = centred(CT_F64, CT_SHAPE(2, 4, 3), 3, 1, 0), *out[3] = {0}, *g;
    ct_tensor *mask = ct_from(CT_U8, CT_SHAPE(2, 4), (uint8_t[]){1, 1, 0, 0, 1, 1, 1, 1});
    ct_tensor *in[4] = {x};
    int n_out = both ? 1 : 1 + n_states, n_in = both ? 2 : 2 + n_states;
    in[n_in - 1] = mask;
    OK(ct_forward_many(module, in, n_in, out, n_out, CT_TRAINING));
    for (int64_t row = 0; row < 2; row++) expect_row(module, out, x, row, lengths[row], n_out);
    OK(ct_grad(ct_sum_all(ct_square(out[0])), &x, 1, &g));
    ct_tensor *at_padding = ct_slice(ct_slice(g, 0, 0, 1, 1), 1, 2, CT_END, 1);
    cr_expect_eq(ct_item(ct_max(ct_abs(at_padding), CT_ALL)), 0);
    ct_module_free(module);
}

TEST(recurrent, masked_steps_are_not_there) {
    ct_recurrent_options usual = {0}, back = {.backward = true}, early = {.reset_before = true};
    expect_masked(layer(ct_simple_rnn_new, usual), 1, false);
    expect_masked(layer(ct_lstm_new, usual), 2, false);
    expect_masked(layer(ct_gru_new, back), 1, false);
    expect_masked(layer(ct_gru_new, early), 1, false);
    expect_masked(layer(ct_lstm_new, back), 2, false);
    expect_masked(both_ways(ct_lstm_new, false), 0, true);
    expect_masked(both_ways(ct_gru_new, false), 0, true);
}

/* --- Errors ----------------------------------------------------------------------------------- */

static void refused(ct_module *module, ct_tensor *const in[], int n_in, int n_out, ct_status status,
                    const char *message) {
    ct_tensor *out[6];
    cr_expect_eq(ct_forward_many(module, in, n_in, out, n_out, CT_TRAINING), status);
    expect_error(status, message);
}

#define MASK_MESSAGE "GRU: the mask needs [2,3], got [2,4]"

TEST(recurrent, says_what_does_not_fit) {
    ct_recurrent_options usual = {0};
    cr_expect_null(ct_lstm_new(0, 3, usual));
    expect_error(CT_ERR_RANGE, "ct_lstm_new: inputs must be >= 1, got 0");
    cr_expect_null(ct_gru_new(3, -1, usual));
    expect_error(CT_ERR_RANGE, "ct_gru_new: units must be >= 1, got -1");
    ct_module *lstm = layer(ct_lstm_new, usual), *gru = layer(ct_gru_new, usual);
    ct_module *net = CT_SEQUENTIAL("net", lstm);
    ct_tensor *x = steps(), *flat = ct_full(CT_F64, CT_SHAPE(2, 3), 0);
    refused(net, &flat, 1, 1, CT_ERR_SHAPE, "LSTM: x needs [N,T,3], got [2,3] (in net/lstm)");
    ct_tensor *wide = ct_full(CT_F64, CT_SHAPE(2, 3, 4), 0);
    refused(gru, &wide, 1, 1, CT_ERR_SHAPE, "GRU: x needs [N,T,3], got [2,3,4]");
    ct_tensor *none = ct_full(CT_F64, CT_SHAPE(2, 0, 3), 0);
    refused(gru, &none, 1, 1, CT_ERR_SHAPE, "GRU: x needs at least one time step, got [2,0,3]");
    refused(gru, (ct_tensor *[]){x, flat}, 2, 1, CT_ERR_SHAPE,
            "GRU: state h needs [2,2], got [2,3]");
    refused(lstm, (ct_tensor *[]){x, NULL, flat}, 3, 1, CT_ERR_SHAPE,
            "LSTM: state c needs [2,2], got [2,3] (in lstm)");
    refused(gru, (ct_tensor *[]){x, NULL, NULL, NULL}, 4, 1, CT_ERR_RANGE,
            "GRU: has at most 3 inputs, got 4");
    refused(gru, (ct_tensor *[]){x, NULL, ct_full(CT_F64, CT_SHAPE(2, 4), 1)}, 3, 1, CT_ERR_SHAPE,
            MASK_MESSAGE);
    refused(gru, &x, 1, 3, CT_ERR_RANGE, "GRU: has at most 2 outputs, got 3");
    refused(gru, (ct_tensor *[]){NULL, state(2)}, 2, 1, CT_ERR_NULL, "GRU: input 0 is NULL");
    ct_tensor *narrow = ct_cast(x, CT_F32);
    refused(gru, &narrow, 1, 1, CT_ERR_DTYPE, "GRU: x is f32, the weights are f64");
    ct_module_free(net), ct_module_free(gru);
}

TEST(recurrent, bidirectional_says_what_does_not_fit) {
    ct_recurrent_options usual = {0}, back = {.backward = true};
    cr_expect_null(ct_bidirectional_new(layer(ct_gru_new, usual), NULL));
    expect_error(CT_ERR_NULL, "ct_bidirectional_new: 'backward' is NULL");
    cr_expect_null(ct_bidirectional_new(layer(ct_gru_new, usual), layer(ct_gru_new, usual)));
    expect_error(CT_ERR_STATE,
                 "ct_bidirectional_new: 'backward' was made without the option backward");
    cr_expect_null(ct_bidirectional_new(layer(ct_gru_new, back), layer(ct_gru_new, back)));
    expect_error(CT_ERR_STATE, "ct_bidirectional_new: 'forward' was made with the option backward");
    ct_module *module = both_ways(ct_gru_new, false);
    refused(module, &(ct_tensor *){steps()}, 1, 2, CT_ERR_RANGE,
            "Bidirectional: y and equally many states of both layers, got 2 outputs");
    refused(module, (ct_tensor *[]){steps()}, 1, 5, CT_ERR_RANGE,
            "GRU: has at most 2 outputs, got 3 (in forward)");
    ct_module_free(module);
}

/* --- As other layers -------------------------------------------------------------------------- */

TEST(recurrent, summary_and_first_values) {
    ct_module *net = CT_SEQUENTIAL(
        "net", ct_lstm_new(3, 4, (ct_recurrent_options){0}),
        ct_bidirectional_new(
            ct_gru_new(4, 5, (ct_recurrent_options){.last_only = true}),
            ct_gru_new(4, 5, (ct_recurrent_options){.last_only = true, .backward = true})),
        ct_dense_new(10, 2, (ct_dense_options){0}));
    MADE(net);
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    OK(ct_summary(out, net, (ct_show_options){.input = CT_SHAPE(8, 6, 3)}));
    fclose(out);
    const char *rows = "lstm (LSTM)                    (None, 6, 4)              128\n"
                       "bidirectional (Bidirectional)  (None, 10)                330\n"
                       "  forward (GRU)                (None, 5)                 165\n"
                       "  backward (GRU)               (None, 5)                 165\n"
                       "dense (Dense)                  (None, 2)                 22\n";
    cr_expect_not_null(strstr(text, rows), "%s", text);
    free(text);
    ct_tensor *bias = read_slot(net, "lstm/bias");
    for (int i = 0; i < 16; i++) cr_expect_eq(element(bias, i), i / 4 == 1);
    MADE(read_slot(net, "bidirectional/backward/recurrent_kernel"));
    ct_module_free(net);
}

TEST(recurrent, weights_go_through_files) {
    char path[] = "/tmp/cotan_recurrent_XXXXXX";
    int file = mkstemp(path);
    cr_assert_geq(file, 0);
    close(file);
    ct_module *a = both_ways(ct_gru_new, false), *b = both_ways(ct_gru_new, false);
    for (int i = 0; i < 2; i++) {
        ct_slot *slot = b->children[i]->slots[0].slot;
        OK(ct_slot_write(slot, ct_neg(ct_slot_read(slot))));
    }
    cr_expect_gt(gap(ct_forward(a, steps(), CT_INFERENCE), ct_forward(b, steps(), CT_INFERENCE)),
                 1e-3);
    OK(ct_weights_save(a, path));
    OK(ct_weights_load(b, path));
    cr_expect(
        same_bits(ct_forward(a, steps(), CT_INFERENCE), ct_forward(b, steps(), CT_INFERENCE)));
    unlink(path);
    ct_module_free(a), ct_module_free(b);
}
