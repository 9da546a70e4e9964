"""Small networks of this folder (NAME.cai), for operators that few networks have: grid sampling, resizing, order, and attention over pictures of any size."""
import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, grid_sample, interpolate, normalize, softmax
from torch.nn.utils import spectral_norm

from cases import AVX2, INIT, Case, Input, initialised
from elements import Attention


class Sampling(nn.Module):
    def __init__(self):
        super().__init__()
        self.flow = nn.Conv2d(3, 2, 5, padding=2)

    def warp(self, x, flow):
        n, _, h, w = flow.shape
        rows, columns = torch.arange(h, dtype=x.dtype).view(1, h, 1), torch.arange(w, dtype=x.dtype).view(1, 1, w)
        at = torch.stack([2 * (columns + flow[:, 0]) / (w - 1) - 1, 2 * (rows + flow[:, 1]) / (h - 1) - 1], -1)
        return grid_sample(x, at, align_corners=True)

    def forward(self, x, grid):
        return {"zeros": grid_sample(x, grid, align_corners=False), "border": grid_sample(x, grid, padding_mode="border", align_corners=False),
                "mirror": grid_sample(x, grid, padding_mode="reflection", align_corners=False),
                "corners": grid_sample(x, grid, padding_mode="reflection", align_corners=True),
                "near": grid_sample(x, grid, mode="nearest", align_corners=False), "warped": self.warp(x, 4 * self.flow(x)),
                "turned": x.roll((-5, 3), (2, 3))}


class Resizing(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 20, 3, padding=1)

    def forward(self, x):
        features = self.features(x)
        return {"cubic": interpolate(x, scale_factor=2, mode="bicubic"), "corners": interpolate(x, (50, 17), mode="bicubic", align_corners=True),
                "area": interpolate(x, scale_factor=0.5, mode="area"), "smooth": interpolate(x, (16, 12), mode="bilinear", antialias=True),
                "sharp": interpolate(x, (16, 12), mode="bicubic", antialias=True), "parts": adaptive_avg_pool2d(features, (7, 5)),
                "wide": torch.relu(interpolate(features, scale_factor=3, mode="bicubic")),
                "small": interpolate(features, (9, 11), mode="bilinear", antialias=True)}


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.attn = nn.Conv2d(3, 16, 3, padding=1), Attention(16, 4)
        self.q, self.k, self.v = nn.Conv2d(16, 4, 1), nn.Conv2d(16, 4, 1), spectral_norm(nn.Conv2d(16, 16, 1))

    def forward(self, photo):
        x = self.stem(photo)
        q, k, v = (layer(x).flatten(2).transpose(1, 2) for layer in (self.q, self.k, self.v))
        attended = softmax(q @ k.transpose(1, 2) / 2, -1) @ v
        return {"heads": self.attn(x.flatten(2).transpose(1, 2)), "attended": x + attended.transpose(1, 2).reshape(x.shape),
                "best": x.flatten(1).topk(5)[0], "sums": x.cumsum(3), "order": photo.sort(2)[0]}


def tokens():
    """With directions of length 1, as PyTorch keeps them."""
    net = initialised(Tokens())
    for direction in (net.v.weight_u, net.v.weight_v):
        direction.copy_(normalize(direction, dim=0))
    return net


FREE = [INIT, AVX2]
CASES = {
    "sampling": Case("sampling", lambda: initialised(Sampling()), {"photo": Input(2, 3, 29, 37), "grid": Input(2, 19, 23, 2, low=-1.9, high=1.9)}, FREE),
    "resizing": Case("resizing", lambda: initialised(Resizing()), Input(3, 3, 36, 46), [*FREE, INIT + " -D N=3 -D H=36 -D W=46"]),
    "tokens": Case("tokens", tokens, Input(2, 3, 13, 21), FREE),
}
