"""Seconds from the command to the end of the first training step, on data that is in the cache.

Usage: python start_up.py [--aelab target/release/aelab] [--repeats 10]

A trial by itself, and the first trial of a sweep of 24, on Fashion-MNIST; `aelab run` in an empty folder each time. The step
is over when the event file of a trial, which is written without delay, has its value; the script looks every millisecond.
Printed are the median and the least, and for comparison how long `aelab --version` takes. Needs nothing but Python.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

SPEC = """\
name: start
data: {fashion_mnist: {}}
model: {undercomplete: {hidden: [], code_size: 32, output_activation: sigmoid}}
train: {epochs: 100, batch_size: 128, optimizer: {adam: {learning_rate: 1.0e-3}}, seed: 1, log_every: 1}
evaluate: [reconstruction]
"""
SWEEP = "sweep: {product: [{model.undercomplete.code_size: [8, 16, 32]}], repeat: 8}\n"
# The name of a value that only a step has.
MARK = b"train_step/"


def has_stepped(folder):
    try:
        return any(MARK in path.read_bytes() for path in folder.glob("runs/start/trials/*/events.out.tfevents.*"))
    except FileNotFoundError:
        return False  # The file of the start gives way to the one of the training.


def first_step(aelab, spec):
    with tempfile.TemporaryDirectory(prefix="start_up_", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "spec.yaml").write_text(spec)
        began = time.perf_counter()
        run = subprocess.Popen([aelab, "run", "spec.yaml", "--quiet"], cwd=folder, stdout=subprocess.DEVNULL)
        while not has_stepped(folder):
            if run.poll() is not None:
                raise SystemExit("the run ended before its first step")
            time.sleep(0.001)
        seconds = time.perf_counter() - began
        run.terminate()
        run.wait()
    return seconds


def version(aelab):
    began = time.perf_counter()
    subprocess.run([aelab, "--version"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aelab", default="target/release/aelab")
    parser.add_argument("--repeats", type=int, default=10)
    arguments = parser.parse_args()
    aelab = str(Path(arguments.aelab).resolve())
    cases = {
        "aelab --version": lambda: version(aelab),
        "one trial": lambda: first_step(aelab, SPEC),
        "first trial of 24": lambda: first_step(aelab, SPEC + SWEEP),
    }
    times = {name: [] for name in cases}
    for _ in range(arguments.repeats):
        for name, case in cases.items():
            times[name].append(case())
    for name, seconds in times.items():
        print(f"{name}: median {statistics.median(seconds):.3f} s, least {min(seconds):.3f} s of {len(seconds)}")


if __name__ == "__main__":
    main()
