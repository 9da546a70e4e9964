"""The whole-number arithmetic that trainers draw by, written anew from its descriptions (docs/training.md, runtime/data/order.c), and the
samples that the blocks beside this file learn from. Needs nothing but Python."""
import math

MASK = (1 << 64) - 1
SAMPLES, STEPS = 40, 100

# block: the shapes of its inputs' samples; an empty one is a class
FIELDS = {
    "classifier": dict(x=(2, 12, 12), label=()),
    "denoiser": dict(x=(3, 16, 16)),
    "autoencoder": dict(x=(1, 12, 12)),
    "players": dict(x=(1, 12, 12)),
    "translator": dict(x=(1, 16, 16), y=(1, 16, 16)),
    "transformer": dict(x=(2, 12, 12), label=()),
}


def splitmix(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def hashed(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 & MASK
    return value


def units(name, count, seed=0):
    """The first numbers of a stream, in 0..1."""
    begin = splitmix(seed ^ hashed(name))
    return [(splitmix((begin + i) & MASK) >> 40) / 2**24 for i in range(count)]


def step_seed(step):
    """Of what is drawn in a step of the first phase, in a run with seed 0."""
    return splitmix(splitmix(splitmix(0)) + step & MASK)


def field(name, shape):
    if not shape:
        return [(i * i + i // 5) % 4 for i in range(SAMPLES)]
    return [2 * u - 1 for u in units(name, SAMPLES * math.prod(shape))]


# ---- the order of samples: a Feistel network over the indices of an epoch ----

def keyed(key, i):
    return splitmix(splitmix(key) + i & MASK)


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
    """Which samples a step reads, of the first set in a run with seed 0."""
    order = keyed(keyed(0, 0), 1 << 20)
    places = range(step * size, step * size + size)
    return [permuted(keyed(order, p // SAMPLES), SAMPLES, p % SAMPLES) for p in places]
