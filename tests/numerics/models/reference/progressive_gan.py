"""Progressive GAN, Karras et al. 2018 (arXiv 1710.10196, table 2): every resolution, with its fade. Names are those of the authors' TensorFlow code, with
dots for slashes."""
import math

import torch
from torch import nn

from cases import AVX2, INIT, SEED, Case, Input, initialised
from init_weights import NORMAL, init_weight

TOP = 8


class Equal(nn.Module):
    """A layer whose weights have variance 1 and are scaled by gain / sqrt(fan_in) where they are used. `kernel` 0 is a dense layer."""

    def __init__(self, i, o, kernel, gain=math.sqrt(2), biases=None):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(o, i, kernel, kernel) if kernel else torch.zeros(o, i))
        self.bias = nn.Parameter(torch.zeros(biases or o))
        self.scale = gain / math.sqrt(i * max(kernel, 1) ** 2)

    def forward(self, x):
        if self.weight.dim() == 4:
            return nn.functional.conv2d(x, self.weight * self.scale, padding=self.weight.shape[2] // 2) + self.bias[:, None, None]
        return x @ (self.weight * self.scale).T


def act(x):
    return nn.functional.leaky_relu(x, 0.2)


def pixelnorm(x):
    return x * torch.rsqrt((x * x).mean(1, keepdim=True) + 1e-8)


def twice(x):
    return nn.functional.interpolate(x, scale_factor=2.0)


class Widths(nn.Module):
    def __init__(self, base, most):
        super().__init__()
        self.base, self.most = base, most

    def width(self, level):
        return min(self.base >> (level + 1), self.most)

    def name(self, level):
        return f"{4 << level}x{4 << level}"


class Generator(Widths):
    def __init__(self, level=8, fade=1.0, base=8192, most=512):
        super().__init__(base, most)
        self.level, self.fade = level, fade
        first = nn.Module()
        first.Dense = Equal(min(base, most), 16 * self.width(0), 0, math.sqrt(2) / 4, self.width(0))
        first.Conv = Equal(self.width(0), self.width(0), 3)
        self.add_module(self.name(0), first)
        for k in range(1, level + 1):
            step = nn.Module()
            step.Conv0_up, step.Conv1 = Equal(self.width(k - 1), self.width(k), 3), Equal(self.width(k), self.width(k), 3)
            self.add_module(self.name(k), step)
        for k in range(level if fade == 1 else level - 1, level + 1):
            self.add_module(f"ToRGB_lod{TOP - k}", Equal(self.width(k), 3, 1, 1))

    def rgb(self, x, k):
        return getattr(self, f"ToRGB_lod{TOP - k}")(x)

    def forward(self, z):
        first = getattr(self, self.name(0))
        x = first.Dense(pixelnorm(z)).view(len(z), self.width(0), 4, 4) + first.Dense.bias[:, None, None]
        x = pixelnorm(act(first.Conv(pixelnorm(act(x)))))
        before = x
        for k in range(1, self.level + 1):
            step, before = getattr(self, self.name(k)), x
            x = pixelnorm(act(step.Conv0_up(twice(x))))
            x = pixelnorm(act(step.Conv1(x)))
        y = self.rgb(x, self.level)
        return y if self.fade == 1 else self.fade * y + (1 - self.fade) * twice(self.rgb(before, self.level - 1))


class Discriminator(Widths):
    def __init__(self, level=8, fade=1.0, base=8192, most=512, group=0):
        super().__init__(base, most)
        self.level, self.fade, self.group = level, fade, group
        for k in range(level if fade == 1 else level - 1, level + 1):
            self.add_module(f"FromRGB_lod{TOP - k}", Equal(3, self.width(k), 1))
        for k in range(level, 0, -1):
            step = nn.Module()
            step.Conv0, step.Conv1_down = Equal(self.width(k), self.width(k), 3), Equal(self.width(k), self.width(k - 1), 3)
            self.add_module(self.name(k), step)
        last, c = nn.Module(), self.width(0)
        last.Conv, last.Dense0, last.Dense1 = Equal(c + 1, c, 3), Equal(16 * c, min(base, most), 0), Equal(min(base, most), 1, 0, 1)
        self.add_module(self.name(0), last)

    def rgb(self, x, k):
        return act(getattr(self, f"FromRGB_lod{TOP - k}")(x))

    def deviation(self, x):
        """The standard deviation over a group of pictures, averaged over all channels and pixels, as one more channel."""
        n, c, h, w = x.shape
        group = self.group or n
        y = x.view(group, n // group, c, h, w)
        y = ((y - y.mean(0)) ** 2).mean(0).add(1e-8).sqrt().mean((1, 2, 3))
        return torch.cat([x, y.repeat(group).view(n, 1, 1, 1).expand(n, 1, h, w)], 1)

    def forward(self, picture):
        x = self.rgb(picture, self.level)
        for k in range(self.level, 0, -1):
            step = getattr(self, self.name(k))
            x = nn.functional.avg_pool2d(act(step.Conv1_down(act(step.Conv0(x)))), 2)
            if k == self.level and self.fade != 1:
                x = self.fade * x + (1 - self.fade) * self.rgb(nn.functional.avg_pool2d(picture, 2), k - 1)
        last = getattr(self, self.name(0))
        x = act(last.Conv(self.deviation(x))).flatten(1)
        x = act(last.Dense0(x) + last.Dense0.bias)
        return (last.Dense1(x) + last.Dense1.bias).flatten()


class Whole(nn.Module):
    def __init__(self, path, net):
        super().__init__()
        self.path = path
        self.add_module(path, net)

    def forward(self, x):
        net = getattr(self, self.path)
        return 0.5 * net(x) + 0.5 if self.path == "G" else net(2 * x - 1)


def equalised(path, kind, *sizes, **more):
    def make():
        net = initialised(Whole(path, kind(*sizes, **more)))
        with torch.no_grad():
            for name, p in net.named_parameters():
                if name.endswith("weight"):
                    p.copy_(torch.from_numpy(init_weight(SEED, name, tuple(p.shape), NORMAL)))
        return net
    return make


def each(options):
    return [INIT + options, AVX2 + options]


def noise(n, size=512):
    return Input(n, size, low=-1.7, high=1.7)


THIN = " -D base=256 -D most=24"
FILE = "examples/progressive_gan.cai"
CASES = {
    "progressive_generator": Case("progressive_gan generator", equalised("G", Generator), noise(1), params=23071507, names=FILE + " generator"),
    "progressive_generator_64": Case("progressive_gan generator", equalised("G", Generator, 4, 0.3), noise(2), each(" -D level=4 -D fade=0.3"),
                                     names=FILE + " generator -D level=4 -D fade=0.3"),
    "progressive_generator_4": Case("progressive_gan generator", equalised("G", Generator, 0, 1, 256, 24), noise(3, 24), each(" -D level=0" + THIN)),
    "progressive_generator_thin": Case("progressive_gan generator", equalised("G", Generator, 3, 0.25, 256, 24), noise(3, 24), each(" -D level=3 -D fade=0.25" + THIN)),
    "progressive_generator_thin_128": Case("progressive_gan generator", equalised("G", Generator, 5, 1, 256, 24), noise(1, 24), each(" -D level=5" + THIN)),
    "progressive_discriminator": Case("progressive_gan discriminator", equalised("D", Discriminator), Input(2, 3, 1024, 1024), params=23077137,
                                      names=FILE + " discriminator"),
    "progressive_discriminator_64": Case("progressive_gan discriminator", equalised("D", Discriminator, 4, 0.3), Input(4, 3, 64, 64),
                                         each(" -D level=4 -D fade=0.3"), names=FILE + " discriminator -D level=4 -D fade=0.3"),
    "progressive_discriminator_4": Case("progressive_gan discriminator", equalised("D", Discriminator, 0, 1, 256, 24), Input(50, 3, 4, 4), each(" -D level=0" + THIN)),
    "progressive_discriminator_thin": Case("progressive_gan discriminator", equalised("D", Discriminator, 3, 0.25, 256, 24, 4), Input(40, 3, 32, 32),
                                           each(" -D level=3 -D fade=0.25 -D group=4" + THIN)),
}
