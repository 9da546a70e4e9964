"""A small SegNet on flat bars, whose places are equals: sums are in one order at all of them, which no library promises."""
import torch
from torch import nn
from torch.nn import functional as F

from cases import Case, Input, initialised


class Conv(nn.Conv2d):
    """Tap by tap and channel by channel, each over the whole map: the same bits wherever the windows are the same."""

    def forward(self, x):
        height, width = x.shape[2:]
        padded, y = F.pad(x, (1, 1, 1, 1)), torch.zeros(x.shape[0], self.out_channels, height, width, dtype=x.dtype)
        for c in range(self.in_channels):
            for i in range(9):
                y = y + self.weight[None, :, c, i // 3, i % 3, None, None] * padded[:, c, None, i // 3 : i // 3 + height, i % 3 : i % 3 + width]
        return y + self.bias[None, :, None, None]


def twice(before, after):
    """Positions as in cai: conv, conv_2."""
    return nn.ModuleDict({"conv": Conv(before, after, 3), "conv_2": Conv(after, after, 3)})


class SegNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1, self.down2, self.down3 = twice(3, 16), twice(16, 32), twice(32, 32)
        self.up3, self.up2, self.up1, self.last = twice(32, 32), twice(32, 16), Conv(16, 16, 3), Conv(16, 4, 3)

    def forward(self, bars):
        run = lambda pair, x: F.relu(pair["conv_2"](F.relu(pair["conv"](x))))
        x, places = F.interpolate(bars, size=(96, 104)), []
        for pair in (self.down1, self.down2, self.down3):
            x, at = F.max_pool2d(run(pair, x), 2, return_indices=True)
            places.append(at)
        for pair in (self.up3, self.up2):
            x = run(pair, F.max_unpool2d(x, places.pop(), 2))
        return {"map": self.last(F.relu(self.up1(F.max_unpool2d(x, places.pop(), 2))))}


CASES = {"flat_bars": Case("flat_bars", lambda: initialised(SegNet()), {"bars": Input(2, 3, 6, 5, low=-1)}, samples=4000)}
