"""The whole-number arithmetic by which cai draws (docs/weights.md, docs/training.md), written anew. Needs nothing but Python."""

MASK = (1 << 64) - 1


def splitmix64(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def fnv1a64(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 & MASK
    return value


def units(stream, count):
    """The first numbers of a stream, in 0..1."""
    return [(splitmix64((stream + i) & MASK) >> 40) / 2**24 for i in range(count)]
