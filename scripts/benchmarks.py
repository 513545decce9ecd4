#!/usr/bin/env python3
"""Runs the fixed benchmarks and writes the comparison of each.

    python3 scripts/benchmarks.py                        # every quick benchmark (needs the data sets: see docs/src/data.md)
    python3 scripts/benchmarks.py --full --only denoising anomaly

Each experiments/benchmarks/NAME_quick.yaml (NAME.yaml with --full) is run by the program; what is finished is not run
again. Printed for each: its wall time in this call, and the table of `aelab compare`, which is also written with its
other formats and figures to RUNS/NAME/comparison.
"""

import argparse
import os
import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDER = ROOT / "experiments" / "benchmarks"
# What a comparison must be told where a benchmark has more than one kind of data: results of different data are not mixed.
COMPARE = {
    "anomaly": [["--rows", "model", "--cols", "data", "--across", "data.normal_classes"]],
    "recommendation_ratings": [["--cols", "data.rows"]],
    "sparsity": [
        ["--filter", "data=dictionary", "--metric", "code_l0,fvu,dead_units,mmcs,recovered_atoms"],
        ["--filter", "data=fashion_mnist", "--metric", "code_l0,fvu,dead_units,sse"],
    ],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", default="runs", help="folder of the run directories")
    parser.add_argument("--program", default=str(pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/aelab"))
    parser.add_argument("--full", action="store_true", help="the full benchmarks instead of the quick ones")
    parser.add_argument("--only", nargs="*", help="names of benchmarks, without `_quick`; all where left out")
    arguments = parser.parse_args()
    full = sorted(file.stem for file in FOLDER.glob("*.yaml") if not file.stem.endswith("_quick"))
    for benchmark in arguments.only or full:
        name = benchmark if arguments.full else f"{benchmark}_quick"
        file = FOLDER / f"{name}.yaml"
        if not file.exists():
            raise SystemExit(f"there is no {file.relative_to(ROOT)}; benchmarks: {', '.join(full)}")
        start = time.monotonic()
        done = subprocess.run([arguments.program, "run", str(file), "--runs", arguments.runs, "--quiet"], cwd=ROOT, capture_output=True, text=True)
        seconds = time.monotonic() - start
        print(f"\n## {name}: {seconds:.0f} s\n", flush=True)
        if done.returncode != 0:
            print(done.stderr or done.stdout)
            if done.returncode != 1:
                continue
        run = pathlib.Path(arguments.runs) / name
        for index, options in enumerate(COMPARE.get(benchmark, [[]])):
            output = run / ("comparison" if index == 0 else f"comparison_{index + 1}")
            command = [arguments.program, "compare", str(run), "--runs", arguments.runs, "--format", "markdown", "--output", str(output)]
            subprocess.run(command + options, cwd=ROOT)


if __name__ == "__main__":
    main()
