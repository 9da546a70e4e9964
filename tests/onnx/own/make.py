#!/usr/bin/env python3
"""Writes the networks of this folder, of forms that ONNX's own tests have not: NAME.onnx, and NAME.npz with inputs and what onnxruntime makes of
them. tests/onnx/run imports, builds, runs and compares. Needs tests/onnx/requirements.txt, which the test does not."""
import os

import numpy as np, onnx, onnxruntime
from onnx import TensorProto, helper, numpy_helper

os.chdir(os.path.dirname(os.path.abspath(__file__)))
node, random = helper.make_node, np.random.default_rng(1)
F, H, I, B = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64, TensorProto.BOOL


def constants(**arrays):
    return [numpy_helper.from_array(np.asarray(a), name) for name, a in arrays.items()]


def graph_of(nodes, inputs, outputs, weights=()):
    ports = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for name, a in inputs.items()]
    return helper.make_graph(nodes, "own", ports, [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()], weights)


def save(name, nodes, inputs, outputs, weights=(), opset=16, tolerance=1e-5):
    model = helper.make_model(graph_of(nodes, inputs, outputs, weights), opset_imports=[helper.make_opsetid("", opset)], ir_version=8, producer_name="hand")
    onnx.checker.check_model(model)
    onnx.save(model, f"{name}.onnx")
    made = onnxruntime.InferenceSession(f"{name}.onnx", providers=["CPUExecutionProvider"]).run(None, inputs)
    print(name, [a.shape for a in made])
    arrays = {f"in{i}": a for i, a in enumerate(inputs.values())} | {f"out{i}": a for i, a in enumerate(made)}
    np.savez_compressed(f"{name}.npz", tolerance=np.array([tolerance, tolerance]), **arrays)


def picked(of, size, places, out):
    """x[X, Y] for x [2, 40, size], as PyTorch's exporter writes it."""
    return [node("Flatten", [of], [f"{out}_flat"], axis=2), node("Shape", [of], [f"{out}_shape"]),
            node("Gather", [f"{out}_shape", "one"], [f"{out}_many"], axis=0), node("Mul", ["X", f"{out}_many"], [f"{out}_first"]),
            node("Add", [places, f"{out}_first"], [f"{out}_place"]), node("Gather", [f"{out}_flat", f"{out}_place"], [f"{out}_rows"], axis=0),
            node("Shape", [f"{out}_place"], [f"{out}_found"]), node("Concat", [f"{out}_found", f"size{size}"], [f"{out}_to"], axis=0),
            node("Reshape", [f"{out}_rows", f"{out}_to"], [out])]


# A detector with its suppression within, as YOLOv7 exports it (`--end2end --max-wh 640`): boxes of other classes are moved apart, and each row
# of the result has picture, box, class and score.
def detector():
    x = random.random((2, 40, 9), "f4")
    x[..., :2] *= 64
    x[..., 2:4] = 10 + 20 * x[..., 2:4]
    middle_to_corners = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [-0.5, 0, 0.5, 0], [0, -0.5, 0, 0.5]], "f4")
    cut = lambda out, begin, end: node("Slice", ["x", f"at{begin}", f"at{end}", "last"], [out])
    save("detector", [
        cut("boxes", 0, 4), cut("sure", 4, 5), cut("of_class", 5, 9), node("Mul", ["of_class", "sure"], ["scores"]),
        node("MatMul", ["boxes", "matrix"], ["corners"]), node("ReduceMax", ["scores"], ["best"], axes=[2], keepdims=1),
        node("ArgMax", ["scores"], ["class"], axis=2, keepdims=1), node("Cast", ["class"], ["class_f"], to=F), node("Mul", ["class_f", "reach"], ["apart"]),
        node("Add", ["corners", "apart"], ["moved"]), node("Transpose", ["best"], ["turned"], perm=[0, 2, 1]),
        node("NonMaxSuppression", ["moved", "turned", "most", "iou", "least"], ["selected"]),
        node("Gather", ["selected", "zero"], ["X"], axis=1), node("Gather", ["selected", "two"], ["Y"], axis=1),
        *picked("corners", 4, "Y", "kept"), *picked("class_f", 1, "Y", "kept_class"), *picked("best", 1, "Y", "kept_score"),
        node("Unsqueeze", ["X", "one_axis"], ["X1"]), node("Cast", ["X1"], ["picture"], to=F),
        node("Concat", ["picture", "kept", "kept_class", "kept_score"], ["output"], axis=1)], {"x": x}, {"output": (F, [None, 7])},
        constants(matrix=middle_to_corners, reach=np.float32(640), most=np.array([25]), iou=np.array([0.2], "f4"), least=np.array([0.45], "f4"), zero=0, one=1, two=2,
                  one_axis=[1], last=[2], size4=[4], size1=[1], at0=[0], at4=[4], at5=[5], at9=[9]))


