#!/usr/bin/env python3
"""Writes gradients.txt: what gradients flow back through each case of tests/numerics/library, by PyTorch's autograd in float64, in training;
tests/unit/library_gradients.c reads it. Run it here, with python3-torch, when a case is added.

A case begins with its text. Behind it stand `error E`, how far PyTorch's own gradients in float32 lie from those in float64, as a share of
their norm, the largest of five runs with inputs a little larger each time, and for each input and weight `gradient NAME STEP V...`, every STEP-th element of the gradient of the sum of its output
times (37 i mod 64) / 32 - 63 / 64 for element i; or `none`, where nothing flows. Inputs are those of the library's cases rounded to float32,
random numbers those of seed 42."""
import copy
import math
import os
import sys

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../library"))
import make as library

SAMPLES = 16
lines, silent, begun = [], [], {}
library.run_seed, library.training = 42, True


def weighed(y):
    factors = (torch.arange(y.numel()) * 37 % 64) / 32 - 63 / 64
    return (y.reshape(-1) * factors).sum()


def as_begun(dtype):
    """What a run before has changed is put back: running means, directions of spectral norms."""
    for module in library.modules:
        module.load_state_dict(begun.setdefault(module, copy.deepcopy(module.state_dict())))
        module.to(dtype)
    for _, leaf in library.leaves:
        leaf.data = leaf.data.to(dtype)


def gradients(function, inputs, dtype, scale=1):
    """By name; None where nothing flows."""
    torch.set_default_dtype(dtype)
    as_begun(dtype)
    tensors = [library.source(s[0], k, True) if isinstance(s[-1], str) else (scale * library.source(s, k)).float().to(dtype).requires_grad_()
               for k, s in enumerate(inputs)]
    y = function(*tensors)
    found = None
    if y.requires_grad:
        wanted = [(name, t) for name, t in zip("xyz", tensors) if t.requires_grad] + library.leaves
        of = torch.autograd.grad(weighed(y), [t for _, t in wanted], allow_unused=True)
        reached = ((name, g) for (name, _), g in zip(wanted, of) if g is not None)
        found = {name: g.double() for name, g in reached if name.startswith("l.") or "." not in name and g.any()}  # what `over` can name
    torch.set_default_dtype(torch.float64)
    as_begun(torch.float64)
    return found


def norm(tensors):
    return math.sqrt(sum((t * t).sum().item() for t in tensors))


def error(function, inputs, scale):
    exact, single = (gradients(function, inputs, dtype, scale) for dtype in (torch.float64, torch.float32))
    return norm([single[name] - g for name, g in exact.items() if name in single]) / max(norm(exact.values()), 1e-30)


def case(model, inputs, function):
    lines.append(model)
    exact = gradients(function, inputs, torch.float64)
    if not exact or not all(g.isfinite().all() for g in exact.values()):
        silent.append(model)
        lines.append("none")
        return
    lines.append(f"error {max(error(function, inputs, 1 + turn / 1024) for turn in range(5)):.3g}")
    for name, g in exact.items():
        step = -(-g.numel() // SAMPLES)
        lines.append(f"gradient {name} {step} " + " ".join(f"{v:.12g}" for v in g.reshape(-1)[::step].tolist()))


if __name__ == "__main__":
    library.case = case
    library.cases()
    with open("gradients.txt", "w") as file:
        file.write("\n".join(lines) + "\n")
    print(*silent, sep="\n")
    print(sum(line.startswith(("model", "use")) for line in lines), "cases, of which", len(silent), "have none")
