"""Residual networks of gates and dilations: torchvision's, and squeeze-and-excitation and CBAM written from their papers."""
import torch
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from cases import AVX2, INIT, SEED, Case, Input, Normalized, initialised
from init_weights import ZEROS, init_weight


class Excite(nn.Module):
    """Hu et al. 2018: squeezed by 16, with biases; names are timm's."""

    def __init__(self, c):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(c, c // 16, 1), nn.Conv2d(c // 16, c, 1)

    def forward(self, x):
        mean = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(mean))))


class Cbam(nn.Module):
    """Woo et al. 2018: channels, by mean and maximum through one perceptron, then pixels, by maximum and mean of the channels; names are the authors'."""

    def __init__(self, c):
        super().__init__()
        self.ChannelGate, self.SpatialGate = nn.Module(), nn.Module()
        self.ChannelGate.mlp = nn.Sequential(nn.Flatten(), nn.Linear(c, c // 16), nn.ReLU(), nn.Linear(c // 16, c))
        self.SpatialGate.spatial = nn.Module()
        self.SpatialGate.spatial.conv, self.SpatialGate.spatial.bn = nn.Conv2d(2, 1, 7, padding=3, bias=False), nn.BatchNorm2d(1)

    def forward(self, x):
        mlp, spatial = self.ChannelGate.mlp, self.SpatialGate.spatial
        weight = torch.sigmoid(mlp(x.mean((2, 3))) + mlp(x.amax((2, 3))))
        x = x * weight[:, :, None, None]
        seen = torch.stack([x.amax(1), x.mean(1)], 1)
        return x * torch.sigmoid(spatial.bn(spatial.conv(seen)))


GATES = {"se": Excite, "cbam": Cbam}


class Gated(nn.Module):
    """A residual block of torchvision whose last batch norm is followed by a gate."""

    def __init__(self, name, block):
        super().__init__()
        for key, part in block.named_children():
            self.add_module(key, part)
        last = block.bn3 if hasattr(block, "bn3") else block.bn2
        self.name, self.deep = name, hasattr(block, "bn3")
        self.add_module(name, GATES[name](last.num_features))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.deep:
            y = self.bn3(self.conv3(torch.relu(y)))
        return torch.relu(getattr(self, self.name)(y) + (x if getattr(self, "downsample", None) is None else self.downsample(x)))


def gated(net, name):
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        for i, block in enumerate(stage):
            stage[i] = Gated(name, block)
    return net


class Trunk(nn.Module):
    """The maps behind the first and the last stage of a narrow network."""

    def __init__(self, block, c=16, gate=None, **options):
        super().__init__()
        net = ResNet(block, [1, 2, 2, 2], **options)
        narrow = nn.Module()
        narrow.conv1, narrow.bn1 = nn.Conv2d(3, c, 7, 2, 3, bias=False), nn.BatchNorm2d(c)
        net.inplanes, net.dilation = c, 1
        dilate = options.get("replace_stride_with_dilation", [False] * 3)
        for i, blocks in enumerate([1, 2, 2, 2]):
            narrow.add_module(f"layer{i + 1}", net._make_layer(block, c * 2**i, blocks, 2 if i else 1, i > 0 and dilate[i - 1]))
        self.backbone = gated(narrow, gate) if gate else narrow

    def forward(self, x):
        b = self.backbone
        x = nn.functional.max_pool2d(torch.relu(b.bn1(b.conv1(x))), 3, 2, 1)
        c2 = b.layer1(x)
        return {"c2": c2, "c5": b.layer4(b.layer3(b.layer2(c2)))}


def drawn(net):
    """As `--init` draws them; the scales of the spatial gates' norms start at 0."""
    net = initialised(net)
    for name, weight in net.named_parameters():
        if name.endswith("spatial.bn.weight"):
            weight.data = torch.from_numpy(init_weight(SEED, name, tuple(weight.shape), ZEROS))
    return net


def network(name, gate=None, **options):
    def make():
        net = getattr(torchvision.models, name)(**options)
        return Normalized(drawn(gated(net, gate) if gate else net))
    return make


def trunk(block, **options):
    return lambda: drawn(Trunk(block, **options))


def resnets(options, params, net, size=Input(1, 3, 224, 224)):
    return Case("resnets", net, size, [INIT + options, AVX2 + options], params=params, names="examples/resnets.cai" + options)


DILATED = {"replace_stride_with_dilation": [False, True, True]}
LAST_DILATED = {"replace_stride_with_dilation": [False, False, True]}
BASIC = " -D deep=false"
CASES = {
    "resnet34": resnets(" -D depth=34", 21797672, network("resnet34")),
    "resnet101": resnets(" -D depth=101", 44549160, network("resnet101")),
    "resnet152": resnets(" -D depth=152", 60192808, network("resnet152")),
    "resnext50": resnets(" -D groups=32 -D width=4", 25028904, network("resnext50_32x4d"), Input(3, 3, 224, 224)),
    "se_resnet50": resnets(" -D gate=se", 28088024, network("resnet50", "se")),
    "cbam_resnet50": resnets(" -D gate=cbam", 28089624, network("resnet50", "cbam")),
    "trunk": Case("trunk", trunk(Bottleneck), Input(3, 3, 101, 75), [INIT, AVX2, INIT + " -D N=3 -D H=101 -D W=75"]),
    "trunk_dilated": Case("trunk", trunk(Bottleneck, **DILATED), Input(1, 3, 96, 120), [o + " -D output_stride=8" for o in (INIT, AVX2)]),
    "trunk_last_dilated": Case("trunk", trunk(Bottleneck, **LAST_DILATED), Input(1, 3, 97, 120), [o + " -D output_stride=16" for o in (INIT, AVX2)]),
    "trunk_groups": Case("trunk", trunk(Bottleneck, groups=8, width_per_group=16), Input(1, 3, 64, 64),
                         [o + " -D groups=8 -D width=16" for o in (INIT, AVX2)]),
    "trunk_basic": Case("trunk", trunk(BasicBlock), Input(1, 3, 64, 90), [o + BASIC for o in (INIT, AVX2)]),
    "trunk_se": Case("trunk", trunk(Bottleneck, gate="se"), Input(2, 3, 64, 90), [o + " -D gate=se" for o in (INIT, AVX2)]),
    "trunk_cbam": Case("trunk", trunk(BasicBlock, gate="cbam", c=32), Input(2, 3, 64, 90), [o + BASIC + " -D c=32 -D gate=cbam" for o in (INIT, AVX2)]),
}