# Boxes of each class by themselves, as middle and size, all that do not overlap; places of computed depth.
def classes():
    boxes = random.random((2, 30, 4), "f4")
    boxes[..., 2:] *= 0.4
    save("classes", [
        node("NonMaxSuppression", ["boxes", "scores", "most", "iou"], ["selected"], center_point_box=1),
        node("GatherND", ["scores", "selected"], ["kept_scores"]), node("Gather", ["selected", "columns"], ["places"], axis=1),
        node("GatherND", ["boxes", "places"], ["kept"]), node("Slice", ["kept", "from", "to"], ["first"])],
        {"boxes": boxes, "scores": random.random((2, 3, 30), "f4")}, {"selected": (I, [None, 3]), "kept_scores": (F, [None]), "kept": (F, [None, 4]), "first": (F, [None, 4])},
        constants(most=np.array([2 ** 63 - 1]), iou=np.array([0.3], "f4"), columns=[0, 2], **{"from": [0], "to": [100]}))


# Branches whose condition only a run knows, within each other, too; one of them is a constant.
def branches():
    inner = lambda out, nodes: graph_of(nodes, {}, {out: (F, [3, 4])})
    constant = node("Constant", [], ["c"], value=numpy_helper.from_array(np.arange(12, dtype="f4").reshape(3, 4)))
    deeper = node("If", ["p"], ["z"], then_branch=inner("s", [node("Sqrt", ["x"], ["s"])]), else_branch=inner("l", [node("Log", ["x"], ["l"])]))
    save("branches", [
        node("If", ["p"], ["y"], then_branch=inner("e", [node("Exp", ["x"], ["e"])]), else_branch=inner("l", [node("Log", ["x"], ["l"])])),
        node("ReduceSum", ["x"], ["total"], keepdims=1), node("Less", ["total", "zero"], ["q"]), node("Reshape", ["q", "one"], ["q1"]),
        node("If", ["q1"], ["k"], then_branch=inner("c", [constant]), else_branch=inner("z", [deeper]))],
        {"x": random.random((3, 4), "f4"), "p": np.array(True)}, {"y": (F, [3, 4]), "k": (F, [3, 4])}, constants(zero=np.float32(0), one=[1]))


# Elements at places, some of them counted from the end, one twice: the last counts.
def puts():
    save("puts", [
        node("ScatterElements", ["x", "places", "new"], ["y"], axis=1), node("ScatterElements", ["b", "places", "marks"], ["c"], axis=1),
        node("ScatterND", ["x", "rows", "others"], ["z"]), node("ScatterND", ["x", "known", "others"], ["w"])],
        {"x": random.random((3, 6), "f4"), "places": np.array([[0, -1, 0], [5, 2, 3], [-6, 1, 1]]), "new": random.random((3, 3), "f4"), "b": random.random((3, 6)) < 0.5,
         "marks": random.random((3, 3)) < 0.5, "rows": np.array([[-1], [0]]), "others": random.random((2, 6), "f4")},
        {"y": (F, [3, 6]), "c": (B, [3, 6]), "z": (F, [3, 6]), "w": (F, [3, 6])}, constants(known=[[2], [1]]))


# What is chosen by a condition has the type of what it chooses from.
def slopes():
    save("slopes", [node("PRelu", ["x", "slope"], ["a"]), node("ThresholdedRelu", ["a"], ["b"], alpha=0.1), node("Neg", ["b"], ["y"])],
         {"x": random.random((3, 4), "f4") - np.float32(0.5), "slope": -random.random((3, 4), "f4")}, {"y": (F, [3, 4])})


# Equations with an ellipsis, whose axes broadcast, with a diagonal, and without an arrow.
def sums():
    equations = {"a": ("...ij,jk...->...ik", "x y"), "b": ("b...,b->...b", "x z"), "c": ("iji,kj->kij", "w v"), "d": ("ba,bc", "v v"), "e": ("ijj->i", "u"), "f": ("...", "z")}
    shapes = {"a": [2, 3, 5], "b": [3, 4, 2], "c": [4, 3, 5], "d": [5, 5], "e": [4], "f": [2]}
    save("sums", [node("Einsum", inputs.split(), [out], equation=equation) for out, (equation, inputs) in equations.items()],
         {name: random.random(shape, "f4") for name, shape in dict(x=(2, 3, 4), y=(4, 5, 2), z=(2,), w=(3, 5, 3), v=(4, 5), u=(4, 3, 3)).items()},
         {out: (F, shape) for out, shape in shapes.items()})


# Norms of windows over one and three axes, and of all; pictures and volumes at computed places; angles.
def places():
    settings = dict(kernel_shape=[2, 3, 2], strides=[1, 2, 1], pads=[1, 0, 0, 1, 1, 0])
    save("places", [
        node("LpPool", ["x"], ["a"], p=3, **settings), node("LpPool", ["y"], ["b"], p=1, kernel_shape=[3], strides=[2], auto_pad="SAME_LOWER"),
        node("GlobalLpPool", ["x"], ["c"], p=2), node("GridSample", ["x", "at"], ["d"], mode="linear", padding_mode="reflection"),
        node("GridSample", ["p", "places"], ["e"], mode="cubic", padding_mode="reflection", align_corners=1), node("Atan", ["x"], ["f"]), node("Asin", ["p"], ["g"]), node("Acos", ["p"], ["h"])],
        {"x": random.random((2, 3, 4, 5, 6), "f4") * 4 - 2, "y": random.random((2, 3, 7), "f4") - np.float32(0.5), "at": random.random((2, 2, 3, 4, 3), "f4") * 4 - 2,
         "p": random.random((2, 3, 5, 4), "f4") * 2 - 1, "places": random.random((2, 3, 4, 2), "f4") * 4 - 2},
        {"a": (F, [2, 3, 5, 2, 5]), "b": (F, [2, 3, 4]), "c": (F, [2, 3, 1, 1, 1]), "d": (F, [2, 3, 2, 3, 4]), "e": (F, [2, 3, 3, 4]), "f": (F, [2, 3, 4, 5, 6]),
         "g": (F, [2, 3, 5, 4]), "h": (F, [2, 3, 5, 4])}, opset=20)


