"""Small networks of this folder (NAME.cai), for operators that few networks have: grid sampling."""
import torch
from torch import nn
from torch.nn.functional import grid_sample

from cases import AVX2, INIT, Case, Input, initialised


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


FREE = [INIT, AVX2]
CASES = {
    "sampling": Case("sampling", lambda: initialised(Sampling()), {"photo": Input(2, 3, 29, 37), "grid": Input(2, 19, 23, 2, low=-1.9, high=1.9)}, FREE),
}
