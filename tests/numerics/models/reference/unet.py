"""U-Net in the padded form with batch norm."""
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


def unet(*sizes):
    return lambda: initialised(UNet(*sizes))


SMALL, FLAT = " -D c=24 -D depth=3", " -D c=5 -D depth=0"
ODD = " -D c=20 -D depth=1"
CASES = {
    "unet": Case("unet", unet(), Input(1, 3, 96, 80), [INIT, INIT + " --no-winograd"], params=31037633),
    "unet_batch": Case("unet", unet(24, 3), Input(2, 3, 40, 72), [INIT + SMALL, AVX2 + SMALL]),
    "unet_odd": Case("unet", unet(20, 1), Input(1, 3, 30, 46), [INIT + ODD, INIT + ODD + " -D N=1 -D H=30 -D W=46", AVX2 + ODD]),
    "unet_flat": Case("unet", unet(5, 0), Input(1, 3, 7, 1), [INIT + FLAT, AVX2 + FLAT]),
}
