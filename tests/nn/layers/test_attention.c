/* Multi-head attention against PyTorch and Keras in f64, its masks, errors and files; places. */
#include "tests/reference/sequences.h"
#include "tests/support/nn_support.h"

#include "nn/gradcheck.h"

#include <stdio.h>
#include <unistd.h>

enum { N = 2, HEADS = 2, QUERIES = 3, KEYS = 4, WIDTH = 4 };

static ct_tensor *sequence(int64_t steps, int64_t width, uint32_t salt) {
    return centred(CT_F64, CT_SHAPE(N, steps, width), salt, 1, 0);
}

/* In f64, with the numbers of sequences.py in its slots. */
static ct_module *attention(ct_attention_options options) {
    options.dtype = CT_F64;
    ct_module *module = ct_multi_head_attention_new(WIDTH, HEADS, options);
    MADE(module);
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < module->children[i]->n_slots; k++) {
            ct_slot *slot = module->children[i]->slots[k].slot;
            ct_shape shape = ct_shape_of(ct_slot_read(slot));
            OK(ct_slot_write(slot, centred(CT_F64, shape, (uint32_t)(23 + 4 * k + i), 1, 0)));
        }
    }
    return module;
}

/* --- Against the libraries -------------------------------------------------------------------- */

/* n inputs that are all of them used; wanted: y, weights, gradients by inputs, kernels, biases. */
static void expect_results(ct_module *module, ct_tensor *const in[], int n_in, int n_used,
                           const double *const wanted[]) {
    ct_tensor *out[2], *from[12], *gradients[12], *total = NULL;
    OK(ct_forward_many(module, in, n_in, out, 2, CT_TRAINING));
    for (int i = 0; i < 2; i++) {
        cr_expect_lt(distance(out[i], wanted[i]), 1e-12, "output %d", i);
        ct_tensor *weight = centred(CT_F64, ct_shape_of(out[i]), (uint32_t)(90 + i), 1, 0);
        ct_tensor *term = ct_sum_all(ct_mul(out[i], weight));
        total = total ? ct_add(total, term) : term;
    }
    int n = 0;
    for (; n < n_used; n++) from[n] = in[n];
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < 4; i++) from[n++] = ct_slot_read(module->children[i]->slots[k].slot);
    }
    OK(ct_grad(total, from, n, gradients));
    for (int i = 0; i < n; i++) {
        ct_tensor *g = gradients[i];
        /* A key's bias moves all scores of a query alike: 0, but for the rounding of sums. */
        if (i == n_used + 5) cr_expect_lt(ct_item(ct_max(ct_abs(g), CT_ALL)), 1e-14);
        else cr_expect_lt(distance(g, wanted[2 + i]), 1e-12, "gradient %d", i);
    }
    ct_module_free(module);
}

#define WEIGHTS(name) \
    name##_dw0, name##_dw1, name##_dw2, name##_dw3, name##_db0, name##_db1, name##_db2, name##_db3