# Attention with fewer heads of keys and values than of queries: of a sequence to itself, with a mask whose first row sees nothing, to keys of before,
# and in a window whose scores are capped, with a mask of floats that is short of keys.
def attention():
    rows = lambda heads, length, depth: random.standard_normal((2, heads, length, depth)).astype("f4")
    x, mask, bias = random.standard_normal((2, 4, 12)).astype("f4"), random.random((3, 5)) < 0.6, random.standard_normal((2, 1, 3, 4)).astype("f4")
    mask[0], bias[1, 0, 2, :3] = False, -np.inf
    save("attention", [
        node("Attention", ["x", "x", "x"], ["a"], q_num_heads=3, kv_num_heads=3, is_causal=1), node("Attention", ["q", "k", "v", "mask"], ["b"], scale=0.3),
        node("Attention", ["q", "k", "v", "", "old_k", "old_v"], ["c", "now_k", "now_v"], is_causal=1),
        node("Attention", ["q", "k", "v", "bias"], ["d"], softcap=2.0, left_window_size=1, right_window_size=1)],
        {"x": x, "q": rows(4, 3, 8), "k": rows(2, 5, 8), "v": rows(2, 5, 6), "mask": mask, "old_k": rows(2, 3, 8), "old_v": rows(2, 3, 6), "bias": bias},
        {"a": (F, [2, 4, 12]), "b": (F, [2, 4, 3, 6]), "c": (F, [2, 4, 3, 6]), "now_k": (F, [2, 2, 8, 8]), "now_v": (F, [2, 2, 8, 6]), "d": (F, [2, 4, 3, 6])}, opset=25)


# As Ultralytics exports a detector with `nms=True`: of each picture only what is sure takes part, classes are moved apart, the first boxes stay, and
# zeros fill up to their number. On the second picture nothing is sure.
def sure():
    x = random.random((2, 8, 40)).astype("f4")
    x[:, :4], x[1, 4:] = np.concatenate([x[:, :2] * 300, 20 + 60 * x[:, 2:4]], 1), x[1, 4:] * 0.2
    x[0, 4:, ::5] = 0.75  # equal scores

    def of_picture(i):
        own = lambda name: f"{name}{i}"
        taken = [node("GatherND", [own(name), own("spot")], [own(f"{name}_")]) for name in ("box", "score", "class")]
        return [
            *[node("Gather", [of, own("i")], [own(name)], axis=0) for of, name in (("boxes", "box"), ("best", "score"), ("kind", "class"), ("none", "extra"))],
            node("Greater", [own("score"), "least"], [own("mask")]), node("NonZero", [own("mask")], [own("places")]), node("Transpose", [own("places")], [own("spot")]), *taken,
            node("GatherND", [own("extra"), own("spot")], [own("extra_")]), node("Shape", [own("class_")], [own("many")]), node("Concat", [own("many"), "one"], [own("tall")], axis=0),
            node("Reshape", [own("class_"), own("tall")], [own("column")]), node("Concat", [own("many"), "four"], [own("wide")], axis=0), node("Expand", [own("column"), own("wide")], [own("apart")]),
            node("Cast", [own("apart")], [own("apart_f")], to=F), node("Mul", [own("apart_f"), "reach"], [own("far")]), node("Add", [own("box_"), own("far")], [own("moved")]),
            node("Unsqueeze", [own("moved"), "at0"], [own("moved1")]), node("Unsqueeze", [own("score_"), "at01"], [own("score1")]),
            node("NonMaxSuppression", [own("moved1"), own("score1"), "most", "iou"], [own("found")]), node("Gather", [own("found"), "two"], [own("third")], axis=1),
            node("Squeeze", [own("third"), "one"], [own("kept")]), node("Slice", [own("kept"), "at0", "twelve"], [own("keep")]),
            *[node("Gather", [own(f"{name}_"), own("keep")], [own(f"{name}_k")]) for name in ("box", "score", "class", "extra")],
            node("Reshape", [own("score_k"), "upright"], [own("score_r")]), node("Reshape", [own("class_k"), "upright"], [own("class_r")]), node("Cast", [own("class_r")], [own("class_f")], to=F),
            node("Concat", [own("box_k"), own("score_r"), own("class_f"), own("extra_k")], [own("rows")], axis=-1), node("Shape", [own("rows")], [own("size")]),
            node("Slice", [own("size"), "at0", "one"], [own("height")]), node("Sub", ["twelve", own("height")], [own("more")]), node("Concat", ["at0", "at0", own("more"), "at0"], [own("pads")], axis=0),
            node("Pad", [own("rows"), own("pads")], [own("all")]), node("Unsqueeze", [own("all"), "at0"], [own("out")])]

    save("sure", [
        node("Transpose", ["x"], ["turned"], perm=[0, 2, 1]), node("Slice", ["turned", "at0", "four", "two"], ["boxes"]), node("Slice", ["turned", "four", "eight", "two"], ["scores"]),
        node("Slice", ["turned", "eight", "eight", "two"], ["none"]), node("ReduceMax", ["scores"], ["best"], axes=[2], keepdims=0), node("ArgMax", ["scores"], ["kind"], axis=2, keepdims=0),
        *of_picture(0), *of_picture(1), node("Concat", ["out0", "out1"], ["y"], axis=0)], {"x": x}, {"y": (F, [2, 12, 6])},
        constants(i0=0, i1=1, least=np.float32(0.7), reach=np.float32(400), most=np.array([2 ** 63 - 1]), iou=np.array([0.4], "f4"), at0=[0], at01=[0, 1], one=[1], two=[2], four=[4],
                  eight=[8], twelve=[12], upright=[-1, 1]))


