/* Recurrent layers: a step of a few ops, unrolled over time. x [N,T,inputs] -> y [N,T,units].
 *
 * By ct_forward_many inputs are {x, h, mask} or, of an LSTM, {x, h, c, mask}. States [N,units]
 * before the first step; NULL or left out: zeros. The mask [N,T] of any type, which may be left
 * out, says which steps are there: one of 0 leaves the state as it is, and its y repeats that.
 * Outputs are {y, h} or {y, h, c}: the states after the last step.
 * The projection x kernel + bias of all steps is one product before the loop, and a step is one
 * product with all gates of the recurrent kernel.
 *
 * Backpropagation through time that is cut into chunks: the state goes on as a value.
 *
 *     void train_in_chunks(ct_module *lstm, ct_optimizer *adam, ct_tensor *x, ct_tensor *y) {
 *         ct_tensor *state[2] = {NULL, NULL}; // zeros
 *         for (int64_t t = 0; t < ct_dim(x, 1); t += 32) {
 *             int64_t scope = ct_scope_open();
 *             int64_t end = t + 32 < ct_dim(x, 1) ? t + 32 : ct_dim(x, 1);
 *             ct_tensor *in[] = {ct_slice(x, 1, t, end, 1), state[0], state[1]}, *out[3] = {0};
 *             ct_forward_many(lstm, in, 3, out, 3, CT_TRAINING);
 *             ct_tensor *chunk_loss = ct_mse(out[0], ct_slice(y, 1, t, end, 1));
 *             ct_optimizer_step(adam, chunk_loss, &out[1], 2); // evaluates the states too
 *             for (int i = 0; i < 2; i++) ct_set(&state[i], ct_detach(out[1 + i]));
 *             ct_scope_close(scope);
 *         }
 *         ct_drop(state[0]), ct_drop(state[1]);
 *     }
 *
 * Each length T is a graph of its own, so each has a plan of its own, made when it is first seen
 * and kept while there is room (a thread keeps 64). Where lengths vary, sort sequences into buckets
 * of a few lengths and pad each with zeros to its bucket's: at most so many plans are made as there
 * are buckets. A mask keeps padding out of the states, which backward layers would meet first; a
 * loss of y weighs it with 0. */
#ifndef COTAN_RECURRENT_H
#define COTAN_RECURRENT_H

#include <cotan/nn/layers.h>

CT_C_BEGIN

typedef struct {
    bool last_only;    /* y is the output of the last step, [N,units] */
    bool backward;     /* runs from the last time step to the first; y stays in the order of x */
    bool reset_before; /* GRU: see there */
    bool no_bias;
    const ct_activation *activation; /* default: tanh */
    ct_initializer kernel;           /* default: Glorot uniform */
    ct_initializer recurrent;        /* default: Glorot uniform (Keras: ct_orthogonal) */
    ct_initializer bias;             /* default: zeros, and ones for the forget gate of an LSTM */
    ct_dtype dtype;                  /* default: f32 */
} ct_recurrent_options;

/* h' = tanh(x W + h U + b). Slots kernel W [inputs,units], recurrent_kernel U [units,units], bias
 * b [units]. Of PyTorch's RNN: W and U transposed, b the sum of its two. */
ct_module *ct_simple_rnn_new(int64_t inputs, int64_t units, ct_recurrent_options options);

/* Hochreiter and Schmidhuber, 1997, with the forget gate of Gers et al., 2000: gates (i, f, g, o) =
 * x W + h U + b; c' = sigmoid(f) c + sigmoid(i) tanh(g); h' = sigmoid(o) tanh(c'). Slots kernel W
 * [inputs,4 units], recurrent_kernel U [units,4 units], bias b [4 units]: gates in the order i, f,
 * g, o, which Keras and PyTorch share. Of PyTorch: W and U transposed, b the sum of its two. */
ct_module *ct_lstm_new(int64_t inputs, int64_t units, ct_recurrent_options options);

/* Cho et al., 2014, arXiv:1406.1078, as PyTorch and Keras (reset_after) have it: z = sigmoid(x Wz +
 * bz + h Uz + cz), r = sigmoid(x Wr + br + h Ur + cr), n = tanh(x Wn + bn + r (h Un + cn));
 * h' = z h + (1 - z) n. Slots kernel W [inputs,3 units], recurrent_kernel U [units,3 units], bias
 * [2,3 units], b above c: Keras's shapes, and its order z, r, n; PyTorch has r, z, n, and W and U
 * transposed. With reset_before, as in the paper and Keras's reset_after=False,
 * n = tanh(x Wn + bn + (r h) Un), and bias is [3 units]. */
ct_module *ct_gru_new(int64_t inputs, int64_t units, ct_recurrent_options options);

/* The outputs of two layers beside each other: y [N,T,2 units], or [N,2 units] of layers with
 * last_only. `backward` is a recurrent layer that was made with that option. Inputs {x, states of
 * forward, states of backward}, outputs likewise; states of the first are as many as of the second.
 * Its children are named forward and backward, unless they have names. */
ct_module *ct_bidirectional_new(ct_module *forward, ct_module *backward);

CT_C_END

#endif
