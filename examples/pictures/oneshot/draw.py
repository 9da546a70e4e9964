"""Draws the letters of this folder, and of again/ in another hand: strokes of a pen on 105 x 105 pixels, as in Omniglot.

    python3 draw.py
"""
import math
import os
import random

from PIL import Image, ImageDraw

SIZE, LARGER = 105, 4
ROUND = [(math.cos(a), math.sin(a)) for a in (2 * math.pi * i / 24 for i in range(25))]


def arc(x, y, rx, ry, begin=0, end=24):
    return [(x + rx * ROUND[i % 24][0], y + ry * ROUND[i % 24][1]) for i in range(begin, end + 1)]


LETTERS = {  # strokes within 0..1, x to the right and y down
    "alpha": [arc(0.38, 0.5, 0.25, 0.25), [(0.85, 0.2), (0.63, 0.5), (0.85, 0.8)]],
    "beta": [[(0.3, 0.95), (0.3, 0.15)], arc(0.3, 0.3, 0.3, 0.18, 18, 30), arc(0.3, 0.63, 0.4, 0.17, 18, 30)],
    "chi": [[(0.15, 0.15), (0.85, 0.9)], [(0.85, 0.15), (0.15, 0.9)]],
    "delta": [[(0.5, 0.1), (0.1, 0.85), (0.9, 0.85), (0.5, 0.1)]],
    "omega": [arc(0.32, 0.55, 0.2, 0.3, 0, 14), arc(0.72, 0.55, 0.2, 0.3, -2, 12)],
    "phi": [arc(0.5, 0.5, 0.35, 0.22), [(0.5, 0.05), (0.5, 0.95)]],
    "pi": [[(0.1, 0.2), (0.9, 0.2)], [(0.3, 0.2), (0.25, 0.9)], [(0.7, 0.2), (0.75, 0.9)]],
    "psi": [arc(0.5, 0.2, 0.35, 0.4, 0, 12), [(0.5, 0.1), (0.5, 0.95)]],
    "sigma": [[(0.85, 0.12), (0.15, 0.12), (0.55, 0.5), (0.15, 0.88), (0.85, 0.88)]],
    "upsilon": [[(0.15, 0.15), (0.5, 0.6), (0.5, 0.95)], [(0.85, 0.15), (0.5, 0.6)]],
}


def draw(strokes, hand):
    """hand: a random.Random that slants, moves and shakes, or None for the letter as it is."""
    shake = (lambda s: hand.uniform(-s, s)) if hand else (lambda s: 0)
    slant, left, top, wide, high = shake(0.2), shake(0.05), shake(0.05), 0.75 + shake(0.1), 0.75 + shake(0.1)
    picture = Image.new("L", (SIZE * LARGER, SIZE * LARGER), 255)
    pen = ImageDraw.Draw(picture)
    for stroke in strokes:
        points = []
        for x, y in stroke:
            x, y = x + slant * (0.5 - y) + shake(0.02), y + shake(0.02)
            points.append(((0.125 + left + wide * x) * SIZE * LARGER, (0.125 + top + high * y) * SIZE * LARGER))
        pen.line(points, fill=0, width=3 * LARGER, joint="curve")
        for x, y in points:
            pen.ellipse((x - 6, y - 6, x + 6, y + 6), fill=0)
    return picture.resize((SIZE, SIZE), Image.BOX).point(lambda v: 255 if v > 127 else 0).convert("1")


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    for name, strokes in LETTERS.items():
        draw(strokes, None).save(os.path.join(here, name + ".png"), optimize=True)
        draw(strokes, random.Random(name)).save(os.path.join(here, "again", name + ".png"), optimize=True)
