"""ShuffleNet-v2, torchvision's."""
from cases import AVX2, INIT, Case, Input
from torchvision_classifiers import classifier

CASES = {
    "shufflenet_v2": Case("shufflenet_v2", classifier("shufflenet_v2_x1_0"), Input(1, 3, 224, 224), [INIT, AVX2], params=2278604,
                          names="examples/shufflenet_v2.cai"),
    "shufflenet_v2_half": Case("shufflenet_v2", classifier("shufflenet_v2_x0_5"), Input(3, 3, 224, 224), [INIT + " -D form=x0_5"], params=1366792,
                               names="examples/shufflenet_v2.cai -D form=x0_5"),
}
