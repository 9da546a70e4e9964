"""EfficientNet, torchvision's."""
from cases import AVX2, INIT, Case, Input
from torchvision_classifiers import classifier


def scaled(b, size):
    return f" -D b={b} -D size={size}"


B2 = scaled(2, 131)
CASES = {
    "efficientnet_b0": Case("efficientnet", classifier("efficientnet_b0"), Input(1, 3, 224, 224), [INIT, AVX2], params=5288548,
                            names="examples/efficientnet.cai"),
    "efficientnet_b2": Case("efficientnet", classifier("efficientnet_b2"), Input(3, 3, 131, 131), [INIT + B2], params=9109994,
                            names="examples/efficientnet.cai" + B2),
    "efficientnet_b5": Case("efficientnet", classifier("efficientnet_b5"), Input(1, 3, 96, 96), [INIT + scaled(5, 96)], params=30389784,
                            names="examples/efficientnet.cai" + scaled(5, 96)),
}
