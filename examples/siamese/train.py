"""Trains a narrow form of ../siamese.cai (-D c=8 -D code=96) on characters that are made up as it goes, and writes ../siamese.safetensors:

    python3 train.py [STEPS]

Every character is a few strokes, drawn by two hands (../pictures/oneshot/draw.py, whose letters are not among them). Of some two dozen at a time each pair of
drawings is judged: the same character or not.

It needs PyTorch, NumPy and Pillow (Debian: python3-torch, python3-pil). The weights in the repository come from 1500 steps, 15 minutes on a busy core; at their
end the right one of 24 was the likeliest for 99 to 100 % of new drawings.
"""
import json
import math
import os
import random
import struct
import sys

import numpy as np
import torch
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "pictures", "oneshot"))
import draw

CHARACTERS = 24


def stroke(rng):
    """A line of two to four points, or a part of an ellipse."""
    if rng.random() < 0.4:
        begin = rng.randrange(24)
        return draw.arc(rng.uniform(0.25, 0.75), rng.uniform(0.25, 0.75), rng.uniform(0.12, 0.4), rng.uniform(0.12, 0.4), begin, begin + rng.randrange(8, 25))
    points = [(rng.random(), rng.random()) for _ in range(rng.choice([2, 2, 3, 4]))]
    return [points[0]] + [q for p, q in zip(points, points[1:]) if math.dist(p, q) > 0.2] or points


def drawn(strokes, rng):
    return np.asarray(draw.draw(strokes, rng), dtype=np.float32)


def batch(rng):
    """Two drawings of each of some characters: [CHARACTERS, 1, 105, 105], twice."""
    kinds = [[stroke(rng) for _ in range(rng.choice([1, 2, 2, 3]))] for _ in range(CHARACTERS)]
    return [torch.from_numpy(np.stack([drawn(k, rng) for k in kinds]))[:, None] for _ in range(2)]


class Twin(nn.Module):
    def __init__(self, c, code):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, c, 10), nn.Conv2d(c, 2 * c, 7)
        self.conv3, self.conv4 = nn.Conv2d(2 * c, 2 * c, 4), nn.Conv2d(2 * c, 4 * c, 4)
        self.fc = nn.Linear(4 * c * 6 * 6, code)

    def forward(self, x):
        for conv in self.conv1, self.conv2, self.conv3:
            x = nn.functional.max_pool2d(torch.relu(conv(x)), 2)
        return torch.sigmoid(self.fc(torch.relu(self.conv4(x)).flatten(1)))


class Siamese(nn.Module):
    def __init__(self, c=8, code=96):
        super().__init__()
        self.twin, self.out = Twin(c, code), nn.Linear(code, 1)
        nn.init.constant_(self.out.weight, -1)  # the more unlike, the less likely the same
        nn.init.constant_(self.out.bias, 4)

    def forward(self, examples, query):
        return self.out((self.twin(query)[:, None] - self.twin(examples)[None]).abs())[..., 0]


def save(state, path):
    """As safetensors."""
    header, data = {}, b""
    for name, value in state.items():
        part = value.detach().numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def main(steps):
    torch.manual_seed(0)
    rng, net, right = random.Random(0), Siamese(), 0
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
    same = torch.eye(CHARACTERS)
    for step in range(steps):
        a, b = batch(rng)
        likeness = net(a, b)
        # The few pairs of the same character count as much as all others together, and the right one is to be the likeliest.
        loss = nn.functional.binary_cross_entropy_with_logits(likeness, same, pos_weight=torch.tensor(CHARACTERS - 1.0))
        loss = loss + nn.functional.cross_entropy(likeness, torch.arange(CHARACTERS))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        right += (likeness.argmax(1) == torch.arange(CHARACTERS)).float().mean().item()
        if step % 50 == 49:
            print(f"step {step + 1}: loss {loss.item():.3f}, {right * 2:.0f} % right of {CHARACTERS}", flush=True)
            right = 0
    save(net.state_dict(), os.path.join(HERE, "..", "siamese.safetensors"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1500)