#define RESULTS(name, ...) \
    (const double *const[]) { name##_y0, name##_y1, __VA_ARGS__, WEIGHTS(name) }

TEST(attention, as_pytorch) {
    ct_tensor *x = sequence(QUERIES, WIDTH, 20), *kv = sequence(KEYS, 3, 21);
    expect_results(attention((ct_attention_options){0}), &x, 1, 1,
                   RESULTS(attention_self, attention_self_dq));
    expect_results(attention((ct_attention_options){.causal = true}), &x, 1, 1,
                   RESULTS(attention_causal, attention_causal_dq));
    expect_results(attention((ct_attention_options){.kv_width = 3}), (ct_tensor *[]){x, kv}, 2, 2,
                   RESULTS(attention_cross, attention_cross_dq, attention_cross_dk));
}

TEST(attention, as_pytorch_with_a_mask) {
    ct_shape shape = CT_SHAPE(N, HEADS, QUERIES, KEYS);
    ct_tensor *mask = ct_greater(centred(CT_F64, shape, 31, 1, 0), ct_scalar(CT_F64, -0.5));
    mask = CT_CONCAT(3, ct_full(CT_F64, CT_SHAPE(N, HEADS, QUERIES, 1), 1),
                     ct_slice(mask, 3, 1, KEYS, 1));
    ct_tensor *in[] = {sequence(QUERIES, WIDTH, 20), sequence(KEYS, WIDTH, 21),
                       sequence(KEYS, WIDTH, 22), ct_cast(mask, CT_U8)};
    expect_results(
        attention((ct_attention_options){0}), in, 4, 3,
        RESULTS(attention_masked, attention_masked_dq, attention_masked_dk, attention_masked_dv));
}

/* The mask is that of the key that sequences.py has, the weights are those before it. */
TEST(attention, as_keras_with_a_mask_of_dropout) {
    ct_module *module = attention((ct_attention_options){.dropout = 0.4});
    ct_tensor *key = ct_from(CT_I64, CT_SHAPE(2), (int64_t[]){7, 3});
    OK(ct_slot_write(slot_at(module, "dropout/stream"), key));
    ct_tensor *x = sequence(QUERIES, WIDTH, 20);
    expect_results(module, &x, 1, 1, RESULTS(attention_dropout, attention_dropout_dq));
}

/* --- Masks ------------------------------------------------------------------------------------ */

TEST(attention, masks_broadcast_and_meet_the_causal_one) {
    ct_module *plain = attention((ct_attention_options){0});
    ct_module *causal = attention((ct_attention_options){.causal = true});
    ct_tensor *x = sequence(QUERIES, WIDTH, 20), *a, *b;
    const int64_t lower[] = {1, 0, 0, 1, 1, 0, 1, 1, 1}, even[] = {1, 0, 1};
    ct_tensor *triangle = ct_from(CT_I64, CT_SHAPE(3, 3), lower);
    OK(ct_forward_many(plain, (ct_tensor *[]){x, NULL, NULL, triangle}, 4, &a, 1, CT_TRAINING));
    cr_expect(same_bits(a, ct_forward(causal, x, CT_TRAINING)));
    ct_tensor *keys = ct_from(CT_I64, CT_SHAPE(1, 1, 3), even), *both = ct_mul(triangle, keys);
    OK(ct_forward_many(plain, (ct_tensor *[]){x, x, x, both}, 4, &a, 1, CT_TRAINING));
    OK(ct_forward_many(causal, (ct_tensor *[]){x, NULL, x, keys}, 4, &b, 1, CT_TRAINING));
    cr_expect(same_bits(a, b));
    ct_module_free(plain), ct_module_free(causal);
}

TEST(attention, a_query_that_may_look_nowhere_gets_zeros) {
    ct_module *module = attention((ct_attention_options){0});
    const int64_t allowed[] = {1, 1, 1, 0, 0, 0, 1, 0, 1};
    ct_tensor *x = sequence(QUERIES, WIDTH, 20), *mask = ct_from(CT_I64, CT_SHAPE(3, 3), allowed);
    ct_tensor *y[2], *from[9], *gradients[9];
    OK(ct_forward_many(module, (ct_tensor *[]){x, x, x, mask}, 4, y, 2, CT_TRAINING));
    ct_tensor *bias = ct_slot_read(module->children[3]->slots[1].slot);
    for (int n = 0; n < N; n++) {
        for (int i = 0; i < WIDTH; i++) {
            cr_expect_eq(element(y[0], (n * QUERIES + 1) * WIDTH + i), element(bias, i));
        }
    }
    int n = 0;
    from[n++] = x;
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 2; k++) from[n++] = ct_slot_read(module->children[i]->slots[k].slot);
    }
    OK(ct_grad(ct_sum_all(ct_mul(y[0], y[0])), from, n, gradients));
    for (int i = 0; i < n; i++) {
        double size = ct_item(ct_max(ct_abs(gradients[i]), CT_ALL));
        cr_expect(isfinite(size), "gradient %d: %g", i, size);
    }
    ct_module_free(module);
}