# As Paddle2ONNX writes multiclass_nms3: the best of all classes, but no more than are found, and their number.
def ranked():
    corner, scores = random.random((1, 30, 2)) * 0.5, np.round(random.random((1, 3, 30)) * 6) / 6
    boxes = np.concatenate([corner, corner + 0.05 + 0.4 * random.random((1, 30, 2))], 2).astype("f4")
    save("ranked", [
        node("NonMaxSuppression", ["boxes", "scores", "most", "iou", "least"], ["found"]), node("Slice", ["found", "one", "two", "one"], ["kind"]),
        node("Slice", ["found", "two", "three", "one"], ["box"]), node("Mul", ["kind", "many"], ["before"]), node("Add", ["before", "box"], ["place"]), node("Squeeze", ["place", "one"], ["places"]),
        node("Reshape", ["scores", "all"], ["flat"]), node("Gather", ["flat", "places"], ["kept"]), node("Shape", ["kept"], ["number"]), node("Concat", ["number", "best"], ["both"], axis=0),
        node("ReduceMin", ["both"], ["k"], axes=[0]), node("TopK", ["kept", "k"], ["top", "at"], axis=0), node("Gather", ["kind", "at"], ["top_kind"]), node("Squeeze", ["box", "one"], ["box1"]),
        node("Gather", ["box1", "at"], ["top_box"]), node("Squeeze", ["boxes", "zero"], ["rows"]), node("Gather", ["rows", "top_box"], ["corners"]), node("Cast", ["top_kind"], ["kind_f"], to=F),
        node("Unsqueeze", ["top", "one"], ["score"]), node("Concat", ["kind_f", "score", "corners"], ["y"], axis=1), node("Sub", ["k", "one"], ["fewer"])],
        {"boxes": boxes, "scores": scores.astype("f4")}, {"y": (F, [None, 6]), "number": (I, [1]), "fewer": (I, [1])},
        constants(most=[20], iou=np.array([0.2], "f4"), least=np.array([0.7], "f4"), zero=[0], one=[1], two=[2], three=[3], many=[30], all=[-1], best=[15]))


# What is made of all rows that were found, and of parts of them; places in a table; elements where a condition holds.
def rows():
    x = random.random((5, 7)).astype("f4")
    save("rows", [
        node("Greater", ["x", "half"], ["mask"]), node("NonZero", ["mask"], ["at"]), node("Transpose", ["at"], ["places"]), node("GatherND", ["x", "places"], ["found"]),
        node("ReduceMax", ["found"], ["most"], axes=[0]), node("ReduceMin", ["found"], ["least"], axes=[0], keepdims=0), node("ReduceSum", ["found", "zero"], ["total"]),
        node("TopK", ["found", "three"], ["few", "where"], largest=0), node("Compress", ["x", "rows"], ["chosen"], axis=0), node("Compress", ["x", "some"], ["first"]),
        node("Size", ["chosen"], ["count"]), node("Cast", ["count"], ["count_f"], to=F), node("Div", ["chosen", "count_f"], ["shares"]), node("Greater", ["found", "more"], ["again"]),
        node("Compress", ["found", "again"], ["large"], axis=0), node("NonZero", ["never"], ["nowhere"])],
        {"x": x, "rows": np.array([True, False, True, True, False]), "some": np.array([True, True, False, True]), "never": np.zeros(3, "f4")},
        {"at": (I, [2, None]), "most": (F, [1]), "least": (F, []), "total": (F, [1]), "few": (F, [3]), "where": (I, [3]), "first": (F, [None]), "shares": (F, [None, 7]),
         "large": (F, [None]), "nowhere": (I, [1, None])}, constants(half=np.float32(0.5), more=np.float32(0.8), zero=[0], three=[3]))


