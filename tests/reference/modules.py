"""Modules of nn/layers in f64 by PyTorch and Keras: values, and gradients for random cotangents.

    python3 modules.py           writes modules.h beside this file

Inputs are common.py's numbers: of case `salt` x is salt, parameter i, or input i + 1, is
salt + 1 + i, the cotangent salt + 9. Layers that draw get the mask or the noise that cotan draws of
the key KEY, as data. The header holds results only, by PyTorch. Where Keras has the layer it is
asked too and must agree to 1e-12. Needs numpy, torch and keras; the tests need none of them.
"""
import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import torch
import torch.nn.functional as F

from keras.src.backend.common import dtypes

from common import Header, centred, drawn, drawn_normal, numbers
from layers import leaf, to_nchw, to_nhwc


# Keras takes f64 for f32 on this backend where it works a type out.
dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"


KEY = (7, 3)


def labels(shape, classes, salt):
    """some_labels of tests/support."""
    n = int(np.prod(shape))
    return torch.tensor((numbers(n, salt) * classes).astype(np.int64).reshape(shape))


class Case:
    """x, parameters and the cotangent of one case."""

    def __init__(self, header, name, salt, x, parameters=(), limit=1.0):
        self.header, self.name, self.salt = header, name, salt
        self.x = leaf(x, salt, limit) if isinstance(x, tuple) else x
        self.p = [leaf(shape, salt + 1 + i) for i, (_, shape) in enumerate(parameters)]
        self.labels = [label for label, _ in parameters]

    def results(self, y):
        cotangent = torch.tensor(centred(tuple(y.shape), self.salt + 9), dtype=torch.float64)
        inputs = [self.x] if self.x.is_floating_point() else []
        gradients = torch.autograd.grad(y, inputs + self.p, cotangent)
        names = [f"d{label}" for label in (["x"] if inputs else []) + self.labels]
        return {"y": y.detach()} | dict(zip(names, gradients))

    def put(self, y, layer=None, order=lambda p: p, **call):
        """`layer` is Keras's, whose weights are the parameters, in this order and these shapes."""
        results = self.results(y)
        for label, values in results.items():
            self.header.array(f"{self.name}_{label}", values.numpy())
        if layer is not None:
            self.compare(results, self.by_keras(layer, order, **call))

    def by_keras(self, layer, order, state=None, **call):
        layer.build(tuple(self.x.shape))
        weights = order(self.p)
        assert len(layer.trainable_variables) == len(weights), self.name
        state = state or [v.value for v in layer.non_trainable_variables]
        return layer.stateless_call(weights, state, self.x, **call)[0]

    def put_merged(self, y, layer):
        """The parameters are the other inputs."""
        self.put(y)
        self.compare(self.results(y), layer([self.x] + self.p))

    def compare(self, results, y):
        other = self.results(y)
        for label, values in results.items():
            gap = (other[label] - values).abs().max().item()
            assert gap < 1e-12, (self.name, label, gap)
        print(self.name, "as in Keras")


def embedding(header):
    c = Case(header, "embedding", 100, labels((3, 4), 5, 100), [("table", (5, 2))])
    y = F.embedding(c.x, c.p[0])
    c.put(y, keras.layers.Embedding(5, 2, dtype="float64"))
    c = Case(header, "embedding_pads", 110, labels((3, 4), 5, 110), [("table", (5, 2))])
    c.put(F.embedding(c.x, c.p[0], padding_idx=1))


def convolution_1d(header):
    def conv(c, **options):
        x = c.x.permute(0, 2, 1)
        return F.conv1d(x, c.p[0].permute(2, 1, 0), c.p[1], **options).permute(0, 2, 1)

    c = Case(header, "conv1d", 120, (2, 7, 3), [("kernel", (3, 3, 4)), ("bias", (4,))])
    c.put(conv(c), keras.layers.Conv1D(4, 3, dtype="float64"))
    c = Case(header, "conv1d_strided", 130, (2, 8, 4), [("kernel", (2, 2, 6)), ("bias", (6,))])
    c.put(conv(c, stride=2, padding=1, dilation=3, groups=2))
    c = Case(header, "conv1d_causal", 140, (2, 6, 2), [("kernel", (3, 2, 3)), ("bias", (3,))])
    padded = F.pad(c.x.permute(0, 2, 1), (4, 0))
    y = F.conv1d(padded, c.p[0].permute(2, 1, 0), c.p[1], dilation=2).permute(0, 2, 1)
    c.put(y, keras.layers.Conv1D(3, 3, padding="causal", dilation_rate=2, dtype="float64"))


