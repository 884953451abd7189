"""A trained network is loaded, tried, and trained a little more: the twin of
examples/import_pytorch.c."""
import os
import sys

import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

STEPS, TEST = 200, 1000
WEIGHTS = os.path.join(os.path.dirname(__file__), "..", "files", "import_pytorch.safetensors")


class Net(nn.Module):
    def __init__(self, side=28):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten())
        side = ((side - 2) // 2 - 2) // 2
        self.head = nn.Linear(8 * side * side, 10)

    def forward(self, x):
        return self.head(self.features(x))


def scaled(images):
    return images[:, None].to(torch.get_default_dtype()) / 255


def report(model, images, labels, when):
    model.eval()
    with torch.no_grad():
        guesses = model(scaled(images)).argmax(1)
    model.train()
    accuracy = (guesses == labels).float().mean()
    first = " ".join(str(g.item()) if g == y else f"({g})" for g, y in zip(guesses[:10], labels))
    print(f"{when}: {accuracy:.3f} of {len(labels)} digits are right; of the first ten, {first}")


def train(model, images, labels, steps=STEPS, shuffle=True):
    loader = DataLoader(TensorDataset(scaled(images), labels), 20, shuffle=shuffle)
    optimizer = torch.optim.Adam(model.parameters(), 0.003)
    losses = []
    while True:
        for x, y in loader:
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if len(losses) == steps:
                return losses


def main():
    from torchvision.datasets import MNIST
    torch.manual_seed(1)
    known, test = (MNIST("data", train=t, download=True) for t in (True, False))
    model = Net()
    model.load_state_dict(load_file(sys.argv[1] if len(sys.argv) > 1 else WEIGHTS))
    report(model, test.data[:TEST], test.targets[:TEST], "as it was saved")
    train(model, known.data[:6000], known.targets[:6000])
    report(model, test.data[:TEST], test.targets[:TEST], "after a few more steps")


if __name__ == "__main__":
    main()
