"""Networks of torchvision and timm, as PyTorch exports them: their graphs lie in graphs/ without their weights, which are drawn here from a seed
(graphs/make.py wrote the files). cai must give what PyTorch gives with the same weights, and count what it counts of the example."""
import json, lzma, os, shutil

import numpy

from cases import CAI, call, import_case, run_case
from exported import size_of

here = os.path.dirname(os.path.abspath(__file__))
# What may be apart from PyTorch in f64: a share of the largest number, or so many times what PyTorch in f32 is apart. Winograd is less exact than a direct convolution.
SHARE, TIMES = 2e-5, 4

# Of each graph the example, FILE or FILE:MODEL, and settings of it.
NETWORKS = {name: [name] for name in ("resnet18 resnet50 densenet squeezenet googlenet inception_v3 inception_v4 mobilenet_v1 mobilenet_v2 mobilenet_v3 efficientnet "
                                      "shufflenet_v2 convnext vit swin").split()} | {
    "alexnet": ["alexnet:alexnet_single"], "vgg11": ["vgg19", "-D", "depth=11"], "deeplab_v3": ["deeplab_v3:scores"],
    "resnext50": ["resnets:resnet", "-D", "groups=32", "-D", "width=4"], "seresnet50": ["resnets:resnet", "-D", "gate=se"]}
# As PyTorch's later exporter writes them.
NETWORKS |= {f"{name}_dynamo": NETWORKS[name] for name in ("vit", "convnext", "swin", "resnet50")}
# Masks of shifted windows, which are no parameters of PyTorch's: its graph has them as constants, or they are folded to these.
CONSTANTS = {"swin": 36652, "swin_dynamo": 36652}


def numbers_of(rows, statistics):
    """The numbers of each weight. A row has its number of elements, and the limits between which they are drawn, or NaN where they are the next of the statistics."""
    random, at = numpy.random.RandomState(1), 0
    for size, low, high in rows:
        size = int(size)
        given = numpy.isnan(low)
        yield (statistics[at:at + size] if given else low + (high - low) * random.random_sample(size)).astype("f4")
        at += size if given else 0


def photos(count, size):
    """Patches of random colours, which no two photos share, under some noise."""
    random = numpy.random.RandomState(2)
    patches = random.random_sample((count, 3, 5, 5))
    at = numpy.arange(size) * 5 // size
    return (0.9 * patches[:, :, at][..., at] + 0.1 * random.random_sample((count, 3, size, size))).astype("f4")


def some_of(y):
    """At most 2048 numbers of a result, evenly spaced."""
    return y.reshape(-1)[::-(-y.size // 2048)]


def counts(path, size, model=None, settings=()):
    """Parameters and multiply-adds."""
    models = json.loads(call([CAI, "summary", "--format", "json", path, *settings]).stdout)["models"]
    found = next(m for m in models if not model or m["name"] == model)
    return found["params"], size_of(found["macs"], {"N": 1, "H": size, "W": size})


def network(name, work):
    """What went wrong, or None."""
    folder = os.path.join(work, f"network_{name}")
    os.makedirs(folder)
    with lzma.open(f"{here}/graphs/{name}.onnx.xz") as packed, open(f"{folder}/model.onnx", "wb") as file:
        shutil.copyfileobj(packed, file)
    data = numpy.load(f"{here}/graphs/{name}.npz")
    size, wanted = int(data["size"]), [data[key] for key in data.files if key.startswith("out")]
    allowed = max(max(SHARE * abs(y).max(), TIMES * data[f"error{i}"]) for i, y in enumerate(wanted))
    with open(f"{folder}/model.data", "wb") as file:
        for numbers in numbers_of(data["weights"], data["statistics"]):
            numbers.tofile(file)
    reasons = import_case(folder)
    wrong = "; ".join(reasons) or run_case(folder, [photos(2, size)], wanted, 0, allowed, some_of)
    if not wrong:
        example, *settings = NETWORKS[name]
        file, _, model = example.partition(":")
        params, macs = counts(f"{folder}/model.cai", size)
        read, own = (params - CONSTANTS.get(name, 0), macs), counts(f"{here}/../../examples/{file}.cai", size, model or file, settings)
        wrong = f"it counts {read}, the example {own}" if read != own else None
    shutil.rmtree(folder)
    return wrong
