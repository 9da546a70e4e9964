"""MobileNet v1, written from the paper (Howard et al. 2017, table 1) by timm's names, and v3, torchvision's."""
import torch
from torch import nn

from cases import AVX2, INIT, Case, Input, Normalized, initialised
from torchvision_classifiers import classifier


class Separable(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv_dw, self.bn1 = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False), nn.BatchNorm2d(inputs)
        self.conv_pw, self.bn2 = nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)

    def forward(self, x):
        return nn.functional.relu6(self.bn2(self.conv_pw(nn.functional.relu6(self.bn1(self.conv_dw(x))))))


class MobileNet(nn.Module):
    def __init__(self, width=1.0, classes=1000):
        super().__init__()
        c = int(32 * width)
        self.conv_stem, self.bn1 = nn.Conv2d(3, c, 3, 2, 1, bias=False), nn.BatchNorm2d(c)
        stages = []
        for outputs, count, stride in ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2)):
            stage = []
            for i in range(count):
                stage.append(Separable(c, int(outputs * width), stride if i == 0 else 1))
                c = int(outputs * width)
            stages.append(nn.Sequential(*stage))
        self.blocks, self.classifier = nn.Sequential(*stages), nn.Linear(c, classes)

    def forward(self, x):
        return self.classifier(self.blocks(nn.functional.relu6(self.bn1(self.conv_stem(x)))).mean((2, 3)))


def v1(width=1.0):
    return lambda: Normalized(initialised(MobileNet(width)), (0.5,) * 3, (0.5,) * 3)


SMALL, NARROW = " -D small=true", " -D width=0.5 -D size=160"
CASES = {
    "mobilenet_v1": Case("mobilenet_v1", v1(), Input(1, 3, 224, 224), [INIT, AVX2], params=4231976, names="examples/mobilenet_v1.cai"),
    "mobilenet_v1_narrow": Case("mobilenet_v1", v1(0.5), Input(3, 3, 160, 160), [INIT + NARROW], params=1331592),
    "mobilenet_v3_large": Case("mobilenet_v3", classifier("mobilenet_v3_large"), Input(1, 3, 224, 224), [INIT, AVX2], params=5483032,
                               names="examples/mobilenet_v3.cai"),
    "mobilenet_v3_small": Case("mobilenet_v3", classifier("mobilenet_v3_small"), Input(3, 3, 224, 224), [INIT + SMALL, AVX2 + SMALL], params=2542856,
                               names="examples/mobilenet_v3.cai" + SMALL),
}
