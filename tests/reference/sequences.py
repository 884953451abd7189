"""Recurrent layers and attention in f64 by PyTorch and Keras: values and gradients by inputs,
states and weights, in the shapes of nn/recurrent.h and nn/attention.h.

    KERAS_BACKEND=torch python3 sequences.py       writes sequences.h beside this file

Inputs are common.py's numbers, and the mask of a dropout what cotan draws of the key KEY, so the
header holds results only. Where Keras has what PyTorch has it must agree to 1e-12. Needs numpy,
torch and keras; the tests need none of them.
"""
import os

import keras
import torch

from common import Header, centred, drawn

N, T, INPUTS, UNITS = 2, 3, 3, 2
KEY = (7, 3)


def leaf(shape, salt):
    return torch.tensor(centred(shape, salt), dtype=torch.float64, requires_grad=True)


def put(header, name, outputs, inputs):
    """Gradients of a sum of outputs, weighed by random numbers."""
    for i, y in enumerate(outputs):
        header.array(f"{name}_y{i}", y.detach().numpy())
    for (label, _), g in zip(inputs, gradients(outputs, inputs)):
        header.array(f"{name}_d{label}", g.numpy())


def gradients(outputs, inputs):
    weights = [torch.tensor(centred(tuple(y.shape), 90 + i)) for i, y in enumerate(outputs)]
    total = sum((y * w).sum() for y, w in zip(outputs, weights))
    return torch.autograd.grad(total, [x for _, x in inputs], retain_graph=True)


def agree(outputs, others, inputs):
    pairs = list(zip(outputs, others)) + list(zip(gradients(outputs, inputs),
                                                  gradients(others, inputs)))
    assert all((a - b).abs().max() < 1e-12 for a, b in pairs)
    print("as in Keras")


def turned(w, order):
    """Our gates, side by side in our order, as PyTorch has them: above each other in its own."""
    gates = w.reshape(w.shape[0], len(order), UNITS)
    return torch.cat([gates[:, k] for k in order], dim=1).T


def torch_layer(header, name, kind, order, bias_rows, states, **options):
    x = leaf((N, T, INPUTS), 1)
    h = [leaf((N, UNITS), 2 + i) for i in range(states)]
    gates = len(order)
    w, u = leaf((INPUTS, gates * UNITS), 4), leaf((UNITS, gates * UNITS), 5)
    b = leaf((bias_rows, gates * UNITS), 6)
    layer = kind(INPUTS, UNITS, batch_first=True, dtype=torch.float64, **options)
    zero = torch.zeros(1, gates * UNITS, dtype=torch.float64)
    names = {
        "weight_ih_l0": turned(w, order),
        "weight_hh_l0": turned(u, order),
        "bias_ih_l0": turned(b[:1], order)[:, 0],
        "bias_hh_l0": turned(b[1:] if bias_rows > 1 else zero, order)[:, 0],
    }
    given = tuple(s.unsqueeze(0) for s in h)
    y, last = torch.func.functional_call(
        layer, names, (x, given if states > 1 else given[0])
    )
    last = [s[0] for s in (last if states > 1 else [last])]
    weights = [("w", w), ("u", u), ("b", b)]
    put(header, name, [y] + last, [("x", x)] + [(f"h{i}", s) for i, s in enumerate(h)] + weights)


def keras_layer(header, name, layer, gates, bias_rows, states, turn_back=False, **call):
    x = leaf((N, T, INPUTS), 1)
    h = [leaf((N, UNITS), 2 + i) for i in range(states)]
    w, u = leaf((INPUTS, gates * UNITS), 4), leaf((UNITS, gates * UNITS), 5)
    b = leaf((bias_rows, gates * UNITS), 6)
    layer.build((N, T, INPUTS))
    bias = b if bias_rows > 1 else b[0]
    seeds = [v.value for v in layer.non_trainable_variables]
    (y, *last), _ = layer.stateless_call([w, u, bias], seeds, x, initial_state=h, **call)
    if turn_back:
        y = y.flip(1)
    weights = [("w", w), ("u", u), ("b", b)]
    put(header, name, [y] + last, [("x", x)] + [(f"h{i}", s) for i, s in enumerate(h)] + weights)


