#!/usr/bin/env python3
"""Adds Gaussian noise of sigma 25/255 to a picture, to have something to denoise.

    python3 add_noise.py photo.png photo_noisy.png [SEED]
"""
import sys

import numpy as np
from PIL import Image

SIGMA = 25 / 255


def add_noise(clean, seed):
    """f64[H, W, 3] in 0..1 with noise, neither clipped nor rounded."""
    return clean + SIGMA * np.random.RandomState(seed).standard_normal(clean.shape)


def to_eight_bits(picture):
    return np.round(255 * picture.clip(0, 1)).astype(np.uint8)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    clean = np.asarray(Image.open(sys.argv[1]).convert("RGB")) / 255
    noisy = add_noise(clean, int(sys.argv[3]) if len(sys.argv) == 4 else 2500)
    Image.fromarray(to_eight_bits(noisy)).save(sys.argv[2], optimize=True)
