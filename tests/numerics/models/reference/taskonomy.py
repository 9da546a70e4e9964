"""Taskonomy's networks, Zamir et al. 2018, with the names of the authors' visual-prior: a ResNet-50 whose stages halve in their last block, and decoders."""
import torch
from torch import nn
from torch.nn import functional as F

from cases import AVX2, INIT, Case, Input, initialised


class Bottleneck(nn.Module):
    def __init__(self, i, c, stride):
        super().__init__()
        self.stride = stride
        self.conv1, self.bn1 = nn.Conv2d(i, c, 1, bias=False), nn.BatchNorm2d(c)
        self.conv2, self.bn2 = nn.Conv2d(c, c, 3, stride, 1, bias=False), nn.BatchNorm2d(c)
        self.conv3, self.bn3 = nn.Conv2d(c, 4 * c, 1, bias=False), nn.BatchNorm2d(4 * c)
        self.downsample = nn.Sequential(nn.Conv2d(i, 4 * c, 1, bias=False), nn.BatchNorm2d(4 * c)) if i != 4 * c else None

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(torch.relu(self.bn2(self.conv2(y)))))
        x = self.downsample(x) if self.downsample else x[:, :, :: self.stride, :: self.stride]
        return torch.relu(x + y)


class Encoder(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
        i = width
        for k, blocks in enumerate((3, 4, 6, 3)):
            c, layers = width * 2**k, []
            for b in range(blocks):
                layers.append(Bottleneck(i, c, 2 if b == blocks - 1 and k < 2 else 1))
                i = 4 * c
            setattr(self, f"layer{k + 1}", nn.Sequential(*layers))
        self.compress1, self.compress_bn = nn.Conv2d(i, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, ceil_mode=True)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return torch.relu(self.compress_bn(self.compress1(x)))


class Doubled(nn.Module):
    """TensorFlow's transposed convolution of stride 2 with "same" padding: it loses its last row and column."""

    def __init__(self, i, o):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(i, o, 3, 3))

    def forward(self, x):
        return F.conv_transpose2d(x, self.weight, stride=2)[:, :, :-1, :-1]


class Decoder(nn.Module):
    def __init__(self, channels, share=1):
        super().__init__()
        i, self.order = 8, []
        for name, c in (("conv2", 1024), ("conv3", 1024), ("conv4", 512), ("conv5", 256), ("conv6", 256), ("conv7", 128), ("deconv8", 64), ("conv9", 64),
                        ("deconv10", 32), ("conv11", 32), ("deconv12", 16), ("conv13", 32), ("deconv14", 16)):
            c //= share
            up = name.startswith("deconv")
            layers = [nn.Identity(), Doubled(i, c), nn.Identity()] if up else [nn.Conv2d(i, c, 3, 1, 1, bias=False)]
            setattr(self, name, nn.Sequential(*layers, nn.BatchNorm2d(c), nn.LeakyReLU(0.2)))
            self.order.append(name)
            i = c
        self.decoder_output = nn.Sequential(nn.Conv2d(i, channels, 3, 1, 1), nn.Tanh())

    def forward(self, x):
        for name in self.order:
            x = getattr(self, name)(x)
        return self.decoder_output(x)


class Taskonomy(nn.Module):
    def __init__(self, share=1):
        super().__init__()
        self.encoder, self.decoder = Encoder(64 // share), Decoder(3, share)

    def forward(self, x):
        return (self.decoder(self.encoder(2 * x - 1)) + 1) / 2


class Tasks(nn.Module):
    def __init__(self, share=1):
        super().__init__()
        self.encoder = Encoder(64 // share)
        self.normal, self.depth, self.edges, self.reshading = (Decoder(c, share) for c in (3, 1, 1, 1))

    def forward(self, x):
        code = self.encoder(2 * x - 1)
        return {name: (getattr(self, name)(code) + 1) / 2 for name in ("normal", "depth", "edges", "reshading")}


LIGHT = " -D share=8"
CASES = {
    "taskonomy": Case("taskonomy taskonomy", lambda: initialised(Taskonomy()), Input(1, 3, 256, 256), names="examples/taskonomy.cai taskonomy"),
    "taskonomy_light": Case("taskonomy taskonomy", lambda: initialised(Taskonomy(8)), Input(3, 3, 256, 256), [INIT + LIGHT, AVX2 + LIGHT]),
    "taskonomy_tasks": Case("taskonomy tasks", lambda: initialised(Tasks(8)), Input(1, 3, 256, 256), [INIT + LIGHT]),
}
