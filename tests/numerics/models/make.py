"""Makes the expected outputs of whole models, NAME.txt and NAME.safetensors in this folder, with PyTorch
(cases.py says what is in them), and the names and shapes of their weights, ../names/NAME.txt, which
tests/numerics/run compares with `cai summary --names`:

    /usr/bin/python3 tests/numerics/models/make.py [CASE or FAMILY...]

A family is a file of reference/ with a dict CASES. Networks that are not torchvision's are written there from their papers.
"""
import importlib
import os
import sys

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "reference")]
from cases import Normalized
from tensors import write_tensors

HEAVY = 25e6  # bytes of weights


def results(net, inputs):
    """Each output's numbers, flat, in the outputs' order."""
    with torch.no_grad():
        got = net(*inputs)
    got = got if isinstance(got, dict) else {"output": got}
    return {name: value.flatten().numpy() for name, value in got.items()}


def write_names(path, case, net):
    """`# FILE OPTION...`, `# unused PATTERN` where there is one, and a line NAME SIZE... for each tensor."""
    with open(path, "w") as out:
        out.write(f"# {case.names}\n" + (f"# unused {case.unused}\n" if case.unused else ""))
        for key, value in net.state_dict().items():
            if not key.endswith("num_batches_tracked"):
                out.write(" ".join(map(str, [key, *value.shape])) + "\n")


def make(name, case):
    net = case.network().eval()
    if case.names:
        write_names(os.path.join(HERE, "..", "names", name + ".txt"), case, net.net if isinstance(net, Normalized) else net)
    count = sum(p.numel() for p in net.parameters())
    assert case.params in (None, count), f"{name} has {count} parameters, not {case.params}"
    inputs = [i.tensor(n) for n, i in case.inputs.items()]
    single = results(net, inputs)
    exact = results(net.double(), [x.double() if x.is_floating_point() else x for x in inputs])
    lines, samples = [], {}
    for key, values in exact.items():
        which = np.unique(np.linspace(0, values.size - 1, min(case.samples, values.size)).round().astype(int))
        samples[key] = values[which].astype(np.float64)
        rms = np.sqrt(np.mean((single[key][which] - values[which]) ** 2.0))
        lines.append(f"output {key} {values.size} {rms:.3e}\n")
        size = np.sqrt(np.mean(samples[key] ** 2))
        print(f"{name}: {count} parameters; {key}: {values.size} elements, PyTorch's f32 is off by {rms:.3e} of {size:.3e}")
    with open(os.path.join(HERE, name + ".txt"), "w") as out:
        out.write(f"model {case.model}\n" + "".join(f"options {o}\n" for o in case.options))
        if 4 * sum(v.numel() for v in net.state_dict().values()) > HEAVY:
            out.write("heavy\n")
        out.write("".join(i.line(n) for n, i in case.inputs.items()))
        out.write(f"numbers {write_tensors(os.path.join(HERE, name + '.safetensors'), samples):08x}\n")
        out.writelines(lines)


if __name__ == "__main__":
    wanted = set(sys.argv[1:])
    for family in sorted(f[:-3] for f in os.listdir(os.path.join(HERE, "reference")) if f.endswith(".py")):
        for name, case in importlib.import_module(family).CASES.items():
            if not wanted or wanted & {name, family}:
                make(name, case)
