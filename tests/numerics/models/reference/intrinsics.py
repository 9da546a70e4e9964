"""Intrinsic images: the relative reflectance network of Zhou et al. 2015, Direct Intrinsics of Narihira et al. 2015, layers for retouching."""
import torch
from torch import nn
from torch.nn import functional as F

from cases import AVX2, INIT, Case, Input, initialised
from unet import Level


def caffe(x):
    """What Caffe's networks take of a picture in 0..1: blue, green, red from 0 to 255 without their means."""
    return 255 * x.flip(1) - torch.tensor([104.0, 117, 123], dtype=x.dtype).view(1, 3, 1, 1)


class Relative(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.ModuleDict()
        for k, (i, o, kernel, stride) in enumerate(((3, 16, 3, 2), (16, 32, 3, 2), (32, 64, 3, 2), (64, 64, 7, 1))):
            self.patch[f"conv{k + 1}"] = nn.Conv2d(i, o, kernel, stride)
        for k, (i, o, kernel, stride) in enumerate(((3, 32, 5, 4), (32, 32, 5, 4), (32, 32, 5, 4), (32, 64, 3, 1))):
            setattr(self, f"context{k + 1}", nn.Conv2d(i, o, kernel, stride, 2 if stride == 4 else 0))
        self.InnerProduct1, self.InnerProduct2, self.pred = nn.Linear(196, 128), nn.Linear(128, 128), nn.Linear(128, 3)

    def local(self, x):
        for k in range(1, 5):
            x = torch.relu(self.patch[f"conv{k}"](caffe(x) if k == 1 else x))
        return x.flatten(1)

    def context(self, x):
        for k in range(1, 5):
            x = torch.relu(getattr(self, f"context{k}")(caffe(x) if k == 1 else x))
        return x.flatten(1)

    def relation(self, *features):
        y = torch.relu(self.InnerProduct1(torch.cat(features, 1)))
        return self.pred(torch.relu(self.InnerProduct2(y))).softmax(1)

    def forward(self, first, second, whole, places):
        return self.relation(self.local(first), self.local(second), self.context(whole), places)


class AtEachPixel(nn.Module):
    """Every pixel's patch goes through the network by itself."""

    def __init__(self, x, y):
        super().__init__()
        self.net, self.x, self.y = initialised(Relative()), x, y

    def forward(self, photo):
        h, w = photo.shape[2:]
        px, py = w * self.x // 100, h * self.y // 100
        padded = torch.cat([photo[:, :, :31].flip(2), photo, photo[:, :, -31:].flip(2)], 2)
        padded = torch.cat([padded[:, :, :, :31].flip(3), padded, padded[:, :, :, -31:].flip(3)], 3)
        patches = padded.unfold(2, 63, 1).unfold(3, 63, 1)[0].permute(1, 2, 0, 3, 4).reshape(h * w, 3, 63, 63)
        features = torch.cat([self.net.local(patches[i : i + 256]) for i in range(0, h * w, 256)])
        whole = F.interpolate(photo, size=(150, 150), mode="bilinear")
        places = torch.stack([torch.full((h * w,), px / w), torch.full((h * w,), py / h), torch.arange(w).repeat(h) / w, torch.arange(h).repeat_interleave(w) / h], 1)
        y = self.net.relation(features[py * w + px].expand(h * w, -1), features, self.net.context(whole).expand(h * w, -1),
                              places.to(photo.dtype))
        return y.view(1, h, w, 3).permute(0, 3, 1, 2)


class Direct(nn.Module):
    """The released model_release/direct_intrinsics.prototxt: AlexNet's convolutions, enlarged, joined with a finer scale, two ways out."""

    def __init__(self, share=1, pictures=False):
        super().__init__()
        self.pictures = pictures
        c = lambda n: n // share
        self.conv1, self.conv2 = nn.Conv2d(3, c(96), 11, 4, 5), nn.Conv2d(c(96), c(256), 5, 1, 2, groups=2)
        self.conv3, self.conv4 = nn.Conv2d(c(256), c(384), 3, 1, 1), nn.Conv2d(c(384), c(384), 3, 1, 1, groups=2)
        self.conv5 = nn.Conv2d(c(384), c(256), 3, 1, 1, groups=2)
        for name, i, o, kernel, stride in (("s1-out", c(256), c(64), 1, 1), ("s2-1", 3, c(96), 9, 2), ("s2-2", c(96) + c(64), c(64), 5, 1), ("s2-3", c(64), c(64), 5, 1),
                                           ("s2-4", c(64), c(64), 5, 1), ("s2-5-albedo", c(64), c(64), 5, 1), ("s2-5-shading", c(64), c(64), 5, 1)):
            setattr(self, name, nn.Conv2d(i, o, kernel, stride, kernel // 2))
            setattr(self, name + "-nonlin", nn.PReLU(o))
        for name in ("up-albedo", "up-shading"):
            setattr(self, name, nn.ConvTranspose2d(c(64), 3, 8, 4, 2))

    def step(self, name, x):
        return getattr(self, name + "-nonlin")(getattr(self, name)(x))

    def forward(self, photo):
        x = caffe(photo)
        pool = lambda y: F.max_pool2d(y, 3, 2, ceil_mode=True)
        norm = lambda y: F.local_response_norm(y, 5, 1e-4, 0.75, 1.0)
        y = norm(pool(torch.relu(self.conv1(x))))
        y = norm(pool(torch.relu(self.conv2(y))))
        y = pool(torch.relu(self.conv5(torch.relu(self.conv4(torch.relu(self.conv3(y)))))))
        tent = 1 - ((torch.arange(16) + 0.5) / 8 - 1).abs()
        kernel = (tent[:, None] * tent).expand(y.shape[1], 1, 16, 16).to(y.dtype)
        coarse = self.step("s1-out", F.conv_transpose2d(y, kernel, stride=8, padding=4, groups=y.shape[1]))
        y = torch.cat([pool(self.step("s2-1", x)), coarse], 1)
        y = self.step("s2-4", self.step("s2-3", self.step("s2-2", y)))
        result = {}
        for name in ("albedo", "shading"):
            result[name] = getattr(self, "up-" + name)(self.step("s2-5-" + name, y))
            if not self.pictures:
                continue
            light = torch.exp(result[name]).flip(1)
            low, high = light.amin((1, 2, 3), keepdim=True), light.amax((1, 2, 3), keepdim=True)
            result[name] = (light - low) / (high - low)
        return result


class Retouch(nn.Module):
    """A U-Net (unet.py) of which a 1x1 convolution draws all layers."""

    def __init__(self, width, depth, channels):
        super().__init__()
        self.width, self.trunk, self.head = width, Level(3, width, depth), nn.Conv2d(width, channels, 1)

    def forward(self, photo):
        return self.head(self.trunk(photo))


class Layers(nn.Module):
    def __init__(self, width=32, depth=5):
        super().__init__()
        self.layers = Retouch(width, depth, 10)

    def forward(self, photo):
        y = self.layers(photo)
        o, a, e, s = torch.sigmoid(y[:, :1]), torch.sigmoid(y[:, 1:4]), torch.relu(y[:, 4:7]), torch.relu(y[:, 7:])
        tint = torch.tensor([1.0, 0.9, 0.8], dtype=y.dtype).view(1, 3, 1, 1)
        return {"occlusion": o, "albedo": a, "irradiance": e, "specular": s, "result": o**1.5 * (a * tint * 1.2 * e + 0.5 * s)}


class Lights(nn.Module):
    def __init__(self, width, depth):
        super().__init__()
        self.lights = Retouch(width, depth, 18)

    def forward(self, photo):
        y = torch.relu(self.lights(photo))
        names = ("left", "right", "above", "below", "front", "back")
        parts = {name: y[:, 3 * k : 3 * k + 3] for k, name in enumerate(names)}
        parts["result"] = sum(parts[n] * (2 if n == "left" else 0.5 if n == "front" else 1) for n in names)
        return parts


EDITS = " -D width=12 -D depth=3 -D shadows=1.5 -D light=1.2 -D shine=0.5 -D red=1.0 -D green=0.9 -D blue=0.8"
RELIT = " -D width=12 -D depth=3 -D left=2.0 -D front=0.5"
GRAY = {"low": 0.43, "high": 0.47}  # near the means, so that no probability is 0 or 1
PATCHES = {"first": Input(16, 3, 63, 63, **GRAY), "second": Input(16, 3, 63, 63, **GRAY), "whole": Input(16, 3, 150, 150, **GRAY), "places": Input(16, 4)}
CASES = {
    "reflectance_prior": Case("reflectance_prior compare", lambda: initialised(Relative()), PATCHES),
    "reflectance_prior_map": Case("reflectance_prior judge", lambda: AtEachPixel(60, 20), Input(1, 3, 33, 40, **GRAY),
                                  [INIT + " -D x=60 -D y=20", AVX2 + " -D x=60 -D y=20"]),
    "direct_intrinsics": Case("direct_intrinsics logarithms", lambda: initialised(Direct()), Input(1, 3, 96, 64, **GRAY), params=3064934),
    "direct_intrinsics_light": Case("direct_intrinsics pictures", lambda: initialised(Direct(8, True)), Input(3, 3, 64, 96, **GRAY),
                                    [INIT + " -D share=8", AVX2 + " -D share=8"]),
    "retouch": Case("retouch retouch", lambda: initialised(Layers(12, 3)), Input(2, 3, 40, 24), [INIT + EDITS, AVX2 + EDITS]),
    "retouch_lights": Case("retouch relight", lambda: initialised(Lights(12, 3)), Input(1, 3, 24, 40), [INIT + RELIT, AVX2 + RELIT]),
}
