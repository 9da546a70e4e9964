"""Detectors: torchvision's SSD300 on VGG16, and a narrow one of the same form, written from figure 2 of Liu et al. 2016."""
import math

import torch
from torch import nn
from torchvision.models.detection import ssd
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator

from cases import AVX2, INIT, Case, Input, Normalized, initialised

SCALES = [0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05]
STEPS, RATIOS = [8, 16, 32, 64, 100, 300], [[2], [2, 3], [2, 3], [2, 3], [2], [2]]


def convs(n, i, o):
    return [layer for k in range(n) for layer in (nn.Conv2d(o if k else i, o, 3, padding=1), nn.ReLU())]


def extra(i, middle, o, **options):
    return nn.Sequential(nn.Conv2d(i, middle, 1), nn.ReLU(), nn.Conv2d(middle, o, 3, **options), nn.ReLU())


class Narrow(nn.Module):
    """SSD's VGG16 with c feature maps in its first layer."""

    def __init__(self, c):
        super().__init__()
        self.scale_weight = nn.Parameter(torch.ones(8 * c))
        self.features = nn.Sequential(*convs(2, 3, c), nn.MaxPool2d(2), *convs(2, c, 2 * c), nn.MaxPool2d(2), *convs(3, 2 * c, 4 * c),
                                      nn.MaxPool2d(2, ceil_mode=True), *convs(3, 4 * c, 8 * c))
        dense = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(8 * c, 16 * c, 3, padding=6, dilation=6), nn.ReLU(), nn.Conv2d(16 * c, 16 * c, 1),
                              nn.ReLU())
        self.extra = nn.ModuleList([nn.Sequential(nn.MaxPool2d(2), *convs(3, 8 * c, 8 * c), dense),
                                    extra(16 * c, 4 * c, 8 * c, stride=2, padding=1), extra(8 * c, 2 * c, 4 * c, stride=2, padding=1),
                                    extra(4 * c, 2 * c, 4 * c), extra(4 * c, 2 * c, 4 * c)])

    def forward(self, x):
        x = self.features(x)
        maps = [self.scale_weight.view(1, -1, 1, 1) * nn.functional.normalize(x)]
        for block in self.extra:
            x = block(x)
            maps.append(x)
        return {str(i): m for i, m in enumerate(maps)}


def narrow():
    return ssd.SSD(Narrow(4), DefaultBoxGenerator(RATIOS, scales=SCALES, steps=STEPS), (300, 300), 6,
                   image_mean=[0.48235, 0.45882, 0.40784], image_std=[1 / 255] * 3)


class Heads(Normalized):
    """What the network says of each default box: where it is to go, and of which class it is. Default boxes are as exact as the rest, where torchvision's are f32."""

    def forward(self, photo):
        images, _ = self.net.transform(list(photo))
        maps = list(self.net.backbone(images.tensors).values())
        says, boxes = self.net.head(maps), self.default_boxes(maps)
        return {"boxes": torch.stack([self.net.box_coder.decode_single(o, boxes) for o in says["bbox_regression"]]), "logits": says["cls_logits"]}

    @staticmethod
    def default_boxes(maps):
        rows = []
        for k, m in enumerate(maps):
            sides = [(SCALES[k], SCALES[k]), (math.sqrt(SCALES[k] * SCALES[k + 1]),) * 2]
            for r in RATIOS[k]:
                sides += [(SCALES[k] * math.sqrt(r), SCALES[k] / math.sqrt(r)), (SCALES[k] / math.sqrt(r), SCALES[k] * math.sqrt(r))]
            for y in range(m.shape[2]):
                for x in range(m.shape[3]):
                    centre = ((x + 0.5) * STEPS[k], (y + 0.5) * STEPS[k])
                    half = [(150 * min(w, 1), 150 * min(h, 1)) for w, h in sides]
                    rows += [(centre[0] - w, centre[1] - h, centre[0] + w, centre[1] + h) for w, h in half]
        return torch.tensor(rows, dtype=maps[0].dtype)


