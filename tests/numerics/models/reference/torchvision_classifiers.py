"""Classifiers as torchvision has them."""
import torch
import torchvision
from cases import AVX2, INIT, SEED, Case, Input, Normalized, initialised
from init_weights import ONES, init_weight


def classifier(name, **options):
    return lambda: Normalized(initialised(getattr(torchvision.models, name)(**options)))


def convnext(make=torchvision.models.convnext_tiny, share=None, **options):
    """Layer scales that start at 1e-6 keep their blocks out of the result: at 1, `--init` makes them differ from channel to channel."""
    net = initialised(make(**options))
    for name, scale in net.named_parameters():
        if name.endswith("layer_scale"):
            scale.data = torch.from_numpy(init_weight(SEED, name, tuple(scale.shape), ONES)) if share == 1 else torch.full_like(scale, 1e-6)
    return Normalized(net)


def small_convnext(c=16, deep=2, **options):
    blocks = [torchvision.models.convnext.CNBlockConfig(c * i, o and c * o, n) for i, o, n in ((1, 2, 3), (2, 4, 3), (4, 8, deep), (8, None, 3))]
    return torchvision.models.ConvNeXt(blocks, **options)


def small_vit():
    return Normalized(initialised(torchvision.models.VisionTransformer(224, 32, 2, 3, 48, 192)))


CASES = {
    "resnet18": Case("resnet18", classifier("resnet18"), Input(1, 3, 224, 224), [INIT, AVX2, INIT + " -D N=1", INIT + " --no-winograd"], params=11689512,
                     names="examples/resnet18.cai"),
    "resnet18_batch": Case("resnet18", classifier("resnet18"), Input(3, 3, 224, 224), [INIT], params=11689512),
    "resnet50": Case("resnet50", classifier("resnet50"), Input(1, 3, 224, 224), [INIT, AVX2], params=25557032, names="examples/resnet50.cai"),
    "mobilenet_v2": Case("mobilenet_v2", classifier("mobilenet_v2"), Input(2, 3, 224, 224), [INIT, AVX2, INIT + " -D N=2"], params=3504872,
                         names="examples/mobilenet_v2.cai"),
    "convnext": Case("convnext", lambda: convnext(share=1), Input(1, 3, 224, 224), [o + " -D share=1" for o in (INIT, AVX2)], params=28589128,
                     names="examples/convnext.cai"),
    "convnext_small": Case("convnext", lambda: convnext(small_convnext, share=1), Input(3, 3, 224, 224),
                           [o + " -D c=16 -D deep=2 -D share=1" for o in (INIT, AVX2)]),
    "convnext_untrained": Case("convnext", lambda: convnext(small_convnext), Input(1, 3, 224, 224),
                               [INIT + " -D c=16 -D deep=2"]),
    "vit_b_16": Case("../../../examples/vit", classifier("vit_b_16"), Input(1, 3, 224, 224), [INIT, AVX2], params=86567656, names="examples/vit.cai"),
    "vit_small": Case("../../../examples/vit", small_vit, Input(3, 3, 224, 224),
                      [o + " -D patch=32 -D width=48 -D depth=2 -D heads=3" for o in (INIT, AVX2, INIT + " -D N=3")]),
}
