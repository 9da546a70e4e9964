"""The trained denoiser of examples/."""
import json

import numpy as np
import torch
from torch import nn

from cases import Case, Input


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(c, c, 3, padding=1), nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(torch.relu(self.conv1(x)))


class Denoise(nn.Module):
    def __init__(self):
        super().__init__()
        self.head, self.encode = nn.Conv2d(3, 48, 4, 2, 1), Residual(48)
        self.down, self.body, self.up = nn.Conv2d(48, 64, 2, 2), Residual(64), nn.ConvTranspose2d(64, 48, 2, 2)
        self.decode, self.tail = nn.Sequential(Residual(48), Residual(48)), nn.ConvTranspose2d(48, 3, 4, 2, 1)

    def forward(self, x):
        fine = self.encode(self.head(x))
        return x + self.tail(self.decode(fine + self.up(self.body(self.down(fine)))))


def trained(net, path):
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    for name, tensor in header.items():
        if name != "__metadata__":
            begin, end = tensor["data_offsets"]
            header[name] = torch.from_numpy(np.frombuffer(data[begin:end], np.float32).reshape(tensor["shape"]).copy())
    header.pop("__metadata__", None)
    net.load_state_dict(header)
    return net


WEIGHTS = "examples/denoise.safetensors"
TRAINED = "--weights " + WEIGHTS
CASES = {"denoise": Case("denoise", lambda: trained(Denoise(), WEIGHTS), Input(1, 3, 100, 52), [TRAINED, "--target x86-64-v3 " + TRAINED], params=227907)}
