#!/usr/bin/python3
"""Writes NAME.onnx.xz and NAME.npz for each of NETWORKS: the network as PyTorch exports it, with a free number of photos, and without its weights.

The weights of the graph are external data in model.data, which does not lie here: tests/onnx/networks.py draws them from a seed, between limits that stand in the .npz and
are those of PyTorch's first weights. Only the statistics of batch norms stand there themselves, as f16: with statistics that are not of these weights, the result would hardly
depend on the photo. The .npz also has PyTorch's results in f64, and how far those in f32 are from them.

usage: tests/onnx/graphs/make.py [NAME...]     (torch, torchvision, timm, onnx and onnxscript, of PyPI)
"""
import lzma, os, sys, tempfile, warnings

warnings.filterwarnings("ignore")
import numpy, onnx, timm, torch
from torchvision import models

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(here))
from networks import numbers_of, photos, some_of

PLAIN = dict(weights=None)
HEADLESS = dict(weights=None, aux_logits=False, init_weights=True)
NETWORKS = {  # how it is made, and the size of its photo
    "alexnet": (lambda: models.alexnet(**PLAIN), 224), "vgg11": (lambda: models.vgg11(**PLAIN), 224), "resnet18": (lambda: models.resnet18(**PLAIN), 224),
    "resnet50": (lambda: models.resnet50(**PLAIN), 224), "resnext50": (lambda: models.resnext50_32x4d(**PLAIN), 224), "densenet": (lambda: models.densenet121(**PLAIN), 224),
    "squeezenet": (lambda: models.squeezenet1_1(**PLAIN), 224), "googlenet": (lambda: models.googlenet(**HEADLESS), 224),
    "inception_v3": (lambda: models.inception_v3(**HEADLESS), 299), "mobilenet_v2": (lambda: models.mobilenet_v2(**PLAIN), 224),
    "mobilenet_v3": (lambda: models.mobilenet_v3_large(**PLAIN), 224), "efficientnet": (lambda: models.efficientnet_b0(**PLAIN), 224),
    "shufflenet_v2": (lambda: models.shufflenet_v2_x1_0(**PLAIN), 224), "convnext": (lambda: models.convnext_tiny(**PLAIN), 224), "vit": (lambda: models.vit_b_16(**PLAIN), 224),
    "swin": (lambda: models.swin_t(**PLAIN), 224),
    "deeplab_v3": (lambda: models.segmentation.deeplabv3_resnet50(weights=None, weights_backbone=None, aux_loss=True), 128),
    "inception_v4": (lambda: timm.create_model("inception_v4"), 299), "mobilenet_v1": (lambda: timm.create_model("mobilenetv1_100"), 224),
    "seresnet50": (lambda: timm.create_model("seresnet50"), 224),
}
# By PyTorch's later exporter, too.
NETWORKS |= {f"{name}_dynamo": NETWORKS[name] for name in ("vit", "convnext", "swin", "resnet50")}


class Plain(torch.nn.Module):
    """A network whose results are tensors, and not a dictionary of them."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        y = self.network(x)
        return tuple(y.values()) if isinstance(y, dict) else (y,)


def export(network, weights, x, path, dynamo):
    """The graph, without what PyTorch adds to tell where in its source a node comes from. No two weights are equal, since of such the graph would have only one."""
    for weight in weights.values():
        weight += 1e-4 * torch.rand_like(weight) - 5e-5
    if dynamo:
        torch.onnx.export(network, (x,), path, input_names=["photo"], dynamic_shapes=({0: torch.export.Dim("N")},), optimize=False, verbose=False)
    else:
        torch.onnx.export(network, x, path, opset_version=17, do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE, dynamo=False, input_names=["photo"],
                          dynamic_axes={"photo": {0: "N"}})
    model = onnx.load(path)
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    return model


def is_statistic(name):
    return name.endswith((".running_mean", ".running_var"))


def limits(name, weight):
    """Least and largest number of a uniform distribution with the weight's mean and variance; NaN for statistics. The limits are apart, since equal numbers would become one
    number of the text."""
    mean, reach = weight.double().mean().item(), max(0.05, 3 ** 0.5 * weight.double().std(unbiased=False).item())
    return (numpy.nan, numpy.nan) if is_statistic(name) else (mean - reach, mean + reach)


def strip(graph, weights):
    """Moves the initializers that are weights of the network to external data. Their names, and rows of their sizes and limits."""
    names, rows, at = [], [], 0
    for tensor in graph.initializer:
        if tensor.name in weights:
            size = weights[tensor.name].numel()
            names.append(tensor.name)
            rows.append((size, *limits(tensor.name, weights[tensor.name])))
            place = {"location": "model.data", "offset": at, "length": 4 * size}
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.extend(onnx.StringStringEntryProto(key=key, value=str(value)) for key, value in place.items())
            at += 4 * size
    return names, numpy.array(rows, "f8")


def fill(weights, names, rows, statistics):
    for name, numbers in zip(names, numbers_of(rows, statistics)):
        weights[name].copy_(torch.from_numpy(numbers).reshape(weights[name].shape))


def measure(network, weights, names, size):
    """The statistics of the batch norms over a few photos, as f16."""
    for module in network.modules():
        if hasattr(module, "momentum"):
            module.momentum = 1.0
    network.train()(torch.from_numpy(photos(4, size)))
    network.eval()
    return numpy.concatenate([weights[name].numpy().astype("f2") for name in names if is_statistic(name)] or [numpy.zeros(0, "f2")])


def results_of(name, network, size):
    """Results in f64, and how far those of f32 are from them."""
    x, found = torch.from_numpy(photos(2, size)), {}
    single = [y.double().numpy() for y in network(x)]
    for i, (y, exact) in enumerate(zip(single, network.double()(x.double()))):
        exact = exact.numpy()
        spread, error = abs(exact[0] - exact[1]).max() / abs(exact).max(), abs(y - exact).max() / abs(exact).max()
        print(f"{name}: {y.shape}, largest {abs(exact).max():.3g}, of which two photos differ by {spread:.2g}, and f32 by {error:.1e}", flush=True)
        if not spread > 0.05:
            sys.exit("the result hardly depends on the photo")
        found |= {f"out{i}": some_of(exact.astype("f4")), f"error{i}": abs(y - exact).max()}
    return found


def write(name, folder):
    torch.manual_seed(1)
    builder, size = NETWORKS[name]
    network = Plain(builder()).eval()
    weights = {name: weight for name, weight in network.state_dict().items() if weight.is_floating_point()}
    model = export(network, weights, torch.rand(2, 3, size, size), f"{folder}/model.onnx", name.endswith("_dynamo"))
    names, rows = strip(model.graph, weights)
    with torch.no_grad():
        fill(weights, names, rows, numpy.ones(1 << 20, "f2"))
        statistics = measure(network, weights, names, size)
        fill(weights, names, rows, statistics)
        results = results_of(name, network, size)
    with lzma.open(f"{here}/{name}.onnx.xz", "wb") as file:
        file.write(model.SerializeToString())
    numpy.savez_compressed(f"{here}/{name}.npz", size=size, weights=rows, statistics=statistics, **results)


with tempfile.TemporaryDirectory() as folder:
    for name in sys.argv[1:] or NETWORKS:
        write(name, folder)
