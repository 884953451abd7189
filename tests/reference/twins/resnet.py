"""A narrow ResNet-18 for coloured digits: the twin of examples/resnet.c."""
import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

TRAIN, TEST, BATCH, EPOCHS, SHIFT = 1920, 500, 32, 2, 3


def conv(inputs, outputs, size, stride):
    layer = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight)
    return layer


class Residual(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.body = nn.Sequential(
            conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs), nn.ReLU(),
            conv(outputs, outputs, 3, 1), nn.BatchNorm2d(outputs))
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return self.shortcut(x) + self.body(x)


def block(inputs, outputs, stride):
    return nn.Sequential(Residual(inputs, outputs, stride), nn.ReLU())


class ResNet18(nn.Module):
    def __init__(self, width=8, growth=2):
        super().__init__()
        layers = [conv(3, width, 3, 1), nn.BatchNorm2d(width), nn.ReLU()]
        for stage in range(4):
            outputs = width * growth if stage else width
            layers += [block(width, outputs, 2 if stage else 1), block(outputs, outputs, 1)]
            width = outputs
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


def painted(grey):
    dark, bright = 0.5 * torch.rand(2, len(grey), 3, 1, 1)
    ink = F.pad(grey[:, None].float() / 255, (2, 2, 2, 2))
    return dark + ink * (bright + 0.5 - dark)


def shifted(x, moves=None):
    n, side = len(x), x.shape[-1]
    if moves is None:
        moves = torch.randint(-SHIFT, SHIFT + 1, (n, 2))
    places = (torch.arange(side) + moves[:, :, None]).clamp(0, side - 1)
    rows, columns = places[:, 0, :, None], places[:, 1, None, :]
    return x.permute(0, 2, 3, 1)[torch.arange(n)[:, None, None], rows, columns].permute(0, 3, 1, 2)


def train(model, known, steps):
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.SGD(
        [{"params": decayed}, {"params": others, "weight_decay": 0.0}],
        lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    rise = steps // 5
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: (t + 1) / rise if t < rise
        else 0.5 + 0.5 * math.cos(math.pi * (t - rise) / (steps - rise)))
    losses = []
    while True:
        for x, y, *moves in known:
            loss = F.cross_entropy(model(shifted(x, *moves)), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            if len(losses) == steps:
                return losses


def evaluate(model, unseen):
    model.eval()
    with torch.no_grad():
        return sum((model(x).argmax(1) == y).sum().item() for x, y in unseen) / len(unseen.dataset)


def main():
    from torchvision.datasets import MNIST
    torch.manual_seed(1)
    known, test = (MNIST("data", train=t, download=True) for t in (True, False))
    known = TensorDataset(painted(known.data[:TRAIN]), known.targets[:TRAIN])
    test = TensorDataset(painted(test.data[:TEST]), test.targets[:TEST])
    model = ResNet18()
    losses = train(model, DataLoader(known, BATCH, shuffle=True), EPOCHS * TRAIN // BATCH)
    accuracy = evaluate(model, DataLoader(test, BATCH))
    print(f"loss {losses[-1]:.4f}, accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
