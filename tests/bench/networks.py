"""networks.py NETWORK SIZE FOLDER: a network of the examples for the engines that read ONNX, with the weights that `cai build` gives it.

Writes NETWORK.onnx; NETWORK.npy, a picture; and NETWORK.peer.npz, the same as the peers get it: normalised where the network is a classifier.
"""
import os
import sys

import numpy as np
import torch
import torchvision

NUMERICS = os.path.join(os.path.dirname(__file__), "..", "numerics")
sys.path[:0] = [NUMERICS, os.path.join(NUMERICS, "models"), os.path.join(NUMERICS, "models", "reference")]
from cases import Normalized
from denoise import Denoise, trained
from init_weights import init_state_dict
from unet import UNet


def initialised(net):
    net.load_state_dict(init_state_dict(net.state_dict(), 1))
    return net


def main():
    name, size, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    x = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    np.save(os.path.join(folder, name + ".npy"), x.numpy())
    if name in ("unet", "denoise"):
        net = initialised(UNet()) if name == "unet" else trained(Denoise(), "examples/denoise.safetensors")
    else:
        net, x = initialised(getattr(torchvision.models, name)()), Normalized(torch.nn.Identity())(x)
    np.savez(os.path.join(folder, name + ".peer.npz"), input=x.numpy())
    path = os.path.join(folder, name + ".onnx")
    torch.onnx.export(net.eval(), x, path + ".part", input_names=["input"], opset_version=13)
    os.replace(path + ".part", path)


main()