TEST(attention, derivatives_of_two_orders) {
    ct_attention_options causal = {.causal = true, .dropout = 0.25, .no_bias = true};
    for (int i = 0; i < 2; i++) {
        ct_module *module = attention(i ? causal : (ct_attention_options){0});
        ct_gradcheck_report report;
        OK(ct_gradcheck_module(module, sequence(3, WIDTH, 20), CT_TRAINING,
                               (ct_gradcheck_options){.order = 2}, &report));
        cr_expect(report.passed, "%g for %g", report.worst.analytic, report.worst.numeric);
        ct_module_free(module);
    }
}

TEST(attention, dropout_leaves_out_weights_in_training_alone) {
    ct_module *module = attention((ct_attention_options){.dropout = 0.5});
    ct_module *plain = attention((ct_attention_options){0});
    ct_tensor *x = sequence(QUERIES, WIDTH, 20), *a[2], *b[2];
    OK(ct_forward_many(module, &x, 1, a, 2, CT_INFERENCE));
    OK(ct_forward_many(plain, &x, 1, b, 2, CT_INFERENCE));
    cr_expect(same_bits(a[0], b[0]) && same_bits(a[1], b[1]));
    OK(ct_forward_many(module, &x, 1, a, 2, CT_TRAINING));
    cr_expect(!same_bits(a[0], b[0]) && same_bits(a[1], b[1]));
    ct_module_free(module), ct_module_free(plain);
}

/* --- Errors ----------------------------------------------------------------------------------- */

static void refused(ct_module *module, ct_tensor *const in[], int n_in, int n_out, ct_status status,
                    const char *message) {
    ct_tensor *out[3];
    cr_expect_eq(ct_forward_many(module, in, n_in, out, n_out, CT_TRAINING), status);
    expect_error(status, message);
}

TEST(attention, says_what_does_not_fit) {
    ct_attention_options usual = {0};
    cr_expect_null(ct_multi_head_attention_new(8, 3, usual));
    expect_error(CT_ERR_RANGE, "ct_multi_head_attention_new: heads 3 must divide width 8");
    cr_expect_null(ct_multi_head_attention_new(8, 0, usual));
    expect_error(CT_ERR_RANGE, "ct_multi_head_attention_new: heads must be >= 1, got 0");
    cr_expect_null(ct_multi_head_attention_new(8, 2, (ct_attention_options){.dropout = 1}));
    expect_error(CT_ERR_RANGE, "ct_multi_head_attention_new: dropout must be in [0,1), got 1");
    ct_module *module = attention(usual), *causal = attention((ct_attention_options){.causal = 1});
    ct_module *net = CT_SEQUENTIAL("net", module);
    ct_tensor *x = sequence(QUERIES, WIDTH, 20), *kv = sequence(KEYS, WIDTH, 21);
    ct_tensor *narrow = sequence(QUERIES, 3, 20), *more = ct_full(CT_F64, CT_SHAPE(5, 3, 4), 0);
    ct_tensor *mask = ct_full(CT_F64, CT_SHAPE(2, 3), 1);
    refused(net, &narrow, 1, 1, CT_ERR_SHAPE,
            "MultiHeadAttention: q needs [N,T,4], got [2,3,3] "
            "(in net/multi_head_attention)");
    refused(causal, (ct_tensor *[]){x, narrow}, 2, 1, CT_ERR_SHAPE,
            "MultiHeadAttention: k needs [2,T,4], got [2,3,3]");
    refused(causal, (ct_tensor *[]){x, more}, 2, 1, CT_ERR_SHAPE,
            "MultiHeadAttention: k needs [2,T,4], got [5,3,4]");
    refused(causal, (ct_tensor *[]){x, x, kv}, 3, 1, CT_ERR_SHAPE,
            "MultiHeadAttention: v needs [2,3,4], got [2,4,4]");
    refused(causal, (ct_tensor *[]){x, kv}, 2, 1, CT_ERR_SHAPE,
            "MultiHeadAttention: causal attention needs as many keys as queries, got 4 and 3");
    refused(causal, (ct_tensor *[]){x, x, x, mask}, 4, 1, CT_ERR_SHAPE,
            "MultiHeadAttention: the mask must broadcast to [2,2,3,3], got [2,3]");
    refused(causal, (ct_tensor *[]){x, x, x, mask, x}, 5, 1, CT_ERR_RANGE,
            "MultiHeadAttention: has at most 4 inputs, got 5");
    refused(causal, &x, 1, 3, CT_ERR_RANGE, "MultiHeadAttention: has at most 2 outputs, got 3");
    ct_module_free(net), ct_module_free(causal);
}

