"""Memory of workers that run at the same time: what each has by itself, and what they share.

    python3 scripts/shared_memory.py [--aelab target/release/aelab] [--data '{fashion_mnist: {}}'] [--workers 1 2 4 8]

Starts so many workers on trials of one data set, waits until all of them train, and reads what Linux says in
/proc/PID/smaps_rollup: the resident size (RSS, which counts shared pages in full) and the proportional size (PSS, which divides
them by the processes that share them). Also printed: how long a worker takes from its start to the end of its first step, alone.
The variable AELAB_DECODED=off shows the same without shared data. Linux only; needs nothing but Python.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SPEC = """\
name: memory
data: {data}
model: {{undercomplete: {{hidden: [64], code_size: 8, activation: relu, output_activation: linear}}}}
train: {{epochs: 1000, batch_size: 128, optimizer: {{adam: {{learning_rate: 1.0e-3}}}}, seed: 1}}
evaluate: [reconstruction]
sweep: {{train.seed: {seeds}}}
"""


def megabytes(pid):
    """What Linux says of the memory of a process, by its name for it: `Rss`, `Pss`, ..."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) * 1024 / 1e6 for line in lines}


def start(aelab, folder, name):
    command = [aelab, "worker", "--detached", "runs/memory", name]
    environment = {**os.environ, "RAYON_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def wait_for_step(worker):
    """Reads what the worker says until it has made a step."""
    for line in worker.stdout:
        if json.loads(line)["message"] == "progress":
            return
    raise SystemExit("the worker ended before its first step")


def stop(workers):
    for worker in workers:
        worker.kill()
        worker.wait()


def prepare(aelab, folder, data, num):
    """A run directory of which no trial has begun."""
    (folder / "spec.yaml").write_text(SPEC.format(data=data, seeds=list(range(1, num + 1))))
    run = subprocess.Popen([aelab, "run", "spec.yaml", "--quiet", "--jobs", "1"], cwd=folder, stdout=subprocess.DEVNULL)
    plan = folder / "runs/memory/plan.json"
    while run.poll() is None and not (plan.is_file() and list(folder.glob("runs/memory/trials/*/metrics.jsonl"))):
        time.sleep(0.05)
    run.terminate()
    run.wait()
    return [trial["hash"] for trial in json.loads(plan.read_text())["trials"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aelab", default="target/release/aelab")
    parser.add_argument("--data", default="{fashion_mnist: {}}")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--starts", type=int, default=10, help="how often the start of a worker is timed")
    arguments = parser.parse_args()
    aelab = str(Path(arguments.aelab).resolve())

    with tempfile.TemporaryDirectory(prefix="shared_memory_") as name:
        folder = Path(name)
        hashes = prepare(aelab, folder, arguments.data, max(arguments.workers) + arguments.starts)
        times = []
        for trial in hashes[max(arguments.workers):]:
            began = time.perf_counter()
            worker = start(aelab, folder, trial)
            wait_for_step(worker)
            times.append(time.perf_counter() - began)
            stop([worker])
        print(f"start to first step: median {statistics.median(times):.3f} s, least {min(times):.3f} s of {len(times)}")
        for num in arguments.workers:
            workers = [start(aelab, folder, trial) for trial in hashes[:num]]
            for worker in workers:
                wait_for_step(worker)
            measured = [megabytes(worker.pid) for worker in workers]
            stop(workers)
            resident, proportional = (sum(values[name] for values in measured) for name in ("Rss", "Pss"))
            print(f"{num:3} workers: RSS {resident / num:6.1f} MB each, PSS {proportional / num:6.1f} MB each, {proportional:7.1f} MB in all", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
