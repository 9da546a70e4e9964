"""Makes the expected outputs of whole models in this folder, with PyTorch: /usr/bin/python3 tests/numerics/models/make.py [CASE...]

A case is a file of lines. `model`, `options` and `input` say how tests/numerics/run gets our result: which file of this folder or of examples/ is built
with which options (each line of them is a build of its own), and the shape of the input, whose element i is u(SEED, "input", i) of docs/weights.md, in 0..1. `rms` is the root of the mean square
of the error of PyTorch's own f32 against its float64, over the samples; then come the samples, an index into the output and its float64 value.
Ours must have at most twice that error, four times where it convolves by Winograd. Networks that are not torchvision's are written here from their papers.
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


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        n, l, c = x.shape
        q, k, v = self.qkv(x).reshape(n, l, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) / (c // self.heads) ** 0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(n, l, c))


class TransformerLayer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.attn, self.norm2 = nn.LayerNorm(width, eps=1e-6), Attention(width, heads), nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp["fc2"](nn.functional.gelu(self.mlp["fc1"](self.norm2(x))))


class ViT(nn.Module):
    def __init__(self, width=48, depth=3, heads=3, patch=8, patches=35):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, width, patch, patch)
        self.cls_token, self.pos_embed = nn.Parameter(torch.zeros(1, 1, width)), nn.Parameter(torch.zeros(1, patches + 1, width))
        self.blocks, self.norm = nn.Sequential(*(TransformerLayer(width, heads) for _ in range(depth))), nn.LayerNorm(width, eps=1e-6)

    def forward(self, x):
        t = self.patch_embed(x).flatten(2).transpose(1, 2)
        t = torch.cat([self.cls_token.expand(len(t), -1, -1), t], 1) + self.pos_embed
        return self.norm(self.blocks(t))


class ShuffleUnit(nn.Module):
    def __init__(self, c, groups, stride=1, dilation=1):
        super().__init__()
        self.groups, self.stride = groups, stride
        self.gconv1, self.bn1 = nn.Conv2d(c, c, 1, groups=groups, bias=False), nn.BatchNorm2d(c)
        self.dw, self.bn2 = nn.Conv2d(c, c, 3, stride, dilation, dilation, groups=c, bias=False), nn.BatchNorm2d(c)
        self.gconv2, self.bn3 = nn.Conv2d(c, c, 3, padding=1, groups=groups, bias=False), nn.BatchNorm2d(c)

    def forward(self, x):
        y = torch.relu(self.bn1(self.gconv1(x)))
        n, c, h, w = y.shape
        y = y.view(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w)
        y = self.bn3(self.gconv2(self.bn2(self.dw(y))))
        return torch.relu(x + y if self.stride == 1 else torch.cat([nn.functional.avg_pool2d(x, 3, 2, 1), y], 1))


class Shuffle(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 3, 2, 1)
        self.stage = nn.Sequential(ShuffleUnit(24, 3, stride=2), ShuffleUnit(48, 4), ShuffleUnit(48, 2, dilation=2), ShuffleUnit(48, 16, stride=2))

    def forward(self, x):
        return self.stage(nn.functional.max_pool2d(self.stem(x), 2, ceil_mode=True))


class StyleStep(nn.Module):
    def __init__(self, i, o, kernel, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(i, o, kernel, stride, kernel // 2, padding_mode="reflect")
        self.norm = nn.InstanceNorm2d(o, affine=True)

    def forward(self, x):
        return self.norm(self.conv(x))


class StyleResidual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.one, self.two = StyleStep(c, c, 3), StyleStep(c, c, 3)

    def forward(self, x):
        return x + self.two(torch.relu(self.one(x)))


class Style(nn.Module):
    def __init__(self, c=12):
        super().__init__()
        self.a, self.b, self.d = StyleStep(3, c, 9), StyleStep(c, 2 * c, 3, 2), StyleStep(2 * c, 4 * c, 3, 2)
        self.res = nn.Sequential(StyleResidual(4 * c), StyleResidual(4 * c))
        self.e, self.f = StyleStep(4 * c, 2 * c, 3), StyleStep(2 * c, c, 3)
        self.last = nn.Conv2d(c, 3, 9, padding=4, padding_mode="reflect")

    def forward(self, x):
        for step in (self.a, self.b, self.d):
            x = torch.relu(step(x))
        x = self.res(x)
        for step in (self.e, self.f):
            x = torch.relu(step(nn.functional.interpolate(x, scale_factor=2.0)))
        return 0.5 * torch.tanh(self.last(x)) + 0.5


class Generator(nn.Module):
    def __init__(self, c=20):
        super().__init__()
        self.code = nn.Conv2d(3, 2 * c, 4, 2, 1)
        self.up1, self.bn1 = nn.ConvTranspose2d(2 * c, c, 4, 2, 1, bias=False), nn.BatchNorm2d(c)
        self.up2, self.prelu = nn.ConvTranspose2d(c, c, 3, 2, 1, 1, groups=5), nn.PReLU(c)
        self.up3 = nn.ConvTranspose2d(c, c // 2, (3, 2), (1, 2), dilation=(2, 1))
        self.up4 = nn.ConvTranspose2d(c // 2, 3, 5, 3, 1)

    def forward(self, x):
        x = nn.functional.leaky_relu(self.code(x), 0.2)
        x = self.prelu(self.up2(torch.relu(self.bn1(self.up1(x)))))
        return torch.sigmoid(self.up4(nn.functional.silu(self.up3(x))))


def initialised(net):
    net.load_state_dict(init_state_dict(net.state_dict(), SEED))
    for module in net.modules():
        if isinstance(module, nn.PReLU):  # declared with init = 0.25, which --init keeps
            nn.init.constant_(module.weight, 0.25)
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


def resnet50():
    return Normalized(initialised(torchvision.models.resnet50()))


def mobilenet_v2():
    return Normalized(initialised(torchvision.models.mobilenet_v2()))


INIT, AVX2, WEIGHTS = f"--init {SEED} ", "--target x86-64-v3 ", "examples/denoise.safetensors"
CASES = {  # name: (file, options of cai build, network, input shape)
    "resnet18": ("resnet18", [INIT, INIT + AVX2, INIT + "-D N=1", INIT + "--no-winograd"], resnet18, (1, 3, 224, 224)),
    "resnet18_batch": ("resnet18", [INIT], resnet18, (3, 3, 224, 224)),
    "resnet50": ("resnet50", [INIT, INIT + AVX2], resnet50, (1, 3, 224, 224)),
    "mobilenet_v2": ("mobilenet_v2", [INIT, INIT + AVX2, INIT + "-D N=2"], mobilenet_v2, (2, 3, 224, 224)),
    "unet": ("unet", [INIT, INIT + "--no-winograd"], lambda: initialised(UNet()), (1, 3, 96, 80)),
    "unet_batch": ("unet", [INIT + "-D c=24 -D depth=3", INIT + AVX2 + "-D c=24 -D depth=3"], lambda: initialised(UNet(24, 3)), (2, 3, 40, 72)),
    "unet_odd": ("unet", [INIT + "-D c=20 -D depth=1", INIT + "-D c=20 -D depth=1 -D N=1 -D H=30 -D W=46", INIT + AVX2 + "-D c=20 -D depth=1"],
                 lambda: initialised(UNet(20, 1)), (1, 3, 30, 46)),
    "unet_flat": ("unet", [INIT + "-D c=5 -D depth=0", INIT + AVX2 + "-D c=5 -D depth=0"], lambda: initialised(UNet(5, 0)), (1, 3, 7, 1)),
    "vit": ("vit", [INIT, INIT + AVX2, INIT + "-D N=3"], lambda: initialised(ViT()), (3, 3, 40, 56)),
    "shuffle": ("shuffle", [INIT, INIT + AVX2, INIT + "-D N=2 -D H=75 -D W=101"], lambda: initialised(Shuffle()), (2, 3, 75, 101)),
    "style": ("style", [INIT, INIT + AVX2, INIT + "-D N=1 -D H=36 -D W=52"], lambda: initialised(Style()), (1, 3, 36, 52)),
    "narrow": ("narrow", [INIT, INIT + "-D N=1 -D H=7 -D W=1", INIT + AVX2 + "-D H=7 -D W=1"], lambda: initialised(nn.Sequential(
        nn.Conv2d(8, 32, 1), nn.ReLU(), nn.Conv2d(32, 40, 1), nn.Conv2d(40, 33, 3, padding=1), nn.ConvTranspose2d(33, 32, 2, stride=3))),
        (1, 8, 7, 1)),
    "generator": ("generator", [INIT, INIT + AVX2, INIT + "-D H=13"], lambda: initialised(Generator()), (2, 3, 13, 10)),
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


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        make(case)
