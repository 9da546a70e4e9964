"""Koch, Zemel, Salakhutdinov 2015, "Siamese Neural Networks for One-shot Image Recognition": figure 4 and section 3.1, from the paper."""
import torch
from torch import nn

from cases import AVX2, INIT, Case, Input, initialised


class Twin(nn.Module):
    def __init__(self, c, code):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, c, 10), nn.Conv2d(c, 2 * c, 7)
        self.conv3, self.conv4 = nn.Conv2d(2 * c, 2 * c, 4), nn.Conv2d(2 * c, 4 * c, 4)
        self.fc = nn.Linear(4 * c * 6 * 6, code)

    def forward(self, x):
        for conv in self.conv1, self.conv2, self.conv3:
            x = nn.functional.max_pool2d(torch.relu(conv(x)), 2)
        return torch.sigmoid(self.fc(torch.relu(self.conv4(x)).flatten(1)))


class Siamese(nn.Module):
    """`c` feature maps in the first layer (64 in the paper), `code` numbers that two drawings are compared by (4096)."""

    def __init__(self, c=64, code=4096):
        super().__init__()
        self.twin, self.out = Twin(c, code), nn.Linear(code, 1)

    def forward(self, examples, query):
        a, b = self.twin(query), self.twin(examples)
        likeness = torch.sigmoid(self.out((a[:, None] - b[None]).abs()))[..., 0]
        return {"nearest": likeness.argmax(1), "likeness": likeness}


PAIRS = {"examples": Input(10, 1, 105, 105), "query": Input(3, 1, 105, 105)}
CASES = {
    "siamese": Case("siamese", lambda: initialised(Siamese()), PAIRS, params=38951745, names="examples/siamese.cai"),
    "siamese_light": Case("siamese", lambda: initialised(Siamese(8, 96)), PAIRS, options=[o + " -D c=8 -D code=96" for o in (INIT, AVX2)]),
}
