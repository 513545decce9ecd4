#!/usr/bin/env python3
"""Runs the experiment of every family and prints one table of what came out.

    python3 scripts/zoo.py [--runs runs] [--only NAME ...]      # needs the data sets: see docs/src/data.md

Each experiments/NAME.yaml is run by the program (what is finished is not run again); the table has a row per trial:
model, data, what the trial varies, seconds, the first metric of the objective and the reconstruction, and PCA beside it.
"""

import argparse
import csv
import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
METRICS = ["sse", "bce", "loss", "nll", "kl", "pca_sse"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", default="runs", help="folder of the run directories")
    parser.add_argument("--program", default=str(pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/aelab"))
    parser.add_argument("--only", nargs="*", help="names of families; all where left out")
    arguments = parser.parse_args()
    models = json.loads(subprocess.run([arguments.program, "models", "--json"], check=True, capture_output=True, text=True).stdout)
    names = [model["name"] for model in models]
    print("| model | data | setting | seconds | " + " | ".join(f"`{metric}`" for metric in METRICS) + " |")
    print("|---" * (4 + len(METRICS)) + "|")
    for name in arguments.only or names:
        file = ROOT / "experiments" / f"{name}.yaml"
        done = subprocess.run([arguments.program, "run", str(file), "--runs", arguments.runs], cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{file} failed:\n{done.stderr or done.stdout}")
        folder = pathlib.Path(arguments.runs) / name
        plan = json.loads((folder / "plan.json").read_text())
        data = plan["trials"][0]["data"]
        with open(folder / "trials.csv", newline="") as lines:
            for row in csv.DictReader(lines):
                varied = ", ".join(f"{key.split('.')[-1]}={value}" for key, value in row.items() if key.startswith("model.") and value)
                values = [row.get(metric) or "" for metric in METRICS]
                numbers = " | ".join(f"{float(value):.5g}" if value else "-" for value in values)
                print(f"| `{row['model']}` | `{data}` | {varied or '-'} | {float(row['seconds'] or 0):.0f} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