def recurrent(header):
    rnn, lstm, gru = torch.nn.RNN, torch.nn.LSTM, torch.nn.GRU
    torch_layer(header, "torch_rnn", rnn, [0], 1, 1)
    torch_layer(header, "torch_relu", rnn, [0], 1, 1, nonlinearity="relu")
    torch_layer(header, "torch_lstm", lstm, [0, 1, 2, 3], 1, 2)
    torch_layer(header, "torch_gru", gru, [1, 0, 2], 2, 1)
    options = {"return_sequences": True, "return_state": True, "dtype": "float64"}
    keras_layer(header, "keras_lstm", keras.layers.LSTM(UNITS, **options), 4, 1, 2)
    keras_layer(header, "keras_rnn", keras.layers.SimpleRNN(UNITS, **options), 1, 1, 1)
    there = torch.tensor([[True, True, False], [True, False, False]])
    masked = keras.layers.LSTM(UNITS, **options)
    keras_layer(header, "keras_lstm_masked", masked, 4, 1, 2, mask=there)
    masked = keras.layers.GRU(UNITS, **options)
    keras_layer(header, "keras_gru_masked", masked, 3, 2, 1, mask=there)
    keras_layer(header, "keras_gru", keras.layers.GRU(UNITS, **options), 3, 2, 1)
    before = keras.layers.GRU(UNITS, reset_after=False, **options)
    keras_layer(header, "keras_gru_before", before, 3, 1, 1)
    back = keras.layers.LSTM(UNITS, go_backwards=True, **options)
    keras_layer(header, "keras_lstm_backward", back, 4, 1, 2, turn_back=True)


