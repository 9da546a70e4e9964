"""Models that `cai build --kind onnx` writes. compare() lets onnx check them and onnxruntime run them, and compares the results with those of cai's
own program, and with those of the program of what cai reads of them; read_again() compares the graphs.

The weights are --init 1. Free sizes are taken from SIZES, then a second time larger, to make sure that they are free in the file, too.
"""
import hashlib, math, os, re

import numpy

from cases import CAI, call, load

TYPES = {"tensor(float)": "f4", "tensor(float16)": "f2", "tensor(int32)": "i4", "tensor(int64)": "i8", "tensor(int8)": "i1", "tensor(bool)": "?"}
TOLERANCE = 1e-3  # of the largest number of an output
SIZES = [64, 256, 192]  # heights and widths to try until the model takes one
# The share of elements that may differ in a model that compares numbers: a pixel next to an edge, two equal scores.
MAY_DIFFER = {"ssd": 0.15, "carry": 1e-3}


def models_of(path):
    return re.findall(r"^model (\w+)", open(path).read(), re.M)


def export(path, model, out, *options):
    """What was wrong, or None."""
    done = call([CAI, "build", path, model, "--kind", "onnx", "--init", "1", "-o", out, *options])
    return done.stderr.strip() if done.returncode else None


# ---- against onnxruntime ----

def session_of(out):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(out, options)


def names_in(dim):
    return [] if isinstance(dim, int) else re.findall(r"[A-Za-z_]\w*", dim)


def size_of(dim, sizes):
    """A size of an input: a number, or a formula of names (H/2, 2*H)."""
    return dim if isinstance(dim, int) else int(eval(dim.replace("//", "/").replace("/", "//"), dict(sizes)))


def symbols_of(session):
    return sorted({name for port in session.get_inputs() for dim in port.shape for name in names_in(dim)})


def inputs_of(session, sizes):
    random = numpy.random.default_rng(1)
    made = {}
    for port in session.get_inputs():
        shape, kind = [size_of(dim, sizes) for dim in port.shape], TYPES[port.type]
        made[port.name] = (random.random(shape) if kind[0] == "f" else random.integers(0, 2, shape)).astype(kind)
    return made


def run_program(program, folder, inputs, outputs):
    """What was wrong, or None."""
    words = [program]
    for name, array in inputs.items():
        numpy.save(f"{folder}/in_{name}.npy", array)
        words.append(f"{name}={folder}/in_{name}.npy" if len(inputs) > 1 else f"{folder}/in_{name}.npy")
    for name in outputs:
        file = f"{folder}/out_{name}.safetensors"
        words += ["-o", f"{name}={file}" if len(outputs) > 1 else file]
    done = call(words)
    return done.stderr.strip() if done.returncode else None


def difference(got, wanted, share):
    """What differs, or None."""
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        return f"{got.dtype}{list(got.shape)}, not {wanted.dtype}{list(wanted.shape)}"
    if not numpy.array_equal(numpy.isfinite(got), numpy.isfinite(wanted)):
        return "not the same numbers are finite"
    got, wanted = (numpy.nan_to_num(a.astype("f8"), posinf=0, neginf=0) for a in (got, wanted))
    error = numpy.abs(got - wanted)
    apart = (error > TOLERANCE * numpy.abs(wanted).max(initial=0)).mean() if error.size else 0
    return f"{apart:.2%} differ, by {error.max():.1e} of {numpy.abs(wanted).max():.1e}" if apart > share else None


def sizes_that_fit(program, folder, session, symbols, larger):
    """Finds sizes that the model takes; returns them and the inputs on which its program has run."""
    names = [port.name for port in session.get_outputs()]
    for size in SIZES:
        sizes = {name: 2 + larger if name == "N" else 2 * size if larger and size < 256 else size for name in symbols}
        inputs = inputs_of(session, sizes)
        wrong = run_program(program, folder, inputs, names)
        if not wrong:
            return sizes, inputs, None
    return sizes, inputs, wrong


def compare(path, model, folder, *options):
    """What went wrong, or None; and whether the graph is the same when cai reads it again."""
    import onnx
    out, program = f"{folder}/model.onnx", f"{folder}/program"
    wrong = export(path, model, out, *options)
    if wrong:
        return wrong, False
    onnx.checker.check_model(out, full_check=True)
    session = session_of(out)
    wrong = build(path, program, model, "--init", "1", *options)
    if wrong:
        return wrong, False
    symbols, names = symbols_of(session), [port.name for port in session.get_outputs()]
    for larger in (False, True)[:1 + bool(symbols)]:
        sizes, inputs, wrong = sizes_that_fit(program, folder, session, symbols, larger)
        if wrong:
            return f"with {sizes}: {wrong[-300:]}", False
        for name, got in zip(names, session.run(names, inputs)):
            wrong = difference(got, load(f"{folder}/out_{name}.safetensors"), MAY_DIFFER.get(model, 0))
            if wrong:
                return f"{name} with {sizes}: {wrong}", False
    wrong, same = read_again(path, model, folder, *options)
    return wrong or compare_again(model, folder, inputs, names), same


