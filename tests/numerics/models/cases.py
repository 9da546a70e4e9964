"""What a numerics case is. The families of reference/ describe theirs with it, make.py writes them to NAME.txt, tests/numerics/run reads those.

A case is two files, NAME.txt with its words and NAME.safetensors with its numbers (`tests/numerics/print
NAME` shows both). The words are lines. `model FILE [MODEL]` and a line `options` for each build say what
is built, of this folder or of examples/; `heavy` that it has over 25 MB of weights and runs in
`make test-all` only. `input NAME TYPE LOW HIGH SIZE...` is an input, whose element i is
LOW + (HIGH - LOW) * u(SEED, NAME, i) of docs/weights.md, rounded down where TYPE is i32. `numbers CRC` is
the checksum (CRC-32) of NAME.safetensors. `output NAME ELEMENTS RMS` is a result: RMS is the root of the
mean square of the error of PyTorch's own f32 against its float64, over the samples: the tensor NAME, the
float64 values of elements that are spread evenly from the first to the last.
Ours must have at most twice that error, four times where it convolves by Winograd.
"""
import os
import sys

import numpy as np
import torch
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
from init_weights import fnv1a64, init_state_dict, splitmix64

SEED = 7
INIT, AVX2 = f"--init {SEED}", f"--init {SEED} --target x86-64-v3"


def uniform(stream, shape, seed=SEED):
    """u(seed, stream, i) of docs/weights.md."""
    with np.errstate(over="ignore"):
        first = splitmix64(np.uint64(seed ^ fnv1a64(stream)))
        z = splitmix64(first + np.arange(int(np.prod(shape)), dtype=np.uint64))
    return ((z >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)).reshape(shape)


class Input:
    """A tensor of numbers from `low` to `high`, or of whole ones below `high`."""

    def __init__(self, *shape, low=0, high=1, whole=False):
        self.shape, self.low, self.high, self.whole = shape, low, high, whole

    def line(self, name):
        return f"input {name} {'i32' if self.whole else 'f32'} {self.low} {self.high} {' '.join(map(str, self.shape))}\n"

    def tensor(self, name):
        u = uniform(name, self.shape)
        if self.whole:
            return torch.from_numpy(np.floor(self.low + (self.high - self.low) * u.astype(np.float64)).astype(np.int64))
        return torch.from_numpy(np.float32(self.low) + np.float32(self.high - self.low) * u)


class Case:
    """model: the .cai file, and the model in it where there are several. network: makes the PyTorch module, its weights set. inputs: an Input, or a
    dict of them in the order of forward's arguments; a module gives a tensor, or a dict of them by the outputs' names. options: one string for each
    build. params: how many trained numbers the module must have, as published. names: the words of `cai summary` whose --names must be those of the
    module's state_dict; unused: a pattern of those that the .cai file has no use for."""

    def __init__(self, model, network, inputs, options=(INIT, AVX2), params=None, samples=1000, names=None, unused=""):
        self.model, self.network, self.options, self.params, self.samples = model, network, options, params, samples
        self.names, self.unused = names, unused
        self.inputs = inputs if isinstance(inputs, dict) else {"input": inputs}


def initialised(net, seed=SEED):
    """With the weights of `cai build --init`. Those that .cai declares with another init than 0 or 1 keep theirs: PReLU's slopes."""
    net.load_state_dict(init_state_dict(net.state_dict(), seed))
    for module in net.modules():
        if isinstance(module, nn.PReLU):
            nn.init.constant_(module.weight, 0.25)
    return net


class Normalized(nn.Module):
    """A classifier that takes pictures in 0..1."""

    def __init__(self, net, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)):
        super().__init__()
        self.net, self.mean, self.std = net, mean, std

    def forward(self, x):
        mean, std = (torch.tensor(v, dtype=x.dtype).view(1, -1, 1, 1) for v in (self.mean, self.std))
        return self.net((x - mean) / std)


class Under(nn.Module):
    """A network under the path that it has in a .cai file. GANs' pictures are in -1..1 and a .cai file's in 0..1: `takes` says that the first input is a
    picture, `gives` that the output is one."""

    def __init__(self, path, net, takes=False, gives=False):
        super().__init__()
        self.path, self.takes, self.gives = path, takes, gives
        self.add_module(path, net)

    def forward(self, x, *rest):
        y = getattr(self, self.path)(2 * x - 1 if self.takes else x, *rest)
        return 0.5 * y + 0.5 if self.gives else y
