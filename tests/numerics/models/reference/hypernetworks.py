"""Weights that the run computes: kernels that a dense layer makes (Ha, Dai and Le 2016, "HyperNetworks"), and spectral norm of a kernel that is given
(Miyato et al. 2018)."""
import torch
from torch import nn
from torch.nn import functional as F

from cases import Case, Input, initialised


def unit(v):
    return v / (v.norm() + 1e-12)


class Hypernetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.hidden = nn.Conv2d(3, 32, 3, padding=1), nn.Linear(16, 24)
        self.full, self.apart, self.grown = nn.Linear(24, 32 * 32 * 9), nn.Linear(24, 32 * 9), nn.Linear(24, 32 * 16 * 16)
        self.sampled, self.mixed = nn.Linear(24, 16 * 32 * 9), nn.Linear(24, 40 * 24)

    def forward(self, photo, code, kernel, start):
        x, h = torch.relu(self.stem(photo)), torch.tanh(self.hidden(code))
        each = zip(x, self.sampled(h).reshape(2, 16, 32, 3, 3))
        rows = kernel.flatten(1)
        along = unit(start @ rows)
        return {
            "full": F.conv2d(x, self.full(h[0]).reshape(32, 32, 3, 3), padding=1),
            "apart": F.conv2d(x, self.apart(h[0]).reshape(32, 1, 3, 3), padding=1, groups=32),
            "grown": F.conv_transpose2d(x, self.grown(h[0]).reshape(32, 16, 4, 4), stride=2, padding=1),
            "sampled": torch.stack([F.conv2d(picture, weight, padding=1) for picture, weight in each]),
            "mixed": F.linear(h, self.mixed(h[0]).reshape(40, 24)),
            "normed": F.conv2d(x, kernel / (along @ rows.T).norm(), padding=1),
        }


CASES = {
    "hypernetwork": Case("hypernetwork", lambda: initialised(Hypernetwork()),
                         {"photo": Input(2, 3, 28, 30), "code": Input(2, 16, low=-1), "kernel": Input(48, 32, 3, 3, low=-1), "start": Input(1, 48, low=-1)},
                         samples=200),
}
