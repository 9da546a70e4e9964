"""The weights of `cai build --init SEED`, for a PyTorch model or for any shapes (docs/weights.md).

    model.load_state_dict(init_state_dict(model.state_dict(), seed=1))
"""
import numpy as np

ONES, FAN_IN, ZEROS, NORMAL = "ones", "fan_in", "zeros", "normal"


def splitmix64(x):
    x = np.asarray(x, np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def fnv1a64(text):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return h


def kind_of(name, shape):
    """What a name in a state_dict stands for: scales and variances, products, or biases and means."""
    if name.endswith("running_var") or (name.endswith("weight") and len(shape) <= 1):
        return ONES
    return FAN_IN if len(shape) >= 2 else ZEROS


def init_weight(seed, name, shape, kind=None):
    with np.errstate(over="ignore"):
        stream = splitmix64(np.uint64(seed ^ fnv1a64(name)))
        z = splitmix64(stream + np.arange(int(np.prod(shape)), dtype=np.uint64))
    u = (z >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    kind = kind or kind_of(name, shape)
    if kind == ONES:
        return (np.float32(0.5) + u).reshape(shape)
    bound = np.float32({FAN_IN: np.sqrt(5.0 / np.prod(shape[1:])), NORMAL: np.sqrt(3.0), ZEROS: 0.1}[kind])
    return ((np.float32(2) * u - np.float32(1)) * bound).reshape(shape)


def init_state_dict(state_dict, seed):
    import torch

    return {name: value if name.endswith("num_batches_tracked") else torch.from_numpy(init_weight(seed, name, tuple(value.shape)))
            for name, value in state_dict.items()}
