"""Models that `cai build --kind onnx` writes: checked by onnx, run by onnxruntime, and compared with what cai's own program gives.

The weights are --init 1. Free sizes are 64, a batch of 2; a second run has other sizes, so that what is free is free in the file, too.
"""
import json, os, re, subprocess, tempfile

import numpy, onnx, onnxruntime

from cases import CAI, load

TYPES = {"tensor(float)": "f4", "tensor(float16)": "f2", "tensor(int32)": "i4", "tensor(int64)": "i8", "tensor(int8)": "i1", "tensor(bool)": "?"}
TOLERANCE = 1e-4  # of the largest number of an output


def call(words, timeout=600):
    return subprocess.run(words, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)


def models_of(path):
    """The names of the models of a .cai file, that of the file first."""
    names = re.findall(r"^model (\w+)", open(path).read(), re.M)
    return sorted(names, key=lambda name: name != os.path.basename(path)[:-4])


def export(path, model, out, *options):
    done = call([CAI, "build", path, model, "--kind", "onnx", "--init", "1", "-o", out, *options])
    return None if done.returncode == 0 else done.stderr.strip()


def session_of(out):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(out, options)


def size_of(dim, sizes):
    """A size of an input: a number, a name, or a formula of names (H/2, 2*H)."""
    if isinstance(dim, int):
        return dim
    return int(eval(re.sub(r"(?<!/)/(?!/)", "//", dim), {name: sizes[name] for name in re.findall(r"[A-Za-z_]\w*", dim)}))


def symbols_of(session):
    dims = [dim for port in session.get_inputs() for dim in port.shape if not isinstance(dim, int)]
    return sorted({name for dim in dims for name in re.findall(r"[A-Za-z_]\w*", dim)})


def inputs_of(session, sizes):
    random = numpy.random.default_rng(1)
    made = {}
    for port in session.get_inputs():
        shape, kind = [size_of(dim, sizes) for dim in port.shape], TYPES[port.type]
        made[port.name] = (random.random(shape) if kind[0] == "f" else random.integers(0, 2, shape)).astype(kind)
    return made


def run_program(program, folder, inputs, outputs):
    words = [program]
    for name, array in inputs.items():
        numpy.save(f"{folder}/in_{name}.npy", array)
        words.append(f"{name}={folder}/in_{name}.npy" if len(inputs) > 1 else f"{folder}/in_{name}.npy")
    for name in outputs:
        file = f"{folder}/out_{name}.safetensors"
        words += ["-o", f"{name}={file}" if len(outputs) > 1 else file]
    done = call(words)
    return done.stderr.strip() if done.returncode else None


def difference(got, wanted):
    """What differs, or None; and the error, as a share of the largest number."""
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        return f"{got.dtype}{list(got.shape)}, not {wanted.dtype}{list(wanted.shape)}", 1
    if got.dtype.kind != "f":
        apart = numpy.count_nonzero(got != wanted) / max(got.size, 1)
        return (f"{apart:.1%} of the elements differ" if apart > 1e-3 else None), apart
    if not numpy.array_equal(numpy.isfinite(got), numpy.isfinite(wanted)):
        return "not the same numbers are finite", 1
    finite = numpy.isfinite(wanted)
    largest = numpy.abs(wanted[finite]).max(initial=0)
    error = numpy.abs(got[finite].astype("f8") - wanted[finite]).max(initial=0) / (largest or 1)
    return (f"an error of {error:.1e}" if not error <= TOLERANCE else None), error


def compare(path, model, folder, *options, runs=2):
    """(what went wrong or None, the largest error)."""
    out, program = f"{folder}/model.onnx", f"{folder}/program"
    refused = export(path, model, out, *options)
    if refused:
        return refused, 0
    onnx.checker.check_model(out, full_check=True)
    session = session_of(out)
    built = call([CAI, "build", path, model, "--init", "1", "-o", program])
    if built.returncode:
        return "it does not build: " + built.stderr.strip()[-300:], 0
    symbols, worst = symbols_of(session), 0
    for run in range(runs if symbols else 1):
        sizes = {name: 2 + run if name == "N" else 64 + 32 * run for name in symbols}
        inputs = inputs_of(session, sizes)
        names = [port.name for port in session.get_outputs()]
        wrong = run_program(program, folder, inputs, names)
        if wrong:
            return f"with {sizes}: {wrong[-300:]}", worst
        for name, got in zip(names, session.run(names, inputs)):
            wrong, error = difference(got, load(f"{folder}/out_{name}.safetensors"))
            worst = max(worst, error)
            if wrong:
                return f"{name} with {sizes}: {wrong}", worst
    return None, worst
