"""Writes p61.h: arithmetic in GF(2^61 - 1) and what doubles stand for, in Python's integers."""
import math
import os
import random
from fractions import Fraction

P = (1 << 61) - 1
R = random.Random(61)


def inside(low, high, closed):
    """The simplest fraction between two, the ends included where `closed`."""
    whole = math.floor(low)
    if low == whole and closed:
        return Fraction(whole)
    if whole + 1 < high or (whole + 1 == high and closed):
        return Fraction(whole + 1)
    rest = inside(1 / (high - whole), 1 / (low - whole), closed) if low > whole else None
    if rest is None:  # low is whole and left out: 1 / (low - whole) is infinite
        return whole + Fraction(1, math.floor(1 / (high - whole)) + 1)
    return whole + 1 / rest


def simplest(x):
    a = abs(x)
    exact, even = Fraction(a), int(math.ldexp(math.frexp(a)[0], 53)) % 2 == 0
    low = (Fraction(math.nextafter(a, 0)) + exact) / 2
    high = (Fraction(math.nextafter(a, math.inf)) + exact) / 2
    found = inside(low, high, even)
    return -found if x < 0 else found


def double(x):
    """Value in the field, numerator and denominator (0: it is no fraction)."""
    if x == int(x):
        return int(x) % P, int(x), 1
    f = simplest(x)
    if abs(f.numerator) * f.denominator <= 1 << 40:
        return f.numerator * pow(f.denominator, P - 2, P) % P, f.numerator, f.denominator
    exact = Fraction(x)
    return exact.numerator * pow(exact.denominator, P - 2, P) % P, 0, 0


def root(a):
    r = pow(a, (P + 1) // 4, P)
    return r if r * r % P == a else None


elements = [0, 1, 2, P - 1, P - 2, (P - 1) // 2, (P + 1) // 2, 1 << 60]
elements += [R.randrange(P) for _ in range(24)]
doubles = [0.1, 1 / 3, 1 / 6, -2 / 7, 1e-3, 1e-5, 1e-8, 1e-12, 1e-13, 32 / 31, 0.9, 0.999, 1 - 0.9]
doubles += [0.1 + 0.2, math.sqrt(0.5), 2 / math.sqrt(math.pi), math.pi, 3.0, -7.0, 0.5, 1.5e-5]
doubles += [2.0**-1074, -(2.0**-60), 2.0**61, 2.0**53 - 1, 1e18, 123456.789, 255 / 256, 1 / 255]
doubles += [1e-5 + 1e-9, 355 / 113, 1048575 / 1048573, 1 / 1099511627775, 1 / 1099511627777]
doubles += [R.randrange(-(1 << 41), 1 << 41) / 2.0**40 for _ in range(8)]

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "p61.h")
with open(path, "w") as out:
    out.write("/* Written by p61.py: the field of CT_P61, in Python's integers. */\n")
    out.write("#ifndef COTAN_REFERENCE_P61_H\n#define COTAN_REFERENCE_P61_H\n\n")
    out.write("#include <stdint.h>\n\n/* The root is UINT64_MAX where there is none; so is 1 / 0. */\n")
    out.write("static const struct {\n    uint64_t a, b, sum, difference, product, quotient, root;\n")
    out.write("} p61_elements[] = {\n")
    for i, a in enumerate(elements):
        b = elements[(5 * i + 3) % len(elements)]
        quotient = a * pow(b, P - 2, P) % P if b else (1 << 64) - 1
        r = root(a)
        row = [a, b, (a + b) % P, (a - b) % P, a * b % P, quotient, (1 << 64) - 1 if r is None else r]
        out.write("    {" + ",\n     ".join(f"UINT64_C({v})" for v in row) + "},\n")
    out.write("};\n\n/* A denominator of 0: the double is no fraction. */\nstatic const struct {\n")
    out.write("    double value;\n    uint64_t field;\n    int64_t numerator, denominator;\n")
    out.write("} p61_doubles[] = {\n")
    for x in doubles:
        field, n, d = double(x)
        if abs(x) >= 2.0**63:
            n, d = 0, 0
        out.write(f"    {{{float(x).hex()}, UINT64_C({field}), {n}, {d}}},\n")
    out.write("};\n\n#endif\n")