def depthwise(c, x, **options):
    kernel = c.p[0].permute(3, 2, 0, 1)
    bias = c.p[1] if options.pop("bias", True) else None
    return F.conv2d(to_nchw(x), kernel, bias, groups=x.shape[-1], **options)


def convolution_by_channel(header):
    c = Case(header, "depthwise", 150, (1, 5, 6, 3), [("kernel", (3, 2, 1, 6)), ("bias", (6,))])
    layer = keras.layers.DepthwiseConv2D((3, 2), strides=2, depth_multiplier=2, dtype="float64")
    y = to_nhwc(depthwise(c, c.x, stride=2))
    c.put(y, layer, lambda p: [p[0].reshape(3, 2, 3, 2), p[1]])
    parameters = [("depthwise", (3, 3, 1, 4)), ("pointwise", (1, 1, 4, 3)), ("bias", (3,))]
    c = Case(header, "separable", 160, (1, 5, 4, 2), parameters)
    y = depthwise(c, c.x, bias=False, padding=1)
    y = to_nhwc(F.conv2d(y, c.p[1].permute(3, 2, 0, 1), c.p[2]))
    layer = keras.layers.SeparableConv2D(3, 3, padding="same", depth_multiplier=2, dtype="float64")
    c.put(y, layer, lambda p: [p[0].reshape(3, 3, 2, 2), p[1], p[2]])


def convolution_transposed(header):
    def conv(c, **options):
        kernel = c.p[0].permute(3, 2, 0, 1)
        return to_nhwc(F.conv_transpose2d(to_nchw(c.x), kernel, c.p[1], **options))

    parameters = [("kernel", (3, 3, 2, 2)), ("bias", (2,))]
    c = Case(header, "transpose", 170, (1, 3, 2, 2), parameters)
    y = conv(c, stride=2)
    c.put(y, keras.layers.Conv2DTranspose(2, 3, strides=2, dtype="float64"))
    c = Case(header, "transpose_padded", 180, (1, 3, 4, 4), [("kernel", (3, 2, 1, 4)),
                                                             ("bias", (2,))])
    c.put(conv(c, stride=(3, 2), padding=(1, 0), output_padding=(2, 1), dilation=(1, 2), groups=2))
    # Keras's "same": the transpose of TensorFlow's convolution, whose larger half of the padding
    # comes after. 4 - 2 = 2: 1 before; 3 - 2 = 1: 0 before.
    parameters = [("kernel", (4, 4, 2, 2)), ("bias", (2,))]
    c = Case(header, "transpose_same", 190, (1, 3, 2, 2), parameters)
    y = conv(c, stride=2)[:, 1:7, 1:5]
    c.put(y, keras.layers.Conv2DTranspose(2, 4, strides=2, padding="same", dtype="float64"))
    c = Case(header, "transpose_odd", 200, (1, 3, 2, 2), [("kernel", (3, 3, 2, 2)), ("bias", (2,))])
    c.put(conv(c, stride=2)[:, 0:6, 0:4])
    # Keras's valid output of a kernel that is shorter than the stride.
    c = Case(header, "transpose_short", 210, (1, 2, 2, 2), [("kernel", (2, 2, 2, 2)),
                                                            ("bias", (2,))])
    y = conv(c, stride=3, output_padding=1)
    c.put(y, keras.layers.Conv2DTranspose(2, 2, strides=3, dtype="float64"))


def sizes(header):
    c = Case(header, "up_nearest", 220, (1, 2, 3, 2))
    y = F.interpolate(to_nchw(c.x), scale_factor=(2, 3), mode="nearest")
    c.put(to_nhwc(y), keras.layers.UpSampling2D((2, 3), dtype="float64"))
    c = Case(header, "up_bilinear", 230, (1, 2, 3, 2))
    y = F.interpolate(to_nchw(c.x), scale_factor=(3, 2), mode="bilinear", align_corners=False)
    c.put(to_nhwc(y), keras.layers.UpSampling2D((3, 2), interpolation="bilinear", dtype="float64"))
    c = Case(header, "zero_padding", 240, (1, 2, 2, 2))
    layer = keras.layers.ZeroPadding2D(((1, 0), (2, 1)), dtype="float64")
    c.put(F.pad(c.x, (0, 0, 2, 1, 1, 0)), layer)
    for name, salt, shape, size in [("adaptive", 250, (2, 5, 7, 2), (3, 4)),
                                    ("adaptive_even", 260, (1, 6, 4, 2), (3, 2)),
                                    ("adaptive_larger", 270, (1, 2, 3, 1), (3, 3))]:
        c = Case(header, name, salt, shape)
        y = to_nhwc(F.adaptive_avg_pool2d(to_nchw(c.x), size))
        c.put(y, keras.layers.AdaptiveAveragePooling2D(size, dtype="float64"))
    c = Case(header, "global_max", 280, (2, 3, 4, 3))
    c.put(to_nchw(c.x).amax((2, 3)), keras.layers.GlobalMaxPooling2D(dtype="float64"))


