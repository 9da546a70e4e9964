"""Kernels of f16 and bf16 (types.cai).

The network's weights and inputs have the type, and what each of its operators gives is rounded to it; the
operators themselves are PyTorch's f32. That is compared with float64 of the same weights and inputs, in
which nothing is rounded, so that the bound of a case, twice that error, is of the type's own: it
leaves room for another order of sums, and none for sums that are kept in the type, whose errors grow
with the number of their terms.
"""
import torch
from torch import nn
from torch.nn import functional as F

from cases import AVX2, INIT, Case, Input, initialised


class Scale(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(c)), nn.Parameter(torch.zeros(c))

    def forward(self, x, rounded):
        return rounded(rounded(x * self.weight[:, None, None]) + self.bias[:, None, None])


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(c, c, 3, padding=1, bias=False) for _ in range(2))
        self.norm1, self.norm2 = Scale(c), Scale(c)

    def forward(self, x, rounded):
        y = F.relu(self.norm1(rounded(self.conv1(x)), rounded))
        return F.relu(rounded(x + self.norm2(rounded(self.conv2(y)), rounded)))


class Types(nn.Module):
    def __init__(self, type):
        super().__init__()
        self.type = type
        self.conv = nn.Conv2d(16, 24, 3, padding=1, bias=False)
        self.strided = nn.Conv2d(16, 32, 5, stride=2, padding=2, bias=False)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)
        self.few = nn.Conv2d(16, 2, 3, padding=1, bias=False)
        self.up = nn.ConvTranspose2d(16, 20, 2, stride=2, bias=False)
        self.dense, self.residual = nn.Linear(96, 40), Residual(16)

    def to_type(self, x):
        return x.to(self.type).to(x.dtype)

    def forward(self, map, rows, right):
        rounded = (lambda x: x) if self.dense.weight.dtype == torch.float64 else self.to_type
        map, rows, right = (self.to_type(x) for x in (map, rows, right))
        got = {name: rounded(getattr(self, name)(map)) for name in ("conv", "strided", "depthwise", "few", "up")}
        got["dense"] = rounded(rounded(rows @ self.dense.weight.T) + self.dense.bias)
        return {**got, "product": rounded(rows @ right), "residual": self.residual(map, rounded)}


def network(type):
    net = initialised(Types(type))
    for p in net.parameters():
        p.data = net.to_type(p.data)
    return net


def case(name, type):
    inputs = {"map": Input(2, 16, 20, 23, low=-1), "rows": Input(3, 7, 96, low=-1), "right": Input(3, 96, 33, low=-1)}
    options = [f"{target}{more} -D type={name}" for target in (INIT, AVX2) for more in ("", " --no-winograd")]
    return Case("types", lambda: network(type), inputs, options, samples=400)


CASES = {"types_f16": case("f16", torch.float16), "types_bf16": case("bf16", torch.bfloat16)}
