#!/usr/bin/env python3
"""Derivatives of BatchNorm to order 5, for test_batch_norm_orders.c.

phi(t) = <BN(x + t v, gamma + t a, beta + t b), w>, six rows of three channels, epsilon 1e-3.
Computed from the definition with 60 digits: a truncated power series in t goes through every
operation, so a derivative is a coefficient times k!, without any differencing. A central
difference with 200 digits agrees, which is asserted.

Usage: batch_norm_orders.py > batch_norm_orders.h    (needs mpmath; the tests do not need it)
"""
import random
from math import factorial

from mpmath import mp, mpf, sqrt, diff

ROWS, CHANNELS, ORDERS, EPSILON = 6, 3, 6, mpf(0.001)
mp.dps = 60


# --- Power series: lists of the coefficients of 1, t, t^2, ... --------------------------------

def add(a, b):
    return [p + q for p, q in zip(a, b)]


def scale(a, factor):
    return [p * factor for p in a]


def mul(a, b):
    return [sum(a[i] * b[k - i] for i in range(k + 1)) for k in range(ORDERS)]


def inverse_sqrt(a):
    """r with r^2 a = 1: coefficient k of r^2 a is 0 and holds r[k] in 2 r[0] a[0] r[k] alone."""
    r = [1 / sqrt(a[0])] + [mpf(0)] * (ORDERS - 1)
    for k in range(1, ORDERS):
        rest = mul(mul(r, r), a)[k]  # with r[k] still 0
        r[k] = -rest / (2 * r[0] * a[0])
    return r


# --- BatchNorm --------------------------------------------------------------------------------

def phi_series(x, v, w, gamma, a, beta, b):
    zero = [mpf(0)] * ORDERS
    total = zero
    for c in range(CHANNELS):
        line = lambda p, q: [p, q] + [mpf(0)] * (ORDERS - 2)
        rows = [line(x[r][c], v[r][c]) for r in range(ROWS)]
        mean = zero
        for row in rows:
            mean = add(mean, scale(row, mpf(1) / ROWS))
        centred = [add(row, scale(mean, -1)) for row in rows]
        variance = zero
        for row in centred:
            variance = add(variance, scale(mul(row, row), mpf(1) / ROWS))
        factor = mul(inverse_sqrt(add(variance, line(EPSILON, mpf(0)))), line(gamma[c], a[c]))
        for r in range(ROWS):
            total = add(total, scale(add(mul(centred[r], factor), line(beta[c], b[c])), w[r][c]))
    return total


def phi(t, x, v, w, gamma, a, beta, b):
    total = mpf(0)
    for c in range(CHANNELS):
        rows = [x[r][c] + t * v[r][c] for r in range(ROWS)]
        mean = sum(rows) / ROWS
        variance = sum((row - mean) ** 2 for row in rows) / ROWS
        for r in range(ROWS):
            normal = (rows[r] - mean) / sqrt(variance + EPSILON)
            total += w[r][c] * ((gamma[c] + t * a[c]) * normal + beta[c] + t * b[c])
    return total


def derivatives(*operands):
    series = [p * factorial(k) for k, p in enumerate(phi_series(*operands))]
    mp.dps = 200
    for k in range(ORDERS):
        direct = diff(lambda t: phi(t, *operands), 0, k)
        assert abs(direct - series[k]) <= abs(direct) * mpf(10) ** -40, k
    mp.dps = 60
    return series


# --- Output -----------------------------------------------------------------------------------

def matrix(generator, low, high):
    return [[mpf(round(generator.uniform(low, high), 3)) for _ in range(CHANNELS)]
            for _ in range(ROWS)]


def vector(generator, low, high):
    return matrix(generator, low, high)[0]


def show(name, numbers, digits):
    texts = [mp.nstr(number, digits, strip_zeros=True) for number in numbers]
    print("static const double %s[] = {" % name)
    line = "   "
    for text in texts:
        if len(line) + len(text) + 2 > 100:
            print(line)
            line = "   "
        line += " " + text + ","
    print(line + "\n};")


def main():
    generator = random.Random(2015)
    x, w = (matrix(generator, -1.5, 1.5) for _ in range(2))
    v = matrix(generator, -0.5, 1.5)  # moves the mean, too
    gamma, beta = vector(generator, 0.5, 1.5), vector(generator, -1, 1)
    a, b = vector(generator, -1, 1), vector(generator, -1, 1)
    still = [mpf(0)] * CHANNELS
    flat = lambda m: [number for row in m for number in row]
    print("/* Written by batch_norm_orders.py, which says what it is. */\n"
          "#ifndef COTAN_REFERENCE_BATCH_NORM_ORDERS_H\n"
          "#define COTAN_REFERENCE_BATCH_NORM_ORDERS_H\n")
    for name, numbers in (("x", flat(x)), ("v", flat(v)), ("w", flat(w)), ("gamma", gamma),
                          ("beta", beta), ("a", a), ("b", b)):
        show("orders_" + name, numbers, 6)
    print("/* phi and its derivatives in t at 0, where x moves alone, and where all three move. */")
    show("orders_x_moves", derivatives(x, v, w, gamma, still, beta, still), 25)
    show("orders_all_move", derivatives(x, v, w, gamma, a, beta, b), 25)
    print("\n#endif")


main()