# As torchvision exports RetinaNet and SSD: of each level the best that are sure, with the class of the level, joined; where nothing is left there are no
# boxes, else those that do not overlap too much. The second level finds nothing, and the third all.
def levels():
    boxes = random.random((3, 20, 2)) * 40
    scores = (np.stack([random.random(20), random.random(20) * 0.5, 0.6 + 0.4 * random.random(20)])).astype("f4")

    def of_level(i):
        own = lambda name: f"{name}{i}"
        return [
            node("Gather", ["scores", own("i")], [own("score")], axis=0), node("Gather", ["boxes", own("i")], [own("box")], axis=0), node("Greater", [own("score"), "half"], [own("mask")]),
            node("NonZero", [own("mask")], [own("spot")]), node("Transpose", [own("spot")], [own("at")]), node("GatherND", [own("score"), own("at")], [own("sure")]),
            node("Shape", [own("sure")], [own("many")]), node("Min", [own("many"), "eight"], [own("k")]), node("TopK", [own("sure"), own("k")], [own("top"), own("where")]),
            node("Squeeze", [own("at"), "one"], [own("place")]), node("Gather", [own("place"), own("where")], [own("best")]), node("Gather", [own("box"), own("best")], [own("near")], axis=0),
            node("Shape", [own("top")], [own("size")]), node("ConstantOfShape", [own("size")], [own("class")], value=helper.make_tensor("v", I, [1], [i + 1]))]

    joined = lambda name, out: node("Concat", [f"{name}{i}" for i in range(3)], [out], axis=0)
    keep = [node("ReduceMax", ["all"], ["far"], keepdims=0), node("Cast", ["class"], ["class_f"], to=F), node("Mul", ["class_f", "far"], ["apart"]), node("Unsqueeze", ["apart", "one"], ["apart1"]),
            node("Add", ["all", "apart1"], ["moved"]), node("Unsqueeze", ["moved", "zero"], ["moved1"]), node("Unsqueeze", ["top", "first"], ["tops"]),
            node("NonMaxSuppression", ["moved1", "tops", "most", "iou"], ["found"]), node("Gather", ["found", "third"], ["column"], axis=1), node("Squeeze", ["column", "one"], ["kept"])]
    places = lambda out, nodes: helper.make_graph(nodes, out, [], [helper.make_tensor_value_info(out, I, [None])])
    nothing = node("Constant", [], ["none"], value=helper.make_tensor("v", I, [0], []))
    save("levels", [
        *[made for i in range(3) for made in of_level(i)], joined("near", "all"), joined("top", "top"), joined("class", "class"), node("Size", ["all"], ["number"]),
        node("Equal", ["number", "naught"], ["empty"]), node("If", ["empty"], ["keep"], then_branch=places("none", [nothing]), else_branch=places("kept", keep)),
        node("Slice", ["keep", "zero", "twelve"], ["chosen"]), *[node("Gather", [of, "chosen"], [out], axis=0) for of, out in (("all", "y"), ("top", "score"), ("class", "kind"))],
        node("Shape", ["y"], ["shape"])], {"boxes": np.concatenate([boxes, boxes + 5 + 10 * random.random((3, 20, 2))], 2).astype("f4"), "scores": scores},
        {"y": (F, [None, 4]), "score": (F, [None]), "kind": (I, [None]), "shape": (I, [2])},
        constants(i0=0, i1=1, i2=2, half=np.float32(0.5), eight=[8], naught=0, zero=[0], one=[1], first=[0, 1], third=[2], twelve=[12], most=[2 ** 63 - 1], iou=np.array([0.3], "f4")))


# A network of f16, with gelu as PyTorch writes it out: onnxruntime, too, keeps f32 between its steps, of which 90,000 is none of f16. What is cast to f16 is rounded.
def halves():
    half = lambda *shape: random.standard_normal(shape).astype("f2")
    save("halves", [
        node("Conv", ["x", "w", "b"], ["a"], pads=[1, 1, 1, 1]), node("Div", ["a", "root"], ["a1"]), node("Erf", ["a1"], ["a2"]), node("Add", ["a2", "one"], ["a3"]), node("Mul", ["a", "a3"], ["a4"]),
        node("Mul", ["a4", "half"], ["g"]), node("Mul", ["g", "g"], ["g2"]), node("ReduceMean", ["g2"], ["mean"], axes=[2, 3], keepdims=1), node("Sqrt", ["mean"], ["deviation"]),
        node("Div", ["g", "deviation"], ["y"]), node("Cast", ["g"], ["wide"], to=F), node("Softmax", ["wide"], ["s"], axis=1), node("Cast", ["s"], ["shares"], to=H),
        node("Cast", ["z"], ["z16"], to=H), node("Cast", ["z16"], ["rounded"], to=F), node("Cast", ["n"], ["n16"], to=H), node("Identity", ["x"], ["same"])],
        {"x": 300 * half(1, 3, 6, 6), "z": 1 + random.random(8).astype("f4") / 1000, "n": np.array([2049, 65520, -70000, 3])},
        {"y": (H, [1, 8, 6, 6]), "shares": (H, [1, 8, 6, 6]), "rounded": (F, [8]), "n16": (H, [4]), "same": (H, [1, 3, 6, 6])},
        constants(w=half(8, 3, 3, 3), b=half(8), root=np.float16(2 ** 0.5), one=np.float16(1), half=np.float16(0.5)), tolerance=1e-3)


# Parts of regions, by mean and by maximum, with and without half a pixel, also beyond the map; before opset 16 there was none.
def regions():
    corner = random.random((9, 2)) * 50 - 10
    inputs = {"x": random.standard_normal((2, 5, 9, 12)).astype("f4"), "boxes": np.concatenate([corner, corner + random.random((9, 2)) * 40], 1).astype("f4"), "of": random.integers(0, 2, 9)}
    roi = lambda out, **settings: node("RoiAlign", ["x", "boxes", "of"], [out], output_height=3, output_width=2, spatial_scale=0.25, **settings)
    save("regions", [roi("a", sampling_ratio=2), roi("b", sampling_ratio=3, coordinate_transformation_mode="output_half_pixel"), roi("c", sampling_ratio=2, mode="max")], inputs,
         {out: (F, [9, 5, 3, 2]) for out in "abc"})
    save("regions_before", [roi("a", sampling_ratio=1)], inputs, {"a": (F, [9, 5, 3, 2])}, opset=10)


