"""Shared by the runners of ONNX's conformance tests: imports, builds, runs and compares one case."""
import collections, json, os, re, subprocess, time

import numpy

CAI = os.path.join(os.path.dirname(__file__), "..", "..", os.environ.get("BUILD", "build"), "cai")
Result = collections.namedtuple("Result", "state reason")  # passed, failed, or unread

# Types of numpy that cai lacks, and the wider types in which it holds them.
HELD_AS = {"bfloat16": "float32", "float64": "float32", "uint8": "int32", "int16": "int32", "uint16": "int32", "uint32": "int64", "uint64": "int64"}


def held(array):
    return array.astype(HELD_AS.get(array.dtype.name, array.dtype))


DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "I8": "i1", "I32": "<i4", "I64": "<i8", "BOOL": "?"}


def load(path):
    """The tensor of a .safetensors file that has one; bf16 as f32."""
    data = open(path, "rb").read()
    size = int.from_bytes(data[:8], "little")
    entry = next(entry for name, entry in json.loads(data[8:8 + size]).items() if name != "__metadata__")
    begin, end = entry["data_offsets"]
    array = numpy.frombuffer(data[8 + size:][begin:end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return (array.astype("u4") << 16).view("f4") if entry["dtype"] == "BF16" else array


def call(words):
    return subprocess.run(words, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)


def median_ms(run):
    """Of nine runs, behind one that does not count."""
    run()
    times = []
    for _ in range(9):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return 1000 * sorted(times)[4]


def import_case(folder):
    """The reasons why model.onnx can't be read; none where model.cai was written."""
    done = call([CAI, "import", f"{folder}/model.onnx", "-o", f"{folder}/model.cai"])
    if done.returncode == 0:
        return []
    found = re.findall(r"error\[[a-z-]*\]: (.*)", done.stderr)
    return found or [done.stderr.strip()[-200:] or "no word"]


def ports(folder):
    """The names of the model's inputs and outputs, as the text has them."""
    text = open(f"{folder}/model.cai").read()
    signature = re.search(r"^model \w+\((.*?)\)\s*->\s*(.*?) \{$", text, re.S | re.M)
    names = [re.findall(r"(\w+): \w+\[", part) for part in signature.groups()]
    return names


def rows_found(folder):
    """Of results whose rows only a run counts: the result that has their number, and along which axis they lie."""
    rows = re.findall(r"^# Of `(\w+)` the file gives the first `(\w+)` rows(?: along axis (\d+))?", open(f"{folder}/model.cai").read(), re.M)
    return {name: (count, int(axis or 0)) for name, count, axis in rows}


def run_case(folder, inputs, outputs, rtol, atol, part=lambda result: result):
    """Builds model.cai, runs it on the inputs, and compares a part of each result. What went wrong, or None."""
    weights = ["--weights", f"{folder}/model.safetensors"] if os.path.exists(f"{folder}/model.safetensors") else []
    done = call([CAI, "build", f"{folder}/model.cai", "-o", f"{folder}/model", *weights])
    if done.returncode:
        return "it does not build: " + (re.findall(r"error.*", done.stderr) or [done.stderr[-200:]])[0]
    ins, outs = ports(folder)
    words = []
    for name, array in zip(ins, inputs):
        numpy.save(f"{folder}/in_{name}.npy", numpy.ascontiguousarray(held(array)) if array.ndim else held(array))
        words.append(f"{name}={folder}/in_{name}.npy" if len(ins) > 1 else f"{folder}/in_{name}.npy")
    for name in outs:
        words += ["-o", f"{name}={folder}/out_{name}.safetensors" if len(outs) > 1 else f"{folder}/out_{name}.safetensors"]
    done = call([f"{folder}/model", *words])
    if done.returncode:
        return f"it does not run: {done.stderr.strip()[-200:]}"
    results, found = {name: load(f"{folder}/out_{name}.safetensors") for name in outs}, rows_found(folder)
    for name, wanted in zip(outs, map(held, outputs)):
        got = results[name]
        if name in found:
            count, axis = found[name]
            got = numpy.take(got, range(int(results[count])), axis)
        got = part(got)
        if got.shape != wanted.shape:
            return f"{name} has the shape {got.shape}, not {wanted.shape}"
        if got.dtype != wanted.dtype:
            return f"{name} is of {got.dtype}, not {wanted.dtype}"
        if wanted.dtype.kind == "f":
            close = numpy.isclose(got.astype("f8"), wanted.astype("f8"), rtol=rtol, atol=atol, equal_nan=True)
        else:
            close = got == wanted
        if not close.all():
            at = numpy.unravel_index(numpy.argmin(close), close.shape)
            return f"{name}: {(~close).sum()} of {close.size} differ, at {tuple(map(int, at))} {got[at]}, not {wanted[at]}"
    return None
