"""Makes the expected outputs of whole models in this folder, with PyTorch: /usr/bin/python3 tests/numerics/models/make.py [CASE...]

A case is a file of lines. `model`, `options` and `input` say how tests/numerics/run gets our result: which file of examples/ is built
with which options (each line of them is a build of its own), and the shape of the input, whose element i is u(SEED, "input", i) of docs/weights.md, in 0..1. `rms` is the root of the mean square
of the error of PyTorch's own f32 against its float64, over the samples; then come the samples, an index into the output and its float64 value.
Ours must have at most twice that error. Networks that are not torchvision's are written here from their papers.
"""
import json
import os
import sys

import numpy as np
import torch
import torchvision
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
from init_weights import init_state_dict, splitmix64, fnv1a64

SEED, SAMPLES = 7, 1000


def picture(shape):
    """Element i is u(SEED, "input", i)."""
    with np.errstate(over="ignore"):
        stream = splitmix64(np.uint64(SEED ^ fnv1a64("input")))
        z = splitmix64(stream + np.arange(int(np.prod(shape)), dtype=np.uint64))
    return torch.from_numpy(((z >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)).reshape(shape))


class Normalized(nn.Module):
    """A torchvision classifier that takes pictures in 0..1."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        mean = torch.tensor([0.485, 0.456, 0.406], dtype=x.dtype).view(1, 3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225], dtype=x.dtype).view(1, 3, 1, 1)
        return self.net((x - mean) / std)


def double_conv(i, o):
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(),
                         nn.Conv2d(o, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU())


class Level(nn.Module):
    def __init__(self, i, c, depth):
        super().__init__()
        self.depth, self.down = depth, double_conv(i, c)
        if depth:
            self.inner = Level(c, 2 * c, depth - 1)
            self.upconv = nn.ConvTranspose2d(2 * c, c, 2, stride=2)
            self.up = double_conv(2 * c, c)

    def forward(self, x):
        e = self.down(x)
        if not self.depth:
            return e
        d = self.upconv(self.inner(nn.functional.max_pool2d(e, 2)))
        return self.up(torch.cat([e, d], 1))


class UNet(nn.Module):
    def __init__(self, c=64, depth=4):
        super().__init__()
        self.level, self.head = Level(3, c, depth), nn.Conv2d(c, 1, 1)

    def forward(self, x):
        return torch.sigmoid(self.head(self.level(x)))


def initialised(net):
    net.load_state_dict(init_state_dict(net.state_dict(), SEED))
    return net


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(c, c, 3, padding=1), nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(torch.relu(self.conv1(x)))


class Denoise(nn.Module):
    def __init__(self):
        super().__init__()
        self.head, self.encode = nn.Conv2d(3, 48, 4, 2, 1), Residual(48)
        self.down, self.body, self.up = nn.Conv2d(48, 64, 2, 2), Residual(64), nn.ConvTranspose2d(64, 48, 2, 2)
        self.decode, self.tail = nn.Sequential(Residual(48), Residual(48)), nn.ConvTranspose2d(48, 3, 4, 2, 1)

    def forward(self, x):
        fine = self.encode(self.head(x))
        return x + self.tail(self.decode(fine + self.up(self.body(self.down(fine)))))


def trained(net, path):
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    for name, tensor in header.items():
        if name != "__metadata__":
            begin, end = tensor["data_offsets"]
            header[name] = torch.from_numpy(np.frombuffer(data[begin:end], np.float32).reshape(tensor["shape"]).copy())
    header.pop("__metadata__", None)
    net.load_state_dict(header)
    return net


def resnet18():
    return Normalized(initialised(torchvision.models.resnet18()))


INIT, AVX2, WEIGHTS = f"--init {SEED} ", "--target x86-64-v3 ", "examples/denoise.safetensors"
CASES = {  # name: (file, options of cai build, network, input shape)
    "resnet18": ("resnet18", [INIT, INIT + AVX2, INIT + "-D N=1"], resnet18, (1, 3, 224, 224)),
    "resnet18_batch": ("resnet18", [INIT], resnet18, (3, 3, 224, 224)),
    "unet": ("unet", [INIT], lambda: initialised(UNet()), (1, 3, 96, 80)),
    "unet_batch": ("unet", [INIT + "-D c=24 -D depth=3", INIT + AVX2 + "-D c=24 -D depth=3"], lambda: initialised(UNet(24, 3)), (2, 3, 40, 72)),
    "unet_odd": ("unet", [INIT + "-D c=20 -D depth=1", INIT + "-D c=20 -D depth=1 -D N=1 -D H=30 -D W=46", INIT + AVX2 + "-D c=20 -D depth=1"],
                 lambda: initialised(UNet(20, 1)), (1, 3, 30, 46)),
    "unet_flat": ("unet", [INIT + "-D c=5 -D depth=0", INIT + AVX2 + "-D c=5 -D depth=0"], lambda: initialised(UNet(5, 0)), (1, 3, 7, 1)),
    "denoise": ("denoise", ["--weights " + WEIGHTS, AVX2 + "--weights " + WEIGHTS], lambda: trained(Denoise(), WEIGHTS), (1, 3, 100, 52)),
}


def make(name):
    file, options, network, shape = CASES[name]
    net, x = network().eval(), picture(shape)
    with torch.no_grad():
        single = net(x).flatten().numpy()
        exact = net.double()(x.double()).flatten().numpy()
    which = np.unique(np.linspace(0, exact.size - 1, SAMPLES).round().astype(int)) if exact.size > SAMPLES else np.arange(exact.size)
    rms = np.sqrt(np.mean((single[which] - exact[which]) ** 2))
    with open(os.path.join(HERE, name + ".txt"), "w") as out:
        out.write(f"model {file}\n" + "".join(f"options {o.strip()}\n" for o in options))
        out.write(f"input {' '.join(map(str, shape))}\nelements {exact.size}\nrms {rms:.3e}\n")
        for i in which:
            out.write(f"{i} {exact[i]:.12g}\n")
    print(f"{name}: {exact.size} elements, {which.size} samples, PyTorch's f32 is off by {rms:.3e} of {np.sqrt(np.mean(exact[which] ** 2)):.3e}")


for case in sys.argv[1:] or CASES:
    make(case)