# Transforms of signals to frequencies and back, of other lengths than they have; parts by a window; filters; sequences that are turned.
def signals():
    save("signals", [
        node("DFT", ["x", "ten", "axis"], ["a"], onesided=1), node("DFT", ["a", "ten", "axis"], ["b"]), node("DFT", ["b", "", "axis"], ["c"], inverse=1),
        node("STFT", ["s", "step", "window"], ["d"]), node("STFT", ["s", "step", "", "four"], ["e"], onesided=0), node("MelWeightMatrix", ["five", "sixty", "rate", "low", "high"], ["mel"]),
        node("MatMul", ["m", "mel"], ["f"]), node("ReverseSequence", ["x", "many"], ["g"], batch_axis=0, time_axis=1)],
        {"x": random.standard_normal((2, 12, 3, 1)).astype("f4"), "s": random.standard_normal((2, 20, 1)).astype("f4"), "m": random.random((4, 33)).astype("f4"), "many": np.array([7, 12])},
        {"a": (F, [2, 6, 3, 2]), "b": (F, [2, 10, 3, 2]), "c": (F, [2, 10, 3, 2]), "d": (F, [2, 5, 4, 2]), "e": (F, [2, 6, 4, 2]), "f": (F, [4, 5]), "g": (F, [2, 12, 3, 1])},
        constants(ten=10, axis=1, step=3, four=4, window=random.random(6).astype("f4"), five=5, sixty=64, rate=16000, low=np.float32(100), high=np.float32(7000)), opset=21, tolerance=1e-4)


# What elements at one place leave; the largest ints of 64 bits, where 32 would not tell; determinants; scales for blocks, the last of which is shorter.
def combined():
    wide = random.integers(-3, 3, (3, 9)) * 2 ** 32 + random.integers(-2, 2, (3, 9))
    put = lambda of, out, how: node("ScatterElements", [of, "at", f"{of}_new"], [out], axis=1, reduction=how)
    save("combined", [
        put("x", "a", "max"), put("x", "b", "min"), put("x", "c", "mul"), put("n", "d", "max"), put("n", "e", "mul"), node("ScatterND", ["x", "rows", "others"], ["f"], reduction="min"),
        node("TopK", ["wide", "five"], ["g", "g_at"]), node("TopK", ["wide", "five"], ["h", "h_at"], largest=0), node("Det", ["matrix"], ["i"]),
        node("DequantizeLinear", ["bytes", "scale", "zero"], ["j"], axis=1, block_size=2), node("QuantizeLinear", ["x", "scales"], ["k"], axis=1, block_size=4, output_dtype=TensorProto.INT8),
        node("Cast", ["k"], ["k_i"], to=I)],
        {"x": random.standard_normal((3, 6)).astype("f4"), "at": random.integers(-6, 6, (3, 8)), "x_new": random.standard_normal((3, 8)).astype("f4"), "n": random.integers(-9, 9, (3, 6)),
         "n_new": random.integers(-9, 9, (3, 8)), "rows": np.array([[1], [-1], [1]]), "others": random.standard_normal((3, 6)).astype("f4"), "wide": wide,
         "matrix": random.standard_normal((2, 4, 4)).astype("f4"), "bytes": random.integers(0, 255, (3, 5)).astype("u1"), "scale": random.random((3, 3)).astype("f4"),
         "zero": random.integers(0, 255, (3, 3)).astype("u1")},
        {"a": (F, [3, 6]), "b": (F, [3, 6]), "c": (F, [3, 6]), "d": (I, [3, 6]), "e": (I, [3, 6]), "f": (F, [3, 6]), "g": (I, [3, 5]), "g_at": (I, [3, 5]), "h": (I, [3, 5]), "h_at": (I, [3, 5]),
         "i": (F, [2]), "j": (F, [3, 5]), "k_i": (I, [3, 6])}, constants(five=[5], scales=(0.01 + random.random((3, 2)) / 50).astype("f4")), opset=21)


