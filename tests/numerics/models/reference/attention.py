"""Networks of attention over pixels: the non-local ResNet-50 and the self-attention GAN, from their papers and authors' programs."""
from collections import OrderedDict

import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from cases import AVX2, INIT, SEED, Case, Input, Normalized, initialised
from init_weights import ONES, ZEROS, init_weight


def declared(net, *kinds):
    """Draws weights again that .cai declares with another init than their name and shape tell: (the name's end, ONES or ZEROS)."""
    state = net.state_dict()
    for end, kind in kinds:
        for name, value in state.items():
            if name.endswith(end):
                state[name] = torch.from_numpy(init_weight(SEED, name, tuple(value.shape), kind))
    net.load_state_dict(state)
    return net


# ---- Wang et al. 2018, "Non-local Neural Networks" ----


class NonLocal(nn.Module):
    """The embedded Gaussian: z = W softmax(theta phi / sqrt(d)) g + x, in half the channels; PySlowFast's names."""

    def __init__(self, c):
        super().__init__()
        self.conv_theta, self.conv_phi, self.conv_g = (nn.Conv2d(c, c // 2, 1) for _ in range(3))
        self.conv_out, self.norm = nn.Conv2d(c // 2, c, 1), nn.BatchNorm2d(c)

    def forward(self, x):
        theta, phi, g = (layer(x).flatten(2) for layer in (self.conv_theta, self.conv_phi, self.conv_g))
        p = torch.einsum("bcx,bcy->bxy", theta, phi) / theta.shape[1] ** 0.5
        y = torch.einsum("bxy,bcy->bcx", p.softmax(2), g).reshape(len(x), -1, *x.shape[2:])
        return x + self.norm(self.conv_out(y))


def nonlocal_resnet(places):
    net = torchvision.models.resnet50()
    for stage, blocks in places.items():
        parts = OrderedDict()
        for i, block in enumerate(getattr(net, stage)):
            parts[str(i)] = block
            if i in blocks:
                parts[f"nonlocal{i}"] = NonLocal(block.conv3.out_channels)
        setattr(net, stage, nn.Sequential(parts))
    net = initialised(net)
    for name, part in net.named_modules():
        if isinstance(part, NonLocal):
            part.norm.weight.data = torch.from_numpy(init_weight(SEED, name + ".norm.weight", tuple(part.norm.weight.shape), ZEROS))
    return Normalized(net)


# ---- Zhang et al. 2019, "Self-Attention Generative Adversarial Networks"; what the paper leaves open as in brain-research/self-attention-gan ----


def unit(v):
    return v / (v.norm() + 1e-12)


def spectral(weight, u):
    """The weight over its largest singular value, by one round of power iteration from u, which the program stores."""
    rows = weight.flatten(1)
    v = unit(u @ rows)
    return weight / (rows @ v).norm()


class SnConv(nn.Module):
    def __init__(self, i, o, kernel, bias=True):
        super().__init__()
        self.weight_orig = nn.Parameter(torch.zeros(o, i, kernel, kernel))
        self.register_buffer("weight_u", torch.zeros(o))
        self.bias = nn.Parameter(torch.zeros(o)) if bias else None

    def forward(self, x):
        return F.conv2d(x, spectral(self.weight_orig, self.weight_u), self.bias, padding=self.weight_orig.shape[2] // 2)


class SnLinear(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.weight_orig, self.bias = nn.Parameter(torch.zeros(o, i)), nn.Parameter(torch.zeros(o))
        self.register_buffer("weight_u", torch.zeros(o))

    def forward(self, x):
        return F.linear(x, spectral(self.weight_orig, self.weight_u), self.bias)


class SnEmbedding(nn.Module):
    def __init__(self, classes, c):
        super().__init__()
        self.weight_orig = nn.Parameter(torch.zeros(classes, c))
        self.register_buffer("weight_u", torch.zeros(classes))

    def forward(self, label):
        return spectral(self.weight_orig, self.weight_u)[label]


class SelfAttention(nn.Module):
    """Keys f and values h of half the size: the authors' program pools them."""

    def __init__(self, c):
        super().__init__()
        self.f, self.g = SnConv(c, c // 8, 1, bias=False), SnConv(c, c // 8, 1, bias=False)
        self.h, self.v, self.gamma = SnConv(c, c // 2, 1, bias=False), SnConv(c // 2, c, 1, bias=False), nn.Parameter(torch.zeros(1))

    def forward(self, x):
        f, h = (F.max_pool2d(part(x), 2).flatten(2) for part in (self.f, self.h))
        beta = (self.g(x).flatten(2).transpose(1, 2) @ f).softmax(-1)
        o = (beta @ h.transpose(1, 2)).transpose(1, 2).reshape(len(x), -1, *x.shape[2:])
        return x + self.gamma * self.v(o)


class ClassNorm(nn.Module):
    def __init__(self, classes, c):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(classes, c)), nn.Parameter(torch.zeros(classes, c))
        self.register_buffer("running_mean", torch.zeros(c))
        self.register_buffer("running_var", torch.zeros(c))

    def forward(self, x, label):
        y = F.batch_norm(x, self.running_mean, self.running_var)
        return self.weight[label][:, :, None, None] * y + self.bias[label][:, :, None, None]


class UpBlock(nn.Module):
    def __init__(self, i, o, classes):
        super().__init__()
        self.bn0, self.bn1 = ClassNorm(classes, i), ClassNorm(classes, o)
        self.conv1, self.conv2, self.conv3 = SnConv(i, o, 3), SnConv(o, o, 3), SnConv(i, o, 1)

    def forward(self, x, label):
        up = lambda t: F.interpolate(t, scale_factor=2.0)
        y = self.conv1(up(torch.relu(self.bn0(x, label))))
        return self.conv2(torch.relu(self.bn1(y, label))) + self.conv3(up(x))


class Generator(nn.Module):
    def __init__(self, c=64, classes=1000):
        super().__init__()
        widths = [16 * c, 16 * c, 8 * c, 4 * c, 2 * c, c]
        self.fc = SnLinear(128, 16 * c * 16)
        self.blocks = nn.ModuleList(UpBlock(i, o, classes) for i, o in zip(widths, widths[1:]))
        self.attention, self.bn, self.conv = SelfAttention(4 * c), nn.BatchNorm2d(c), SnConv(c, 3, 3)

    def forward(self, code, label):
        x = self.fc(code).view(len(code), -1, 4, 4)
        for i, block in enumerate(self.blocks):
            x = block(x, label)
            if i == 2:
                x = self.attention(x)
        return torch.tanh(self.conv(torch.relu(self.bn(x))))


class DownBlock(nn.Module):
    def __init__(self, i, o, first=False, down=True):
        super().__init__()
        self.first, self.down = first, down
        self.conv1, self.conv2 = SnConv(i, o, 3), SnConv(o, o, 3)
        if down or i != o:
            self.conv3 = SnConv(i, o, 1)

    def forward(self, x):
        half = (lambda t: F.avg_pool2d(t, 2)) if self.down else (lambda t: t)
        y = half(self.conv2(torch.relu(self.conv1(x if self.first else torch.relu(x)))))
        if self.first:
            return y + self.conv3(half(x))
        return y + (half(self.conv3(x)) if hasattr(self, "conv3") else x)


class Discriminator(nn.Module):
    def __init__(self, c=64, classes=1000):
        super().__init__()
        widths = [3, c, 2 * c, 4 * c, 8 * c, 16 * c, 16 * c]
        self.blocks = nn.ModuleList(DownBlock(i, o, first=n == 0, down=n < 5) for n, (i, o) in enumerate(zip(widths, widths[1:])))
        self.attention, self.fc, self.embedding = SelfAttention(2 * c), SnLinear(16 * c, 1), SnEmbedding(classes, 16 * c)

    def forward(self, photo, label):
        x = 2 * photo - 1
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i == 1:
                x = self.attention(x)
        x = torch.relu(x).sum((2, 3))
        return self.fc(x)[:, 0] + (x * self.embedding(label)).sum(1)


class Part(nn.Module):
    """The generator is G, and its picture is in 0..1; the discriminator is D."""

    def __init__(self, name, net):
        super().__init__()
        self.add_module(name, net)
        self.part = name

    def forward(self, x, label):
        y = getattr(self, self.part)(x, label)
        return 0.5 + 0.5 * y if self.part == "G" else y


def part(name, make, *sizes):
    return lambda: declared(initialised(Part(name, make(*sizes))), ("bn0.weight", ONES), ("bn1.weight", ONES))


def gan(model, make, inputs, params=None, sizes=(), options=""):
    return Case("sagan " + model, part(model[0].upper(), make, *sizes), inputs, [INIT + options, AVX2 + options], params=params)


ONE = " -D at=one"
THIN = " -D c=8 -D classes=10"
CASES = {
    "nonlocal": Case("nonlocal", lambda: nonlocal_resnet({"layer2": [1, 3], "layer3": [1, 3, 5]}), Input(1, 3, 224, 224), [INIT, AVX2],
                     params=32915496, names="examples/nonlocal.cai"),
    "nonlocal_one": Case("nonlocal", lambda: nonlocal_resnet({"layer3": [4]}), Input(3, 3, 224, 224), [INIT + ONE, AVX2 + ONE], params=27658792,
                         names="examples/nonlocal.cai" + ONE),
    "sagan_generator": gan("generator", Generator, {"code": Input(1, 128, low=-2, high=2), "label": Input(1, high=1000, whole=True)}),
    "sagan_discriminator": gan("discriminator", Discriminator, {"photo": Input(6, 3, 128, 128), "label": Input(6, high=1000, whole=True)}),
    "sagan_generator_thin": gan("generator", Generator, {"code": Input(3, 128, low=-2, high=2), "label": Input(3, high=10, whole=True)}, sizes=(8, 10),
                                options=THIN),
    "sagan_discriminator_thin": gan("discriminator", Discriminator, {"photo": Input(24, 3, 128, 128), "label": Input(24, high=10, whole=True)},
                                    sizes=(8, 10), options=THIN),
}
