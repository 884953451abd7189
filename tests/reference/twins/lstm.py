"""An LSTM on the adding problem: the twin of examples/lstm.c."""
import torch
from torch import nn

LENGTH, BATCH, UNITS, STEPS, TEST = 24, 64, 32, 600, 512


class Adder(nn.Module):
    def __init__(self, units=UNITS):
        super().__init__()
        self.lstm = nn.LSTM(2, units, batch_first=True)
        self.head = nn.Linear(units, 1)

    def forward(self, x):
        y, _ = self.lstm(x)
        return self.head(y[:, -1])


def marks(n, length):
    return nn.functional.one_hot(torch.randint(length, (n,)), length)


def draw(n, length=LENGTH):
    mark = torch.cat([marks(n, length // 2), marks(n, length // 2)], 1)
    number = torch.rand(n, length)
    return torch.stack([number, mark], 2), (number * mark).sum(1, keepdim=True)


def train(model, batches):
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    losses = []
    for x, y in batches:
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if len(losses) % 100 == 0:
            print(f"step {len(losses)}: mean square error {losses[-1]:.4f}")
    return losses


def main():
    torch.manual_seed(1)
    model = Adder()
    train(model, (draw(BATCH) for _ in range(STEPS)))
    x, y = draw(TEST)
    with torch.no_grad():
        error = (model(x) - y).square().mean()
    print(f"on {TEST} new sequences: mean square error {error:.4f}")


if __name__ == "__main__":
    main()