# As torchvision exports Faster R-CNN: boxes that are sure are divided among maps by their size, what their regions give is put together again, and each
# box has a box of its own for each class, all of which become rows.
def pooled():
    corner, size = random.random((20, 2)) * 30, random.random((20, 2)) * 30 + 2

    def of_level(i, of):
        own = lambda name: f"{name}{i}"
        return [
            node("Equal", ["level", own("i")], [own("here")]), node("NonZero", [own("here")], [own("at")]), node("Squeeze", [own("at"), "zero"], [own("place")]),
            node("Gather", ["kept", own("place")], [own("box")], axis=0), node("Shape", [own("place")], [own("many")]), node("ConstantOfShape", [own("many")], [own("of")], value=helper.make_tensor("v", I, [1], [0])),
            node("RoiAlign", [own("map"), own("box"), own("of")], [own("part")], output_height=2, output_width=2, sampling_ratio=2, spatial_scale=0.5 / (i + 1), coordinate_transformation_mode="output_half_pixel"),
            node("Reshape", [own("place"), "upright"], [own("place4")]), node("Concat", [own("many"), "parts"], [own("size")], axis=0), node("Expand", [own("place4"), own("size")], [own("index")]),
            node("ScatterElements", [of, own("index"), own("part")], [own("joined")], axis=0)]

    save("pooled", [
        node("Greater", ["scores", "half"], ["sure"]), node("NonZero", ["sure"], ["at"]), node("Squeeze", ["at", "zero"], ["spot"]), node("Gather", ["boxes", "spot"], ["kept"], axis=0),
        node("Gather", ["kept", "two"], ["right"], axis=1), node("Gather", ["kept", "naught"], ["left"], axis=1), node("Sub", ["right", "left"], ["wide"]), node("Greater", ["wide", "large"], ["is_large"]),
        node("Cast", ["is_large"], ["level"], to=I), node("Shape", ["level"], ["many"]), node("Concat", ["many", "parts"], ["shape"], axis=0), node("ConstantOfShape", ["shape"], ["none"]),
        *of_level(0, "none"), *of_level(1, "joined0"), node("Conv", ["joined1", "c"], ["conved"]), node("MaxPool", ["conved"], ["most"], kernel_shape=[2, 2]),
        node("Flatten", ["joined1"], ["flat"]), node("Gemm", ["flat", "w", "b"], ["moves"], transB=1), node("Reshape", ["moves", "each"], ["by_class"]),
        node("Slice", ["by_class", "zero", "many", "zero"], ["all"]), node("Slice", ["all", "one", "end", "one"], ["known"]), node("Reshape", ["known", "rows"], ["y"]),
        node("ReduceMax", ["y"], ["best"], axes=[1], keepdims=0), node("Greater", ["best", "least"], ["high"]), node("NonZero", ["high"], ["z"])],
        {"boxes": np.concatenate([corner, corner + size], 1).astype("f4"), "scores": random.random(20).astype("f4"), "map0": random.standard_normal((1, 3, 20, 20)).astype("f4"),
         "map1": random.standard_normal((1, 3, 10, 10)).astype("f4")}, {"joined1": (F, [None, 3, 2, 2]), "most": (F, [None, 2, 1, 1]), "y": (F, [None, 4]), "z": (I, [1, None])},
        constants(i0=0, i1=1, half=np.float32(0.4), large=np.float32(15), least=np.float32(0.5), zero=[0], naught=0, two=2, one=[1], end=[2 ** 63 - 1], parts=[3, 2, 2], upright=[-1, 1, 1, 1], each=[-1, 3, 4],
                  rows=[-1, 4], c=random.standard_normal((2, 3, 1, 1)).astype("f4"), w=random.standard_normal((12, 12)).astype("f4"), b=random.standard_normal(12).astype("f4")))


# Numbers of the text that no f64 has.
def exact():
    save("exact", [node("Add", ["x", "large"], ["a"]), node("Mul", ["x", "small"], ["b"]), node("Max", ["x", "large"], ["c"])], {"x": np.array([-3, 0, 1, 5, 2 ** 40])},
         {"a": (I, [5]), "b": (I, [5]), "c": (I, [5])}, constants(large=2 ** 53 + 1, small=-(2 ** 22 + 1)))


# Rows of an axis that is turned to the front and back, put there and added up onto zeros; pixels of a region beyond the picture; a mean over many
# pixels; powers of ints that are none.
def turned():
    turn = lambda x, y, *perm: node("Transpose", [x], [y], perm=perm)
    save("turned", [
        turn("x", "rows", 1, 0, 2), turn("new", "new_rows", 1, 2, 0, 3), node("Unsqueeze", ["at", "last"], ["places"]), node("ScatterND", ["rows", "places", "new_rows"], ["put"]), turn("put", "a", 1, 0, 2),
        node("ConstantOfShape", ["shape"], ["zeros"]), turn("z", "z_rows", 2, 0, 1), node("Unsqueeze", ["twice", "last"], ["spots"]),
        node("ScatterND", ["zeros", "spots", "z_rows"], ["sums"], reduction="add"), turn("sums", "b", 1, 2, 0),
        node("Resize", ["map", "region", "", "size"], ["c"], mode="nearest", coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=7.0),
        node("Resize", ["long", "", "", "short"], ["d"], mode="linear", antialias=1),
        node("Pow", ["ints", "root"], ["e"]), node("Pow", ["ints", "powers"], ["f"])],
        {"x": random.random((2, 6, 3), "f4"), "at": np.array([[4, -1], [0, 3]]), "new": random.random((2, 2, 2, 3), "f4"), "twice": np.array([3, 0, 3]), "z": random.random((2, 4, 3), "f4"),
         "map": random.random((1, 2, 4, 5), "f4"), "long": random.random((1, 1, 3, 2400), "f4"), "ints": np.array([2, 3, 5, 7], "i4"), "powers": np.array([0.5, 3, 1.5, 2], "f4")},
        {"a": (F, [2, 6, 3]), "b": (F, [2, 4, 5]), "c": (F, [1, 2, 5, 4]), "d": (F, [1, 1, 3, 3]), "e": (TensorProto.INT32, [4]), "f": (TensorProto.INT32, [4])},
        constants(last=[-1], shape=[5, 2, 4], region=np.array([0, 0, -0.3, 0.2, 1, 1, 1.4, 1.3], "f4"), size=[1, 2, 5, 4], short=[1, 1, 3, 3], root=np.float32(2.5)), opset=18)


