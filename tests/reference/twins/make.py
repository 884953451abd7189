"""Runs the twins from given weights, data and random numbers, and writes both down.

    python3 make.py [NAME...]     writes ../files/twin_NAME.safetensors and ../files/twin_NAME.txt

The programs of examples/ take the first by --twin and must print the second, ten losses in f64;
tests/examples/test_twins.sh compares. Needs torch and safetensors; the tests need neither.
"""
import gzip
import os
import sys

import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader, TensorDataset

files = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "files")
STEPS = 10


def write(name, models, tensors, losses):
    """`models` by prefix are written as they are: before training."""
    assert len(losses) == STEPS
    path = os.path.join(files, f"twin_{name}")
    with open(path + ".txt", "w", encoding="ascii") as out:
        out.writelines(f"{loss:.17g}\n" for loss in losses)
    save_file(models | {k: v.contiguous() for k, v in tensors.items()}, path + ".safetensors")
    print(path, os.path.getsize(path + ".safetensors"), "bytes")


def weights(**models):
    """A copy, so that training does not change it; without the counts, which are no weights."""
    return {f"{prefix}.{k}": v.detach().clone()
            for prefix, model in models.items() for k, v in model.state_dict().items()
            if not k.endswith("num_batches_tracked")}


def make_tabular():
    import tabular
    x, y = tabular.friedman(80)
    model = tabular.make_model()
    first = weights(model=model)
    losses = tabular.train(model, x, y, 100, STEPS, shuffle=False)
    write("tabular", first, {"x": x, "y": y}, losses)


def make_pinn():
    import pinn
    inside, edge = pinn.points_inside(48), pinn.points_at_the_edge(12)
    model = pinn.make_model()
    first = weights(model=model)
    write("pinn", first, {"inside": inside, "edge": edge},
          pinn.train(model, inside, edge, STEPS))


def make_wgan_gp():
    import wgan_gp
    generator, critic = wgan_gp.network(2, 2, 16), wgan_gp.network(2, 1, 16)
    first = weights(generator=generator, critic=critic)
    draws = list(wgan_gp.draws(STEPS, 16))
    tensors = dict(zip(("real", "noise", "mix"), map(torch.stack, zip(*draws))))
    write("wgan_gp", first, tensors, wgan_gp.train(generator, critic, draws))


def make_vae():
    import vae
    # Blots: a bright one on each picture.
    images = torch.zeros(40, 7, 7, 1, dtype=torch.uint8)
    for image in images:
        row, column = torch.randint(4, (2,))
        image[row:row + 4, column:column + 4] = torch.randint(100, 256, (4, 4, 1))
    noise = torch.randn(40, 2)
    model = vae.VAE(49, 12, 2)
    first = weights(encoder=model.encoder, decoder=model.decoder)
    losses = vae.train(model, vae.loader(images, noise, 8), epochs=2)
    write("vae", first, {"images": images, "noise": noise}, losses)


def make_import_pytorch():
    import import_pytorch
    images = torch.randint(0, 256, (40, 14, 14), dtype=torch.uint8)
    labels = torch.randint(0, 10, (40,))
    model = import_pytorch.Net(14)
    first = {k: v.clone() for k, v in model.state_dict().items()}
    losses = import_pytorch.train(model, images, labels, STEPS, shuffle=False)
    write("import_pytorch", first, {"images": images[..., None], "labels": labels}, losses)


def make_resnet():
    import resnet
    images = torch.randint(0, 256, (20, 3, 8, 8), dtype=torch.uint8)
    labels, moves = torch.randint(0, 10, (20,)), torch.randint(-2, 3, (20, 2))
    model = resnet.ResNet18(2, 1)
    first = weights(net=model.features, head=model.head)
    known = DataLoader(TensorDataset(images / 255.0, labels, moves), 10)
    losses = resnet.train(model, known, STEPS)
    images = images.permute(0, 2, 3, 1)
    write("resnet", first, {"images": images, "labels": labels, "moves": moves}, losses)


def make_lstm():
    import lstm
    model = lstm.Adder(6)
    # PyTorch has two biases that are added, and Adam moves both; cotan has their sum.
    model.lstm.bias_hh_l0.requires_grad_(False)
    first = weights(lstm=model.lstm, head=model.head)
    batches = [lstm.draw(8, 10) for _ in range(STEPS)]
    x, y = map(torch.stack, zip(*batches))
    write("lstm", first, {"x": x, "y": y}, lstm.train(model, batches))


def make_gpt():
    import gpt
    tokens = torch.randint(11, (STEPS, 4, 9))
    model = gpt.GPT(11, 8, 8, 2, 2)
    first = weights(gpt=model.layers)
    write("gpt", first, {"tokens": tokens}, gpt.train(model, tokens))


def make_mnist_net():
    """The state_dict that examples/import_pytorch.c loads; needs MNIST's files in $COTAN_DATA."""
    import import_pytorch
    if "COTAN_DATA" not in os.environ:
        print("no COTAN_DATA: import_pytorch.safetensors stays as it is")
        return
    torch.set_default_dtype(torch.float32)
    images = idx("train-images-idx3-ubyte", 16).reshape(-1, 28, 28)
    labels = idx("train-labels-idx1-ubyte", 8).long()
    model = import_pytorch.Net()
    import_pytorch.train(model, images, labels, 9000)
    save_file(model.state_dict(), os.path.join(files, "import_pytorch.safetensors"))


def idx(name, header):
    path = os.path.join(os.environ["COTAN_DATA"], name)
    with gzip.open(path + ".gz") if os.path.exists(path + ".gz") else open(path, "rb") as file:
        return torch.frombuffer(bytearray(file.read()[header:]), dtype=torch.uint8)


if __name__ == "__main__":
    makers = {k[5:]: v for k, v in list(globals().items()) if k.startswith("make_")}
    for name in sys.argv[1:] or makers:
        torch.set_default_dtype(torch.float64)
        torch.manual_seed(1)
        makers[name]()
