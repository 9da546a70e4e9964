"""Draws facades for ../../pix2pix.cai, which never stood anywhere: a grammar of floors, windows, sills, blinds, balconies and doors, each a label map
and a shaded picture of the same lines, side by side as the authors' data sets are: the picture left, its labels right.

    python3 draw.py FOLDER [COUNT [SIZE [SEED]]]

draws COUNT pairs (200), each of two squares of SIZE pixels (143), the same for every SEED (1). Colours of labels are those of the CMP Facade Database.
"""
import os
import random
import sys

import numpy as np
from PIL import Image

LABELS = {"sky": (0, 0, 170), "wall": (0, 0, 255), "window": (0, 85, 255), "door": (0, 170, 255), "cornice": (0, 255, 255),
          "sill": (85, 255, 170), "balcony": (170, 255, 85), "blind": (255, 255, 0), "shop": (170, 0, 0)}
WALLS = [(196, 178, 150), (206, 188, 140), (188, 120, 96), (178, 172, 166), (210, 160, 130), (160, 98, 80)]


class Sheet:
    """A picture and its labels, painted by the same rectangles; sides are shares of the square, y from its top."""

    def __init__(self, size, rng):
        self.size, self.rng = size, rng
        self.picture = np.zeros((size, size, 3))
        self.labels = np.zeros((size, size, 3), np.uint8)

    def part(self, x0, y0, x1, y1):
        a, b, c, d = (min(max(round(v * self.size), 0), self.size) for v in (y0, y1, x0, x1))
        return slice(a, max(b, a + 1)), slice(c, max(d, c + 1))

    def paint(self, box, colour, label=None):
        """`colour`: one, or a function of the shares across and down within the box."""
        at = self.part(*box)
        height, width = self.picture[at].shape[:2]
        across, down = np.meshgrid((np.arange(width) + 0.5) / max(width, 1), (np.arange(height) + 0.5) / max(height, 1))
        self.picture[at] = colour(across[..., None], down[..., None]) if callable(colour) else colour
        if label:
            self.labels[at] = LABELS[label]

    def shade(self, box, share):
        """A shadow: what lies there grows darker, and is called the same."""
        self.picture[self.part(*box)] *= share


def gradient(top, bottom):
    return lambda across, down: np.array(top) * (1 - down) + np.array(bottom) * down


def window(sheet, x, y, w, h, style):
    sheet.paint((x - 0.006, y - 0.006, x + w + 0.006, y + h + 0.006), (232, 228, 220))
    sheet.paint((x, y, x + w, y + h), lambda a, d: np.where(a + 0.6 * d < 0.7, (120, 146, 168), (52, 62, 76)) + 0 * a, "window")
    sheet.paint((x + w / 2 - 0.004, y, x + w / 2 + 0.004, y + h), (226, 222, 214))
    if style["cross"]:
        sheet.paint((x, y + h / 3 - 0.003, x + w, y + h / 3 + 0.003), (226, 222, 214))
    sheet.shade((x, y, x + w, y + 0.014), 0.55)
    if style["blinds"]:
        for left in (x - 0.45 * w, x + w + 0.008):
            sheet.paint((left, y, left + 0.42 * w, y + h), lambda a, d: np.array(style["blind"]) * (0.75 + 0.25 * (np.floor(d * 9) % 2)), "blind")
    sheet.paint((x - 0.014, y + h, x + w + 0.014, y + h + 0.016), (214, 208, 196), "sill")
    sheet.shade((x - 0.004, y + h + 0.016, x + w + 0.024, y + h + 0.03), 0.7)


def balcony(sheet, x, y, w, h):
    box = (x - 0.03, y + 0.55 * h, x + w + 0.03, y + h + 0.02)
    sheet.paint(box, lambda a, d: np.where((np.floor(a * 13) % 2 == 0) | (d < 0.12), (40, 40, 44), (112, 116, 120)) + 0 * a, "balcony")
    sheet.paint((box[0] - 0.008, box[3], box[2] + 0.008, box[3] + 0.014), (196, 190, 180), "balcony")
    sheet.shade((box[0] + 0.006, box[3] + 0.014, box[2] + 0.02, box[3] + 0.05), 0.6)


