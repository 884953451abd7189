"""Regression on a table, Friedman's: the twin of examples/tabular.c."""
import copy
import math

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def friedman(rows):
    x = torch.rand(rows, 10)
    y = 10 * torch.sin(math.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2
    y = y + 10 * x[:, 3] + 5 * x[:, 4] + torch.randn(rows)
    return x, y[:, None]


def standardized(x, known):
    return (x - x[:known].mean(0)) / x[:known].std(0, correction=0)


def make_model(columns=10, hidden=24):
    return nn.Sequential(
        nn.Linear(columns, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
        nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
        nn.Linear(hidden, 1))


def evaluate(model, x, y):
    model.eval()
    with torch.no_grad():
        error = model(x) - y
    model.train()
    return error


def train(model, x, y, epochs, steps=None, shuffle=True, patience=10):
    known, seen = len(x) * 3 // 5, len(x) * 4 // 5
    x, y = standardized(x, known), standardized(y, known)
    loader = DataLoader(TensorDataset(x[:known], y[:known]), 16, shuffle=shuffle)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    losses, best, best_epoch, weights = [], math.inf, 0, None
    for epoch in range(epochs):
        for batch_x, batch_y in loader:
            loss = nn.functional.mse_loss(model(batch_x), batch_y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if len(losses) == steps:
                return losses
        validation = evaluate(model, x[known:seen], y[known:seen]).square().mean().item()
        print(f"epoch {epoch + 1}: loss {losses[-1]:.4f}, validation {validation:.4f}")
        if validation < best:
            best, best_epoch, weights = validation, epoch, copy.deepcopy(model.state_dict())
        elif epoch - best_epoch >= patience:
            break
    model.load_state_dict(weights)
    return losses


def main():
    torch.manual_seed(1)
    x, y = friedman(2000)
    model = make_model()
    train(model, x, y, 100)
    known, seen = 1200, 1600
    target = standardized(y, known)[seen:]
    error = evaluate(model, standardized(x, known)[seen:], target)
    r2 = 1 - error.square().mean() / target.var(correction=0)
    mean_error = error.abs().mean() * y[:known].std(correction=0)
    print(f"on {len(target)} new rows: R2 {r2:.3f}, mean absolute error {mean_error:.3f}")


if __name__ == "__main__":
    main()
