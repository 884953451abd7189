"""Numbers that the reference scripts and the C tests make alike, and C headers.

number(i, salt) is uniform in 0..1 and exact in f64: 32 bits of an integer hash over 2^32.
"""
import numpy as np


def numbers(n, salt):
    h = (np.arange(n, dtype=np.uint64) * 2654435761 + salt * 40503 + 12345) & 0xFFFFFFFF
    h ^= h >> 15
    h = (h * 2246822519) & 0xFFFFFFFF
    h ^= h >> 13
    h = (h * 3266489917) & 0xFFFFFFFF
    h ^= h >> 16
    return h.astype(np.float64) / 2.0**32


def centred(shape, salt, limit=1.0):
    """Uniform in -limit..limit, in row-major order."""
    return (limit * (2.0 * numbers(int(np.prod(shape)), salt) - 1.0)).reshape(shape)


class Header:
    def __init__(self, path, guard, about):
        self.path = path
        self.guard = guard
        self.lines = [f"/* {about} */", f"#ifndef {guard}", f"#define {guard}", ""]

    def array(self, name, values):
        values = np.asarray(values, dtype=np.float64).ravel()
        self.lines.append(f"static const double {name}[{values.size}] = {{")
        for i in range(0, values.size, 3):
            row = ", ".join(f"{v:.17g}" for v in values[i : i + 3])
            self.lines.append(f"    {row},")
        self.lines += ["};", ""]

    def write(self):
        self.lines.append("#endif")
        with open(self.path, "w", encoding="ascii") as out:
            out.write("\n".join(self.lines) + "\n")
        print("wrote", self.path)
