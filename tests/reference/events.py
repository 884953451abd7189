"""TensorBoard's own loader reads the event files that cotan writes.

    python3 events.py BUILD          writes files through BUILD/libcotan.so, and loads them
    python3 events.py BUILD RUN      and compares the events of a ct_monitor with its layers.csv

Needs numpy, pillow and tensorboard; says "all as written" or where it is not. The tests need none
of them: they have a reader of their own (tests/tensor/io/test_events.c).
"""
import csv
import ctypes
import io
import sys
import tempfile

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator

F32, F64, I64, U8 = range(4)
TYPES = {F32: np.float32, F64: np.float64, I64: np.int64, U8: np.uint8}


class Shape(ctypes.Structure):
    _fields_ = [("rank", ctypes.c_int), ("dims", ctypes.c_int64 * 8)]


class Cotan:
    def __init__(self, build):
        self.lib = ctypes.CDLL(build + "/libcotan.so")
        for name in "ct_from ct_exp ct_sum_all ct_events_new ct_slot_new ct_slot_read".split():
            getattr(self.lib, name).restype = ctypes.c_void_p
        self.lib.ct_error_message.restype = ctypes.c_char_p

    def tensor(self, dtype, array):
        array = np.ascontiguousarray(array, TYPES[dtype])
        shape = Shape(array.ndim, (ctypes.c_int64 * 8)(*array.shape))
        return self.pointer("ct_from", dtype, shape, array.ctypes.data_as(ctypes.c_void_p))

    def pointer(self, name, *arguments):
        made = getattr(self.lib, name)(*arguments)
        assert made, self.lib.ct_error_message()
        return ctypes.c_void_p(made)

    def do(self, name, *arguments):
        assert getattr(self.lib, name)(*arguments) == 0, self.lib.ct_error_message()


def write(cotan, directory, values, pixels):
    events = cotan.pointer("ct_events_new", directory.encode())
    for step, value in enumerate((0.1, -1e30, float("nan"), float("inf"))):
        cotan.do("ct_events_scalar", events, b"group/scalar", ctypes.c_int64(step),
                 ctypes.c_double(value))
    for dtype in TYPES:
        t = cotan.tensor(dtype, values[dtype])
        cotan.do("ct_events_histogram", events, b"histogram/%d" % dtype, ctypes.c_int64(7), t)
    nothing = cotan.tensor(F64, [np.nan, np.inf])
    cotan.do("ct_events_histogram", events, b"nothing", ctypes.c_int64(7), nothing)
    for channels, image in pixels.items():
        cotan.do("ct_events_image", events, b"image/%d" % channels, ctypes.c_int64(8),
                 cotan.tensor(U8, image))
    cotan.do("ct_path_push", b"net")
    slot = cotan.pointer("ct_slot_new", b"kernel", cotan.tensor(F32, [1.0, 2.0]))
    y = cotan.pointer("ct_exp", cotan.pointer("ct_slot_read", slot))
    cotan.lib.ct_path_pop()
    roots = (ctypes.c_void_p * 1)(cotan.pointer("ct_sum_all", y))
    cotan.do("ct_events_graph", events, roots, ctypes.c_int64(1))
    cotan.lib.ct_events_free(events)


def check(directory, values, pixels):
    loaded = event_accumulator.EventAccumulator(directory, size_guidance={
        event_accumulator.HISTOGRAMS: 0, event_accumulator.IMAGES: 0})
    loaded.Reload()
    scalars = loaded.Scalars("group/scalar")
    assert [s.step for s in scalars] == [0, 1, 2, 3]
    np.testing.assert_array_equal(np.float32([s.value for s in scalars]),
                                  np.float32([0.1, -1e30, np.nan, np.inf]))
    for dtype in TYPES:
        event, = loaded.Histograms("histogram/%d" % dtype)
        h, x = event.histogram_value, TYPES[dtype](values[dtype]).astype(np.float64).ravel()
        assert (event.step, h.num, h.min, h.max) == (7, x.size, x.min(), x.max())
        np.testing.assert_allclose([h.sum, h.sum_squares], [x.sum(), (x * x).sum()], rtol=1e-12)
        assert sum(h.bucket) == x.size
        below = np.cumsum(h.bucket)
        for limit, count in zip(h.bucket_limit, below):
            assert count == ((x < limit) if limit > 0 else (x <= limit)).sum(), (dtype, limit)
    assert loaded.Histograms("nothing")[0].histogram_value.num == 0
    assert loaded.Scalars("nothing/nonfinite")[0].value == 2
    for channels, image in pixels.items():
        event, = loaded.Images("image/%d" % channels)
        png = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
        assert (event.height, event.width) == image.shape[:2]
        np.testing.assert_array_equal(png.reshape(image.shape), image)
    nodes = {n.name: n for n in loaded.Graph().node}
    assert [(n.name, n.op, list(n.input)) for n in nodes.values()] == [
        ("net/kernel_0", "Parameter", []), ("net/exp_1", "exp", ["net/kernel_0"]),
        ("sum_2", "sum", ["net/exp_1"])]
    shape = nodes["net/exp_1"].attr["_output_shapes"].list.shape[0]
    assert [d.size for d in shape.dim] == [2] and nodes["net/exp_1"].attr["dtype"].type == 1


def check_run(directory):
    loaded = event_accumulator.EventAccumulator(directory, size_guidance={
        event_accumulator.HISTOGRAMS: 0, event_accumulator.SCALARS: 0})
    loaded.Reload()
    assert len(loaded.Graph().node) > 0 and len(loaded.Scalars("loss")) > 0
    at = {(tag, e.step): e.histogram_value
          for tag in loaded.Tags()["histograms"] for e in loaded.Histograms(tag)}
    norms = {(tag, e.step): e.value for tag in loaded.Tags()["scalars"] for e in loaded.Scalars(tag)}
    rows = list(csv.DictReader(open(directory + "/layers.csv")))
    assert len(rows) == len(at)
    for row in rows:
        step, path = int(row["step"]), row["path"]
        h = at[row["what"] + "s/" + path, step]
        np.testing.assert_allclose(
            [h.num, h.min, h.max, h.sum / h.num, h.sum_squares ** 0.5],
            [float(row[k]) for k in "count least greatest mean norm".split()], rtol=1e-6, atol=1e-12)
        if row["what"] == "gradient":
            assert np.isclose(norms["gradient_norm/" + path, step], float(row["norm"]), rtol=1e-6)
    print(len(rows), "rows and their events agree")


def main():
    cotan, random = Cotan(sys.argv[1]), np.random.default_rng(1)
    normal = random.normal(size=(100, 30)) * 10.0 ** random.integers(-14, 15, size=(100, 30))
    values = {F32: normal, F64: normal, I64: random.integers(-99, 99, 1000),
              U8: random.integers(0, 256, 1000)}
    pixels = {c: random.integers(0, 256, (200, 171, c)).astype(np.uint8) for c in (1, 3, 4)}
    with tempfile.TemporaryDirectory() as directory:
        write(cotan, directory, values, pixels)
        check(directory, values, pixels)
    print("all as written")
    for run in sys.argv[2:]:
        check_run(run)


if __name__ == "__main__":
    main()