def door(sheet, x, y, w, rng):
    wood = rng.choice([(96, 58, 38), (44, 74, 60), (60, 62, 92), (120, 50, 44)])
    sheet.paint((x - 0.014, y - 0.014, x + w + 0.014, 0.97), (222, 214, 202))
    sheet.paint((x, y, x + w, 0.97), lambda a, d: np.array(wood) * np.where((a % 0.5 > 0.08) & (a % 0.5 < 0.42) & (d % 0.33 > 0.05), 1.2, 0.8), "door")
    sheet.shade((x, y, x + w, y + 0.018), 0.6)


def facade(size, rng):
    sheet = Sheet(size, rng)
    floors, columns = rng.randint(2, 5), rng.randint(3, 6)
    left, right, top, ground = rng.uniform(0.0, 0.1), rng.uniform(0.9, 1.0), rng.uniform(0.06, 0.16), rng.uniform(0.7, 0.8)
    wall = np.array(rng.choice(WALLS)) * rng.uniform(0.95, 1.05)
    style = {"cross": rng.random() < 0.5, "blinds": columns < 6 and rng.random() < 0.4, "blind": rng.choice([(70, 110, 84), (126, 84, 62), (84, 104, 132)])}
    sheet.paint((0, 0, 1, 1), gradient((120, 166, 220), (206, 222, 236)), "sky")
    bricks = lambda a, d: wall * (1 - 0.1 * (np.floor(d * 60) % 2) - 0.06 * (np.floor(a * 24 + 0.5 * (np.floor(d * 60) % 2)) % 2)) * (1.05 - 0.15 * a)
    sheet.paint((left, top, right, 1), bricks, "wall")

    pitch, high = (right - left) / columns, (ground - top - 0.03) / floors
    wide, tall = pitch * (0.36 if style["blinds"] else rng.uniform(0.4, 0.56)), high * rng.uniform(0.5, 0.64)
    with_balconies = {f for f in range(floors) if rng.random() < 0.45}
    only_middle = rng.random() < 0.5
    for f in range(floors):
        y = top + 0.03 + f * high + 0.3 * (high - tall)
        for c in range(columns):
            x = left + (c + 0.5) * pitch - wide / 2
            window(sheet, x, y, wide, tall, style)
            if f in with_balconies and (not only_middle or c in (columns // 2, (columns - 1) // 2)):
                balcony(sheet, x, y, wide, tall)

    for y, thick in [(top, 0.03), (ground, 0.02)]:
        sheet.paint((left - 0.012, y, right + 0.012, y + thick), gradient((236, 230, 218), (186, 178, 166)), "cornice")
        sheet.shade((left, y + thick, right, y + thick + 0.022), 0.65)
    entrance, shops = rng.randrange(columns), rng.random() < 0.5
    for c in range(columns):
        x = left + (c + 0.5) * pitch
        if c == entrance:
            door(sheet, x - 0.28 * pitch, ground + 0.06, 0.56 * pitch, rng)
        elif shops:
            box = (x - 0.42 * pitch, ground + 0.055, x + 0.42 * pitch, 0.93)
            sheet.paint(box, lambda a, d: np.where(d < 0.2, (170, 52, 46), np.where(a + d < 1, (104, 124, 140), (44, 52, 60))) + 0 * a, "shop")
        else:
            window(sheet, x - 0.25 * pitch, ground + 0.07, 0.5 * pitch, 0.11, {**style, "blinds": False})
    sheet.paint((0, 0.97, 1, 1), (128, 126, 124), "sky")
    return sheet


def pair(size, seed, index):
    rng = random.Random(f"{seed} {index}")
    sheet = facade(size, rng)
    grain = np.random.RandomState(rng.randrange(2**32)).standard_normal((size, size, 1))
    picture = (sheet.picture * (1 + 0.03 * grain)).clip(0, 255).round().astype(np.uint8)
    return np.concatenate([picture, sheet.labels], axis=1)


def main(folder, count=200, size=143, seed=1):
    os.makedirs(folder, exist_ok=True)
    for index in range(int(count)):
        Image.fromarray(pair(int(size), seed, index)).save(os.path.join(folder, f"{index:04}.png"))


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
