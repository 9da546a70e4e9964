"""Swin transformer, torchvision's."""
import torchvision
from torchvision.models.swin_transformer import ShiftedWindowAttention, SwinTransformer

from cases import AVX2, INIT, Case, Input, Normalized, initialised


def swin(make=torchvision.models.swin_t):
    """The places of position biases are a buffer, which must keep its numbers."""
    net = initialised(make())
    for module in net.modules():
        if isinstance(module, ShiftedWindowAttention):
            module.define_relative_position_index()
    return Normalized(net)


def thin():
    """At 200 pixels, 50 / 25 / 13 / 7 patches: zeros fill up the windows of all stages but the last, and the pixels that are merged."""
    return swin(lambda: SwinTransformer(patch_size=[4, 4], embed_dim=24, depths=[2, 2, 2, 1], num_heads=[1, 2, 4, 8], window_size=[7, 7]))


THIN = " -D c=24 -D depths=[2,2,2,1] -D heads=[1,2,4,8] -D size=200"
CASES = {
    "swin_t": Case("swin", swin, Input(1, 3, 224, 224), [INIT, AVX2], params=28288354, names="examples/swin.cai",
                   unused=r".*\.relative_position_index"),
    "swin_thin": Case("swin", thin, Input(3, 3, 200, 200), [INIT + THIN, AVX2 + THIN]),
}
