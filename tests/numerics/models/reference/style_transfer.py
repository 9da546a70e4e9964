"""Feed-forward style transfer and super-resolution, Johnson et al. 2016, with the names of pytorch/examples' fast_neural_style, and style's features."""
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from cases import AVX2, INIT, Case, Input, initialised


class Reflected(nn.Module):
    def __init__(self, i, o, kernel, stride=1):
        super().__init__()
        self.reflection_pad, self.conv2d = nn.ReflectionPad2d(kernel // 2), nn.Conv2d(i, o, kernel, stride)

    def forward(self, x):
        return self.conv2d(self.reflection_pad(x))


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1, self.in1 = Reflected(c, c, 3), nn.InstanceNorm2d(c, affine=True)
        self.conv2, self.in2 = Reflected(c, c, 3), nn.InstanceNorm2d(c, affine=True)

    def forward(self, x):
        return x + self.in2(self.conv2(torch.relu(self.in1(self.conv1(x)))))


class FastStyle(nn.Module):
    def __init__(self, c=32):
        super().__init__()
        self.conv1, self.in1 = Reflected(3, c, 9), nn.InstanceNorm2d(c, affine=True)
        self.conv2, self.in2 = Reflected(c, 2 * c, 3, 2), nn.InstanceNorm2d(2 * c, affine=True)
        self.conv3, self.in3 = Reflected(2 * c, 4 * c, 3, 2), nn.InstanceNorm2d(4 * c, affine=True)
        self.res1, self.res2, self.res3, self.res4, self.res5 = (Residual(4 * c) for _ in range(5))
        self.deconv1, self.in4 = Reflected(4 * c, 2 * c, 3), nn.InstanceNorm2d(2 * c, affine=True)
        self.deconv2, self.in5 = Reflected(2 * c, c, 3), nn.InstanceNorm2d(c, affine=True)
        self.deconv3 = Reflected(c, 3, 9)

    def forward(self, x):
        y = 255 * x
        for k in (1, 2, 3):
            y = torch.relu(getattr(self, f"in{k}")(getattr(self, f"conv{k}")(y)))
        for k in range(1, 6):
            y = getattr(self, f"res{k}")(y)
        for k in (1, 2):
            y = torch.relu(getattr(self, f"in{k + 3}")(getattr(self, f"deconv{k}")(F.interpolate(y, scale_factor=2.0))))
        return self.deconv3(y).clamp(0, 255) / 255


MAPS = {"conv1_1": 0, "conv2_1": 5, "conv3_1": 10, "conv4_1": 19, "conv4_2": 21, "conv5_1": 28}  # of torchvision's vgg19().features
STYLE = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")


class Features(nn.Module):
    """VGG19's convolutions; a map is what stands before the ReLU. `width`: of a thinner network of the same shape."""

    def __init__(self, width=64, average=False):
        super().__init__()
        layers, i = [], 3
        for layer in torchvision.models.vgg19().features:
            if isinstance(layer, nn.Conv2d):
                o = layer.out_channels * width // 64
                layer, i = nn.Conv2d(i, o, 3, padding=1), o
            layers.append(nn.AvgPool2d(2) if average and isinstance(layer, nn.MaxPool2d) else layer)
        self.features = nn.Sequential(*layers)
        for layer in self.features:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False

    def maps(self, x):
        x = (x - torch.tensor([0.485, 0.456, 0.406], dtype=x.dtype).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225], dtype=x.dtype).view(3, 1, 1)
        found, wanted = {}, {at: name for name, at in MAPS.items()}
        for k, layer in enumerate(self.features):
            x = layer(x)
            if k in wanted:
                found[wanted[k]] = x
        return found


def gram(x):
    return torch.einsum("nchw,ndhw->ncd", x, x) / x[0].numel()


class StyleFeatures(Features):
    def forward(self, x):
        f = self.maps(x)
        return {"content": f["conv4_2"], **{name: gram(f[name]) for name in STYLE}}


class Distance(Features):
    def forward(self, painted, photo, art):
        p, c, s = self.maps(painted), self.maps(photo), self.maps(art)
        style = sum(F.mse_loss(gram(p[name]), gram(s[name])) for name in STYLE) / 5
        return {"content": F.mse_loss(p["conv4_2"], c["conv4_2"]), "style": style}


class Guided(Features):
    """Gatys et al. 2017, section 4: products of pairs of channels over a region only."""

    def forward(self, art, mask):
        f, result = self.maps(art), {}
        for name in STYLE:
            guide = mask / mask.square().sum((1, 2, 3), keepdim=True).sqrt()
            mask = F.avg_pool2d(mask, 2)
            y = (f[name] * guide).flatten(2)
            result[name] = y @ y.transpose(1, 2) / y.shape[1]
        return result


class Scales(Features):
    def forward(self, fine, coarse):
        f, c = self.maps(fine), self.maps(coarse)
        return {name: gram((f if name < "conv3" else c)[name]) for name in STYLE}


def luminance(x):
    return 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]


