"""ENet, Paszke et al. 2016, from table 1 and figure 2 of the paper, with what only the authors' program (e-lab/ENet-training) tells: biases of the middle
convolutions, a slope for each channel, an epsilon of 1e-3, no norm behind the last layer."""
import torch
from torch import nn
from torch.nn.functional import max_pool2d, max_unpool2d, pad

from cases import AVX2, INIT, Case, Input, initialised


class Unit(nn.Module):
    def __init__(self, conv, c, active=True):
        super().__init__()
        self.conv, self.bn = conv, nn.BatchNorm2d(c, eps=1e-3)
        if active:
            self.active = nn.PReLU(c)

    def forward(self, x):
        y = self.bn(self.conv(x))
        return self.active(y) if hasattr(self, "active") else y


class Initial(Unit):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 13, 3, 2, 1), 16)

    def forward(self, x):
        return self.active(self.bn(torch.cat([self.conv(x), max_pool2d(x, 2)], 1)))


class Encode(nn.Module):
    def __init__(self, i, o, down=False, dilation=1, asymmetric=False):
        super().__init__()
        n, k = o // 4, 2 if down else 1
        self.down, self.more = down, o - i
        self.project = Unit(nn.Conv2d(i, n, k, k, bias=False), n)
        if asymmetric:
            self.middle = Unit(nn.Sequential(nn.Conv2d(n, n, (1, 5), padding=(0, 2), bias=False), nn.Conv2d(n, n, (5, 1), padding=(2, 0))), n)
        else:
            self.middle = Unit(nn.Conv2d(n, n, 3, padding=dilation, dilation=dilation), n)
        self.expand, self.out = Unit(nn.Conv2d(n, o, 1, bias=False), o, active=False), nn.PReLU(o)

    def forward(self, x):
        y = self.expand(self.middle(self.project(x)))
        places = None
        if self.down:
            x, places = max_pool2d(x, 2, return_indices=True)
        y = self.out(y + pad(x, (0, 0, 0, 0, 0, self.more)))
        return (y, places) if self.down else y


class Decode(nn.Module):
    def __init__(self, i, o, up=False):
        super().__init__()
        n = o // 4
        self.project = Unit(nn.Conv2d(i, n, 1, bias=False), n, active=False)
        self.middle = Unit(nn.ConvTranspose2d(n, n, 3, 2, 1, 1) if up else nn.Conv2d(n, n, 3, padding=1), n, active=False)
        self.expand = Unit(nn.Conv2d(n, o, 1, bias=False), o, active=False)
        if up:
            self.skip = Unit(nn.Conv2d(i, o, 1, bias=False), o, active=False)

    def forward(self, x, places=None):
        y = self.expand(torch.relu(self.middle(torch.relu(self.project(x)))))
        if places is not None:
            x = max_unpool2d(self.skip(x), places, 2)
        return torch.relu(x + y)


def context():
    kinds = [{}, {"dilation": 2}, {"asymmetric": True}, {"dilation": 4}, {}, {"dilation": 8}, {"asymmetric": True}, {"dilation": 16}]
    return {str(k + 1): Encode(128, 128, **kind) for k, kind in enumerate(kinds)}


class ENet(nn.Module):
    def __init__(self, classes=19):
        super().__init__()
        self.initial = Initial()
        self.bottleneck1 = nn.ModuleDict({"0": Encode(16, 64, down=True)} | {str(k): Encode(64, 64) for k in range(1, 5)})
        self.bottleneck2 = nn.ModuleDict({"0": Encode(64, 128, down=True)} | context())
        self.bottleneck3 = nn.ModuleDict(context())
        self.bottleneck4 = nn.ModuleDict({"0": Decode(128, 64, up=True), "1": Decode(64, 64), "2": Decode(64, 64)})
        self.bottleneck5 = nn.ModuleDict({"0": Decode(64, 16, up=True), "1": Decode(16, 16)})
        self.fullconv = nn.ConvTranspose2d(16, classes, 2, 2)

    def forward(self, x):
        x = self.initial(x)
        found = []
        for stage in (self.bottleneck1, self.bottleneck2, self.bottleneck3):
            for key, block in stage.items():
                x = block(x)
                if isinstance(x, tuple):
                    x, places = x
                    found.append(places)
        for stage in (self.bottleneck4, self.bottleneck5):
            for key, block in stage.items():
                x = block(x, found.pop()) if key == "0" else block(x)
        return self.fullconv(x)


# Max unpooling goes to one place or its neighbour, so two numbers of a window that rounding could swap would be no test of anything: of random
# pictures 640 wide most have such windows; in street13 the nearest two, of numbers around 1, are 1.6e-6 apart.
CASES = {
    "enet": Case("enet scores", lambda: initialised(ENet()), {"street13": Input(1, 3, 360, 640)}, params=364311, names="examples/enet.cai scores"),
    "enet_batch": Case("enet scores", lambda: initialised(ENet()), Input(3, 3, 96, 80), [INIT, AVX2, INIT + " -D N=3 -D H=96 -D W=80"]),
}
