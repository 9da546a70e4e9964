"""ResNet-18 beside onnxruntime, in one run: `make bench`.

Engines take turns, each in a process of its own, so that no two thread pools ever spin at once. A turn runs for about two seconds and gives its
median; printed are the medians over all turns and their ratio (above 1: ours is faster). Needs python3-torch and python3-torchvision for the network,
and onnxruntime from PyPI, in build/bench/venv. Both compute the network that `--init 1` makes, and their scores are compared.
"""
import os
import re
import statistics
import subprocess
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BENCH = os.path.join(ROOT, "build", "bench")
TURNS = 5

EXPORT = """
import sys, numpy as np, torch, torchvision
sys.path.insert(0, 'tests/numerics')
from init_weights import init_state_dict
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = torchvision.models.resnet18().eval()
        self.net.load_state_dict(init_state_dict(self.net.state_dict(), 1))
        self.register_buffer('mean', torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer('std', torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
    def forward(self, x):
        return self.net((x - self.mean) / self.std)
x = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
np.save('build/bench/x.npy', x.numpy())
torch.onnx.export(Net().eval(), x, 'build/bench/resnet18.onnx', opset_version=13)
"""

PEER = """
import sys, time, numpy as np, onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads = int(sys.argv[1])
session = ort.InferenceSession('build/bench/resnet18.onnx', options, providers=['CPUExecutionProvider'])
feed = {session.get_inputs()[0].name: np.load('build/bench/x.npy')}
np.save('build/bench/peer.npy', session.run(None, feed)[0])
times, end = [], time.perf_counter() + 2
while time.perf_counter() < end:
    begin = time.perf_counter()
    session.run(None, feed)
    times.append(time.perf_counter() - begin)
print(1e3 * sorted(times)[len(times) // 2])
"""

DIFFERENCE = """
import numpy as np
a, b = np.load('build/bench/ours.npy'), np.load('build/bench/peer.npy')
print(np.sqrt(np.mean((a - b) ** 2) / np.mean(b ** 2)))
"""


def output(*command):
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{done.stdout}")
    return done.stdout


def peer_python():
    python = os.path.join(BENCH, "venv", "bin", "python")
    if not os.path.exists(python):
        output("/usr/bin/python3", "-m", "venv", os.path.join(BENCH, "venv"))
        output(python, "-m", "pip", "install", "-q", "onnxruntime", "numpy")
    return python


def ours(threads):
    text = output("build/bench/resnet18", "build/bench/x.npy", "-o", "build/bench/ours.npy", "--time", "--threads", str(threads))
    return float(re.search(r"run\s+([\d.]+) ms", text).group(1))


def compare(python, threads):
    mine, theirs = [], []
    for _ in range(TURNS):
        mine.append(ours(threads))
        theirs.append(float(output(python, "-c", PEER, str(threads))))
    a, b = statistics.median(mine), statistics.median(theirs)
    print(f"resnet18, threads {threads}: cai {a:.1f} ms, onnxruntime {b:.1f} ms, ratio {b / a:.2f}", flush=True)


os.makedirs(BENCH, exist_ok=True)
python = peer_python()
output("/usr/bin/python3", "-c", EXPORT)
output("build/cai", "build", "examples/resnet18.cai", "--init", "1", "-o", "build/bench/resnet18")
compare(python, 1)
compare(python, 2)
print(f"scores differ by {float(output(python, '-c', DIFFERENCE)):.1e} of their size")
