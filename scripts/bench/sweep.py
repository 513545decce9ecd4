"""Times a sweep of 24 trials in aelab and in PyTorch under Hydra, from the start of the process to its end, and compares the results.

Usage: python sweep.py [--aelab target/release/aelab] [--python PYTHON_WITH_TORCH_AND_HYDRA] [--epochs 5] [--rounds 3] [--jobs N]
                       [--torch-threads 1 2] [--complete] [--keep LINES.jsonl]

Sides take turns and each round begins with another one, so that a busy machine slows all of them. PyTorch runs N trials at a
time with each number of threads that is asked for; the faster way counts. With --complete it takes turns once more, and then
measures SSIM and PCA and keeps checkpoints as aelab always does. Printed are a Markdown table of medians with the
smallest and the largest, and the errors that both sides reach: where their means over seeds differ by more than seeds explain,
the sides did not do the same, and the script fails.
"""

import argparse
import csv
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
SIZES = {16: "small", 32: "large", 98: "small", 196: "large", 10: "small", 20: "large"}
NUM_TRIALS = 24
COMPLETE = ", with SSIM, PCA and checkpoints"
# Means of a few seeds on each side: so many standard errors of the difference, or such a part of the error, may lie between them.
MOST_STANDARD_ERRORS, MOST_RELATIVE = 4.0, 0.02


FASHION_MNIST = Path(os.environ.get("AELAB_DATA") or Path.home() / ".local/share/aelab") / "fashion_mnist"


def timed(command, **options):
    """Seconds of a process, and what it and the processes it waited for took of the processor."""
    before = os.times()
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options)
    seconds = time.perf_counter() - began
    after = os.times()
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr}")
    return seconds, after.children_user + after.children_system - before.children_user - before.children_system


def run_aelab(arguments, folder):
    command = [arguments.aelab, "run", HERE / "sweep.yaml", "--runs", folder, "--jobs", str(arguments.jobs), "--quiet"]
    seconds = timed([*command, "--set", f"train.epochs={arguments.epochs}"])
    errors = {}
    with open(folder / "sweep" / "trials.csv", newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            size = next(int(float(value)) for key, value in row.items() if key.endswith(("code_size", "latent_dim")) and value)
            seed = next(int(float(value)) for key, value in row.items() if key.endswith("seed") and value)
            errors[row["model"], SIZES[size], seed] = float(row["mse"])
    return seconds, errors


def run_pytorch(arguments, folder, threads, complete):
    settings = {
        "hydra/launcher": "joblib",
        "hydra.launcher.n_jobs": arguments.jobs,
        "hydra.sweep.dir": folder,
        "data": FASHION_MNIST,
        "model": "undercomplete,sparse,vae",
        "size": "small,large",
        "seed": "1,2,3,4",
        "epochs": arguments.epochs,
        "threads": threads,
        "complete": complete,
    }
    command = [arguments.python, HERE / "pytorch_sweep.py", "-m", *(f"{key}={value}" for key, value in settings.items())]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    seconds = timed(command, cwd=folder.parent, env=environment)
    with open(folder / "summary.csv", newline="", encoding="utf-8") as lines:
        errors = {(row["model"], row["size"], int(row["seed"])): float(row["mse"]) for row in csv.DictReader(lines)}
    return seconds, errors


def agreement(ours, theirs):
    """A row per model and size: means over seeds, and whether they agree."""
    rows = []
    by_side = []
    for errors in (ours, theirs):
        groups = defaultdict(list)
        for (model, size, _), error in sorted(errors.items()):
            groups[model, size].append(error)
        by_side.append(groups)
    for key in by_side[0]:
        ours, theirs = by_side[0][key], by_side[1][key]
        difference = statistics.mean(ours) - statistics.mean(theirs)
        standard_error = (statistics.variance(ours) / len(ours) + statistics.variance(theirs) / len(theirs)) ** 0.5
        allowed = max(MOST_STANDARD_ERRORS * standard_error, MOST_RELATIVE * statistics.mean(theirs))
        rows.append((key, ours, theirs, abs(difference) <= allowed))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aelab", default="target/release/aelab")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--torch-threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--complete", action="store_true", help="PyTorch also with what else aelab measures and keeps")
    parser.add_argument("--keep", help="a file that gets a line of JSON for every run")
    arguments = parser.parse_args()
    arguments.aelab = str(Path(arguments.aelab).resolve())

    sides = {"aelab": run_aelab}
    for threads in arguments.torch_threads:
        for complete in [False, True] if arguments.complete else [False]:
            name = f"PyTorch, {threads} thread{'s' if threads > 1 else ''} a trial{COMPLETE if complete else ''}"
            sides[name] = functools.partial(run_pytorch, threads=threads, complete=complete)
    names = list(sides)
    runs, errors = defaultdict(list), {}
    with tempfile.TemporaryDirectory(prefix="bench_sweep_") as scratch:
        for turn in range(arguments.rounds):
            order = names[turn % len(names):] + names[:turn % len(names)]
            for name in order if turn % 2 == 0 else reversed(order):
                folder = Path(scratch) / f"{turn}_{names.index(name)}"
                folder.mkdir()
                (seconds, processor), errors[name] = sides[name](arguments, folder)
                if len(errors[name]) != NUM_TRIALS:
                    sys.exit(f"{name} finished {len(errors[name])} of {NUM_TRIALS} trials")
                runs[name].append((seconds, processor))
                print(f"round {turn + 1}: {name}: {seconds:.2f} s, {processor:.2f} s of the processor", file=sys.stderr, flush=True)
                if arguments.keep:
                    line = {"side": name, "epochs": arguments.epochs, "jobs": arguments.jobs, "seconds": seconds, "processor": processor}
                    with open(arguments.keep, "a", encoding="utf-8") as file:
                        file.write(json.dumps(line) + "\n")

    medians = {name: statistics.median(seconds for seconds, _ in of_side) for name, of_side in runs.items()}
    print(f"{NUM_TRIALS} trials of {arguments.epochs} epochs, {arguments.jobs} at a time; medians of {arguments.rounds} rounds (smallest-largest).")
    print()
    print("| | seconds | seconds of the processor | trials per hour |")
    print("|---|--:|--:|--:|")
    for name in names:
        walls, processors = zip(*runs[name])
        spread = f"{medians[name]:.2f} ({min(walls):.2f}-{max(walls):.2f})"
        print(f"| {name} | {spread} | {statistics.median(processors):.2f} | {3600 * NUM_TRIALS / medians[name]:,.0f} |")
    print()
    for is_complete, what in ((False, "the faster PyTorch"), (True, "the faster PyTorch with SSIM, PCA and checkpoints")):
        others = [median for name, median in medians.items() if name != "aelab" and name.endswith(COMPLETE) == is_complete]
        if others:
            print(f"Trials per hour, aelab beside {what}: {min(others) / medians['aelab']:.2f} to 1.")
            print()
    print("Squared error per pixel of test images, mean of four seeds (standard deviation):")
    print()
    print("| model | code | aelab | PyTorch | agree |")
    print("|---|---|--:|--:|---|")
    rows = agreement(errors["aelab"], errors[names[-1]])
    for (model, size), ours, theirs, agree in rows:
        cells = [f"{statistics.mean(side):.5f} ({statistics.stdev(side):.5f})" for side in (ours, theirs)]
        print(f"| {model} | {size} | {' | '.join(cells)} | {'yes' if agree else 'no'} |")
    if not all(agree for *_, agree in rows):
        sys.exit("the sides reach different errors: they do not do the same")


if __name__ == "__main__":
    main()
