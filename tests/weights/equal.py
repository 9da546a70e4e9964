"""Whether a .safetensors, or a .npy, has the values of another as f32, to the bit.   usage: equal.py FILE WANTED"""
import json, sys

import numpy

TYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "BF16": "<u2"}


def tensor(data, entry):
    begin, end = entry["data_offsets"]
    array = numpy.frombuffer(data[begin:end], TYPES[entry["dtype"]]).reshape(entry["shape"])
    return (array.astype("u4") << 16).view("f4") if entry["dtype"] == "BF16" else array.astype("f4")


def read(path):
    if path.endswith(".npy"):
        return {"a": numpy.load(path)}
    data = open(path, "rb").read()
    end = 8 + int.from_bytes(data[:8], "little")
    return {name: tensor(data[end:], entry) for name, entry in json.loads(data[8:end]).items() if name != "__metadata__"}


ours, theirs = read(sys.argv[1]), read(sys.argv[2])
if sys.argv[2].endswith(".npy"): # whatever its name in the other is
    ours = {"a": array for array in ours.values()}
wrong = [n for n in {**ours, **theirs} if n not in ours or n not in theirs or ours[n].shape != theirs[n].shape or ours[n].tobytes() != theirs[n].tobytes()]
sys.exit(f"other values: {sorted(wrong)}" if wrong or not ours else 0)
