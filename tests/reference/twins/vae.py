"""A variational autoencoder for digits: the twin of examples/vae.c."""
import sys

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

SIDE = 8


def network(inputs, hidden, units):
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, units))


class VAE(nn.Module):
    def __init__(self, pixels=784, hidden=128, latent=8):
        super().__init__()
        self.latent = latent
        self.encoder = network(pixels, hidden, 2 * latent)
        self.decoder = network(latent, hidden, pixels)

    def negative_elbo(self, x, noise=None):
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        if noise is None:
            noise = torch.randn_like(mean)
        z = mean + torch.exp(0.5 * log_var) * noise
        unlike = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum") / len(x)
        kl = mean.square() + log_var.exp() - log_var - 1
        return unlike + 0.5 * kl.sum(1).mean()

    def sample(self, n):
        with torch.no_grad():
            return torch.sigmoid(self.decoder(torch.randn(n, self.latent)))


def loader(images, noise=None, batch=100):
    x = (images.to(torch.get_default_dtype()) / 255).flatten(1)
    tensors = (x,) if noise is None else (x, noise)
    return DataLoader(TensorDataset(*tensors), batch, shuffle=noise is None)


def train(model, known, unseen=None, epochs=10):
    optimizer = torch.optim.Adam(model.parameters(), 0.002)
    losses = []
    for epoch in range(epochs):
        for batch in known:
            loss = model.negative_elbo(*batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        if unseen is not None:
            with torch.no_grad():
                validation = sum(model.negative_elbo(*b).item() for b in unseen) / len(unseen)
            print(f"epoch {epoch + 1}: loss {losses[-1]:.4f}, validation {validation:.4f}")
    return losses


def write_samples(model, path):
    digits = (255 * model.sample(SIDE * SIDE)).byte().reshape(SIDE, SIDE, 28, 28)
    rows = digits.permute(0, 2, 1, 3).reshape(SIDE * 28, SIDE * 28)
    with open(path, "wb") as file:
        file.write(b"P5\n%d %d\n255\n" % (SIDE * 28, SIDE * 28))
        file.write(rows.numpy().tobytes())


def main():
    from torchvision.datasets import MNIST
    torch.manual_seed(1)
    train_images = MNIST("data", train=True, download=True).data[:6000]
    test_images = MNIST("data", train=False, download=True).data[:1000]
    model = VAE()
    train(model, loader(train_images), loader(test_images))
    write_samples(model, sys.argv[1])


if __name__ == "__main__":
    main()