class Luminance(nn.Module):
    def forward(self, art, photo):
        a, p = luminance(art), luminance(photo)
        std = lambda y: y.var((1, 2, 3), unbiased=False, keepdim=True).sqrt()
        return {"lightness": std(p) / std(a) * (a - a.mean((1, 2, 3), keepdim=True)) + p.mean((1, 2, 3), keepdim=True), "photo_lightness": p}


class Recolour(nn.Module):
    def forward(self, painted, photo):
        return painted + photo - luminance(photo)


class MatchColours(nn.Module):
    def forward(self, art, photo):
        def statistics(x):
            y = x.flatten(2)
            mean = y.mean(2, keepdim=True)
            return mean, torch.linalg.cholesky((y - mean) @ (y - mean).transpose(1, 2) / y.shape[2] + 1e-5 * torch.eye(3, dtype=x.dtype))
        (ma, la), (mp, lp) = statistics(art), statistics(photo)
        return (lp @ torch.linalg.solve_triangular(la, art.flatten(2) - ma, upper=False) + mp).view_as(art)


class Reliable(nn.Module):
    """Ruder et al. 2016, section 5: where a flow and the one back agree, and nothing moves past something else."""

    def mask(self, forward, backward):
        n, _, h, w = backward.shape
        y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        bx, by = x + backward[:, 0], y + backward[:, 1]
        grid = torch.stack([bx / (w - 1) * 2 - 1, by / (h - 1) * 2 - 1], 3)
        there = F.grid_sample(forward, grid, align_corners=True)
        square = lambda v: v.square().sum(1, keepdim=True)
        inside = ((bx >= 0) & (bx <= w - 1) & (by >= 0) & (by <= h - 1))[:, None]
        agrees = square(there + backward) <= 0.01 * (square(there) + square(backward)) + 0.5
        wide = F.pad(backward, (1, 1, 1, 1), mode="replicate")
        dx, dy = (wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2]) / 2, (wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1]) / 2
        smooth = square(dx) + square(dy) <= 0.01 * square(backward) + 0.002
        return (inside & agrees & smooth).to(backward.dtype), grid

    def forward(self, forward, backward):
        return self.mask(forward, backward)[0]


class Carry(Reliable):
    def forward(self, painted, frame, forward, backward):
        mask, grid = self.mask(forward, backward)
        return mask * F.grid_sample(painted, grid, align_corners=True) + (1 - mask) * frame


LIGHT = " -D width=8"
# Gram matrices add up what Winograd's errors have in common, and where channels are few that is chance; style_features, of full width, has Winograd.
NARROW = LIGHT + " --no-winograd"
CASES = {
    "fast_style": Case("fast_style", lambda: initialised(FastStyle()), Input(1, 3, 64, 88), [INIT, AVX2, INIT + " -D N=1 -D H=64 -D W=88"], params=1679235,
                       names="examples/fast_style.cai"),
    "fast_style_light": Case("fast_style", lambda: initialised(FastStyle(8)), Input(3, 3, 36, 52), [INIT + LIGHT, AVX2 + LIGHT]),
    "style_features": Case("style_features style", lambda: initialised(StyleFeatures()), Input(1, 3, 64, 48), params=20024384, names="examples/style_features.cai style"),
    "style_features_average": Case("style_features style", lambda: initialised(StyleFeatures(8, True)), Input(3, 3, 40, 56),
                                   [o + NARROW + " -D average=true" for o in (INIT, AVX2)]),
    "style_distance": Case("style_features distance", lambda: initialised(Distance(8)), {n: Input(1, 3, 32, 48) for n in ("painted", "photo", "art")},
                           [INIT + NARROW, AVX2 + NARROW]),
    "style_guided": Case("style_controls guided", lambda: initialised(Guided(8)), {"art": Input(2, 3, 48, 32), "mask": Input(2, 1, 48, 32)},
                         [INIT + LIGHT, AVX2 + LIGHT]),
    "style_scales": Case("style_controls scales", lambda: initialised(Scales(8)), {"fine": Input(1, 3, 48, 32), "coarse": Input(1, 3, 32, 64)},
                         [INIT + NARROW, AVX2 + NARROW]),
    "style_luminance": Case("style_controls luminance", Luminance, {"art": Input(2, 3, 17, 30), "photo": Input(2, 3, 20, 11, low=0.2, high=0.7)}),
    "style_recolour": Case("style_controls recolour", Recolour, {"painted": Input(2, 1, 17, 30), "photo": Input(2, 3, 17, 30)}),
    "style_match": Case("style_controls match_colours", MatchColours, {"art": Input(2, 3, 17, 30), "photo": Input(2, 3, 20, 11, low=0.2, high=0.7)}),
    "video_reliable": Case("video_style reliable", Reliable, {n: Input(2, 2, 40, 60, low=0.2, high=0.3) for n in ("forward", "backward")}),
    "video_carry": Case("video_style carry", Carry, {"painted": Input(1, 3, 40, 60), "frame": Input(1, 3, 40, 60), "forward": Input(1, 2, 40, 60, low=0.2, high=0.3),
                                                     "backward": Input(1, 2, 40, 60, low=0.2, high=0.3)}),
}
