"""GoogLeNet and Inception-v3 of torchvision, and Inception-v4 written from the paper (Szegedy et al. 2016, figures 3 to 9) by timm's names."""
import torch
import torchvision
from torch import nn

from cases import AVX2, INIT, Case, Input, Normalized, initialised


class Unit(nn.Module):
    """Convolution, batch norm, ReLU; "V" in the figures is pad = 0."""

    def __init__(self, inputs, outputs, kernel, stride=1, pad=None):
        super().__init__()
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        pad = (kernel[0] // 2, kernel[1] // 2) if pad is None else pad
        self.conv, self.bn = nn.Conv2d(inputs, outputs, kernel, stride, pad, bias=False), nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)))


def units(inputs, *steps):
    """A Unit a step, (outputs, kernel, ...), each of the one before it."""
    layers = []
    for step in steps:
        layers.append(Unit(inputs, *step))
        inputs = step[0]
    return nn.Sequential(*layers)


def pooled(inputs, outputs):
    return nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), Unit(inputs, outputs, 1))


class Branches(nn.Module):
    """All branches of one input, named branch0, branch1, ..., their channels after each other; a pool among them has no weights."""

    def __init__(self, *branches, names=None):
        super().__init__()
        self.names = names or [f"branch{i}" for i in range(len(branches))]
        for name, branch in zip(self.names, branches):
            self.add_module(name, branch)

    def forward(self, x):
        return torch.cat([getattr(self, name)(x) for name in self.names], 1)


class InceptionC(nn.Module):
    def __init__(self):
        super().__init__()
        self.branch0 = Unit(1536, 256, 1)
        self.branch1_0, self.branch1_1a, self.branch1_1b = Unit(1536, 384, 1), Unit(384, 256, (1, 3)), Unit(384, 256, (3, 1))
        self.branch2_0, self.branch2_1, self.branch2_2 = Unit(1536, 384, 1), Unit(384, 448, (3, 1)), Unit(448, 512, (1, 3))
        self.branch2_3a, self.branch2_3b = Unit(512, 256, (1, 3)), Unit(512, 256, (3, 1))
        self.branch3 = pooled(1536, 256)

    def forward(self, x):
        one, two = self.branch1_0(x), self.branch2_2(self.branch2_1(self.branch2_0(x)))
        return torch.cat([self.branch0(x), self.branch1_1a(one), self.branch1_1b(one), self.branch2_3a(two), self.branch2_3b(two), self.branch3(x)], 1)


def inception_a():
    return Branches(Unit(384, 96, 1), units(384, (64, 1), (96, 3)), units(384, (64, 1), (96, 3), (96, 3)), pooled(384, 96))


def inception_b():
    return Branches(Unit(1024, 384, 1), units(1024, (192, 1), (224, (1, 7)), (256, (7, 1))),
                    units(1024, (192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7))), pooled(1024, 128))


class InceptionV4(nn.Module):
    def __init__(self, a=4, b=7, c=3, classes=1000):
        super().__init__()
        halved, pool = (2, 0), nn.MaxPool2d(3, 2)
        self.features = nn.Sequential(
            Unit(3, 32, 3, 2, 0), Unit(32, 32, 3, 1, 0), Unit(32, 64, 3),
            Branches(pool, Unit(64, 96, 3, *halved), names=["maxpool", "conv"]),
            Branches(units(160, (64, 1), (96, 3, 1, 0)), units(160, (64, 1), (64, (1, 7)), (64, (7, 1)), (96, 3, 1, 0))),
            Branches(Unit(192, 192, 3, *halved), pool, names=["conv", "maxpool"]),
            *(inception_a() for _ in range(a)),
            Branches(Unit(384, 384, 3, *halved), units(384, (192, 1), (224, 3), (256, 3, *halved)), pool),
            *(inception_b() for _ in range(b)),
            Branches(units(1024, (192, 1), (192, 3, *halved)), units(1024, (256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3, *halved)), pool),
            *(InceptionC() for _ in range(c)))
        self.last_linear = nn.Linear(1536, classes)

    def forward(self, x):
        return self.last_linear(self.features(x).mean((2, 3)))


def torchvision_net(name):
    return lambda: Normalized(initialised(getattr(torchvision.models, name)(init_weights=False, transform_input=True)))


def v4(*counts):
    return lambda: Normalized(initialised(InceptionV4(*counts)), (0.5,) * 3, (0.5,) * 3)


SMALL = " -D size=107 -D a=1 -D b=1 -D c=1"
CASES = {
    "googlenet": Case("googlenet", torchvision_net("googlenet"), Input(3, 3, 224, 224), [INIT, AVX2], params=13004888,
                      names="examples/googlenet.cai", unused=r"aux[12]\..*"),
    "inception_v3": Case("inception_v3", torchvision_net("inception_v3"), Input(1, 3, 299, 299), [INIT, AVX2], params=27161264,
                         names="examples/inception_v3.cai", unused=r"AuxLogits\..*"),
    "inception_v3_small": Case("inception_v3", torchvision_net("inception_v3"), Input(3, 3, 107, 107), [INIT + " -D size=107"], params=27161264),
    "inception_v4": Case("inception_v4", v4(), Input(1, 3, 299, 299), [INIT, AVX2], params=42679816, names="examples/inception_v4.cai"),
    "inception_v4_small": Case("inception_v4", v4(1, 1, 1), Input(2, 3, 107, 107), [INIT + SMALL, AVX2 + SMALL]),
}
