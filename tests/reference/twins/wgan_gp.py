"""WGAN-GP for eight Gaussians in the plane: the twin of examples/wgan_gp.c."""
import math

import torch
from torch import nn

BATCH, NOISE, EACH, STEPS, SAMPLES, PENALTY = 128, 2, 3, 3000, 1000, 1.0


def centres(numbers):
    angle = numbers * math.pi / 4
    return 2 * torch.cat([angle.cos(), angle.sin()], 1)


def eight_gaussians(rows):
    which = torch.randint(8, (rows, 1))
    return centres(which) + 0.1 * torch.randn(rows, 2)


def draws(steps=STEPS, batch=BATCH):
    for _ in range(steps):
        yield eight_gaussians(batch), torch.randn(batch, NOISE), torch.rand(batch, 1)


def network(inputs, outputs, width=64):
    return nn.Sequential(
        nn.Linear(inputs, width), nn.ReLU(),
        nn.Linear(width, width), nn.ReLU(),
        nn.Linear(width, outputs))


def penalty(critic, real, fake, mix):
    x = (real + mix * (fake - real)).requires_grad_()
    slope, = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    return (slope.norm(dim=1) - 1).square().mean()


def train(generator, critic, batches):
    of_generator = torch.optim.Adam(generator.parameters(), 0.001, betas=(0.0, 0.9))
    of_critic = torch.optim.Adam(critic.parameters(), 0.001, betas=(0.0, 0.9))
    losses = []
    for i, (real, noise, mix) in enumerate(batches):
        fake = generator(noise).detach()
        loss = critic(fake).mean() - critic(real).mean()
        loss = loss + PENALTY * penalty(critic, real, fake, mix)
        of_critic.zero_grad()
        loss.backward()
        of_critic.step()
        losses.append(loss.item())
        if i % 500 == 0:
            print(f"step {i}: critic's loss {losses[-1]:.3f}")
        if i % EACH == EACH - 1:
            loss = -critic(generator(noise)).mean()
            of_generator.zero_grad()
            loss.backward()
            of_generator.step()
    return losses


def main():
    torch.manual_seed(1)
    generator, critic = network(NOISE, 2), network(2, 1)
    train(generator, critic, draws())
    with torch.no_grad():
        points = generator(torch.randn(SAMPLES, NOISE))
    distance = torch.cdist(points, centres(torch.arange(8.0)[:, None]))
    shares = (distance < 0.5).float().mean(0)
    found = (shares > 0.03).sum()
    print(f"{found} of 8 centres found, {shares.sum():.2f} of the points near one")


if __name__ == "__main__":
    main()
