"""Classifiers as torchvision has them."""
import torchvision
from cases import AVX2, INIT, Case, Input, Normalized, initialised


def classifier(name, **options):
    return lambda: Normalized(initialised(getattr(torchvision.models, name)(**options)))


CASES = {
    "resnet18": Case("resnet18", classifier("resnet18"), Input(1, 3, 224, 224), [INIT, AVX2, INIT + " -D N=1", INIT + " --no-winograd"], params=11689512,
                     names="examples/resnet18.cai"),
    "resnet18_batch": Case("resnet18", classifier("resnet18"), Input(3, 3, 224, 224), [INIT], params=11689512),
    "resnet50": Case("resnet50", classifier("resnet50"), Input(1, 3, 224, 224), [INIT, AVX2], params=25557032, names="examples/resnet50.cai"),
    "mobilenet_v2": Case("mobilenet_v2", classifier("mobilenet_v2"), Input(2, 3, 224, 224), [INIT, AVX2, INIT + " -D N=2"], params=3504872,
                         names="examples/mobilenet_v2.cai"),
}