def normalizations(header):
    affine = lambda n: [("gamma", (n,)), ("beta", (n,))]
    c = Case(header, "group_norm", 300, (2, 3, 2, 6), affine(6), limit=3.0)
    y = to_nhwc(F.group_norm(to_nchw(c.x), 3, *c.p, eps=1e-3))
    c.put(y, keras.layers.GroupNormalization(3, epsilon=1e-3, dtype="float64"))
    c = Case(header, "group_norm_rows", 310, (3, 6), affine(6), limit=3.0)
    y = F.group_norm(c.x, 2, *c.p, eps=1e-5)
    c.put(y, keras.layers.GroupNormalization(2, epsilon=1e-5, dtype="float64"))
    c = Case(header, "instance_norm", 320, (2, 3, 2, 2), affine(2), limit=3.0)
    y = to_nhwc(F.instance_norm(to_nchw(c.x), weight=c.p[0], bias=c.p[1], eps=1e-5))
    c.put(y, keras.layers.GroupNormalization(2, epsilon=1e-5, dtype="float64"))
    c = Case(header, "instance_norm_plain", 330, (2, 5, 2), limit=3.0)
    c.put(F.instance_norm(c.x.permute(0, 2, 1), eps=1e-3).permute(0, 2, 1))
    c = Case(header, "rms_norm", 340, (3, 2, 4), [("gamma", (4,))], limit=3.0)
    y = F.rms_norm(c.x, (4,), c.p[0], eps=1e-6)
    c.put(y, keras.layers.RMSNormalization(epsilon=1e-6, dtype="float64"))


def weight_norm(header):
    """Parameters in the order of the module: g, then those of the child."""
    parameters = [("g", (3,)), ("kernel", (4, 3)), ("bias", (3,))]
    c = Case(header, "weight_norm_dense", 350, (2, 4), parameters)
    w = torch._weight_norm(c.p[1].T, c.p[0].reshape(3, 1), 0)
    c.put(F.linear(c.x, w, c.p[2]))
    parameters = [("g", (2,)), ("kernel", (3, 2, 2, 2)), ("bias", (2,))]
    c = Case(header, "weight_norm_conv", 360, (1, 4, 3, 2), parameters)
    w = torch._weight_norm(c.p[1].permute(3, 2, 0, 1), c.p[0].reshape(2, 1, 1, 1), 0)
    c.put(to_nhwc(F.conv2d(to_nchw(c.x), w, c.p[2])))


def shapes_and_activations(header):
    c = Case(header, "reshape", 370, (2, 6))
    c.put(c.x.reshape(2, 3, 2), keras.layers.Reshape((3, -1), dtype="float64"))
    c = Case(header, "permute", 380, (2, 3, 2, 2))
    c.put(c.x.permute(0, 3, 1, 2), keras.layers.Permute((3, 1, 2), dtype="float64"))
    c = Case(header, "leaky_relu", 390, (2, 5))
    c.put(F.leaky_relu(c.x, 0.3), keras.layers.LeakyReLU(0.3, dtype="float64"))
    c = Case(header, "prelu", 400, (2, 3, 4), [("alpha", (4,))])
    y = F.prelu(c.x.permute(0, 2, 1), c.p[0]).permute(0, 2, 1)
    layer = keras.layers.PReLU(shared_axes=[1], dtype="float64")
    c.put(y, layer, lambda p: [p[0].reshape(1, 4)])
    c = Case(header, "prelu_one", 410, (2, 6), [("alpha", (1,))])
    c.put(F.prelu(c.x, c.p[0]))
    c = Case(header, "flatten", 590, (2, 3, 2, 2))
    c.put(torch.flatten(c.x, 1), keras.layers.Flatten(dtype="float64"))
    for i, name in enumerate("relu sigmoid tanh softmax gelu elu silu softplus".split()):
        c = Case(header, name, 420 + 10 * i, (3, 4), limit=3.0)
        y = F.softmax(c.x, -1) if name == "softmax" else getattr(F, name)(c.x)
        c.put(y, keras.layers.Activation(name, dtype="float64"))
    c = Case(header, "leaky_relu_usual", 600, (3, 4), limit=3.0)
    c.put(F.leaky_relu(c.x), keras.layers.LeakyReLU(0.01, dtype="float64"))


