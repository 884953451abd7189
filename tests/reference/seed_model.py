"""Five training steps of the seed model in f64, with PyTorch's own layers and autograd.

    python3 seed_model.py        writes seed_model.h beside this file

The model of the BatchNorm study at batch 8, with and without BatchNorm; Keras's Adam, by hand.
Needs numpy and torch; the tests need neither.
"""
import math
import os

import numpy as np
import torch
import torch.nn.functional as F

from common import Header, centred, numbers

BATCH, STEPS = 8, 5
RATE, BETA1, BETA2, EPSILON = 0.001, 0.9, 0.999, 1e-7
MOMENTUM, BN_EPSILON = 0.99, 1e-3
# kernel shape; fans as Keras counts them; pooling behind it
LAYERS = [
    ("conv", (3, 3, 1, 32), True),
    ("conv", (3, 3, 32, 64), True),
    ("conv", (3, 3, 64, 64), False),
    ("dense", (576, 64), False),
    ("dense", (64, 10), False),
]


def fans(shape):
    taps = shape[0] * shape[1] if len(shape) == 4 else 1
    return taps * shape[-2], taps * shape[-1]


class Model:
    def __init__(self, batch_norm):
        self.batch_norm = batch_norm
        self.slots = []  # in cotan's order: (name, tensor, trainable)
        self.layers = []
        for i, (kind, shape, pool) in enumerate(LAYERS):
            limit = math.sqrt(6.0 / sum(fans(shape)))
            layer = {"kind": kind, "pool": pool}
            layer["kernel"] = self.slot(centred(shape, 100 + i, limit), True)
            width = shape[-1]
            if batch_norm:
                # Away from 1 and 0, so that a forgotten one shows.
                layer["gamma"] = self.slot(1.0 + centred((width,), 200 + i, 0.25), True)
                layer["beta"] = self.slot(centred((width,), 300 + i, 0.25), True)
                layer["mean"] = self.slot(np.zeros(width), False)
                layer["variance"] = self.slot(np.ones(width), False)
            else:
                layer["bias"] = self.slot(centred((width,), 400 + i, 0.25), True)
            self.layers.append(layer)

    def slot(self, values, trainable):
        t = torch.tensor(values, dtype=torch.float64, requires_grad=trainable)
        self.slots.append(t)
        return t

    def forward(self, x):
        """x is NHWC; PyTorch works on NCHW."""
        x = x.permute(0, 3, 1, 2)
        for i, layer in enumerate(self.layers):
            if layer["kind"] == "conv":
                x = F.conv2d(x, layer["kernel"].permute(3, 2, 0, 1))
            else:
                if x.dim() == 4:
                    x = x.permute(0, 2, 3, 1).reshape(x.shape[0], -1)
                x = x @ layer["kernel"]
            if self.batch_norm:
                x = self.normalize(x, layer)
            else:
                bias = layer["bias"]
                x = x + (bias.view(1, -1, 1, 1) if x.dim() == 4 else bias)
            if i + 1 < len(self.layers):
                x = F.relu(x)
            if layer["pool"]:
                x = F.max_pool2d(x, 2)
        return x

    def normalize(self, x, layer):
        # Its own running statistics are Bessel-corrected; Keras's are not.
        axes = (0, 2, 3) if x.dim() == 4 else (0,)
        with torch.no_grad():
            for name, batch in (("mean", x.mean(axes)), ("variance", x.var(axes, unbiased=False))):
                layer[name].mul_(MOMENTUM).add_((1.0 - MOMENTUM) * batch)
        return F.batch_norm(
            x, None, None, layer["gamma"], layer["beta"], training=True, eps=BN_EPSILON
        )


def train(batch_norm):
    model = Model(batch_norm)
    trained = [s for s in model.slots if s.requires_grad]
    m = [torch.zeros_like(s) for s in trained]
    v = [torch.zeros_like(s) for s in trained]
    losses = []
    for step in range(STEPS):
        x = torch.tensor(numbers(BATCH * 28 * 28, step).reshape(BATCH, 28, 28, 1))
        labels = torch.tensor([(7 * i + 3 * step) % 10 for i in range(BATCH)])
        loss = F.cross_entropy(model.forward(x), labels)
        gradients = torch.autograd.grad(loss, trained)
        losses.append(loss.item())
        t = step + 1
        rate = RATE * math.sqrt(1.0 - BETA2**t) / (1.0 - BETA1**t)
        with torch.no_grad():
            for k, (p, g) in enumerate(zip(trained, gradients)):
                m[k].mul_(BETA1).add_((1.0 - BETA1) * g)
                v[k].mul_(BETA2).add_((1.0 - BETA2) * g * g)
                p.sub_(rate * m[k] / (v[k].sqrt() + EPSILON))
    samples = []
    for s in model.slots:
        flat = s.detach().numpy().ravel()
        samples += [flat[0], flat[flat.size // 2], flat[-1], np.abs(flat).sum()]
    return losses, samples


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    header = Header(
        os.path.join(here, "seed_model.h"),
        "COTAN_REFERENCE_SEED_MODEL_H",
        "Written by seed_model.py: five steps of the seed model in f64. Per slot: the first, the\n"
        " * middle and the last element after them, and the sum of absolute values.",
    )
    for name, batch_norm in (("batch_norm", True), ("plain", False)):
        losses, samples = train(batch_norm)
        print(name, losses)
        header.array(f"seed_{name}_losses", losses)
        header.array(f"seed_{name}_slots", samples)
    header.write()


if __name__ == "__main__":
    main()
