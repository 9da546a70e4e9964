"""HRNet for poses, Sun et al. 2019 ("Deep High-Resolution Representation Learning for Human Pose Estimation"). Names are the authors'."""
import torch
from torch import nn
from torch.nn import functional as F

from cases import AVX2, INIT, Case, Input, Normalized, initialised


def conv_bn(i, o, kernel=3, stride=1, relu=True):
    layers = [nn.Conv2d(i, o, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(o)]
    return nn.Sequential(*layers, nn.ReLU()) if relu else nn.Sequential(*layers)


class Basic(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)
        self.conv2, self.bn2 = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)

    def forward(self, x):
        return F.relu(x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class Bottleneck(nn.Module):
    def __init__(self, i, c):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, c, 1, bias=False), nn.BatchNorm2d(c)
        self.conv2, self.bn2 = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)
        self.conv3, self.bn3 = nn.Conv2d(c, 4 * c, 1, bias=False), nn.BatchNorm2d(4 * c)
        if i != 4 * c:
            self.downsample = conv_bn(i, 4 * c, 1, relu=False)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(y)))))
        return F.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))


class Exchange(nn.Module):
    """Four basic blocks on every branch, then each of the first `outputs` branches gets the sum of all."""

    def __init__(self, channels, outputs):
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(Basic(c) for _ in range(4))) for c in channels)
        self.fuse_layers = nn.ModuleList()
        for i in range(outputs):
            row = nn.ModuleList()
            for j, c in enumerate(channels):
                if j > i:
                    row.append(nn.Sequential(*conv_bn(c, channels[i], 1, relu=False), nn.Upsample(scale_factor=2 ** (j - i), mode="nearest")))
                elif j == i:
                    row.append(nn.Identity())
                else:
                    downs = [conv_bn(c, c, stride=2) for _ in range(i - j - 1)]
                    row.append(nn.Sequential(*downs, conv_bn(c, channels[i], stride=2, relu=False)))
            self.fuse_layers.append(row)

    def forward(self, xs):
        xs = [branch(x) for branch, x in zip(self.branches, xs)]
        return [F.relu(sum(layer(x) for layer, x in zip(row, xs))) for row in self.fuse_layers]


class Stage(nn.Sequential):
    def __init__(self, channels, modules, last=False):
        super().__init__(*(Exchange(channels, 1 if last and m == modules - 1 else len(channels)) for m in range(modules)))


class PoseHRNet(nn.Module):
    def __init__(self, width, joints=17):
        super().__init__()
        c = [width << i for i in range(4)]
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64)
        self.conv2, self.bn2 = nn.Conv2d(64, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(*(Bottleneck(64 if i == 0 else 256, 64) for i in range(4)))
        self.transition1 = nn.ModuleList([conv_bn(256, c[0]), nn.Sequential(conv_bn(256, c[1], stride=2))])
        self.stage2 = Stage(c[:2], 1)
        self.transition2 = nn.ModuleList([nn.Identity(), nn.Identity(), nn.Sequential(conv_bn(c[1], c[2], stride=2))])
        self.stage3 = Stage(c[:3], 4)
        self.transition3 = nn.ModuleList([nn.Identity()] * 3 + [nn.Sequential(conv_bn(c[2], c[3], stride=2))])
        self.stage4 = Stage(c, 3, last=True)
        self.final_layer = nn.Conv2d(c[0], joints, 1)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer1(F.relu(self.bn2(self.conv2(x))))
        xs = self.stage2([down(x) for down in self.transition1])
        xs = self.stage3(xs + [self.transition2[2](xs[-1])])
        xs = self.stage4(xs + [self.transition3[3](xs[-1])])
        return self.final_layer(xs[0])


class Found(Normalized):
    """Boxes of 7 by 7 pixels of the input around the joints, which are found as by the authors' get_final_preds."""

    def forward(self, picture):
        maps = super().forward(picture)
        n, k, h, w = maps.shape
        found = torch.zeros(n, k, 6, dtype=maps.dtype)
        for i in range(n):
            for j in range(k):
                m = maps[i, j]
                y, x = divmod(int(m.argmax()), w)
                score, right, down = m[y, x], 0, 0
                if 0 < x < w - 1 and 0 < y < h - 1:
                    right, down = 0.25 * torch.sign(m[y, x + 1] - m[y, x - 1]), 0.25 * torch.sign(m[y + 1, x] - m[y - 1, x])
                x, y = 4 * (x + right), 4 * (y + down)
                found[i, j] = torch.tensor([x - 3, y - 3, x + 3, y + 3, score, j], dtype=maps.dtype)
        return found


def pose(width, head=Found):
    return lambda: head(initialised(PoseHRNet(width)))


THIN = " -D width=8"
SMALL = THIN + " -D height=128 -D wide=96"
CASES = {
    "hrnet": Case("hrnet", pose(32), Input(1, 3, 256, 192), [INIT, AVX2], params=28536113, names="examples/hrnet.cai"),
    "hrnet_thin": Case("hrnet", pose(8), Input(3, 3, 128, 96), [INIT + SMALL, AVX2 + SMALL, INIT + SMALL + " -D N=3"]),
    "hrnet_maps": Case("hrnet maps", pose(32, Normalized), Input(1, 3, 256, 192), [INIT, AVX2], params=28536113),
    "hrnet_maps_thin": Case("hrnet maps", pose(8, Normalized), Input(3, 3, 96, 160), [INIT + THIN, AVX2 + THIN]),
}
