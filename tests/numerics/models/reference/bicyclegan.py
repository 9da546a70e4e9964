"""BicycleGAN, Zhu et al. 2017, with the names of the authors' PyTorch code; and FrankenGAN, Kelly et al. 2018, a chain of its generators."""
import torch
from torch import nn

from cases import AVX2, INIT, Case, Input, Under, initialised
from pix2pix import PatchGAN


def with_code(x, z):
    return torch.cat([x, z[:, :, None, None].expand(-1, -1, *x.shape[2:])], 1)


def widths(channels, c, depth):
    return [channels] + [c * min(2**i, 8) for i in range(depth)]


class CodeLevel(nn.Module):
    """A level of the U-Net whose every convolution down sees the code."""

    def __init__(self, sizes, code, out):
        super().__init__()
        outer, inner = sizes[:2]
        last = len(sizes) == 2
        outermost = out is not None
        self.down = nn.Sequential(*[nn.LeakyReLU(0.2)] * (not outermost), nn.Conv2d(outer + code, inner, 4, 2, 1),
                                  *[nn.InstanceNorm2d(inner)] * (not outermost and not last))
        if not last:
            self.submodule = CodeLevel(sizes[1:], code, None)
        self.up = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(inner if last else 2 * inner, out if outermost else outer, 4, 2, 1),
                                nn.Tanh() if outermost else nn.InstanceNorm2d(outer))
        self.outermost, self.last = outermost, last

    def forward(self, x, z):
        y = self.down(with_code(x, z))
        y = self.up(y if self.last else self.submodule(y, z))
        return y if self.outermost else torch.cat([y, x], 1)


class CodeUNet(nn.Module):
    """Code in all layers."""

    def __init__(self, c=64, depth=8, code=8, channels=3, out=3):
        super().__init__()
        self.model = CodeLevel(widths(channels, c, depth), code, out)

    def forward(self, x, z):
        return self.model(x, z)


class Level(nn.Module):
    def __init__(self, sizes, out=None):
        super().__init__()
        outer, inner = sizes[:2]
        last = len(sizes) == 2
        self.outermost = out is not None
        if self.outermost:
            self.model = nn.Sequential(nn.Conv2d(outer, inner, 4, 2, 1), Level(sizes[1:]), nn.ReLU(), nn.ConvTranspose2d(2 * inner, out, 4, 2, 1), nn.Tanh())
        elif last:
            self.model = nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(inner, outer, 4, 2, 1),
                                       nn.InstanceNorm2d(outer))
        else:
            self.model = nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, 2, 1), nn.InstanceNorm2d(inner), Level(sizes[1:]), nn.ReLU(),
                                       nn.ConvTranspose2d(2 * inner, outer, 4, 2, 1), nn.InstanceNorm2d(outer))

    def forward(self, x):
        return self.model(x) if self.outermost else torch.cat([self.model(x), x], 1)


class InputUNet(nn.Module):
    """Code in the input, or none."""

    def __init__(self, c=64, depth=8, code=8, channels=3, out=3):
        super().__init__()
        self.model = Level(widths(channels + code, c, depth), out)

    def forward(self, x, z=None):
        return self.model(x if z is None else with_code(x, z))


class Shrink(nn.Module):
    """A residual block of the encoder: half the size."""

    def __init__(self, i, o):
        super().__init__()
        self.conv = nn.Sequential(nn.InstanceNorm2d(i), nn.LeakyReLU(0.2), nn.Conv2d(i, i, 3, padding=1), nn.InstanceNorm2d(i), nn.LeakyReLU(0.2),
                                  nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.AvgPool2d(2)))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(i, o, 1))

    def forward(self, x):
        return self.conv(x) + self.shortcut(x)


class Encoder(nn.Module):
    def __init__(self, c=64, blocks=5, code=8):
        super().__init__()
        sizes = [c * min(4, n) for n in range(1, blocks + 1)]
        self.conv = nn.Sequential(nn.Conv2d(3, c, 4, 2, 1), *(Shrink(*pair) for pair in zip(sizes, sizes[1:])), nn.LeakyReLU(0.2), nn.AvgPool2d(8))
        self.fc, self.fcVar = nn.Sequential(nn.Linear(sizes[-1], code)), nn.Sequential(nn.Linear(sizes[-1], code))

    def forward(self, x):
        y = self.conv(x).flatten(1)
        return {"mu": self.fc(y), "logvar": self.fcVar(y)}


class EncoderOfPicture(nn.Module):
    def __init__(self, *sizes):
        super().__init__()
        self.E = Encoder(*sizes)

    def forward(self, x):
        return self.E(2 * x - 1)


