#!/usr/bin/env python3
"""Measures examples/denoise.safetensors against non-local means on the photographs of test_photos.txt.

    python3 compare.py photos /usr/lib/python3/dist-packages/skimage/data > comparison.txt

The folders are those of train.py. Needs PyTorch, NumPy, Pillow and scikit-image (Debian: python3-torch, python3-skimage).
"""
import argparse
import json
import os
import struct

import numpy as np
import torch
from PIL import Image
from skimage import __version__ as skimage_version
from skimage.restoration import denoise_nl_means
from torch.nn import functional as F

from add_noise import SIGMA, add_noise, to_eight_bits
from train import HERE, Denoiser, read_list

def load_safetensors(path):
    with open(path, "rb") as f:
        length, = struct.unpack("<Q", f.read(8))
        header, data = json.loads(f.read(length)), f.read()
    header.pop("__metadata__", None)
    return {name: torch.from_numpy(np.frombuffer(data[slice(*t["data_offsets"])], "<f4").reshape(t["shape"]).copy())
            for name, t in header.items()}


def find(folders, ending):
    for folder in folders:
        for where, _, names in os.walk(os.path.abspath(folder)):
            for name in names:
                if os.path.join(where, name).endswith("/" + ending):
                    return os.path.join(where, name)
    raise SystemExit(f"{ending} is in none of the folders")


def run_model(model, picture):
    """The model on a picture of any size: reflected up to a multiple of 4 as fit = "pad" does, and cropped back."""
    height, width = picture.shape[:2]
    x = torch.from_numpy(picture.transpose(2, 0, 1)[None].copy()).float()
    x = F.pad(x, (0, -width % 4, 0, -height % 4), mode="reflect")
    with torch.no_grad():
        y = model(x)[0, :, :height, :width]
    return y.numpy().transpose(1, 2, 0).astype(np.float64)


def run_nlm(picture):
    return denoise_nl_means(picture, patch_size=5, patch_distance=6, h=0.8 * SIGMA, sigma=SIGMA, fast_mode=False, channel_axis=-1)


def psnr(result, clean):
    return -10 * np.log10(((result.clip(0, 1) - clean) ** 2).mean())


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("folders", nargs="+", help="folders with photographs")
    args.add_argument("--weights", default=os.path.join(HERE, "..", "denoise.safetensors"))
    args.add_argument("--seed", type=int, default=2500)
    args.add_argument("--only-model", action="store_true", help="leave out non-local means, which is slow")
    args = args.parse_args()

    model = Denoiser()
    model.load_state_dict(load_safetensors(args.weights))
    model.eval()

    print("PSNR in dB against the clean picture, Gaussian noise of sigma 25/255, seed", args.seed)
    print(f"nlm: scikit-image {skimage_version}, denoise_nl_means(patch_size=5, patch_distance=6, h=0.8*sigma, sigma=sigma, "
          "fast_mode=False, channel_axis=-1)")
    print("All results are clipped to 0..1.")
    for stored in (False, True):
        rows = []
        print("\nnoise " + ("clipped and rounded to eight bits, as a PNG holds it" if stored else "as drawn, neither clipped nor rounded"))
        print(f"{'picture':40}{'size':>12}{'noisy':>8}{'nlm':>8}{'denoise':>9}{'gain':>7}")
        for k, line in enumerate(read_list(os.path.join(HERE, "test_photos.txt"))):
            ending, reduction = line.split()
            picture = Image.open(find(args.folders, ending)).convert("RGB").reduce(int(reduction))
            clean = np.asarray(picture) / 255
            noisy = add_noise(clean, args.seed + k)
            if stored:
                noisy = to_eight_bits(noisy) / 255
            by_nlm = noisy if args.only_model else run_nlm(noisy)
            by_model = run_model(model, noisy)
            row = [psnr(noisy, clean), psnr(by_nlm, clean), psnr(by_model, clean)]
            rows.append(row)
            size = "{} x {}".format(*picture.size)
            print(f"{ending.split('/')[-1]:40}{size:>12}{row[0]:8.2f}{row[1]:8.2f}{row[2]:9.2f}{row[2] - row[1]:7.2f}", flush=True)
        row = np.mean(rows, axis=0)
        print(f"{'mean':52}{row[0]:8.2f}{row[1]:8.2f}{row[2]:9.2f}{row[2] - row[1]:7.2f}", flush=True)


if __name__ == "__main__":
    main()