def plain_layers(header):
    c = Case(header, "dense", 500, (2, 3, 4), [("kernel", (4, 5)), ("bias", (5,))])
    c.put(F.linear(c.x, c.p[0].T, c.p[1]), keras.layers.Dense(5, dtype="float64"))
    c = Case(header, "layer_norm", 510, (3, 2, 5), [("gamma", (5,)), ("beta", (5,))], limit=3.0)
    y = F.layer_norm(c.x, (5,), *c.p, eps=1e-3)
    c.put(y, keras.layers.LayerNormalization(epsilon=1e-3, dtype="float64"))
    c = Case(header, "batch_norm", 520, (3, 2, 2, 3), [("gamma", (3,)), ("beta", (3,))], limit=3.0)
    y = to_nhwc(F.batch_norm(to_nchw(c.x), None, None, *c.p, training=True, eps=1e-3))
    c.put(y, keras.layers.BatchNormalization(epsilon=1e-3, dtype="float64"), training=True)
    c = Case(header, "batch_norm_moving", 610, (3, 2, 3), [("gamma", (3,)), ("beta", (3,))])
    moving = [leaf((3,), 615).detach(), torch.tensor(0.5 + numbers(3, 616))]
    y = F.batch_norm(c.x.permute(0, 2, 1), *moving, *c.p, eps=1e-3).permute(0, 2, 1)
    layer = keras.layers.BatchNormalization(epsilon=1e-3, dtype="float64")
    c.put(y, layer, state=moving, training=False)
    parameters = [("kernel", (3, 2, 2, 3)), ("bias", (3,))]
    c = Case(header, "conv2d", 530, (2, 5, 4, 2), parameters)
    kernel = lambda: c.p[0].permute(3, 2, 0, 1)
    c.put(to_nhwc(F.conv2d(to_nchw(c.x), kernel(), c.p[1], stride=(2, 1))),
          keras.layers.Conv2D(3, (3, 2), strides=(2, 1), dtype="float64"))
    c = Case(header, "conv2d_same", 540, (1, 4, 5, 2), [("kernel", (3, 3, 2, 2)), ("bias", (2,))])
    # TensorFlow's "same": 4 and 5 rows and columns become 2 and 3, so 1 is missing, below, and 2.
    padded = F.pad(to_nchw(c.x), (1, 1, 0, 1))
    c.put(to_nhwc(F.conv2d(padded, kernel(), c.p[1], stride=2)),
          keras.layers.Conv2D(2, 3, strides=2, padding="same", dtype="float64"))
    c = Case(header, "max_pool", 550, (2, 5, 4, 2))
    c.put(to_nhwc(F.max_pool2d(to_nchw(c.x), (3, 2), 2)),
          keras.layers.MaxPooling2D((3, 2), 2, dtype="float64"))
    c = Case(header, "max_pool_same", 560, (1, 5, 4, 2))
    padded = F.pad(to_nchw(c.x), (0, 1, 1, 1), value=-np.inf)
    c.put(to_nhwc(F.max_pool2d(padded, 3, 2)),
          keras.layers.MaxPooling2D(3, 2, padding="same", dtype="float64"))
    c = Case(header, "avg_pool", 570, (2, 5, 4, 2))
    c.put(to_nhwc(F.avg_pool2d(to_nchw(c.x), (2, 3), (2, 1))),
          keras.layers.AveragePooling2D((2, 3), (2, 1), dtype="float64"))
    c = Case(header, "global_avg", 580, (2, 3, 4, 3))
    c.put(to_nchw(c.x).mean((2, 3)), keras.layers.GlobalAveragePooling2D(dtype="float64"))
    c = Case(header, "positions", 710, (2, 3, 4), [("table", (5, 4))])
    c.put(c.x + F.embedding(torch.arange(3), c.p[0]))


