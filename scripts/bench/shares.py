"""How much of a trial is training, and how much is everything after it: evaluation and pictures.

Usage: python shares.py [--aelab target/release/aelab] [--jobs N] [--set KEY=VALUE ...] [--only TRIALS] EXPERIMENT.yaml ...

Runs each experiment as it stands, in a scratch folder, and prints for every model of it the trials, the seconds of training and
of measuring (evaluations and the pictures of the trial) as `result.json` has them, and the share of measuring; and for the run
as a whole what the runner took before the first trial and after the last. Needs nothing but Python, and the data sets.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections import defaultdict
from pathlib import Path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aelab", default="target/release/aelab")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--only", help="as of `aelab run`: 1 for the first trial of each experiment")
    parser.add_argument("experiments", nargs="+")
    arguments = parser.parse_args()
    aelab = str(Path(arguments.aelab).resolve())
    print("| experiment | model | trials | training, s | measuring, s | share |")
    print("|---|---|--:|--:|--:|--:|")
    for experiment in arguments.experiments:
        with tempfile.TemporaryDirectory(prefix="shares_") as runs:
            command = [aelab, "run", experiment, "--runs", runs, "--quiet", "--jobs", str(arguments.jobs)]
            command += ["--only", arguments.only] if arguments.only else []
            began = time.perf_counter()
            subprocess.run([*command, *(part for setting in arguments.set for part in ("--set", setting))], check=True, stdout=subprocess.DEVNULL)
            wall = time.perf_counter() - began
            (plan,) = Path(runs).glob("*/plan.json")
            totals = defaultdict(lambda: [0, 0.0, 0.0])
            for trial in json.loads(plan.read_text())["trials"]:
                path = plan.parent / "trials" / trial["hash"] / "result.json"
                if not path.exists():
                    continue
                result = json.loads(path.read_text())
                for total in (totals[next(iter(trial["model"]))] if isinstance(trial["model"], dict) else totals[trial["model"]], totals["all"]):
                    total[0] += 1
                    total[1] += result["seconds"]
                    total[2] += result["measuring_seconds"]
            for model, (num, training, measuring) in totals.items():
                share = measuring / (training + measuring)
                print(f"| {plan.parent.name} | {model} | {num} | {training:.2f} | {measuring:.2f} | {100 * share:.1f} % |", flush=True)
            _, training, measuring = totals["all"]
            others = wall * arguments.jobs - training - measuring
            print(f"| {plan.parent.name} | outside of trials | | | {others:.2f} | {100 * others / (wall * arguments.jobs):.1f} % of the core-seconds |", flush=True)


if __name__ == "__main__":
    main()
