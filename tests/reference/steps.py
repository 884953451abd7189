"""Training steps in f64 by PyTorch: parameter groups, averages of weights, schedules.

    python3 steps.py             writes steps.h beside this file

Inputs are common.py's numbers, so the header holds results only. Needs numpy and torch; the tests
need neither.
"""
import os

import torch
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from common import Header, centred

STEPS = 6


def parameter(shape, salt):
    return torch.nn.Parameter(torch.tensor(centred(shape, salt), dtype=torch.float64))


class Two(torch.nn.Module):
    """Two dense layers, 4 -> 5 -> 3, with kernels [in, out]."""

    def __init__(self):
        super().__init__()
        self.k1, self.b1 = parameter((4, 5), 1), parameter((5,), 2)
        self.k2, self.b2 = parameter((5, 3), 3), parameter((3,), 4)

    def forward(self, x):
        return torch.tanh(x @ self.k1 + self.b1) @ self.k2 + self.b2


def loss_of(model, step):
    x = torch.tensor(centred((6, 4), 100 + step), dtype=torch.float64)
    y = torch.tensor(centred((6, 3), 200 + step), dtype=torch.float64)
    return torch.nn.functional.mse_loss(model(x), y)


def train(model, optimizer, after=lambda: None):
    for step in range(STEPS):
        optimizer.zero_grad()
        loss_of(model, step).backward()
        optimizer.step()
        after()


def put(header, name, model):
    for label in ("k1", "b1", "k2", "b2"):
        header.array(f"{name}_{label}", getattr(model, label).detach().numpy())


def groups(header):
    m = Two()
    train(m, torch.optim.AdamW([
        {"params": [m.b1, m.b2], "weight_decay": 0.0},
        {"params": [m.k2], "lr": 0.2, "weight_decay": 0.05},
        {"params": [m.k1]}], lr=0.05, weight_decay=0.1))
    put(header, "groups_adamw", m)
    m = Two()
    train(m, torch.optim.SGD([
        {"params": [m.b1, m.b2], "weight_decay": 0.0},
        {"params": [m.k2], "lr": 0.2, "weight_decay": 0.05},
        {"params": [m.k1]}], lr=0.05, weight_decay=0.1, momentum=0.9, nesterov=True))
    put(header, "groups_sgd", m)


def averages(header):
    m = Two()
    average = AveragedModel(m, multi_avg_fn=get_ema_multi_avg_fn(0.7))
    train(m, torch.optim.SGD(m.parameters(), lr=0.3), lambda: average.update_parameters(m))
    put(header, "average", average.module)


def rates(make, steps):
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    schedule, out = make(optimizer), []
    for _ in range(steps):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return out


def schedules(header):
    cycle = lambda total, **kw: lambda o: OneCycleLR(o, 0.5, total, cycle_momentum=False, **kw)
    header.array("one_cycle_20", rates(cycle(20), 19) )
    header.array("one_cycle_3", rates(cycle(3), 2))
    header.array("one_cycle_options",
                 rates(cycle(11, pct_start=0.45, div_factor=4, final_div_factor=50), 10))


def plateau(header):
    for name, salt, kw in (("plain", 300, dict(factor=0.1, patience=1, threshold=1e-4)),
                           ("options", 301, dict(factor=0.5, patience=0, threshold=0.1, cooldown=2,
                                                 mode="max", min_lr=0.02))):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
        schedule, out = ReduceLROnPlateau(optimizer, eps=0, **kw), []
        for value in centred((24,), salt) + 2:
            schedule.step(value)
            out.append(optimizer.param_groups[0]["lr"])
        header.array(f"plateau_{name}", out)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    header = Header(os.path.join(here, "steps.h"), "COTAN_REFERENCE_STEPS_H",
                    f"Written by steps.py with PyTorch {torch.__version__.split('+')[0]}.")
    groups(header)
    averages(header)
    schedules(header)
    plateau(header)
    header.write()


main()
