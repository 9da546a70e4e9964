"""Small networks of this folder (NAME.cai), for elements that the examples lack: attention, groups, shuffles, reflection, transposed convolutions."""
import torch
from torch import nn

from cases import AVX2, INIT, Case, Input, initialised


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        n, l, c = x.shape
        q, k, v = self.qkv(x).reshape(n, l, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) / (c // self.heads) ** 0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(n, l, c))


class TransformerLayer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.attn, self.norm2 = nn.LayerNorm(width, eps=1e-6), Attention(width, heads), nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp["fc2"](nn.functional.gelu(self.mlp["fc1"](self.norm2(x))))


class ViT(nn.Module):
    def __init__(self, width=48, depth=3, heads=3, patch=8, patches=35):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, width, patch, patch)
        self.cls_token, self.pos_embed = nn.Parameter(torch.zeros(1, 1, width)), nn.Parameter(torch.zeros(1, patches + 1, width))
        self.blocks, self.norm = nn.Sequential(*(TransformerLayer(width, heads) for _ in range(depth))), nn.LayerNorm(width, eps=1e-6)

    def forward(self, x):
        t = self.patch_embed(x).flatten(2).transpose(1, 2)
        t = torch.cat([self.cls_token.expand(len(t), -1, -1), t], 1) + self.pos_embed
        return self.norm(self.blocks(t))


class ShuffleUnit(nn.Module):
    def __init__(self, c, groups, stride=1, dilation=1):
        super().__init__()
        self.groups, self.stride = groups, stride
        self.gconv1, self.bn1 = nn.Conv2d(c, c, 1, groups=groups, bias=False), nn.BatchNorm2d(c)
        self.dw, self.bn2 = nn.Conv2d(c, c, 3, stride, dilation, dilation, groups=c, bias=False), nn.BatchNorm2d(c)
        self.gconv2, self.bn3 = nn.Conv2d(c, c, 3, padding=1, groups=groups, bias=False), nn.BatchNorm2d(c)

    def forward(self, x):
        y = torch.relu(self.bn1(self.gconv1(x)))
        n, c, h, w = y.shape
        y = y.view(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w)
        y = self.bn3(self.gconv2(self.bn2(self.dw(y))))
        return torch.relu(x + y if self.stride == 1 else torch.cat([nn.functional.avg_pool2d(x, 3, 2, 1), y], 1))


class Shuffle(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 3, 2, 1)
        self.stage = nn.Sequential(ShuffleUnit(24, 3, stride=2), ShuffleUnit(48, 4), ShuffleUnit(48, 2, dilation=2), ShuffleUnit(48, 16, stride=2))

    def forward(self, x):
        return self.stage(nn.functional.max_pool2d(self.stem(x), 2, ceil_mode=True))


class StyleStep(nn.Module):
    def __init__(self, i, o, kernel, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(i, o, kernel, stride, kernel // 2, padding_mode="reflect")
        self.norm = nn.InstanceNorm2d(o, affine=True)

    def forward(self, x):
        return self.norm(self.conv(x))


class StyleResidual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.one, self.two = StyleStep(c, c, 3), StyleStep(c, c, 3)

    def forward(self, x):
        return x + self.two(torch.relu(self.one(x)))


class Style(nn.Module):
    def __init__(self, c=12):
        super().__init__()
        self.a, self.b, self.d = StyleStep(3, c, 9), StyleStep(c, 2 * c, 3, 2), StyleStep(2 * c, 4 * c, 3, 2)
        self.res = nn.Sequential(StyleResidual(4 * c), StyleResidual(4 * c))
        self.e, self.f = StyleStep(4 * c, 2 * c, 3), StyleStep(2 * c, c, 3)
        self.last = nn.Conv2d(c, 3, 9, padding=4, padding_mode="reflect")

    def forward(self, x):
        for step in (self.a, self.b, self.d):
            x = torch.relu(step(x))
        x = self.res(x)
        for step in (self.e, self.f):
            x = torch.relu(step(nn.functional.interpolate(x, scale_factor=2.0)))
        return 0.5 * torch.tanh(self.last(x)) + 0.5


class Generator(nn.Module):
    def __init__(self, c=20):
        super().__init__()
        self.code = nn.Conv2d(3, 2 * c, 4, 2, 1)
        self.up1, self.bn1 = nn.ConvTranspose2d(2 * c, c, 4, 2, 1, bias=False), nn.BatchNorm2d(c)
        self.up2, self.prelu = nn.ConvTranspose2d(c, c, 3, 2, 1, 1, groups=5), nn.PReLU(c)
        self.up3 = nn.ConvTranspose2d(c, c // 2, (3, 2), (1, 2), dilation=(2, 1))
        self.up4 = nn.ConvTranspose2d(c // 2, 3, 5, 3, 1)

    def forward(self, x):
        x = nn.functional.leaky_relu(self.code(x), 0.2)
        x = self.prelu(self.up2(torch.relu(self.bn1(self.up1(x)))))
        return torch.sigmoid(self.up4(nn.functional.silu(self.up3(x))))


def narrow():
    return nn.Sequential(nn.Conv2d(8, 32, 1), nn.ReLU(), nn.Conv2d(32, 40, 1), nn.Conv2d(40, 33, 3, padding=1), nn.ConvTranspose2d(33, 32, 2, stride=3))


def small(network):
    return lambda: initialised(network())


CASES = {
    "vit": Case("vit", small(ViT), Input(3, 3, 40, 56), [INIT, AVX2, INIT + " -D N=3"]),
    "shuffle": Case("shuffle", small(Shuffle), Input(2, 3, 75, 101), [INIT, AVX2, INIT + " -D N=2 -D H=75 -D W=101"]),
    "style": Case("style", small(Style), Input(1, 3, 36, 52), [INIT, AVX2, INIT + " -D N=1 -D H=36 -D W=52"]),
    "narrow": Case("narrow", small(narrow), Input(1, 8, 7, 1), [INIT, INIT + " -D N=1 -D H=7 -D W=1", AVX2 + " -D H=7 -D W=1"]),
    "generator": Case("generator", small(Generator), Input(2, 3, 13, 10), [INIT, AVX2, INIT + " -D H=13"]),
}