class Found(Heads):
    """torchvision's choice of boxes: rows of left, top, right, bottom, score, class; those of none are zeros."""

    def forward(self, photo):
        images, _ = self.net.transform(list(photo))
        maps = list(self.net.backbone(images.tensors).values())
        boxes = self.default_boxes(maps)
        found = torch.zeros(len(photo), self.net.detections_per_img, 6, dtype=photo.dtype)
        for rows, of in zip(found, self.net.postprocess_detections(self.net.head(maps), [boxes] * len(photo), images.image_sizes)):
            rows[:len(of["scores"])] = torch.cat([of["boxes"], of["scores"][:, None], of["labels"][:, None]], 1)
        return {"found": found}


class Parts(nn.Module):
    """stdlib/detect.cai apart from a network: boxes of a map that is not square, and a plain loop over those that compete."""

    def forward(self, says, scores):
        step, scale, wider, size, sides = 20, 0.3, 0.7, 120, [(0.3, 0.3), (0.21**0.5, 0.21**0.5), (0.3 * 5**0.5, 0.3 / 5**0.5), (0.3 / 5**0.5, 0.3 * 5**0.5)]
        boxes = torch.tensor([[(x + 0.5) * step - size / 2 * w, (y + 0.5) * step - size / 2 * h, size * w, size * h]
                              for y in range(3) for x in range(5) for w, h in sides], dtype=says.dtype)
        corner, extent = boxes[:, :2] + boxes[:, 2:] / 2 + boxes[:, 2:] * says[..., :2] / 10, boxes[:, 2:] * (says[..., 2:] / 5).exp().clamp(max=62.5)
        moved = torch.cat([corner - extent / 2, corner + extent / 2], -1)
        found = torch.zeros(len(says), 30, 6, dtype=says.dtype)
        for n in range(len(says)):
            rows = [row for k in range(scores.shape[2]) for row in self.of_class(moved[n], scores[n, :, k], k + 3)]
            rows = torch.stack(sorted(rows, key=lambda row: -row[4])[:30])
            found[n, :len(rows)] = rows
        return {"moved": moved, "found": found}

    @staticmethod
    def of_class(boxes, scores, k):
        kept = []
        for i in scores.argsort(descending=True, stable=True)[:25]:
            (l, t, r, b), area = boxes[i], (boxes[i, 2] - boxes[i, 0]) * (boxes[i, 3] - boxes[i, 1])
            alone = scores[i] > 0.8
            for other in kept:
                both = (torch.minimum(r, other[2]) - torch.maximum(l, other[0])).clamp(0) * (torch.minimum(b, other[3]) - torch.maximum(t, other[1])).clamp(0)
                alone = alone and not both / (area + (other[2] - other[0]) * (other[3] - other[1]) - both) > 0.3
            if alone:
                kept.append(torch.cat([boxes[i], scores[i:i + 1], torch.tensor([k], dtype=boxes.dtype)]))
        return kept


def weighted(net):
    """torchvision initialises the scale of the first map with 20, and so does the .cai file."""
    initialised(net)
    net.backbone.scale_weight.data.fill_(20)
    return net


def full():
    return ssd.ssd300_vgg16(weights=None, weights_backbone=None)


# Near the mean that is subtracted: so scores are neither all 0 nor all 1.
PHOTO = {"photo": Input(1, 3, 300, 300, low=0.4, high=0.5)}
TWO = {"photo": Input(2, 3, 300, 300, low=0.42, high=0.48)}
LIGHT = [o + " -D c=4 -D classes=6" for o in (INIT, AVX2)]
CASES = {
    "detections": Case("detections", Parts, {"says": Input(3, 60, 4, low=-9, high=9), "scores": Input(3, 60, 2)}),
    "ssd_heads": Case("ssd_heads", lambda: Heads(weighted(full())), PHOTO, params=35641826),
    "ssd": Case("ssd", lambda: Found(weighted(full())), PHOTO, params=35641826, samples=1200, names="examples/ssd.cai"),
    "ssd_heads_light": Case("ssd_heads", lambda: Heads(weighted(narrow())), TWO, options=LIGHT),
    "ssd_light": Case("ssd", lambda: Found(weighted(narrow())), TWO, options=LIGHT, samples=2400),
}
