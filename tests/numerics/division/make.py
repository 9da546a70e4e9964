#!/usr/bin/env python3
"""Writes division.safetensors: `/`, `//` and `%` of float32 as numpy has them; tests/unit/division.c reads it.
(`//` is that of float64, rounded: numpy's own of float32 subtracts in float32 and misses the floor of some quotients beyond 2^23.)

Its tensors are EDGES, and by pairs x, y, x / y, x // y, x % y. First come all pairs of EDGES numbers, x by x; then pairs that are near a multiple of
each other, where a rounded quotient is a whole number and the exact one is not; quotients of every size; anything. No operand is
denormal, since those are zero in cai."""
import os
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
from tensors import write_tensors

FEW = [0.0, 1, 3, 7, 0.1, 0.3, 41, 1 / 41, 255, 2**24 - 1, 1e-3, 1e20, 1e38, 2e38, 3.4028235e38, 1.17549435e-38, np.inf]
EDGES = np.array([s * v for v in FEW for s in (1, -1)] + [np.nan], np.float32)
TINY = np.float32(2.0**-126)


def pairs(random):
    yield np.repeat(EDGES, len(EDGES)), np.tile(EDGES, len(EDGES))
    y = random.uniform(-100, 100, 500).astype(np.float32)
    x = (y * random.integers(-5000, 5000, 500)).astype(np.float32)
    yield np.nextafter(x, x + random.integers(-1, 2, 500).astype(np.float32)), y
    yield np.ldexp(random.uniform(1, 2, 500), random.integers(0, 120, 500)).astype(np.float32), -random.uniform(1, 2, 500).astype(np.float32)
    x, y = random.integers(0, 2**32, (2, 500)).astype(np.uint32).view(np.float32)
    yield x, y


def main():
    parts = []
    for x, y in pairs(np.random.default_rng(1)):
        x, y = (np.where(abs(v) < TINY, np.copysign(0, v), v).astype(np.float32) for v in (x, y))
        with np.errstate(all="ignore"):
            parts.append((x, y, x / y, (x.astype(np.float64) // y).astype(np.float32), x % y))
    names = ("x", "y", "div", "floor_div", "mod")
    columns = (np.concatenate(column) for column in zip(*parts))
    write_tensors(os.path.join(HERE, "division.safetensors"), {"edges": EDGES, **dict(zip(names, columns))})


main()
