"""Cross-entropies with options in f64 by PyTorch, values and gradients; an AUC by Keras, in f32.

    KERAS_BACKEND=torch python3 losses.py            writes losses.h beside this file

Inputs are common.py's numbers, so the header holds results only. Needs numpy, torch and keras; the
tests need none of them.
"""
import os

import keras
import numpy as np
import torch
import torch.nn.functional as F

from common import Header, centred, numbers

K = 4


def labels_of(shape, salt, ignored=None):
    """Classes; with `ignored` each third label is that."""
    n = int(np.prod(shape))
    labels = np.floor(numbers(n, salt) * K).astype(np.int64)
    if ignored is not None:
        labels[::3] = ignored
    return torch.tensor(labels.reshape(shape))


def cross_entropy(header, name, shape, salt, target, weighted, smoothing, ignored=-100):
    logits = torch.tensor(centred(shape + (K,), salt, 3.0), requires_grad=True)
    weight = torch.tensor(0.5 + numbers(K, 90)) if weighted else None
    if target == "soft":
        t = torch.softmax(torch.tensor(centred(shape + (K,), salt + 1, 2.0)), -1)
        t = t.movedim(-1, 1)
    else:
        t = labels_of(shape, salt + 1, ignored if target == "ignored" else None)
    y = F.cross_entropy(
        logits.movedim(-1, 1), t, weight=weight, ignore_index=ignored, label_smoothing=smoothing
    )
    y.backward()
    header.array(name, np.append(y.detach().numpy(), logits.grad.numpy()))


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    header = Header(
        os.path.join(here, "losses.h"),
        "COTAN_REFERENCE_LOSSES_H",
        "Written by losses.py: cross-entropies (the value, then the gradient), and an AUC.",
    )
    flat, image = (5,), (2, 3, 2)
    cross_entropy(header, "ce_weights", flat, 10, "labels", True, 0.0)
    cross_entropy(header, "ce_smoothing", flat, 12, "labels", False, 0.1)
    cross_entropy(header, "ce_both", flat, 14, "labels", True, 0.1)
    cross_entropy(header, "ce_ignored", flat, 16, "ignored", False, 0.0)
    cross_entropy(header, "ce_ignored_class", flat, 18, "ignored", True, 0.1, 1)
    cross_entropy(header, "ce_soft", flat, 20, "soft", True, 0.1)
    cross_entropy(header, "ce_image", image, 22, "labels", False, 0.0)
    cross_entropy(header, "ce_image_all", image, 24, "ignored", True, 0.1)
    cross_entropy(header, "ce_image_soft", image, 26, "soft", True, 0.2)
    auc = keras.metrics.AUC(from_logits=True)
    truth = (numbers(60, 40) > 0.6).astype(np.float64)
    auc.update_state(truth, centred((60,), 41, 2.0) + truth)
    header.array("auc_keras", [float(auc.result())])
    header.write()


main()
