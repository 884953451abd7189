"""A small GPT that continues a text, character by character: the twin of examples/gpt.c."""
import math
import sys

import torch
from torch import nn
from torch.nn import functional as F

LENGTH, WIDTH, LAYERS, HEADS, BATCH, STEPS, RATE = 32, 48, 2, 4, 16, 300, 3e-3


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output = nn.Linear(width, width)

    def forward(self, x):
        n, t, width = x.shape
        q, k, v = (f(x).view(n, t, self.heads, -1).transpose(1, 2)
                   for f in (self.query, self.key, self.value))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.output(y.transpose(1, 2).reshape(n, t, width))


class Positions(nn.Embedding):
    def forward(self, x):
        return x + self.weight[:x.shape[1]]


class Residual(nn.Module):
    def __init__(self, name, *layers):
        super().__init__()
        self.name = name
        setattr(self, name, nn.Sequential(*layers))

    def forward(self, x):
        return x + getattr(self, self.name)(x)


def block(width, heads):
    return nn.Sequential(
        Residual("attend", nn.LayerNorm(width), Attention(width, heads), nn.Identity()),
        Residual("mlp", nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(),
                 nn.Linear(4 * width, width), nn.Identity()))


class GPT(nn.Module):
    def __init__(self, vocabulary, length=LENGTH, width=WIDTH, layers=LAYERS, heads=HEADS):
        super().__init__()
        self.length = length
        self.layers = nn.Sequential(
            nn.Embedding(vocabulary, width), Positions(length, width), nn.Identity(),
            *[block(width, heads) for _ in range(layers)],
            nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False))
        for p in self.parameters():
            if p.ndim > 1:
                nn.init.trunc_normal_(p, std=0.02)

    def forward(self, tokens):
        return self.layers(tokens)


def train(model, batches):
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed}, {"params": others, "weight_decay": 0.0}], RATE)
    losses = []
    for tokens in batches:
        logits = model(tokens[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if len(losses) % 50 == 0:
            print(f"step {len(losses)}: loss {losses[-1]:.3f}")
    return losses


def sample(model, tokens, count):
    with torch.no_grad():
        for _ in range(count):
            logits = model(tokens[:, -model.length:])[:, -1]
            tokens = torch.cat([tokens, torch.multinomial(logits.softmax(1), 1)], 1)
    return tokens


def main():
    torch.manual_seed(1)
    text = open(sys.argv[1] if len(sys.argv) > 1 else "README.md", encoding="utf8").read()
    letters = sorted(set(text))
    data = torch.tensor([letters.index(c) for c in text])
    model = GPT(len(letters))
    starts = (torch.randint(len(data) - LENGTH, (BATCH,)) for _ in range(STEPS))
    train(model, (torch.stack([data[i:i + LENGTH + 1] for i in s]) for s in starts))
    print("".join(letters[i] for i in sample(model, data[None, :8], 200)[0]))


if __name__ == "__main__":
    main()
