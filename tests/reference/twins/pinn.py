"""A physics-informed network for Burgers' equation: the twin of examples/pinn.c."""
import torch
from torch import nn

NU, SPEED, HEIGHT = 0.1, 0.5, 0.5
STEPS = 1500


def solution(points):
    x, t = points[:, :1], points[:, 1:]
    return SPEED - HEIGHT * torch.tanh(HEIGHT * (x - SPEED * t) / (2 * NU))


def points_inside(n=256):
    return torch.cat([2 * torch.rand(n, 1) - 1, torch.rand(n, 1)], 1)


def points_at_the_edge(n=64):
    first = torch.cat([2 * torch.rand(n, 1) - 1, torch.zeros(n, 1)], 1)
    left = torch.cat([-torch.ones(n, 1), torch.rand(n, 1)], 1)
    right = torch.cat([torch.ones(n, 1), torch.rand(n, 1)], 1)
    return torch.cat([first, left, right])


def make_model(width=16):
    return nn.Sequential(
        nn.Linear(2, width), nn.Tanh(),
        nn.Linear(width, width), nn.Tanh(),
        nn.Linear(width, width), nn.Tanh(),
        nn.Linear(width, 1))


def residual(model, points):
    points = points.clone().requires_grad_()
    u = model(points)
    du, = torch.autograd.grad(u.sum(), points, create_graph=True)
    u_x, u_t = du[:, :1], du[:, 1:]
    ddu, = torch.autograd.grad(u_x.sum(), points, create_graph=True)
    return u_t + u * u_x - NU * ddu[:, :1]


def train(model, inside, edge, steps=STEPS):
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    losses = []
    for step in range(steps):
        loss = residual(model, inside).square().mean()
        loss = loss + nn.functional.mse_loss(model(edge), solution(edge))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 250 == 0:
            print(f"step {step}: loss {losses[-1]:.2e}")
    return losses


def main():
    torch.manual_seed(1)
    model = make_model()
    train(model, points_inside(), points_at_the_edge())
    points = points_inside()
    with torch.no_grad():
        wanted = solution(points)
        error = (model(points) - wanted).norm() / wanted.norm()
    print(f"at {len(points)} other points the error is {error:.2g} of the solution")


if __name__ == "__main__":
    main()
