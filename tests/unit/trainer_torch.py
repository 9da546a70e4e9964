#!/usr/bin/python3
"""The numbers of tests/unit/trainer.c: the same networks, data and first weights, trained by PyTorch in double precision.

usage: tests/unit/trainer_torch.py"""
import os
import sys

import numpy
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from draws import fnv1a64, splitmix64, units


def weights(path, bound, *shape):
    """What a run of seed 0 begins with."""
    numbers = bound * (2 * numpy.array(units(splitmix64(fnv1a64(path)), int(numpy.prod(shape)))) - 1)
    return torch.tensor(numbers.astype(numpy.float32).reshape(shape), dtype=torch.float64, requires_grad=True)


def data(*shape):
    x = 2 * numpy.array(units(7, int(numpy.prod(shape)))) - 1
    labels = [(i * i + i // 5) % 3 for i in range(shape[0])]
    return torch.tensor(x.reshape(shape)), torch.tensor(labels)


def train(name, model, parameters, optimizer, x, labels, steps):
    for step in range(1, steps + 1):
        loss = torch.nn.functional.cross_entropy(model(x), labels)
        if step in (1, 10, 20, 30):
            print(f"#define {name}_LOSS_{step} {loss.item():.8f}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


w, b = weights("head.weight", 0.5, 7, 3), torch.zeros(3, dtype=torch.float64, requires_grad=True)
train("LOGISTIC", lambda x: x @ w + b, [w, b], torch.optim.Adam([w, b], lr=0.05), *data(24, 7), 30)
print(f"#define LOGISTIC_W_0 {w.flatten()[0].item():.8f}\n#define LOGISTIC_W_20 {w.flatten()[20].item():.8f}")
print(f"#define LOGISTIC_B_1 {b[1].item():.8f}")

c, w = weights("conv.weight", 0.4, 16, 2, 3, 3), weights("head.weight", 0.5, 16, 3)
train("CONV", lambda x: torch.relu(torch.nn.functional.conv2d(x, c, padding=1)).mean((2, 3)) @ w, [c, w],
      torch.optim.SGD([c, w], lr=0.3, momentum=0.9), *data(12, 2, 6, 6), 20)
print(f"#define CONV_C_100 {c.flatten()[100].item():.8f}\n#define CONV_W_30 {w.flatten()[30].item():.8f}")
