#!/usr/bin/env python3
"""The benchmarks beside PyTorch: the same work, measured in turn with cotan's.

usage: pytorch.py BENCH [arguments of bench]

Runs BENCH as it is, then, section by section and round by round, PyTorch (layouts, 1 and 2 threads,
eager and compiled) and BENCH again. Prints ratios of medians; with --json FILE they are added to
what BENCH wrote there. PyTorch is a yardstick here and nothing that cotan needs.
"""
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

warnings.filterwarnings("ignore")
os.environ.setdefault("TORCH_LOGS", "-all")
import torch  # noqa: E402
from torch import nn  # noqa: E402

ROUNDS = 3
SHAPES = [(21632, 32), (3872, 64), (200704, 64), (25088, 256), (8192, 64)]


def seed_model(batch_norm):
    options = {"eps": 1e-3, "momentum": 0.01}

    def block(layer, norm):
        return [layer, norm, nn.ReLU()] if batch_norm else [layer, nn.ReLU()]

    bias = not batch_norm
    layers = block(nn.Conv2d(1, 32, 3, bias=bias), nn.BatchNorm2d(32, **options)) + [nn.MaxPool2d(2)]
    layers += block(nn.Conv2d(32, 64, 3, bias=bias), nn.BatchNorm2d(64, **options))
    layers += [nn.MaxPool2d(2)]
    layers += block(nn.Conv2d(64, 64, 3, bias=bias), nn.BatchNorm2d(64, **options)) + [nn.Flatten()]
    layers += block(nn.Linear(576, 64, bias=bias), nn.BatchNorm1d(64, **options))
    layers += [nn.Linear(64, 10, bias=bias)]
    if batch_norm:
        layers.append(nn.BatchNorm1d(10, **options))
    return nn.Sequential(*layers)


def trainer(batch_norm, last, compiled):
    """A function that takes one step; the images are in memory already."""
    layout = torch.channels_last if last else torch.contiguous_format
    model = seed_model(batch_norm).to(memory_format=layout)
    x = torch.rand(32, 1, 28, 28).to(memory_format=layout)
    y = torch.randint(0, 10, (32,))
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7, fused=True)
    run = torch.compile(model) if compiled else model

    def step():
        adam.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(run(x), y).backward()
        adam.step()

    return step


