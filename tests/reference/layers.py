"""Layers and update rules in f64 by PyTorch: values and gradients for random cotangents.

    python3 layers.py            writes layers.h beside this file

Inputs are common.py's numbers, so the header holds results only. Needs numpy and torch; the tests
need neither.
"""
import math
import os

import numpy as np
import torch
import torch.nn.functional as F

from common import Header, centred


def leaf(shape, salt, limit=1.0):
    return torch.tensor(centred(shape, salt, limit), dtype=torch.float64, requires_grad=True)


def to_nchw(x):
    return x.permute(0, 3, 1, 2)


def to_nhwc(x):
    return x.permute(0, 2, 3, 1)


def put(header, name, y, inputs, salt):
    cotangent = torch.tensor(centred(tuple(y.shape), salt), dtype=torch.float64)
    header.array(f"{name}_y", y.detach().numpy())
    for (label, x), g in zip(inputs, torch.autograd.grad(y, [x for _, x in inputs], cotangent)):
        header.array(f"{name}_d{label}", g.numpy())


def batch_norm(header):
    x, gamma, beta = leaf((3, 2, 4, 5), 1, 3.0), leaf((5,), 2), leaf((5,), 3)
    y = to_nhwc(F.batch_norm(to_nchw(x), None, None, gamma, beta, training=True, eps=1e-3))
    put(header, "bn4", y, [("x", x), ("gamma", gamma), ("beta", beta)], 4)
    x, gamma, beta = leaf((6, 3), 5, 3.0), leaf((3,), 6), leaf((3,), 7)
    y = F.batch_norm(x, None, None, gamma, beta, training=True, eps=1e-5)
    put(header, "bn2", y, [("x", x), ("gamma", gamma), ("beta", beta)], 8)


def convolution(header):
    cases = {
        # name: x, kernel, stride, padding (top, bottom, left, right), dilation, groups
        "conv_valid": ((2, 5, 6, 3), (3, 3, 3, 4), (1, 1), (0, 0, 0, 0), (1, 1), 1),
        "conv_strided": ((2, 7, 6, 4), (3, 2, 2, 6), (2, 3), (1, 0, 2, 1), (1, 2), 2),
    }
    for i, (name, (xs, ks, stride, pad, dilation, groups)) in enumerate(cases.items()):
        x, kernel, bias = leaf(xs, 20 + i), leaf(ks, 30 + i), leaf((ks[3],), 40 + i)
        padded = F.pad(to_nchw(x), (pad[2], pad[3], pad[0], pad[1]))
        y = to_nhwc(F.conv2d(padded, kernel.permute(3, 2, 0, 1), bias, stride, 0, dilation, groups))
        put(header, name, y, [("x", x), ("kernel", kernel), ("bias", bias)], 50 + i)


def pooling(header):
    x = leaf((2, 5, 7, 3), 60)
    put(header, "max_pool", to_nhwc(F.max_pool2d(to_nchw(x), 2)), [("x", x)], 61)
    x = leaf((2, 6, 5, 2), 62)
    y = to_nhwc(F.max_pool2d(to_nchw(x), (3, 2), (2, 1)))
    put(header, "max_pool_overlap", y, [("x", x)], 63)
    x = leaf((2, 5, 6, 3), 64)
    put(header, "avg_pool", to_nhwc(F.avg_pool2d(to_nchw(x), 2)), [("x", x)], 65)


def gradient(step):
    return centred((7,), 1000 + step)


def optimizers(header):
    """Ten steps from the same point with given gradients, by torch.optim."""
    rules = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
        "sgd_momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
        "sgd_nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
        "adam": lambda p: torch.optim.Adam(p, lr=0.01),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
        "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01),
        "rmsprop_momentum": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9),
        "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
    }
    for name, make in rules.items():
        p = leaf((7,), 999)
        optimizer = make([p])
        for step in range(10):
            p.grad = torch.tensor(gradient(step))
            optimizer.step()
        header.array(f"torch_{name}", p.detach().numpy())


def keras_adam(header):
    """Keras's form, section 2's last paragraph of Kingma and Ba."""
    p, m, v = centred((7,), 999), np.zeros(7), np.zeros(7)
    for step in range(10):
        g, t = gradient(step), step + 1
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        rate = 0.01 * math.sqrt(1.0 - 0.999**t) / (1.0 - 0.9**t)
        p = p - rate * m / (np.sqrt(v) + 1e-7)
    header.array("keras_adam", p)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    header = Header(
        os.path.join(here, "layers.h"),
        "COTAN_REFERENCE_LAYERS_H",
        "Written by layers.py: layers and update rules in f64, results only.",
    )
    batch_norm(header)
    convolution(header)
    pooling(header)
    optimizers(header)
    keras_adam(header)
    header.write()


if __name__ == "__main__":
    main()
