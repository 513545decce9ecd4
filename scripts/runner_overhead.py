"""Overhead of the runner: a sweep of short trials against the same trials alone.

    python3 scripts/runner_overhead.py [--aelab target/release/aelab] [--trials 200] [--seconds 1] [--jobs N] [--repeats 3]

A sweep of seeds of a small model on `digits`, sized to take about SECONDS each, is run in two ways that take turns:

* `run`:    `aelab run` with `--jobs N`, from the command to its end: planning, workers, tables and pictures of the run;
* `alone`:  the same workers, started by N threads of this script one after the other, without a runner.

Printed are the wall-clock seconds of each and the ratio of their medians, and how much of the run's core-seconds was training.
Needs nothing but Python.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SPEC = """\
name: overhead
data: {{digits: {{}}}}
model: {{undercomplete: {{hidden: [256, 128], code_size: 8, activation: relu, output_activation: sigmoid}}}}
train: {{epochs: {epochs}, batch_size: 64, optimizer: {{adam: {{learning_rate: 1.0e-3}}}}, seed: 1}}
evaluate: [reconstruction]
sweep: {{train.seed: {seeds}}}
"""


def run_sweep(aelab, folder, jobs):
    """Seconds of `aelab run`."""
    began = time.perf_counter()
    command = [aelab, "run", "spec.yaml", "--quiet", "--jobs", str(jobs)]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def trials(folder):
    """The folders of the trials, in the order of the plan."""
    plan = json.loads((folder / "runs/overhead/plan.json").read_text())
    return [folder / "runs/overhead/trials" / trial["hash"] for trial in plan["trials"]]


def reset(folder):
    """Makes every trial one that has not begun."""
    for trial in trials(folder):
        for path in sorted(trial.rglob("*"), reverse=True):
            if path.is_dir():
                path.rmdir()
            elif path.name != "config.yaml":
                path.unlink()


def run_alone(aelab, folder, jobs):
    """Seconds of the workers of all trials, `jobs` at a time."""
    environment = {**os.environ, "RAYON_NUM_THREADS": "1"}

    def work(trial):
        command = [aelab, "worker", "--detached", "runs/overhead", trial.name]
        with (trial / "worker.log").open("w") as log:
            subprocess.run(command, cwd=folder, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=log)

    todo = trials(folder)
    began = time.perf_counter()
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(work, todo))
    return time.perf_counter() - began


def training_seconds(folder):
    """Seconds of training of all trials together."""
    return sum(json.loads((trial / "result.json").read_text())["seconds"] for trial in trials(folder))


def write_spec(folder, epochs, num):
    (folder / "spec.yaml").write_text(SPEC.format(epochs=epochs, seeds=list(range(1, num + 1))))


def processor_seconds():
    """What processes that this script has waited for took of the processor."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def calibrated_epochs(aelab, folder, seconds):
    """Epochs with which a worker takes about so many seconds of the processor, whoever else uses it, from two lengths of training."""
    times = {}
    for epochs in (5, 45):
        write_spec(folder, epochs, 1)
        run_sweep(aelab, folder, 1)
        attempts = []
        for _ in range(3):
            reset(folder)
            before = processor_seconds()
            run_alone(aelab, folder, 1)
            attempts.append(processor_seconds() - before)
        times[epochs] = min(attempts)
        subprocess.run(["rm", "-r", folder / "runs"], check=True)
    per_epoch = max((times[45] - times[5]) / 40, 1e-4)
    return max(1, round((seconds - times[5]) / per_epoch) + 5)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aelab", default="target/release/aelab")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="instead of finding out how many take so many seconds")
    arguments = parser.parse_args()
    aelab = str(Path(arguments.aelab).resolve())

    with tempfile.TemporaryDirectory(prefix="runner_overhead_") as name:
        folder = Path(name)
        epochs = arguments.epochs or calibrated_epochs(aelab, folder, arguments.seconds)
        print(f"{arguments.trials} trials of {epochs} epochs, {arguments.jobs} at a time")
        write_spec(folder, epochs, arguments.trials)
        runs, alone, shares = [], [], []
        for repeat in range(arguments.repeats):
            if repeat > 0:
                subprocess.run(["rm", "-r", folder / "runs"], check=True)
            runs.append(run_sweep(aelab, folder, arguments.jobs))
            shares.append(training_seconds(folder) / (runs[-1] * arguments.jobs))
            reset(folder)
            alone.append(run_alone(aelab, folder, arguments.jobs))
            print(f"run {runs[-1]:7.2f} s    alone {alone[-1]:7.2f} s    training {100 * shares[-1]:.1f} % of the run's core-seconds", flush=True)
        ratio = statistics.median(runs) / statistics.median(alone)
        print(f"medians: run {statistics.median(runs):.2f} s, alone {statistics.median(alone):.2f} s, ratio {ratio:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
