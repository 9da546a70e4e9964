#!/usr/bin/env python3
"""Measures a program of examples/denoise.cai against non-local means on the photographs of test_photos.txt.

    examples/denoise/photographs photos
    cai build examples/denoise.cai --weights examples/denoise.safetensors -o denoise
    python3 examples/denoise/compare.py ./denoise photos/test > examples/denoise/comparison.txt

Needs NumPy, Pillow and scikit-image (Debian: python3-skimage).
"""
import argparse
import os
import subprocess
import tempfile

import numpy as np
from PIL import Image
from skimage import __version__ as skimage_version
from skimage.restoration import denoise_nl_means

from add_noise import SIGMA, add_noise, to_eight_bits

HERE = os.path.dirname(os.path.abspath(__file__))


def photographs(folder):
    """Names and paths, in the order of test_photos.txt; `photographs` made PNGs of those that it reduced."""
    with open(os.path.join(HERE, "test_photos.txt")) as lines:
        ends = [line.split()[0] for line in lines if line.strip() and line[0] != "#"]
    for end in ends:
        whole = os.path.join(folder, end.replace("/", "-"))
        yield os.path.basename(end), whole if os.path.exists(whole) else os.path.splitext(whole)[0] + ".png"


def run_program(program, picture):
    """The program on a picture of any size: reflected up to a multiple of 4 as fit = "pad" does, and cropped back."""
    height, width = picture.shape[:2]
    padded = np.pad(picture, ((0, -height % 4), (0, -width % 4), (0, 0)), mode="reflect")
    with tempfile.TemporaryDirectory() as folder:
        noisy, clean = os.path.join(folder, "noisy.npy"), os.path.join(folder, "clean.npy")
        np.save(noisy, padded.transpose(2, 0, 1)[None].astype(np.float32, order="C"))
        subprocess.run([os.path.abspath(program), noisy, "-o", clean], check=True, stdout=subprocess.DEVNULL)
        return np.load(clean)[0, :, :height, :width].transpose(1, 2, 0).astype(np.float64)


def run_nlm(picture):
    return denoise_nl_means(picture, patch_size=5, patch_distance=6, h=0.8 * SIGMA, sigma=SIGMA, fast_mode=False, channel_axis=-1)


def psnr(result, clean):
    return -10 * np.log10(((result.clip(0, 1) - clean) ** 2).mean())


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("program")
    args.add_argument("folder", help="the test photographs")
    args.add_argument("--seed", type=int, default=2500)
    args.add_argument("--only-program", action="store_true", help="leave out non-local means, which is slow")
    args = args.parse_args()

    print("PSNR in dB against the clean picture, Gaussian noise of sigma 25/255, seed", args.seed)
    print(f"nlm: scikit-image {skimage_version}, denoise_nl_means(patch_size=5, patch_distance=6, h=0.8*sigma, sigma=sigma, "
          "fast_mode=False, channel_axis=-1)")
    print("All results are clipped to 0..1.")
    for stored in (False, True):
        rows = []
        print("\nnoise " + ("clipped and rounded to eight bits, as a PNG holds it" if stored else "as drawn, neither clipped nor rounded"))
        print(f"{'picture':40}{'size':>12}{'noisy':>8}{'nlm':>8}{'denoise':>9}{'gain':>7}")
        for k, (name, path) in enumerate(photographs(args.folder)):
            picture = Image.open(path).convert("RGB")
            clean = np.asarray(picture) / 255
            noisy = add_noise(clean, args.seed + k)
            if stored:
                noisy = to_eight_bits(noisy) / 255
            by_nlm = noisy if args.only_program else run_nlm(noisy)
            row = [psnr(result, clean) for result in (noisy, by_nlm, run_program(args.program, noisy))]
            rows.append(row)
            size = "{} x {}".format(*picture.size)
            print(f"{name:40}{size:>12}{row[0]:8.2f}{row[1]:8.2f}{row[2]:9.2f}{row[2] - row[1]:7.2f}", flush=True)
        row = np.mean(rows, axis=0)
        print(f"{'mean':52}{row[0]:8.2f}{row[1]:8.2f}{row[2]:9.2f}{row[2] - row[1]:7.2f}", flush=True)


if __name__ == "__main__":
    main()