class GivenDropout(torch.autograd.Function):
    """PyTorch's dropout, with its own kernel for the gradient, of a mask that is given."""

    @staticmethod
    def forward(x, mask, rate):
        return x * (mask / (1.0 - rate))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[1])
        ctx.rate = inputs[2]

    @staticmethod
    def backward(ctx, g):
        (mask,) = ctx.saved_tensors
        scale = 1.0 / (1.0 - ctx.rate)
        return torch.ops.aten.native_dropout_backward(g, mask.bool(), scale), None, None


def drawing_layers(header):
    """Masks and noise are data: in place of what the libraries would draw."""
    kept = lambda shape, rate: torch.tensor(drawn(shape, KEY) >= rate).double()

    def keras_dropout(x, rate, noise_shape=None, seed=None):
        shape = [of_x if n is None else n for n, of_x in zip(noise_shape or x.shape, x.shape)]
        return x * kept(shape, rate) / (1.0 - rate)

    def keras_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
        return torch.tensor(mean + stddev * drawn_normal(tuple(shape), KEY))

    keras.src.backend.random.dropout = keras_dropout
    keras.src.backend.random.normal = keras_normal
    c = Case(header, "dropout", 620, (3, 5))
    y = GivenDropout.apply(c.x, kept((3, 5), 0.4), 0.4)
    c.put(y, keras.layers.Dropout(0.4, dtype="float64"), training=True)
    c = Case(header, "spatial_dropout", 630, (2, 2, 3, 4))
    y = GivenDropout.apply(c.x, kept((2, 1, 1, 4), 0.25).expand(2, 2, 3, 4), 0.25)
    c.put(y, keras.layers.SpatialDropout2D(0.25, dtype="float64"), training=True)
    c = Case(header, "gaussian_noise", 640, (3, 5))
    c.put(c.x + 0.5 * torch.tensor(drawn_normal((3, 5), KEY)),
          keras.layers.GaussianNoise(0.5, dtype="float64"), training=True)


def merges(header):
    c = Case(header, "concatenate", 650, (2, 3), [("b", (2, 1)), ("c", (2, 2))])
    y = torch.cat([c.x] + c.p, -1)
    c.put_merged(y, keras.layers.Concatenate(dtype="float64"))
    c = Case(header, "concatenate_rows", 660, (2, 3, 2), [("b", (2, 1, 2))])
    y = torch.cat([c.x] + c.p, 1)
    c.put_merged(y, keras.layers.Concatenate(axis=1, dtype="float64"))
    c = Case(header, "add", 670, (2, 3, 2), [("b", (2, 1, 2)), ("c", (2, 3, 2))])
    c.put_merged(c.x + c.p[0] + c.p[1], keras.layers.Add(dtype="float64"))


def keras_model(inputs, of):
    x = keras.Input((inputs,), dtype="float64")
    return keras.Model(x, of(x))


def containers(header):
    dense = lambda units, **options: keras.layers.Dense(units, dtype="float64", **options)
    plus = lambda *terms: keras.layers.Add(dtype="float64")(terms)
    c = Case(header, "residual", 680, (2, 3), [("kernel", (3, 3)), ("bias", (3,))])
    c.put(c.x + F.linear(c.x, c.p[0].T, c.p[1]), keras_model(3, lambda x: plus(dense(3)(x), x)))
    parameters = [("kernel", (3, 2)), ("bias", (2,)), ("other", (3, 2))]
    c = Case(header, "residual_shortcut", 690, (2, 3), parameters)
    body = lambda p: F.linear(c.x, p[0].T, p[1])
    c.put(body(c.p) + F.linear(c.x, c.p[2].T),
          keras_model(3, lambda x: plus(dense(2)(x), dense(2, use_bias=False)(x))))
    c = Case(header, "branches", 700, (2, 3), parameters)
    joined = lambda *ends: keras.layers.Concatenate(dtype="float64")(ends)
    c.put(torch.cat([body(c.p), F.linear(c.x, c.p[2].T)], -1),
          keras_model(3, lambda x: joined(dense(2)(x), dense(2, use_bias=False)(x))))


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    about = "Written by modules.py: layers in f64, results only."
    header = Header(os.path.join(here, "modules.h"), "COTAN_REFERENCE_MODULES_H", about)
    embedding(header)
    convolution_1d(header)
    convolution_by_channel(header)
    convolution_transposed(header)
    sizes(header)
    normalizations(header)
    weight_norm(header)
    shapes_and_activations(header)
    plain_layers(header)
    drawing_layers(header)
    merges(header)
    containers(header)
    header.write()


if __name__ == "__main__":
    main()
