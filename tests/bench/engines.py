"""What is timed, by turns: each engine a process of its own that stands still while another runs, so that no two thread pools ever spin at once and a
change of the machine's clock meets all alike.

An engine's files lie together: PATH.onnx and PATH.peer.npz (inputs by name, in order) for peers; a built program and its inputs for cai.
"""
import ctypes
import os
import re
import signal
import statistics
import subprocess

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
FOLDER = os.path.join("build", "bench")


class Failed(Exception):
    """A command or an engine ended without a result; what it said."""


def output(*command):
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)} failed:\n{done.stdout}")
    return done.stdout


def in_folder(name):
    return os.path.join(FOLDER, name)


def peer_python():
    python = in_folder("venv/bin/python")
    if not os.path.exists(os.path.join(ROOT, python)):
        output("/usr/bin/python3", "-m", "venv", in_folder("venv"))
        output(python, "-m", "pip", "install", "-q", "onnxruntime", "openvino", "numpy")
    return python


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Program:
    """A built program with its inputs and outputs (words of its command line): its process ends with its turn. Its first run, which it does not count,
    is what warms it up."""

    def __init__(self, words, threads):
        self.command = [*words, "--threads", str(threads), "--time"]
        self.milliseconds = self.run(1)

    def run(self, times):
        return float(re.search(r"run\s+([\d.]+) ms", output(*self.command, f"--repeat={times}")).group(1))

    def turn(self, seconds):
        return self.run(max(1, min(1000, round(1e3 * seconds / self.milliseconds))))

    def stop(self):
        pass


class Stopped:
    """A process that is stopped (SIGSTOP) but in its turns, and writes lines to `pipe`, its stdout or stderr."""

    def __init__(self, command, pipe="stdout"):
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        preexec_fn=die_with_parent)
        self.pipe = getattr(self.process, pipe)

    def line(self):
        line = self.pipe.readline()
        if not line:
            raise Failed(f"{' '.join(self.process.args)} ended:\n{self.process.communicate()}")
        return line

    def wake(self):
        self.process.send_signal(signal.SIGCONT)

    def sleep(self):
        self.process.send_signal(signal.SIGSTOP)

    def answer(self):
        line = self.line()
        self.sleep()
        return line

    def turn(self, seconds):
        self.wake()
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return float(self.answer())

    def peak_memory(self):
        """The most that was resident, in MB."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1)) * 1024e-6

    def stop(self):
        self.process.kill()
        self.process.communicate()


class Peer(Stopped):
    """peer.py in its process."""

    def __init__(self, engine, path, threads):
        super().__init__([peer_python(), "tests/bench/peer.py", engine, path, str(threads)])
        self.answer()


def take_turns(engines, turns, seconds, best=statistics.median):
    """The medians of their turns in milliseconds, or the least; afterwards they are stopped."""
    times = [[] for _ in engines]
    for _ in range(turns):
        for engine, mine in zip(engines, times):
            mine.append(engine.turn(seconds))
    for engine in engines:
        engine.stop()
    return [best(t) for t in times]


def differences(*paths):
    """The largest difference of each .npy from the last, by the root of the last one's mean square."""
    return [float(x) for x in output(peer_python(), "tests/bench/differences.py", *paths).split()]