# As torchvision exports Mask R-CNN: of each box that is sure the mask of its class, which is counted by a range as long as there are boxes.
def masks():
    save("masks", [
        node("Greater", ["scores", "half"], ["sure"]), node("NonZero", ["sure"], ["at"]), node("Squeeze", ["at", "zero"], ["place"]), node("Gather", ["x", "place"], ["kept"], axis=0),
        node("Sigmoid", ["kept"], ["shares"]), node("Gather", ["classes", "place"], ["class"], axis=0), node("Shape", ["kept"], ["shape"]), node("Gather", ["shape", "naught"], ["many"], axis=0),
        node("Range", ["naught", "many", "one"], ["box"]), node("Flatten", ["shares"], ["flat"], axis=2), node("Gather", ["shape", "one"], ["of"], axis=0), node("Mul", ["box", "of"], ["first"]),
        node("Add", ["class", "first"], ["spot"]), node("Gather", ["flat", "spot"], ["mask"], axis=0), node("Reshape", ["mask", "size"], ["y"])],
        {"x": random.standard_normal((12, 3, 5, 5)).astype("f4"), "scores": random.random(12).astype("f4")}, {"y": (F, [None, 1, 5, 5]), "box": (I, [None])},
        constants(half=np.float32(0.4), zero=[0], naught=0, one=1, classes=[2, 0, 1, 1, 2, 0, 0, 2, 1, 0, 2, 1], size=[-1, 1, 5, 5]))


# Weights without names in layers of one long path, and an operator of onnx.cai that only a repeated part has.
def layers():
    nodes, weights, x = [], {}, "x"
    for i in range(3):
        path = f"/levels.{i}/transformer_encoder.0/attention/qkv"
        for op, name in (("Mul", "a"), ("Add", "b")):
            weights[f"onnx::{op}_{i}"] = random.random(32, "f4")
            nodes.append(node(op, [x, f"onnx::{op}_{i}"], [f"{name}{i}"], name=f"{path}/{op}"))
            x = f"{name}{i}"
        nodes.append(node("Atan", [x], [f"x{i}"], name=f"{path}/Atan"))
        x = f"x{i}"
    for op, into in (("Mul", "c"), ("Add", "d"), ("Div", "y")):
        weights[f"onnx::{op}_3"] = 1 + random.random(32, "f4")
        nodes.append(node(op, [x, f"onnx::{op}_3"], [into], name=f"/levels.3/transformer_encoder.0/attn/qkv/{op}"))
        x = into
    save("layers", nodes, {"x": random.random((2, 32), "f4")}, {"y": (F, [2, 32])}, constants(**weights))


# Padding as timm's networks of TensorFlow compute it: in floats, and cut off at 0.
def padded():
    save("padded", [
        node("Shape", ["x"], ["shape"]), node("Gather", ["shape", "three"], ["size"]), node("Cast", ["size"], ["width"], to=F), node("Div", ["width", "stride"], ["steps"]), node("Ceil", ["steps"], ["places"]),
        node("Sub", ["places", "one"], ["last"]), node("Mul", ["last", "stride"], ["at"]), node("Add", ["at", "kernel"], ["end"]), node("Sub", ["end", "width"], ["over"]),
        node("Clip", ["over", "none"], ["pad"]), node("Cast", ["pad"], ["whole"], to=I), node("Unsqueeze", ["whole", "first"], ["right"]), node("Concat", ["zeros", "right"], ["pads"], axis=0),
        node("Pad", ["x", "pads"], ["y"])],
        {"x": random.random((1, 2, 5, 9), "f4")}, {"y": (F, [1, 2, 5, 11])}, constants(three=3, stride=np.float32(2), one=np.float32(1), kernel=np.float32(3), none=np.float32(0), first=[0], zeros=[0] * 7))


# Weights of each layer that are standardized in the file: what repeats reads no tensor.
def standardized():
    nodes, weights, x = [], {}, "x"
    for i in range(3):
        weights[f"layers.{i}.weight"], weights[f"layers.{i}.gain"] = random.standard_normal((4, 3, 6), "f4"), 1 + random.random((4, 1, 1), "f4")
        nodes += [node("ReduceMean", [f"layers.{i}.weight"], [f"mean{i}"], axes=[1, 2]), node("Sub", [f"layers.{i}.weight", f"mean{i}"], [f"off{i}"]), node("Mul", [f"off{i}"] * 2, [f"square{i}"]),
                  node("ReduceMean", [f"square{i}"], [f"variance{i}"], axes=[1, 2]), node("Sqrt", [f"variance{i}"], [f"deviation{i}"]), node("Div", [f"off{i}", f"deviation{i}"], [f"even{i}"]),
                  node("Mul", [f"even{i}", f"layers.{i}.gain"], [f"weight{i}"])]
    save("standardized", nodes + [node("Mul", ["x", "weight0"], ["a"]), node("Add", ["a", "weight1"], ["b"]), node("Sin", ["b"], ["c"]), node("Div", ["c", "weight2"], ["y"])],
         {"x": random.random((4, 3, 6), "f4")}, {"y": (F, [4, 3, 6])}, constants(**weights), tolerance=1e-4)


for make in (detector, classes, branches, puts, slopes, sums, places, attention, sure, ranked, rows, levels, halves, regions, signals, combined, pooled, exact, turned, masks, layers, padded, standardized):
    make()