/* --- As other layers -------------------------------------------------------------------------- */

TEST(attention, summary_and_files) {
    char path[] = "/tmp/cotan_attention_XXXXXX";
    int file = mkstemp(path);
    cr_assert_geq(file, 0);
    close(file);
    ct_module *a = CT_SEQUENTIAL("net", attention((ct_attention_options){.dropout = 0.1}));
    ct_module *b = CT_SEQUENTIAL("net", attention((ct_attention_options){.dropout = 0.1}));
    OK(ct_slot_write(slot_at(b, "multi_head_attention/output/bias"),
                     ct_full(CT_F64, CT_SHAPE(WIDTH), 3)));
    OK(ct_weights_save(a, path));
    OK(ct_weights_load(b, path));
    ct_tensor *x = sequence(QUERIES, WIDTH, 20);
    cr_expect(same_bits(ct_forward(a, x, CT_INFERENCE), ct_forward(b, x, CT_INFERENCE)));
    unlink(path);
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    OK(ct_summary(out, a, (ct_show_options){.input = CT_SHAPE(8, 6, WIDTH)}));
    fclose(out);
    cr_expect_not_null(
        strstr(text, "multi_head_attention (MultiHeadAttention)  (None, 6, 4)              80\n"),
        "%s", text);
    free(text);
    ct_module_free(a), ct_module_free(b);
}

TEST(attention, sinusoidal_positions) {
    ct_tensor *y = ct_sinusoidal_positions(CT_F64, 5, 6);
    MADE(y);
    cr_expect(ct_shape_equal(ct_shape_of(y), CT_SHAPE(5, 6)));
    for (int p = 0; p < 5; p++) {
        for (int i = 0; i < 3; i++) {
            double angle = p / pow(10000, 2.0 * i / 6);
            EXPECT_NEAR(element(y, p * 6 + 2 * i), sin(angle), 1e-14);
            EXPECT_NEAR(element(y, p * 6 + 2 * i + 1), cos(angle), 1e-14);
        }
    }
    cr_expect_eq(ct_dtype_of(ct_sinusoidal_positions(CT_F32, 5, 6)), CT_F32);
    cr_expect_null(ct_sinusoidal_positions(CT_F32, 5, 3));
    expect_error(CT_ERR_RANGE, "ct_sinusoidal_positions: width must be even, got 3");
}

TEST(attention, learned_positions) {
    ct_module *module = ct_positions_new(5, WIDTH, (ct_positions_options){.dtype = CT_F64});
    MADE(module);
    ct_tensor *x = sequence(QUERIES, WIDTH, 20), *y = ct_forward(module, x, CT_TRAINING), *dt;
    ct_tensor *table = ct_slot_read(module->slots[0].slot);
    for (int i = 0; i < N * QUERIES * WIDTH; i++) {
        cr_expect_eq(element(y, i), element(x, i) + element(table, i % (QUERIES * WIDTH)));
    }
    OK(ct_grad(ct_sum_all(y), &table, 1, &dt));
    for (int i = 0; i < 5 * WIDTH; i++) cr_expect_eq(element(dt, i), i < QUERIES * WIDTH ? N : 0);
    cr_expect_null(ct_forward(module, sequence(6, WIDTH, 1), CT_TRAINING));
    expect_error(CT_ERR_SHAPE, "Positions: x needs [N,T,4] with T <= 5, got [2,6,4]");
    cr_expect_null(ct_positions_new(0, 4, (ct_positions_options){0}));
    expect_error(CT_ERR_RANGE, "ct_positions_new: length must be >= 1, got 0");
    ct_module_free(module);
}
