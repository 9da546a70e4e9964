"""The order and the random numbers of a training, written independently from their descriptions (docs/training.md, runtime/data/order.c), and the
samples from which the blocks in this folder learn. Needs nothing but Python."""
import math
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import draws
from draws import MASK, splitmix64

SAMPLES, STEPS = 40, 100

# block: for each input the shape of a sample; () is a class
FIELDS = {
    "classifier": dict(x=(2, 12, 12), label=()),
    "denoiser": dict(x=(3, 16, 16)),
    "autoencoder": dict(x=(1, 12, 12)),
    "players": dict(x=(1, 12, 12)),
    "translator": dict(x=(1, 16, 16), y=(1, 16, 16)),
    "transformer": dict(x=(2, 12, 12), label=()),
    "parts": dict(x=(2, 12, 12), label=()),
}


def units(name, count, seed=0):
    """The first `count` numbers of a stream, from 0 to 1."""
    return draws.units(splitmix64(seed ^ draws.fnv1a64(name)), count)


def step_seed(step):
    """The seed of a step of the first phase, in a run with seed 0."""
    return splitmix64(splitmix64(splitmix64(0)) + step & MASK)


def field(name, shape):
    if not shape:
        return [(i * i + i // 5) % 4 for i in range(SAMPLES)]
    return [2 * u - 1 for u in units(name, SAMPLES * math.prod(shape))]


# ---- the order of samples: a Feistel network over the indices of an epoch ----

def keyed(key, i):
    return splitmix64(splitmix64(key) + i & MASK)


def permuted(key, count, i):
    bits = (count - 1).bit_length()
    while True:
        left, right = bits - bits // 2, bits // 2
        for turn in range(8):
            kept, high = i & (1 << right) - 1, i >> right
            i = kept << left | high ^ keyed(key + turn & MASK, kept) & (1 << left) - 1
            left, right = right, left
        if i < count:
            return i


def batch(step, size):
    """The samples of the first set that a step reads, in a run with seed 0."""
    order = keyed(keyed(0, 0), 1 << 20)
    places = range(step * size, step * size + size)
    return [permuted(keyed(order, p // SAMPLES), SAMPLES, p % SAMPLES) for p in places]
