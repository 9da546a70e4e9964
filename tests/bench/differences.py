"""differences.py A.npy... B.npy: the largest difference of each A from B, divided by the root of B's mean square."""
import sys

import numpy as np

*others, last = [np.load(path).astype(np.float64) for path in sys.argv[1:]]
for one in others:
    print(np.max(np.abs(one - last)) / np.sqrt(np.mean(last**2)))
