#!/usr/bin/env python3
"""Trains examples/denoise.safetensors, the weights of examples/denoise.cai.

    mkdir debs photos && cd debs
    apt-get download lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 mate-backgrounds \\
        plasma-workspace-wallpapers palapeli-data python3-sklearn python-matplotlib-data
    for d in *.deb; do dpkg -x $d ../photos; done; cd ..
    python3 train.py photos /usr/lib/python3/dist-packages/skimage/data

It needs PyTorch, NumPy and Pillow (Debian: python3-torch, python3-skimage). The pictures it takes are those of
train_photos.txt; --list FILE names others, --list '' takes all there are but those of test_photos.txt.
Large pictures are reduced by 2 to 4, which leaves little of the camera's own noise and of JPEG's marks.

The weights in the repository come from this command: 62 minutes on two shared cores, 17168 steps, 47 photographs. Seeds
are fixed, but the learning rate follows the clock, so another run gives other weights of much the same quality.
"""
import argparse
import copy
import json
import math
import os
import struct
import time

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

HERE = os.path.dirname(os.path.abspath(__file__))


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1 = nn.Conv2d(c, c, 3, padding=1)
        self.conv2 = nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(F.relu(self.conv1(x)))


class Denoiser(nn.Module):
    """The network of denoise.cai; the names of its weights are the same."""

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, 48, 4, stride=2, padding=1)
        self.encode = Residual(48)
        self.down = nn.Conv2d(48, 64, 2, stride=2)
        self.body = Residual(64)
        self.up = nn.ConvTranspose2d(64, 48, 2, stride=2)
        self.decode = nn.Sequential(Residual(48), Residual(48))
        self.tail = nn.ConvTranspose2d(48, 3, 4, stride=2, padding=1)

    def forward(self, photo):
        fine = self.encode(self.head(photo))
        coarse = self.body(self.down(fine))
        return photo + self.tail(self.decode(fine + self.up(coarse)))


def read_list(path):
    with open(path) as f:
        return [line.strip() for line in f if line.strip() and line[0] != "#"]


def find_photos(folders, listed):
    """Paths of the pictures below the folders, in the order of their names, the test's pictures left out."""
    kept_out = tuple("/" + line.split()[0] for line in read_list(os.path.join(HERE, "test_photos.txt")))
    found = []
    for folder in folders:
        for where, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(os.path.abspath(where), name)
                if os.path.islink(path) or not name.lower().endswith((".jpg", ".jpeg", ".png")):
                    continue
                if path.endswith(kept_out) or listed and not path.endswith(tuple("/" + line for line in listed)):
                    continue
                found.append(path)
    return sorted(found)


def load_photo(path):
    """u8[H, W, 3], reduced by a whole factor of at most 4 so that the shorter side stays at 700 or more."""
    picture = Image.open(path).convert("RGB")
    factor = max(1, min(4, min(picture.size) // 700))
    return np.asarray(picture.reduce(factor))


def batch(photos, chances, count, size, rng):
    """f32[count, 3, size, size]: random squares, turned and flipped."""
    squares = []
    for k in rng.choice(len(photos), size=count, p=chances):
        photo = photos[k]
        y = rng.integers(photo.shape[0] - size + 1)
        x = rng.integers(photo.shape[1] - size + 1)
        square = np.rot90(photo[y:y + size, x:x + size], rng.integers(4))
        squares.append(square[:, ::-1] if rng.integers(2) else square)
    return torch.from_numpy(np.stack(squares).transpose(0, 3, 1, 2).copy()).float() / 255


def add_noise(clean):
    """Gaussian noise of sigma 20 to 30 of 255; half the squares are then stored as a PNG would store them."""
    count = len(clean)
    sigma = torch.empty(count, 1, 1, 1).uniform_(20, 30) / 255
    noisy = clean + sigma * torch.randn_like(clean)
    noisy[:count // 2] = (noisy[:count // 2] * 255).round().clamp(0, 255) / 255
    return noisy


def save_safetensors(state, path):
    header, data = {}, b""
    for name, tensor in state.items():
        piece = tensor.detach().contiguous().numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path + ".part", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)
    os.replace(path + ".part", path)


def psnr(a, b):
    return -10 * math.log10(float(((a - b) ** 2).mean()))


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("folders", nargs="+", help="folders with photographs")
    args.add_argument("--list", default=os.path.join(HERE, "train_photos.txt"), help="file naming the photographs to take")
    args.add_argument("--minutes", type=float, default=62)
    args.add_argument("--rate", type=float, default=1e-3)
    args.add_argument("--batch", type=int, default=16)
    args.add_argument("--size", type=int, default=96)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--threads", type=int, default=2)
    args.add_argument("--out", default=os.path.join(HERE, "..", "denoise.safetensors"))
    args = args.parse_args()

    torch.set_num_threads(args.threads)
    np.finfo(np.float64)  # kept by NumPy; it would warn when asked again after the next line
    torch.set_flush_denormal(True)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)

    paths = find_photos(args.folders, [line.split()[0] for line in read_list(args.list)] if args.list else None)
    photos = [load_photo(path) for path in paths]
    areas = np.array([photo.shape[0] * photo.shape[1] for photo in photos], float)
    chances = np.sqrt(areas) / np.sqrt(areas).sum()
    for path, photo in zip(paths, photos):
        print(photo.shape[1], "x", photo.shape[0], path)
    print(f"{len(photos)} photographs, {areas.sum() / 1e6:.1f} megapixels")

    model = Denoiser().to(memory_format=torch.channels_last)
    average = copy.deepcopy(model)
    print(sum(p.numel() for p in model.parameters()), "parameters", flush=True)
    adam = torch.optim.Adam(model.parameters(), lr=args.rate, betas=(0.9, 0.99))

    # The schedule follows the clock, so that the run ends when it is told to, however busy the machine is.
    start, step, loss_sum, loss_count, next_report = time.time(), 0, 0.0, 0, 60
    while True:
        spent = time.time() - start
        progress = spent / (60 * args.minutes)
        if spent >= next_report or progress >= 1:
            next_report += 60
            save_safetensors(average.state_dict(), args.out)
            print(f"{spent / 60:5.1f} min, step {step}, PSNR {-10 * math.log10(loss_sum / loss_count):.3f}", flush=True)
            loss_sum, loss_count = 0.0, 0
        if progress >= 1:
            break
        for group in adam.param_groups:
            group["lr"] = args.rate * min(1, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * progress))
        clean = batch(photos, chances, args.batch, args.size, rng).contiguous(memory_format=torch.channels_last)
        loss = F.mse_loss(model(add_noise(clean)), clean)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        adam.step()
        step += 1
        loss_sum, loss_count = loss_sum + float(loss), loss_count + 1
        keep = min(0.999, 1 - 1 / (step + 1))
        with torch.no_grad():
            for mean, now in zip(average.parameters(), model.parameters()):
                mean.lerp_(now, 1 - keep)


if __name__ == "__main__":
    main()
