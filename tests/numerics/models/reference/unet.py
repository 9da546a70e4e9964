"""U-Net: in the padded form with batch norm, and as published in 2015."""
import torch
from torch import nn

from cases import AVX2, INIT, Case, Input, initialised


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


def valid_pair(i, o):
    return nn.Sequential(nn.Conv2d(i, o, 3), nn.ReLU(), nn.Conv2d(o, o, 3), nn.ReLU())


class ValidLevel(nn.Module):
    """The figure of the paper: a border is lost by every convolution, and what is copied across loses it by a crop."""

    def __init__(self, i, c, depth):
        super().__init__()
        self.depth, self.down = depth, valid_pair(i, c)
        if depth:
            self.inner = ValidLevel(c, 2 * c, depth - 1)
            self.upconv = nn.ConvTranspose2d(2 * c, c, 2, stride=2)
            self.up = valid_pair(2 * c, c)

    def forward(self, x):
        e = self.down(x)
        if not self.depth:
            return e
        d = self.upconv(self.inner(nn.functional.max_pool2d(e, 2)))
        top, left = (e.shape[2] - d.shape[2]) // 2, (e.shape[3] - d.shape[3]) // 2
        return self.up(torch.cat([e[:, :, top : top + d.shape[2], left : left + d.shape[3]], d], 1))


class UNet2015(nn.Module):
    def __init__(self, c=64):
        super().__init__()
        self.level, self.head = ValidLevel(1, c, 4), nn.Conv2d(c, 2, 1)

    def forward(self, x):
        return self.head(self.level(x))


class Mirrored(nn.Module):
    """Of a picture of any size: 92 pixels more at each side, and below and at the right what makes the network's sizes even."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        h, w = x.shape[2:]
        y = self.net(nn.functional.pad(x, (92, 92 + (4 - w) % 16, 92, 92 + (4 - h) % 16), mode="reflect"))
        return torch.softmax(y, 1)[:, 1:2, :h, :w]


def unet(*sizes):
    return lambda: initialised(UNet(*sizes))


def published(c=64):
    return initialised(UNet2015(c))


SMALL, FLAT = " -D c=24 -D depth=3", " -D c=5 -D depth=0"
ODD = " -D c=20 -D depth=1"
CASES = {
    "unet": Case("unet", unet(), Input(1, 3, 96, 80), [INIT, INIT + " --no-winograd"], params=31037633),
    "unet_batch": Case("unet", unet(24, 3), Input(2, 3, 40, 72), [INIT + SMALL, AVX2 + SMALL]),
    "unet_odd": Case("unet", unet(20, 1), Input(1, 3, 30, 46), [INIT + ODD, INIT + ODD + " -D N=1 -D H=30 -D W=46", AVX2 + ODD]),
    "unet_flat": Case("unet", unet(5, 0), Input(1, 3, 7, 1), [INIT + FLAT, AVX2 + FLAT]),
    "unet_2015": Case("unet_2015 tile", published, Input(1, 1, 572, 572), params=31030658, names="examples/unet_2015.cai tile"),
    "unet_2015_small": Case("unet_2015 tile", lambda: published(12), Input(3, 1, 204, 204), [o + " -D c=12 -D size=204" for o in (INIT, AVX2)]),
    "unet_2015_mirrored": Case("unet_2015 unet_2015", lambda: Mirrored(published(12)), Input(2, 1, 127, 114), [o + " -D c=12" for o in (INIT, AVX2)]),
}
