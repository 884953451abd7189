"""Files of weights as PyTorch and Keras write them, and what their models predict.

    python3 imports.py           writes imports.h and files/ beside this file

Needs numpy, torch, safetensors, keras and h5py; the tests need none of them.
"""
import os

os.environ["KERAS_BACKEND"] = "torch"

import h5py
import keras
import numpy as np
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file

from common import Header, centred, numbers

here = os.path.dirname(os.path.abspath(__file__))


def fill(tensors):
    """Every weight gets numbers of its own; variances are positive."""
    for i, (name, t) in enumerate(tensors):
        shape = tuple(t.shape)
        values = centred(shape, 100 + i, 0.5)
        if "var" in name:
            values = 0.5 + numbers(int(np.prod(shape)), 100 + i).reshape(shape)
        yield name, t, values


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.features = torch.nn.Sequential(
            torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.ReLU(),
            torch.nn.MaxPool2d(2))
        self.fc1 = torch.nn.Linear(4 * 3 * 2, 5)
        self.norm = torch.nn.LayerNorm(5)
        self.fc2 = torch.nn.Linear(5, 3)

    def forward(self, x):
        x = self.features(x).flatten(1)
        return self.fc2(torch.relu(self.norm(self.fc1(x))))


def pytorch(header):
    model = Net().eval()
    with torch.no_grad():
        floats = [(n, t) for n, t in model.state_dict().items() if t.is_floating_point()]
        for _, t, values in fill(floats):
            t.copy_(torch.tensor(values))
        x = torch.tensor(centred((3, 6, 4, 2), 1)).float().permute(0, 3, 1, 2)
        header.array("pytorch_y", model(x).numpy())
    save_file(model.state_dict(), os.path.join(here, "files", "pytorch.safetensors"))


class Sequences(torch.nn.Module):
    """The other layers whose weights are laid out otherwise here."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(7, 3)
        self.lstm = torch.nn.LSTM(3, 4, batch_first=True)
        self.rnn = torch.nn.RNN(4, 3, batch_first=True)
        self.conv = torch.nn.Conv1d(3, 4, 3)
        self.norm = torch.nn.GroupNorm(2, 4)
        self.prelu = torch.nn.PReLU(4)
        self.up = torch.nn.ConvTranspose2d(2, 3, 2, stride=2)

    def forward(self, ids, image):
        y = self.rnn(self.lstm(self.embedding(ids))[0])[0].transpose(1, 2)
        return self.prelu(self.norm(self.conv(y))).transpose(1, 2), self.up(image)


def sequences(header):
    model = Sequences().eval()
    with torch.no_grad():
        for _, t, values in fill(model.state_dict().items()):
            t.copy_(torch.tensor(values))
        ids = torch.arange(12).reshape(2, 6) % 7
        image = torch.tensor(centred((1, 2, 3, 2), 2)).float().permute(0, 3, 1, 2)
        y, up = model(ids, image)
        header.array("sequences_y", y.numpy())
        header.array("sequences_up", up.permute(0, 2, 3, 1).numpy())
    save_file(model.state_dict(), os.path.join(here, "files", "sequences.safetensors"))


class Gates(torch.nn.Module):
    """What is cut into parts here, and what has several layers and directions there."""

    def __init__(self):
        super().__init__()
        self.gru = torch.nn.GRU(3, 4, batch_first=True)
        self.lstm = torch.nn.LSTM(4, 3, num_layers=2, batch_first=True, bidirectional=True)
        self.attention = torch.nn.MultiheadAttention(6, 2, batch_first=True)
        self.cross = torch.nn.MultiheadAttention(6, 3, kdim=4, vdim=4, batch_first=True)
        self.head = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(),
                                        torch.nn.Linear(5, 2))

    def forward(self, x):
        narrow = self.gru(x)[0]
        y = self.lstm(narrow)[0]
        y = self.attention(y, y, y)[0]
        return self.head(self.cross(y, narrow, narrow)[0])


def gates(header):
    model = Gates().eval()
    with torch.no_grad():
        for _, t, values in fill(model.state_dict().items()):
            t.copy_(torch.tensor(values))
        header.array("gates_y", model(torch.tensor(centred((2, 5, 3), 1)).float()).numpy())
    save_file(model.state_dict(), os.path.join(here, "files", "gates.safetensors"))


def keras_model(header):
    layers = keras.layers
    model = keras.Sequential([
        keras.Input((6, 4, 2)), layers.Conv2D(4, 3, padding="same"), layers.BatchNormalization(),
        layers.ReLU(), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(5),
        layers.LayerNormalization(epsilon=1e-3), layers.ReLU(), layers.Dropout(0.5),
        layers.Dense(3)])
    for w, _, values in fill([(w.path, w) for w in model.weights]):
        next(v for v in model.weights if v.path == w).assign(values)
    header.array("keras_y", model.predict(centred((3, 6, 4, 2), 1).astype("float32"), verbose=0))
    keep_weights(model, "keras")


def keep_weights(model, name):
    path = os.path.join(here, "files", f"{name}.weights.h5")
    model.save_weights(path)
    tensors = {}

    def keep(place, item):
        if isinstance(item, h5py.Dataset):
            tensors[place] = item[()]

    with h5py.File(path) as file:
        file.visititems(keep)
    # What examples/h5_to_safetensors makes of the file.
    save_arrays(tensors, os.path.join(here, "files", f"{name}.safetensors"))
    if name != "keras":
        os.remove(path)


def keras_gates(header):
    """Layers whose weights Keras keeps in folders and shapes of its own."""
    layers = keras.layers
    ids = keras.Input((5,))
    y = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(layers.Embedding(7, 6)(ids))
    y = layers.MultiHeadAttention(2, 3)(y, y)
    y = layers.SimpleRNN(3, return_sequences=True)(layers.GRU(4, return_sequences=True)(y))
    image = layers.Reshape((5, 3, 1))(y)
    image = layers.DepthwiseConv2D(2, depth_multiplier=2)(image)
    image = layers.PReLU(shared_axes=[1, 2])(layers.SeparableConv2D(3, 2)(image))
    model = keras.Model(ids, image)
    for w, _, values in fill([(w.path, w) for w in model.weights]):
        next(v for v in model.weights if v.path == w).assign(values)
    numbers_of = np.arange(10).reshape(2, 5) % 7
    header.array("keras_gates_y", model.predict(numbers_of, verbose=0))
    keep_weights(model, "keras_gates")


os.makedirs(os.path.join(here, "files"), exist_ok=True)
out = Header(os.path.join(here, "imports.h"), "COTAN_REFERENCE_IMPORTS_H",
             "Written by imports.py: predictions of the models in files/.")
pytorch(out)
sequences(out)
gates(out)
keras_model(out)
keras_gates(out)
out.write()