def say(text):
    """Prints; when nobody reads it any more, measuring goes on for the file."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def milliseconds(step, steps):
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - start) / steps * 1e3


def native_batch_norm(rows, channels, last):
    """Forward and backward of PyTorch's own kernel over [rows, channels]."""
    if last:
        x = torch.rand(rows // 16, channels, 4, 4).to(memory_format=torch.channels_last)
    else:
        x = torch.rand(rows, channels)
    x.requires_grad_(True)
    norm = (nn.BatchNorm2d if last else nn.BatchNorm1d)(channels, eps=1e-3)
    cotangent = torch.rand_like(x)

    def step():
        x.grad = None
        norm.zero_grad(set_to_none=True)
        norm(x).backward(cotangent)

    return step


def cotan(bench, section):
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [bench, "--only", section, "--json", out.name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return json.load(out)


def compare_seed(bench, results):
    configurations = {}
    for last, compiled, threads in itertools.product((False, True), (False, True), (1, 2)):
        name = f"{'channels-last' if last else 'NCHW'}, {'compiled' if compiled else 'eager'}, " \
               f"{threads} thread{'s' if threads > 1 else ''}"
        torch.set_num_threads(threads)
        try:
            steps = [trainer(batch_norm, last, compiled) for batch_norm in (True, False)]
            for step in steps:
                milliseconds(step, 10)
        except Exception as error:  # a compiler may be missing: then that one cannot be the best
            say(f"  {name}: {type(error).__name__}")
            continue
        configurations[name] = (threads, steps, ([], []))
    ours = ([], [])
    for _ in range(ROUNDS):
        for threads, steps, times in configurations.values():
            torch.set_num_threads(threads)
            for k in range(2):
                times[k].append(milliseconds(steps[k], 40))
        measured = cotan(bench, "seed")
        ours[0].append(measured["seed.bn.ms_per_step"])
        ours[1].append(measured["seed.plain.ms_per_step"])
    say(f"\nSeed model, batch 32, PyTorch {torch.__version__}: ms per step with and without BatchNorm")
    for name, (_, _, times) in configurations.items():
        say(f"{statistics.median(times[0]):8.2f} {statistics.median(times[1]):8.2f}  {name}")
    for k, kind in enumerate(("bn", "plain")):
        best = min(statistics.median(times[k]) for _, _, times in configurations.values())
        mine = statistics.median(ours[k])
        say(f"{kind:>8}: PyTorch's best {best:.2f}, cotan {mine:.2f}, {best / mine:.2f} times faster")
        results[f"seed.{kind}.pytorch_ms_per_step"] = best
        results[f"seed.{kind}.speedup_over_pytorch"] = best / mine


def compare_batch_norm(bench, results):
    rounds = [cotan(bench, "batch_norm")]
    best = {}
    for _ in range(ROUNDS):
        for (rows, channels), last, threads in itertools.product(SHAPES, (False, True), (1, 2)):
            torch.set_num_threads(threads)
            step = native_batch_norm(rows, channels, last)
            milliseconds(step, 2)
            steps = max(3, int(4e6 / (rows * channels)))
            key = (rows, channels, last, threads)
            best.setdefault(key, []).append(milliseconds(step, steps) * 1e3)
        rounds.append(cotan(bench, "batch_norm"))
    say("\nBatchNorm forward + backward in us: PyTorch's own kernel (best layout and threads), cotan")
    for rows, channels in SHAPES:
        name = f"bn.{rows}x{channels}"
        native = min(statistics.median(times) for key, times in best.items()
                     if key[:2] == (rows, channels))
        mine = statistics.median(measured[f"{name}.derived_us"] for measured in rounds)
        say(f"{rows:8} x {channels:<4} {native:9.0f} {mine:9.0f}   {native / mine:.2f} times faster")
        results[f"{name}.speedup_over_pytorch"] = native / mine


def lstm_pass(length):
    layer = nn.LSTM(64, 128, batch_first=True)
    x = torch.rand(32, length, 64)

    def step():
        layer.zero_grad(set_to_none=True)
        layer(x)[0].square().sum().backward()

    return step


def compare_lstm(bench, results):
    torch.set_num_threads(1)
    lengths = (16, 64, 256)
    steps = {length: lstm_pass(length) for length in lengths}
    theirs, ours = {length: [] for length in lengths}, []
    for _ in range(ROUNDS):
        for length, step in steps.items():
            milliseconds(step, 2)
            theirs[length].append(milliseconds(step, max(5, 1280 // length)))
        ours.append(cotan(bench, "lstm"))
    say("\nLSTM forward + backward in ms on one thread: PyTorch, cotan")
    for length in lengths:
        name = f"lstm.{length}"
        native = statistics.median(theirs[length])
        mine = statistics.median(measured[f"{name}.ms"] for measured in ours)
        say(f"{length:8} {native:9.2f} {mine:9.2f}   {native / mine:.2f} times faster")
        results[f"{name}.speedup_over_pytorch"] = native / mine


class Residual(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs),
            nn.ReLU(), nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut = nn.Sequential()
        if inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                                          nn.BatchNorm2d(outputs))

    def forward(self, x):
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet18(last):
    sizes = [(64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1),
             (256, 512, 2), (512, 512, 1)]
    model = nn.Sequential(
        nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        *(Residual(*size) for size in sizes), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(512, 10))
    layout = torch.channels_last if last else torch.contiguous_format
    x = torch.rand(32, 3, 32, 32).to(memory_format=layout)
    return trained(model.to(memory_format=layout), x)


def dense(_):
    layers, inputs = [], 784
    for _ in range(3):
        layers += [nn.Linear(inputs, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU()]
        inputs = 512
    return trained(nn.Sequential(*layers, nn.Linear(512, 10)), torch.rand(32, 784))


def trained(model, x):
    y = torch.arange(32) % 10
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7, fused=True)

    def step():
        adam.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(model(x), y).backward()
        adam.step()

    return step


def transformer(_):
    """A block as bench_transformer's, with PyTorch's own attention; no layer has a bias there."""
    width, heads = 128, 4
    w = nn.ModuleList([nn.Linear(width, width, bias=False) for _ in range(4)] +
                      [nn.Linear(width, 4 * width, bias=False),
                       nn.Linear(4 * width, width, bias=False),
                       nn.LayerNorm(width), nn.LayerNorm(width)])
    x = torch.rand(32, 64, width)

    def by_head(t):
        return t.view(32, 64, heads, width // heads).transpose(1, 2)

    def step():
        w.zero_grad(set_to_none=True)
        seen = w[6](x)
        q, k, v = (by_head(w[i](seen)) for i in range(3))
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        y = x + w[3](y.transpose(1, 2).reshape(32, 64, width))
        y = y + w[5](nn.functional.gelu(w[4](w[7](y))))
        y.square().mean().backward()

    return step


def compare_training(bench, results):
    """The best of PyTorch's eager configurations for each model."""
    models = {"resnet18": (resnet18, 3), "transformer": (transformer, 10), "dense": (dense, 40)}
    theirs, ours = {}, []
    for name, (make, _) in models.items():
        for last, threads in itertools.product((False, True), (1, 2)):
            if last and name != "resnet18":
                continue
            torch.set_num_threads(threads)
            step = make(last)
            milliseconds(step, 2)
            theirs[name, last, threads] = (step, [])
    for _ in range(ROUNDS):
        for (name, _, threads), (step, times) in theirs.items():
            torch.set_num_threads(threads)
            times.append(milliseconds(step, models[name][1]))
        ours.append(cotan(bench, "training"))
    say("\nModels in ms: PyTorch's best eager configuration, cotan")
    for name in models:
        native = min(statistics.median(times) for key, (_, times) in theirs.items()
                     if key[0] == name)
        mine = statistics.median(measured[f"training.{name}.ms"] for measured in ours)
        say(f"{name:>12} {native:9.2f} {mine:9.2f}   {mine / native:.2f} of PyTorch's time")
        results[f"training.{name}.speedup_over_pytorch"] = native / mine


def value_of(arguments, name):
    """Of "--name value" or "--name=value"; None when it is not there."""
    for argument, following in zip(arguments, arguments[1:] + [None]):
        if argument == name:
            return following
        if argument.startswith(name + "="):
            return argument[len(name) + 1:]
    return None


def save(path, results):
    """Adds to what BENCH wrote."""
    if not path:
        return
    with open(path, encoding="utf-8") as file:
        results = {**json.load(file), **results}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(results, file, indent=2, sort_keys=True)


def main():
    bench, arguments = sys.argv[1], sys.argv[2:]
    status = subprocess.run([bench] + arguments).returncode
    if status or any(a in ("--help", "-h", "--profile") for a in arguments):
        sys.exit(status)
    compared = {"seed": compare_seed, "batch_norm": compare_batch_norm, "lstm": compare_lstm,
                "training": compare_training}
    only = value_of(arguments, "--only")
    threads = value_of(arguments, "--threads")
    if threads:
        os.environ["CT_NUM_THREADS"] = threads
    results = {}
    for name, compare in compared.items():
        if only not in (None, name):
            continue
        compare(bench, results)
        save(value_of(arguments, "--json"), results)


main()
