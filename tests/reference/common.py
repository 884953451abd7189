"""Numbers that the reference scripts and the C tests make alike, and C headers.

number(i, salt) is uniform in 0..1 and exact in f64: 32 bits of an integer hash over 2^32.
drawn() and drawn_normal() are what cotan draws of a key, so that masks and noise can be given to
other libraries as data.
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


def philox(block, stream, seed):
    """Four words of 32 bits: Philox4x32-10 (Salmon et al., SC 2011)."""
    word = 0xFFFFFFFF
    c = [block & word, block >> 32, stream & word, stream >> 32]
    k = [seed & word, seed >> 32]
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [b >> 32 ^ c[1] ^ k[0], b & word, a >> 32 ^ c[3] ^ k[1], a & word]
        k = [(k[0] + 0x9E3779B9) & word, (k[1] + 0xBB67AE85) & word]
    return c


def drawn(shape, key):
    """Uniform in 0..1 of the key (seed, stream), in row-major order, in f64."""
    n = int(np.prod(shape))
    words = [w for block in range((n + 3) // 4) for w in philox(block, key[1], key[0])]
    return np.array(words[:n], dtype=np.float64).reshape(shape) / 2.0**32


def drawn_normal(shape, key):
    """Normal numbers by Box and Muller, two of two uniform ones."""
    n = int(np.prod(shape))
    u = drawn((n + 1) // 2 * 2, key).reshape(-1, 2)
    radius, angle = np.sqrt(-2.0 * np.log(1.0 - u[:, 0])), 2.0 * np.pi * u[:, 1]
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return pairs.ravel()[:n].reshape(shape)


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
