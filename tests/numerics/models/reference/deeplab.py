"""DeepLab-v3 as torchvision has it."""

from collections import OrderedDict

from torch import nn
from torchvision.models.resnet import Bottleneck
from torchvision.models.segmentation import deeplabv3_resnet50, deeplabv3_resnet101
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
from torchvision.models.segmentation.fcn import FCNHead

from cases import AVX2, INIT, Case, Input, Normalized, initialised


def published(network=deeplabv3_resnet50):
    return Normalized(initialised(network(weights=None, weights_backbone=None, aux_loss=True)))


def stage(i, c, blocks, stride, first, dilation):
    step = nn.Sequential(nn.Conv2d(i, 4 * c, 1, stride, bias=False), nn.BatchNorm2d(4 * c))
    return nn.Sequential(Bottleneck(i, c, stride, step, dilation=first), *(Bottleneck(4 * c, c, dilation=dilation) for _ in range(blocks - 1)))


class Trunk(nn.Module):
    """torchvision's ResNet-50 at an output stride of 8, of `c` channels where it has 64."""

    def __init__(self, c):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, c, 7, 2, 3, bias=False), nn.BatchNorm2d(c)
        self.relu, self.maxpool = nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        self.layer1, self.layer2 = stage(c, c, 3, 1, 1, 1), stage(4 * c, 2 * c, 4, 2, 1, 1)
        self.layer3, self.layer4 = stage(8 * c, 4 * c, 6, 1, 1, 2), stage(16 * c, 8 * c, 3, 1, 2, 4)

    def forward(self, x):
        x = self.layer2(self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x))))))
        aux = self.layer3(x)
        return OrderedDict(out=self.layer4(aux), aux=aux)


def narrow():
    return Normalized(initialised(DeepLabV3(Trunk(8), DeepLabHead(256, 21), FCNHead(128, 21))))


CASES = {
    "deeplab_v3": Case("deeplab_v3 scores", published, Input(1, 3, 136, 201), params=42004074, names="examples/deeplab_v3.cai scores"),
    "deeplab_v3_batch": Case("deeplab_v3 scores", published, Input(3, 3, 64, 96), [INIT, AVX2, INIT + " -D H=64 -D W=96"], params=42004074),
    "deeplab_v3_101": Case("deeplab_v3 scores", lambda: published(deeplabv3_resnet101), Input(1, 3, 97, 88), [INIT + " -D depth=101"], params=60996202,
                           names="examples/deeplab_v3.cai scores -D depth=101"),
    "deeplab_v3_narrow": Case("deeplab_v3 scores", narrow, Input(1, 3, 163, 250), [o + " -D width=8" for o in (INIT, AVX2)]),
}
