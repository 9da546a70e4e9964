"""SqueezeNet 1.0 and 1.1, torchvision's."""
from cases import AVX2, INIT, Case, Input
from torchvision_classifiers import classifier

CASES = {
    "squeezenet": Case("squeezenet", classifier("squeezenet1_1"), Input(3, 3, 224, 224), [INIT, AVX2], params=1235496, names="examples/squeezenet.cai"),
    "squeezenet1_0": Case("squeezenet", classifier("squeezenet1_0"), Input(1, 3, 224, 224), [INIT + ' -D version=1.0', AVX2 + ' -D version=1.0'], params=1248424,
                          names="examples/squeezenet.cai -D version=1.0"),
}