def bidirectional(header):
    """Weights of the direction d are those of a layer, from salt 4 and 10 on."""
    x = leaf((N, T, INPUTS), 1)
    shapes = [(INPUTS, 4 * UNITS), (UNITS, 4 * UNITS), (4 * UNITS,)]
    sets = [[leaf(s, 4 + 6 * d + i) for i, s in enumerate(shapes)] for d in range(2)]
    h = [leaf((N, UNITS), 2 + 6 * (i // 2) + i % 2) for i in range(4)]
    layer = torch.nn.LSTM(INPUTS, UNITS, batch_first=True, bidirectional=True, dtype=torch.float64)
    names = {}
    for (w, u, b), ending in zip(sets, ("", "_reverse")):
        names |= {f"weight_ih_l0{ending}": w.T, f"weight_hh_l0{ending}": u.T,
                  f"bias_ih_l0{ending}": b, f"bias_hh_l0{ending}": torch.zeros_like(b)}
    given = torch.stack([h[0], h[2]]), torch.stack([h[1], h[3]])
    y, (hs, cs) = torch.func.functional_call(layer, names, (x, given))
    outputs = [y, hs[0], cs[0], hs[1], cs[1]]
    inputs = [("x", x)] + [(f"h{i}", s) for i, s in enumerate(h)]
    inputs += [(f"{k}{d}", t) for d in range(2) for k, t in zip("wub", sets[d])]
    options = {"return_sequences": True, "return_state": True, "dtype": "float64"}
    layer = keras.layers.Bidirectional(keras.layers.LSTM(UNITS, **options), dtype="float64")
    layer.build((N, T, INPUTS))
    seeds = [v.value for v in layer.non_trainable_variables]
    others, _ = layer.stateless_call(sets[0] + sets[1], seeds, x, initial_state=h)
    agree(outputs, others, inputs)
    put(header, "bidirectional", outputs, inputs)


def give_dropout(rate, shape):
    """Both libraries drop out by this mask of the attention's weights."""
    mask = torch.tensor(drawn(shape, KEY) >= rate).double()
    cut = lambda x: (x.reshape(shape) * mask / (1.0 - rate)).reshape(x.shape)
    torch.nn.functional.dropout = lambda x, p=0.5, training=True, inplace=False: cut(x)
    keras.src.backend.random.dropout = lambda x, rate, noise_shape=None, seed=None: cut(x)


def attention(header, name, width, heads, queries, kv, mask=None, kv_width=None, dropout=0.0):
    """kv: "self", "one" tensor for keys and values, or "two". mask: true where one may look."""
    kv_width = kv_width or width
    q = leaf((N, queries, width), 20)
    k = q if kv == "self" else leaf((N, 4, kv_width), 21)
    v = leaf((N, 4, kv_width), 22) if kv == "two" else k
    shapes = [(width, width), (kv_width, width), (kv_width, width), (width, width)]
    w = [leaf(s, 23 + i) for i, s in enumerate(shapes)]
    b = [leaf((width,), 27 + i) for i in range(4)]
    layer = torch.nn.MultiheadAttention(
        width, heads, dropout=dropout, batch_first=True, kdim=kv_width, vdim=kv_width,
        dtype=torch.float64,
    )
    if dropout:
        give_dropout(dropout, (N, heads, queries, k.shape[1]))
    names = {
        "in_proj_bias": torch.cat(b[:3]),
        "out_proj.weight": w[3].T,
        "out_proj.bias": b[3],
    }
    if kv_width == width:
        names["in_proj_weight"] = torch.cat([m.T for m in w[:3]])
    else:
        names |= {f"{n}_proj_weight": m.T for n, m in zip("qkv", w)}
    options = {"average_attn_weights": False}
    if mask is not None:
        options["attn_mask"] = ~mask
    y = list(torch.func.functional_call(layer, names, (q, k, v), options))
    inputs = {"self": [("q", q)], "one": [("q", q), ("k", k)]}
    inputs = inputs.get(kv, [("q", q), ("k", k), ("v", v)])
    inputs += [(f"w{i}", m) for i, m in enumerate(w)] + [(f"b{i}", m) for i, m in enumerate(b)]
    others = by_keras(q, k, v, w, b, heads, mask, dropout)
    if dropout:
        y[1] = others[1]  # the weights before dropout; PyTorch's are those after it
    agree(y, others, inputs)
    put(header, name, y, inputs)


def by_keras(q, k, v, w, b, heads, mask, dropout):
    """Keras's weights have an axis for the heads."""
    width = q.shape[-1]
    layer = keras.layers.MultiHeadAttention(heads, width // heads, dropout=dropout, dtype="float64")
    layer.build(q.shape, v.shape, k.shape)
    cut = lambda m: m.reshape(*m.shape[:-1], heads, -1)
    weights = [t for i in range(3) for t in (cut(w[i]), cut(b[i]))]
    weights += [w[3].reshape(heads, -1, width), b[3]]
    seeds = [s.value for s in layer.non_trainable_variables]
    options = {"return_attention_scores": True, "training": True}
    if mask is not None:
        shape = (N, heads) if mask.dim() == 3 else (1, 1)
        options["attention_mask"] = mask.reshape(*shape, *mask.shape[-2:])
    return layer.stateless_call(weights, seeds, q, v, key=k, **options)[0]


def attentions(header):
    attention(header, "attention_self", 4, 2, 3, "self")
    attention(header, "attention_causal", 4, 2, 3, "self", torch.ones(3, 3).tril().bool())
    attention(header, "attention_cross", 4, 2, 3, "one", kv_width=3)
    mask = torch.tensor(centred((N * 2, 3, 4), 31)) > -0.5
    mask[:, :, 0] = True
    attention(header, "attention_masked", 4, 2, 3, "two", mask)
    attention(header, "attention_dropout", 4, 2, 3, "self", dropout=0.4)


def main():
    keras.src.backend.numpy.matmul = torch.matmul  # Keras 3's own rounds to f32 on this backend
    here = os.path.dirname(os.path.abspath(__file__))
    header = Header(
        os.path.join(here, "sequences.h"),
        "COTAN_REFERENCE_SEQUENCES_H",
        "Written by sequences.py: recurrent layers and attention in f64, results only.",
    )
    recurrent(header)
    bidirectional(header)
    attentions(header)
    header.write()


if __name__ == "__main__":
    main()
