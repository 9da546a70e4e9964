"""DenseNet, torchvision's."""
from cases import AVX2, INIT, Case, Input
from torchvision_classifiers import classifier


def deep(depth):
    return f"{INIT} -D depth={depth}"


def names(depth):
    return f"examples/densenet.cai -D depth={depth}"


SMALL = " -D growth=8 -D size=65"
CASES = {
    "densenet121": Case("densenet", classifier("densenet121"), Input(1, 3, 224, 224), [INIT, AVX2], params=7978856, names=names(121)),
    "densenet121_narrow": Case("densenet", classifier("DenseNet", growth_rate=8), Input(3, 3, 65, 65), [INIT + SMALL, AVX2 + SMALL]),
    "densenet161": Case("densenet", classifier("densenet161"), Input(1, 3, 224, 224), [deep(161)], params=28681000, names=names(161)),
    "densenet169": Case("densenet", classifier("densenet169"), Input(1, 3, 224, 224), [deep(169)], params=14149480, names=names(169)),
    "densenet201": Case("densenet", classifier("densenet201"), Input(1, 3, 224, 224), [deep(201)], params=20013928, names=names(201)),
}