class TwoScales(nn.Module):
    """Two PatchGANs, the second on half the size and of half the width."""

    def __init__(self, c=64):
        super().__init__()
        self.model_0 = PatchGAN(3, 3, c, nn.InstanceNorm2d).model
        self.model_1 = PatchGAN(3, 3, c // 2, nn.InstanceNorm2d).model

    def forward(self, x):
        half = nn.functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        return {"fine": self.model_0(x), "coarse": self.model_1(half)}


def conditions(mass, floors):
    """What the facade GANs are told of the building: where a pixel lies on the picture; how far, in floors, from the bottom, top, left and right of the
    facade and from its edge; and how high a floor is."""
    n, _, h, w = mass.shape
    facade = ((mass[:, :1] < 0.5) & (mass[:, 1:2] < 0.5) & (mass[:, 2:] >= 0.5)).to(mass)
    rows, columns = torch.arange(h).to(mass).view(1, 1, h, 1), torch.arange(w).to(mass).view(1, 1, 1, w)
    last_row, last_column = (facade * rows).amax((2, 3), True), (facade * columns).amax((2, 3), True)
    first_row, first_column = h - 1 - (facade * (h - 1 - rows)).amax((2, 3), True), w - 1 - (facade * (w - 1 - columns)).amax((2, 3), True)
    sides = [last_row - rows, rows - first_row, columns - first_column, last_column - columns]
    edge = torch.minimum(torch.minimum(sides[0], sides[1]), torch.minimum(sides[2], sides[3])) + 1
    metrics = [(facade * side * (floors / h)).expand(n, 1, h, w) for side in [*sides, edge]] + [torch.full((n, 1, h, w), 1 / floors).to(mass)]
    position = [(rows / (h - 1)).expand(n, 1, h, w), (columns / (w - 1)).expand(n, 1, h, w)]
    return torch.cat(metrics, 1), torch.cat(position, 1)


class Franken(nn.Module):
    def __init__(self, c=64, depth=8, code=8, floors=4):
        super().__init__()
        self.floors = floors
        self.texture = CodeUNet(c, depth, code, 3 + 6 + 2 + 3)
        self.super = CodeUNet(c, depth, code)
        self.detail = InputUNet(c, depth, 0, 3 + 6 + 3 + 3)

    def forward(self, mass, windows, style, fine_style):
        metrics, position = conditions(mass, self.floors)
        texture = self.texture(torch.cat([mass, metrics, position, 2 * windows - 1], 1), style)
        detail = self.detail(torch.cat([mass, metrics, 2 * windows - 1, texture], 1))
        n, c, h, w = texture.shape
        tiles = nn.functional.interpolate(texture, scale_factor=2.0, mode="bilinear", align_corners=False)
        tiles = tiles.reshape(n, c, 2, h, 2, w).permute(0, 2, 4, 1, 3, 5).reshape(4 * n, c, h, w)
        fine = self.super(tiles, fine_style.repeat_interleave(4, 0))
        fine = fine.reshape(n, 2, 2, c, h, w).permute(0, 3, 1, 4, 2, 5).reshape(n, c, 2 * h, 2 * w)
        return {"texture": 0.5 * texture + 0.5, "fine": 0.5 * fine + 0.5, "detail": 0.5 * detail + 0.5}


def generator(kind, *sizes):
    return lambda: initialised(Under("G", kind(*sizes), takes=True, gives=True))


def encoder(*sizes):
    return lambda: initialised(EncoderOfPicture(*sizes))


def critic(*sizes):
    net = Under("D", TwoScales(*sizes), takes=True)
    return initialised(net)


def franken(*sizes):
    return lambda: initialised(Franken(*sizes))


def each(options):
    return [INIT + options, AVX2 + options]


def inputs(n, h, w, code=8):
    return {"before": Input(n, 3, h, w), "code": Input(n, code, low=-1.7, high=1.7)}


def building(n, size, code=8):
    return {"mass": Input(n, 3, size, size, high=0.8), "windows": Input(n, 3, size, size), "style": Input(n, code, low=-1.7, high=1.7),
            "fine_style": Input(n, code, low=-1.7, high=1.7)}


INPUT, LIGHT = " -D everywhere=false", " -D ngf=6 -D depth=6 -D code_size=4"
CASES = {
    "bicyclegan": Case("bicyclegan translate", generator(CodeUNet), inputs(1, 256, 256), names="examples/bicyclegan.cai translate"),
    "bicyclegan_thin": Case("bicyclegan translate", generator(CodeUNet, 6, 6, 4), inputs(3, 64, 128, 4), each(LIGHT)),
    "bicyclegan_input": Case("bicyclegan translate", generator(InputUNet), inputs(1, 256, 256), each(INPUT), names="examples/bicyclegan.cai translate -D everywhere=false"),
    "bicyclegan_input_thin": Case("bicyclegan translate", generator(InputUNet, 6, 6, 4), inputs(2, 128, 64, 4), each(INPUT + LIGHT)),
    "bicyclegan_encoder": Case("bicyclegan encode", encoder(), Input(2, 3, 256, 256), names="examples/bicyclegan.cai encode"),
    "bicyclegan_encoder_thin": Case("bicyclegan encode", encoder(6, 5, 40), Input(3, 3, 256, 256), each(" -D nef=6 -D code_size=40")),
    "bicyclegan_discriminator": Case("bicyclegan discriminator", critic, Input(1, 3, 96, 128), names="examples/bicyclegan.cai discriminator"),
    "frankengan": Case("frankengan styled", franken(), building(1, 256), names="examples/frankengan.cai styled"),
    "frankengan_thin": Case("frankengan styled", franken(6, 6, 4), building(2, 64, 4), each(LIGHT)),
}