# ---- export, then import ----

MAX_WRITTEN = 16  # elements; cai reads a longer constant as a weight
EITHER_ORDER = "add mul min max eq ne and or".split()


def plain_node(text):
    """A node as ONNX can say it: without names and initial numbers, and with numbers as f32 has them."""
    text = re.sub(r" (path|name|init|version)=\S+", "", text)
    return re.sub(r"data=\S.* : f", lambda m: re.sub(r"-?\d[\d.e+-]*", lambda number: f"{numpy.float32(number[0]):.6g}", m[0]), text)


def weight_of(text, weights):
    """The type and sizes of what a file of weights has, which may be in another shape; or None."""
    found = re.match(r"(?:parameter|state|constant) type=(\w+) dims=\[(.*?)\]", text) or re.match(r"reshape (?P<of>%\d+) dims=\[(.*?)\] : (?P<type>\w+)", text)
    if not found:
        return None
    if text[0] == "r":
        return (found["type"], found[2]) if found["of"] in weights else None
    return found.groups() if text[0] != "c" or "data=[" in text and elements(found[2]) > MAX_WRITTEN else None


def elements(sizes):
    return math.prod(int(n) for n in re.findall(r"\d+", sizes))


def plain_nodes(printed):
    """Each node of a printed graph as a hash of what it is and what it is made of, and its line. A weight is listed by its number of elements."""
    hashes, weights, nodes = {}, set(), []
    hashed = lambda text: hashlib.sha256(text.encode()).hexdigest()[:16]
    for line in printed.splitlines():
        node = re.match(r"  (%\d+) = (.*?)(  #.*)?$", line)
        if not node:
            continue
        text = plain_node(node[2])
        weight = weight_of(text, weights)
        if weight:
            weights.add(node[1])
            hashes[node[1]] = hashed(f"weight {weight}")
            nodes += [(hashed(f"weight {weight[0]} {elements(weight[1])}"), line)] if text[0] != "r" else []
            continue
        words = re.sub(r"%\d+", lambda m: hashes[m[0]], text).split(" ")
        text = " ".join(words[:1] + sorted(words[1:3]) + words[3:] if words[0] in EITHER_ORDER else words)
        hashes[node[1]] = hashed(text)
        nodes.append((hashes[node[1]], line))
    return nodes


def graph_of(*words):
    """The nodes of a graph without their names; or what went wrong."""
    done = call([CAI, "build", *words, "--after", "dead"])
    return done.stderr if done.returncode else sorted(node for node, _ in plain_nodes(done.stdout))


def build(path, program, *options):
    """What was wrong, or None."""
    done = call([CAI, "build", path, "-o", program, *options])
    return "it does not build: " + done.stderr.strip()[-300:] if done.returncode else None


def compare_again(model, folder, inputs, names):
    """What went wrong, or None: the program of again.cai gives what lies in the folder, results of the model's own."""
    weights = ["--weights", f"{folder}/again.safetensors"] if os.path.exists(f"{folder}/again.safetensors") else []
    before = [load(f"{folder}/out_{name}.safetensors") for name in names]
    wrong = build(f"{folder}/again.cai", f"{folder}/again", *weights) or run_program(f"{folder}/again", folder, inputs, names)
    for name, wanted in zip(names, before):
        wrong = wrong or difference(load(f"{folder}/out_{name}.safetensors"), wanted, MAY_DIFFER.get(model, 0))
    return wrong and f"read again: {wrong}"


def read_again(path, model, folder, *options):
    """What went wrong when cai read model.onnx, which it has written, or None; and whether the graph is the same."""
    done = call([CAI, "import", f"{folder}/model.onnx", "-o", f"{folder}/again.cai"])
    if done.returncode:
        return "read again: " + done.stderr, False
    return None, graph_of(path, model, *options) == graph_of(f"{folder}/again.cai")


def round_trip(path, model, folder, *options):
    """What went wrong, or None: cai reads what it has written, and the graph is the same."""
    wrong = export(path, model, f"{folder}/model.onnx", *options)
    if wrong:
        return wrong
    wrong, same = read_again(path, model, folder, *options)
    return wrong or (None if same else "another graph when read again")


def round_trip_of_results(path, model, folder, inputs, names, *options):
    """What went wrong, or None: cai reads what it has written, and its program gives the same."""
    program = f"{folder}/program"
    return export(path, model, f"{folder}/model.onnx", *options) or build(path, program, model, "--init", "1", *options) or \
        run_program(program, folder, inputs, names) or read_again(path, model, folder, *options)[0] or compare_again(model, folder, inputs, names)
