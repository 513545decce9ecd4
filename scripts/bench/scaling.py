"""How the time of training grows with examples and epochs, and how much more several workers get done than one.

Usage: python scaling.py [--aelab target/release/aelab] [--jobs N] [--rounds 3] [--trials 4] [--epochs 4]

Fashion-MNIST, the undercomplete model 784-32 with one thread, medians of rounds in which the cases take turns. `run` is `aelab
run`; `alone` are the same workers, started by N threads of this script without a runner: what the machine gives to processes
that have nothing to do with each other. Needs nothing but Python.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import runner_overhead  # noqa: E402

SPEC = """\
name: overhead
data: {{fashion_mnist: {{num_train: {examples}}}}}
model: {{undercomplete: {{hidden: [], code_size: 32, code_activation: relu}}}}
train: {{epochs: {epochs}, batch_size: 128, optimizer: {{adam: {{learning_rate: 1.0e-3}}}}, seed: 1}}
evaluate: [reconstruction]
sweep: {{train.seed: {seeds}}}
"""
ALL = 55_000


def prepare(folder, examples, epochs, num):
    subprocess.run(["rm", "-rf", folder / "runs"], check=True)
    (folder / "spec.yaml").write_text(SPEC.format(examples=examples, epochs=epochs, seeds=list(range(1, num + 1))))


def training_seconds(aelab, folder, examples, epochs):
    prepare(folder, examples, epochs, 1)
    runner_overhead.run_sweep(aelab, folder, 1)
    (trial,) = runner_overhead.trials(folder)
    return json.loads((trial / "result.json").read_text())["seconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aelab", default="target/release/aelab")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=4, help="trials of a sweep for each job")
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args()
    aelab = str(Path(arguments.aelab).resolve())
    lengths = [(ALL // 8, 8), (ALL // 4, 8), (ALL // 2, 8), (ALL, 8), (ALL, 1), (ALL, 2), (ALL, 4)]
    num = arguments.trials * arguments.jobs
    times, walls = defaultdict(list), defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="scaling_") as name:
        folder = Path(name)
        for _ in range(arguments.rounds):
            for examples, epochs in lengths:
                times[examples, epochs].append(training_seconds(aelab, folder, examples, epochs))
            for jobs in (1, arguments.jobs):
                prepare(folder, ALL, arguments.epochs, num)
                walls["run", jobs].append(runner_overhead.run_sweep(aelab, folder, jobs))
                runner_overhead.reset(folder)
                # Lest these workers find the PCA that those of the runner had to compute.
                subprocess.run(["rm", "-rf", folder / "runs/overhead/shared"], check=True)
                walls["alone", jobs].append(runner_overhead.run_alone(aelab, folder, jobs))
    print("| examples | epochs | training, s | microseconds for an example |")
    print("|--:|--:|--:|--:|")
    for (examples, epochs), seconds in times.items():
        median = statistics.median(seconds)
        print(f"| {examples:,} | {epochs} | {median:.3f} ({min(seconds):.3f}-{max(seconds):.3f}) | {1e6 * median / (examples * epochs):.2f} |")
    print()
    print("| | one at a time, trials per hour | " + f"{arguments.jobs} at a time | gain |")
    print("|---|--:|--:|--:|")
    gains = {}
    for way in ("run", "alone"):
        one, several = (3600 * num / statistics.median(walls[way, jobs]) for jobs in (1, arguments.jobs))
        gains[way] = several / one
        print(f"| {way} | {one:,.0f} | {several:,.0f} | {gains[way]:.2f} |")
    print()
    print(f"Gain of the runner over that of processes alone: {gains['run'] / gains['alone']:.2f}")


if __name__ == "__main__":
    main()
