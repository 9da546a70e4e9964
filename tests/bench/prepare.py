"""A case of tests/numerics for tests/bench/all: prepare.py FAMILY CASE BASE SIZE writes BASE.NAME.npy for each input, one picture of SIZE where that is not
0, BASE.peer.npz and, where PyTorch can, BASE.onnx; the last line it prints is JSON, {"names": [...], "onnx": bool, "why": "..."}.
prepare.py --list FAMILY... prints family, case, model and first options of each case."""
import importlib
import json
import os
import sys
import warnings

import numpy as np
import torch

MODELS = os.path.join(os.path.dirname(__file__), "..", "numerics", "models")
sys.path[:0] = [MODELS, os.path.join(MODELS, "reference")]


def tensor_of(name, made, size):
    """The case's input for one picture, in the given size where it is a picture."""
    shape = list(made.shape)
    shape[0] = 1 if name in ("input", "photo", "code", "before", "after", "label", "text", "noise", "normal", "normal2", "mu", "picture") else shape[0]
    if size and len(shape) == 4:
        shape[2:] = [size, size]
    made.shape = tuple(shape)
    return made.tensor(name)


def prepare(family, name, base, size):
    case = importlib.import_module(family).CASES[name]
    net = case.network().eval()
    inputs = {n: tensor_of(n, i, size) for n, i in case.inputs.items()}
    for key, value in inputs.items():
        np.save(f"{base}.{key}.npy", value.numpy().astype(np.float32 if value.is_floating_point() else np.int32))
    np.savez(f"{base}.peer.npz", **{n: v.numpy() for n, v in inputs.items()})
    said = {"names": list(inputs), "onnx": True, "why": ""}
    try:
        torch.onnx.export(net, tuple(inputs.values()), base + ".onnx", input_names=list(inputs), opset_version=16)
    except Exception as error:  # whatever keeps the exporter from it is the table's reason
        said = {"names": list(inputs), "onnx": False, "why": "no ONNX: " + str(error).strip().splitlines()[0][:80]}
    print(json.dumps(said))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if sys.argv[1] == "--list":
        for family in sys.argv[2:]:
            for name, case in importlib.import_module(family).CASES.items():
                print(family, name, case.model, case.options[0], sep="\t")
    else:
        prepare(*sys.argv[1:4], int(sys.argv[4]))
