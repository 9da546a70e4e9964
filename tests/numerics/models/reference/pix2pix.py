"""pix2pix, Isola et al. 2017, and CycleGAN, Zhu et al. 2017, with the names of the authors' PyTorch code."""
import torch
from torch import nn

from cases import AVX2, INIT, Case, Input, Under, initialised


class Level(nn.Module):
    """One level of the U-Net, with those within."""

    def __init__(self, widths):
        super().__init__()
        outer, inner = widths[:2]
        within = [nn.BatchNorm2d(inner), Level(widths[1:])] if len(widths) > 2 else []
        self.model = nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, 2, 1, bias=False), *within, nn.ReLU(),
                                   nn.ConvTranspose2d(2 * inner if within else inner, outer, 4, 2, 1, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x):
        return torch.cat([x, self.model(x)], 1)


class UNetGenerator(nn.Module):
    def __init__(self, c=64, depth=8):
        super().__init__()
        widths = [c * min(2**i, 8) for i in range(depth)]
        self.model = nn.Module()
        self.model.model = nn.Sequential(nn.Conv2d(3, c, 4, 2, 1, bias=False), Level(widths), nn.ReLU(), nn.ConvTranspose2d(2 * c, 3, 4, 2, 1), nn.Tanh())

    def forward(self, x):
        return self.model.model(x)


class PatchGAN(nn.Module):
    """`norm` makes a norm; with batch norm the convolutions before it have no bias."""

    def __init__(self, channels, layers=3, c=64, norm=nn.BatchNorm2d):
        super().__init__()
        bias = norm is not nn.BatchNorm2d
        stack, i = [nn.Conv2d(channels, c, 4, 2, 1), nn.LeakyReLU(0.2)], c
        for k in range(1, layers + 1):
            o = c * min(2**k, 8)
            stack += [nn.Conv2d(i, o, 4, 1 if k == layers else 2, 1, bias=bias), norm(o), nn.LeakyReLU(0.2)]
            i = o
        self.model = nn.Sequential(*stack, nn.Conv2d(i, 1, 4, 1, 1))

    def forward(self, *pictures):
        return self.model(torch.cat(pictures, 1))


class PictureOrPair(nn.Module):
    """D of a photograph, or of a picture and what was made of it."""

    def __init__(self, net):
        super().__init__()
        self.D = net

    def forward(self, *pictures):
        return self.D(*(2 * p - 1 for p in pictures))


class ResidualBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv_block = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3), nn.InstanceNorm2d(c), nn.ReLU(),
                                        nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3), nn.InstanceNorm2d(c))

    def forward(self, x):
        return x + self.conv_block(x)


class ResNetGenerator(nn.Module):
    def __init__(self, c=64, blocks=9):
        super().__init__()
        step = lambda conv, o: [conv, nn.InstanceNorm2d(o), nn.ReLU()]
        self.model = nn.Sequential(
            nn.ReflectionPad2d(3), *step(nn.Conv2d(3, c, 7), c),
            *step(nn.Conv2d(c, 2 * c, 3, 2, 1), 2 * c), *step(nn.Conv2d(2 * c, 4 * c, 3, 2, 1), 4 * c),
            *(ResidualBlock(4 * c) for _ in range(blocks)),
            *step(nn.ConvTranspose2d(4 * c, 2 * c, 3, 2, 1, 1), 2 * c), *step(nn.ConvTranspose2d(2 * c, c, 3, 2, 1, 1), c),
            nn.ReflectionPad2d(3), nn.Conv2d(c, 3, 7), nn.Tanh())

    def forward(self, x):
        return self.model(x)


def unet(*sizes):
    return lambda: initialised(Under("G", UNetGenerator(*sizes), takes=True, gives=True))


def resnet(*sizes):
    return lambda: initialised(Under("G_A", ResNetGenerator(*sizes), takes=True, gives=True))


def pair(*sizes):
    return lambda: initialised(PictureOrPair(PatchGAN(6, *sizes)))


def single(*sizes):
    return lambda: initialised(Under("D_A", PatchGAN(3, *sizes, norm=nn.InstanceNorm2d), takes=True))


def each(options):
    return [INIT + options, AVX2 + options]


def pictures(*shape):
    return {"before": Input(*shape), "after": Input(*shape)}


CASES = {
    "pix2pix": Case("pix2pix translate", unet(), Input(1, 3, 256, 256), params=54413955, names="examples/pix2pix.cai translate"),
    "pix2pix_thin": Case("pix2pix translate", unet(6), Input(3, 3, 256, 256), each(" -D ngf=6")),
    "pix2pix_flat": Case("pix2pix translate", unet(6, 5), Input(2, 3, 64, 96), each(" -D ngf=6 -D depth=5")),
    "pix2pix_discriminator": Case("pix2pix discriminator", pair(), pictures(1, 3, 256, 256), params=2768705, names="examples/pix2pix.cai discriminator"),
    "pix2pix_discriminator_16": Case("pix2pix discriminator", pair(1, 10), pictures(3, 3, 37, 50), each(" -D layers=1 -D ndf=10")),
    "pix2pix_discriminator_286": Case("pix2pix discriminator", pair(5, 6), pictures(2, 3, 256, 224), each(" -D layers=5 -D ndf=6"),
                                 names="examples/pix2pix.cai discriminator -D layers=5 -D ndf=6"),
    "cyclegan": Case("cyclegan translate", resnet(), Input(1, 3, 96, 128), params=11378179, names="examples/cyclegan.cai translate"),
    "cyclegan_6": Case("cyclegan translate", resnet(64, 6), Input(1, 3, 64, 64), each(" -D blocks=6"), names="examples/cyclegan.cai translate -D blocks=6"),
    "cyclegan_thin": Case("cyclegan translate", resnet(8, 3), Input(3, 3, 44, 60), each(" -D ngf=8 -D blocks=3")),
    "cyclegan_discriminator": Case("cyclegan discriminator", single(), Input(1, 3, 128, 160), params=2764737, names="examples/cyclegan.cai discriminator"),
    "cyclegan_discriminator_thin": Case("cyclegan discriminator", single(3, 8), Input(3, 3, 70, 81), each(" -D ndf=8")),
}
