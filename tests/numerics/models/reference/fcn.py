"""FCN-8s, Long, Shelhamer and Darrell 2015, as the authors' net.py for PASCAL VOC has it (shelhamer/fcn.berkeleyvision.org, voc-fcn8s): a picture padded by
100, pools that round up (Caffe's), crops at 5, 9 and 31, and up-sampling that is learned or a fixed bilinear filter (surgery.interp)."""
import torch
from torch import nn
from torch.nn.functional import conv_transpose2d, max_pool2d

from cases import AVX2, INIT, Case, Input, initialised


class FCN8s(nn.Module):
    def __init__(self, width=64, classes=21, learned=True):
        super().__init__()
        self.learned, i = learned, 3
        for stage, count in enumerate([2, 2, 3, 3, 3], 1):
            for k in range(1, count + 1):
                o = width * min(2 ** (stage - 1), 8)
                self.add_module(f"conv{stage}_{k}", nn.Conv2d(i, o, 3, padding=100 if i == 3 else 1))
                i = o
        self.fc6, self.fc7 = nn.Conv2d(i, 64 * width, 7), nn.Conv2d(64 * width, 64 * width, 1)
        self.score_fr = nn.Conv2d(64 * width, classes, 1)
        self.score_pool3, self.score_pool4 = nn.Conv2d(4 * width, classes, 1), nn.Conv2d(8 * width, classes, 1)
        if learned:
            self.upscore2, self.upscore_pool4 = (nn.ConvTranspose2d(classes, classes, 4, 2, bias=False) for _ in range(2))
            self.upscore8 = nn.ConvTranspose2d(classes, classes, 16, 8, bias=False)

    def up(self, name, factor, x):
        if self.learned:
            return getattr(self, name)(x)
        c, size, middle = x.shape[1], 2 * factor, factor - 0.5
        line = 1 - (torch.arange(size, dtype=x.dtype) - middle).abs() / factor
        weight = torch.zeros(c, c, size, size, dtype=x.dtype)
        weight[range(c), range(c)] = line[:, None] * line
        return conv_transpose2d(x, weight, stride=factor)

    def forward(self, photo):
        x = 255 * photo.flip(1) - torch.tensor([104.00699, 116.66877, 122.67892], dtype=photo.dtype).view(1, 3, 1, 1)
        pools = []
        for stage, count in enumerate([2, 2, 3, 3, 3], 1):
            for k in range(1, count + 1):
                x = torch.relu(getattr(self, f"conv{stage}_{k}")(x))
            x = max_pool2d(x, 2, ceil_mode=True)
            pools.append(x)
        s = self.up("upscore2", 2, self.score_fr(torch.relu(self.fc7(torch.relu(self.fc6(x))))))
        s = self.up("upscore_pool4", 2, s + self.score_pool4(pools[3])[:, :, 5 : 5 + s.shape[2], 5 : 5 + s.shape[3]])
        s = self.up("upscore8", 8, s + self.score_pool3(pools[2])[:, :, 9 : 9 + s.shape[2], 9 : 9 + s.shape[3]])
        return s[:, :, 31 : 31 + photo.shape[2], 31 : 31 + photo.shape[3]]


def fcn(*options):
    return lambda: initialised(FCN8s(*options))


BOTH, FIXED = (INIT, AVX2), [o + " -D learned=false -D width=4" for o in (INIT, AVX2)]
CASES = {
    "fcn8s": Case("fcn8s scores", fcn(), Input(1, 3, 100, 131), params=134489759, names="examples/fcn8s.cai scores"),
    "fcn8s_narrow": Case("fcn8s scores", fcn(4), Input(3, 3, 57, 80), [o + " -D width=4" for o in BOTH] + [INIT + " -D width=4 -D H=57 -D W=80"]),
    "fcn8s_fixed": Case("fcn8s scores", fcn(4, 21, False), Input(1, 3, 96, 33), FIXED),
}
