"""Yu and Koltun 2016, "Multi-Scale Context Aggregation by Dilated Convolutions": section 4's front end, table 1's context modules, and the two together as
the authors' network for PASCAL VOC has them (fyu/dilation, models/dilation8_pascal_voc_deploy.prototxt; layers have its names)."""
from collections import OrderedDict

import torch
from torch import nn
from torch.nn.functional import max_pool2d, pad

from cases import AVX2, INIT, Case, Input, initialised


class FrontEnd(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        w = width
        plan = [("1_1", 3, w), ("1_2", w, w), ("2_1", w, 2 * w), ("2_2", 2 * w, 2 * w), ("3_1", 2 * w, 4 * w), ("3_2", 4 * w, 4 * w), ("3_3", 4 * w, 4 * w),
                ("4_1", 4 * w, 8 * w), ("4_2", 8 * w, 8 * w), ("4_3", 8 * w, 8 * w), ("5_1", 8 * w, 8 * w), ("5_2", 8 * w, 8 * w), ("5_3", 8 * w, 8 * w)]
        for name, i, o in plan:
            self.add_module("conv" + name, nn.Conv2d(i, o, 3, dilation=2 if name[0] == "5" else 1))
        self.fc6, self.fc7 = nn.Conv2d(8 * w, 64 * w, 7, dilation=4), nn.Conv2d(64 * w, 64 * w, 1)
        self.add_module("fc-final", nn.Conv2d(64 * w, 21, 1))

    def forward(self, x):
        mean = torch.tensor([102.93, 111.36, 116.52], dtype=x.dtype).view(1, 3, 1, 1)
        x = pad(255 * x.flip(1) - mean, (186,) * 4, mode="reflect")
        layers = dict(self.named_children())
        for name in ("conv1_1", "conv1_2", "pool", "conv2_1", "conv2_2", "pool", "conv3_1", "conv3_2", "conv3_3", "pool",
                     "conv4_1", "conv4_2", "conv4_3", "conv5_1", "conv5_2", "conv5_3", "fc6", "fc7"):
            x = max_pool2d(x, 2) if name == "pool" else torch.relu(layers[name](x))
        return layers["fc-final"](x)


def module(c, widths, once):
    """Table 1; `once` pads by 33 before the first layer, else each layer keeps the size."""
    layers, i = OrderedDict(), c
    names = ["ct_conv1_1", "ct_conv1_2", "ct_conv2_1", "ct_conv3_1", "ct_conv4_1", "ct_conv5_1", "ct_fc1"]
    for k, (name, width, dilation) in enumerate(zip(names, widths, [1, 1, 2, 4, 8, 16, 1])):
        layers[name] = nn.Conv2d(i, width * c, 3, dilation=dilation, padding=(33 if k == 0 else 0) if once else dilation)
        layers["relu_" + name] = nn.ReLU()
        i = width * c
    layers["ct_final"] = nn.Conv2d(i, c, 1)
    return nn.Sequential(layers)


BASIC, LARGE = [1] * 7, [2, 2, 4, 8, 16, 32, 32]


class Context(FrontEnd):
    def __init__(self, width=64, widths=LARGE):
        super().__init__(width)
        for name, layer in module(21, widths, once=True).named_children():
            self.add_module(name, layer)

    def forward(self, x):
        y = super().forward(x)
        for name, layer in self.named_children():
            if "ct_" in name:
                y = layer(y)
        p = torch.softmax(y, 1)
        n, c, h, w = p.shape
        at_y, at_x = (torch.arange(8 * s, dtype=x.dtype) / 8 for s in (h, w))  # as the authors' util.interp_map: pixel 8 i is map place i
        y0, x0 = at_y.floor().long(), at_x.floor().long()
        y1, x1 = (y0 + 1).clamp(max=h - 1), (x0 + 1).clamp(max=w - 1)
        fy, fx = (at_y - y0).view(-1, 1), at_x - x0
        rows = lambda r: (1 - fx) * p[:, :, r][..., x0] + fx * p[:, :, r][..., x1]
        return (1 - fy) * rows(y0) + fy * rows(y1)


BOTH = (INIT, AVX2)
CASES = {
    "front_end": Case("context front_end", lambda: initialised(FrontEnd()), Input(1, 3, 192, 200), params=134346581, names="examples/context.cai front_end"),
    "context": Case("context scores", lambda: initialised(Context()), Input(1, 3, 192, 208), params=141149720, names="examples/context.cai scores"),
    "context_narrow": Case("context scores", lambda: initialised(Context(4)), Input(3, 3, 200, 192), [o + " -D width=4" for o in BOTH]),
    "context_basic": Case("context module", lambda: initialised(module(21, BASIC, False)), Input(3, 21, 64, 64, high=8), [o + " -D large=false" for o in BOTH],
                          params=28392, names="examples/context.cai module -D large=false"),
    "context_large": Case("context module", lambda: initialised(module(21, LARGE, False)), Input(1, 21, 41, 50, high=8), params=6803139,
                          names="examples/context.cai module"),
}
