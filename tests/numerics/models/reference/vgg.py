"""VGG: torchvision's, and the maps of a narrow one."""
import torch
import torchvision
from torch import nn

from cases import AVX2, INIT, Case, Input, Normalized, initialised


class Maps(nn.Module):
    def __init__(self):
        super().__init__()
        layers, inputs = [], 3
        for stage, c in enumerate((8, 16, 32, 64)):
            for k in range(2 if stage < 2 else 4):
                layers += [nn.Conv2d(inputs, c, 3, padding=1 if layers else 5), nn.BatchNorm2d(c), nn.ReLU()]
                inputs = c
            layers.append(nn.AvgPool2d(2))
        self.features = nn.Sequential(*layers)

    def forward(self, x):
        wanted = {5: "relu1_2", 14: "conv3_1", len(self.features) - 1: "pool4"}
        maps = {}
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in wanted:
                maps[wanted[i]] = x
        return maps


def classifier(name):
    return lambda: Normalized(initialised(getattr(torchvision.models, name)(init_weights=False)))


BN = " -D depth=16 -D norm=true"
CASES = {
    "vgg19": Case("vgg19", classifier("vgg19"), Input(1, 3, 224, 224), [INIT, AVX2], params=143667240, names="examples/vgg19.cai"),
    "vgg16_bn": Case("vgg19", classifier("vgg16_bn"), Input(3, 3, 224, 224), [INIT + BN], params=138365992, names="examples/vgg19.cai" + BN),
    "vgg_maps": Case("vgg_maps", lambda: initialised(Maps()), Input(3, 3, 41, 67), [INIT, AVX2, INIT + " -D N=3 -D H=41 -D W=67"]),
}
