"""Training steps of aelab beside PyTorch's, each row's sides directly after one another; called by scripts/bench.sh.

    python compare.py --aelab FOLDER_OF_EXAMPLES [--floor AELAB] [--before STEP_TIME] [--markdown docs/src/performance.md]

First the two sides take the same 20 steps, from the same parameters, on the same batch, with the same noise: where their
losses part, nothing is timed. Then, row by row, the sides take turns for some rounds. A side's time is the median over
rounds of each round's median step. PyTorch counts with its fastest form. Needs: torch, numpy.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

import pytorch_step_time as pytorch

AELAB = "aelab"
# The example step_time of an earlier version, which takes turns with the others.
BEFORE = "before"


def run(command, threads=None, **options):
    environment = dict(os.environ)
    if threads:
        environment["RAYON_NUM_THREADS"] = str(threads)
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, env=environment, **options).stdout


def check_agreement(examples, names, batch_sizes, device):
    """Ends the program where the sides do not compute the same."""
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            run([examples / "record_steps", folder, name, *map(str, batch_sizes)])
        wrong = pytorch.agree(folder, device, out=sys.stderr)
    if wrong:
        sys.exit(f"the two sides do not compute the same: {', '.join(wrong)}")


class Row:
    """One network at one batch size and number of threads."""

    def __init__(self, name, batch_size, threads, seconds):
        self.name, self.batch_size, self.threads = name, batch_size, threads
        # Of each side of each round.
        self.seconds = seconds
        # Medians of rounds by side.
        self.rounds = {}
        # Estimates of the least time, one a round.
        self.floors = []

    @property
    def floor(self):
        return min(self.floors, default=None)

    def add(self, side, milliseconds):
        self.rounds.setdefault(side, []).append(milliseconds)

    def median(self, side):
        return statistics.median(self.rounds[side])

    def reference(self):
        """PyTorch's fastest form."""
        return min((side for side in self.rounds if side not in (AELAB, BEFORE)), key=self.median)

    def ratio(self):
        """Below 1, aelab is faster."""
        return self.median(AELAB) / self.median(self.reference())

    def line(self):
        return {
            "network": self.name,
            "batch_size": self.batch_size,
            "threads": self.threads,
            "seconds": self.seconds,
            "rounds": self.rounds,
            "floors_ms": self.floors,
        }

    @classmethod
    def of_line(cls, line):
        """What `line` was made of."""
        row = cls(line["network"], line["batch_size"], line["threads"], line["seconds"])
        row.rounds, row.floors = line["rounds"], line["floors_ms"]
        return row


def measure(row, arguments, hows):
    torch.set_num_threads(row.threads)
    sides = pytorch.forms(row.name, row.batch_size, hows, arguments.device, **arguments.options)
    for steps in sides:
        try:
            steps.warm_up()
        except Exception as error:  # pylint: disable=broad-exception-caught
            if steps.how != "compiled":
                raise
            reason = str(error).strip().splitlines()[0]
            print(f"{row.name}: PyTorch does not compile it: {reason}", file=sys.stderr)
            sides = [other for other in sides if other is not steps]
    for _ in range(arguments.rounds):
        if arguments.before:
            row.add(BEFORE, milliseconds_of_aelab(step_time(arguments.before, row, arguments), row))
        row.add(AELAB, milliseconds_of_aelab(aelab_command(row, arguments), row))
        if arguments.floor:
            row.floors.append(floor_of(row, arguments))
        for steps in sides:
            row.add(steps.form, statistics.median(steps.time(arguments.seconds)))


def step_time(program, row, arguments):
    return [program, str(arguments.seconds), row.name, str(row.batch_size)]


def aelab_command(row, arguments):
    if arguments.device == "cpu":
        return step_time(arguments.aelab / "step_time", row, arguments)
    command = [arguments.floor, "bench", "--json", "--device", "cuda:0", "--only", row.name]
    return [*command, "--batch-size", str(row.batch_size), "--seconds", str(arguments.seconds)]


def milliseconds_of_aelab(command, row):
    output = run(command, row.threads)
    if "bench" in command:
        found = [line for line in json.loads(output)["rows"] if line["network"] == row.name]
    else:
        found = [json.loads(line) for line in output.splitlines()]
    if len(found) != 1 or found[0]["network"] != row.name:
        sys.exit(f"{command[0]} knows no network `{row.name}`; build it from the same sources")
    return found[0]["milliseconds"]


def floor_of(row, arguments):
    """From `aelab bench`: in every round, because the rates of a machine that others use as well move."""
    device = "auto" if arguments.device == "cpu" else "cuda:0"
    command = [arguments.floor, "bench", "--json", "--seconds", "0", "--device", device, "--only", row.name]
    output = run([*command, "--batch-size", str(row.batch_size)], row.threads, stderr=subprocess.DEVNULL)
    return next(line["floor_ms"] for line in json.loads(output)["rows"] if line["network"] == row.name)


def number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(row, side):
    """Median and, between brackets, the fastest and the slowest round."""
    rounds = row.rounds.get(side)
    if not rounds:
        return ""
    spread = f" ({number(min(rounds))}-{number(max(rounds))})" if len(rounds) > 1 else ""
    return number(statistics.median(rounds)) + spread


def table(rows, has_before, has_compiler):
    """A Markdown table."""
    heads = ["network", "batch", "threads", *(["before, ms"] if has_before else []), "aelab, ms", "PyTorch eager, ms"]
    heads += ["torch.compile, ms"] if has_compiler else []
    heads += ["fastest form", "aelab / PyTorch", "floor, ms", "aelab / floor"]
    lines = ["| " + " | ".join(heads) + " |", "|---" + "|--:" * (len(heads) - 1) + "|"]

    def fastest(row, how):
        sides = [side for side in row.rounds if side.startswith(how)]
        return cell(row, min(sides, key=row.median)) if sides else ""

    for row in rows:
        cells = [row.name, str(row.batch_size), str(row.threads)]
        cells += [cell(row, BEFORE)] if has_before else []
        cells += [cell(row, AELAB), fastest(row, "eager")]
        cells += [fastest(row, "compiled")] if has_compiler else []
        cells += [row.reference(), f"**{row.ratio():.2f}**" if row.ratio() <= 0.67 else f"{row.ratio():.2f}"]
        cells += [number(row.floor), f"{row.median(AELAB) / row.floor:.2f}"] if row.floor else ["", ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def caption(arguments, no_compiler):
    processor = platform.processor()
    if Path("/proc/cpuinfo").exists():
        named = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        processor = named[0].split(":", 1)[1].strip() if named else processor
    if arguments.device != "cpu":
        processor = torch.cuda.get_device_name()
    text = f"{processor}, {os.cpu_count()} cores; PyTorch {torch.__version__}; commit {arguments.commit}; "
    text += f"{arguments.rounds} rounds of {arguments.seconds:g} s. Milliseconds of a step: median of the rounds (fastest-slowest)."
    return text + (f" torch.compile did not work here: {no_compiler}." if no_compiler else "")


def write_between_markers(path, text):
    begin, end = "<!-- table of scripts/bench.sh -->", "<!-- end of the table -->"
    whole = path.read_text()
    if whole.count(begin) != 1 or whole.count(end) != 1:
        sys.exit(f"{path} does not have the lines `{begin}` and `{end}` once each")
    head, rest = whole.split(begin)
    _, tail = rest.split(end)
    path.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}")


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--aelab", type=Path, required=True, help="folder of the examples step_time and record_steps")
    parser.add_argument("--floor", type=Path, help="the program aelab, which measures the floor")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each side of each round")
    parser.add_argument("--threads", type=int, nargs="+", default=[os.cpu_count(), 1])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32, 128, 1024])
    parser.add_argument("--only", nargs="+", default=[""], help="parts of networks' names")
    parser.add_argument("--forms", nargs="+", choices=pytorch.FORMS, default=list(pytorch.FORMS))
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--skip-agreement", action="store_true", help="for a row that was checked before")
    parser.add_argument("--before", type=Path, help="the example step_time of an earlier version")
    parser.add_argument("--keep", type=Path, help="a file for every round of every row, as JSON lines")
    parser.add_argument("--kept", type=Path, nargs="+", help="files by --keep, whose table is made in place of new measurements")
    parser.add_argument("--markdown", type=Path, help="a page between whose markers the table is written")
    parser.add_argument("--commit", default="unknown")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not (torch.cuda.is_available() and arguments.floor):
        sys.exit("--device cuda needs a GPU that PyTorch sees, and an aelab with the feature `cuda`")
    # On a GPU fusion and autotuning are PyTorch's best foot.
    arguments.options = {"mode": "max-autotune"} if arguments.device == "cuda" else {}
    if arguments.device == "cuda":
        arguments.threads = arguments.threads[:1]
        # Single precision on both sides.
        torch.set_float32_matmul_precision("highest")
    return arguments


def main():
    arguments = read_arguments()
    if arguments.kept:
        return show([Row.of_line(json.loads(line)) for path in arguments.kept for line in path.read_text().splitlines()], arguments)
    names = [name for name in pytorch.NETWORKS if any(part in name for part in arguments.only)]
    if not names:
        sys.exit(f"no network's name contains {' or '.join(arguments.only)}")
    if not arguments.skip_agreement:
        check_agreement(arguments.aelab, names, arguments.batch_sizes, arguments.device)
    no_compiler = pytorch.can_compile() if "compiled" in arguments.forms else None
    if no_compiler:
        print(f"torch.compile does not work here: {no_compiler}", file=sys.stderr)
    hows = [how for how in arguments.forms if how != "compiled" or not no_compiler]
    # All rows of one number of threads first: compiled code is made for a number of threads.
    rows = [Row(name, size, threads, arguments.seconds) for threads in arguments.threads for name in names for size in arguments.batch_sizes]
    for index, row in enumerate(rows):
        measure(row, arguments, hows)
        # What was compiled for this row is of no use to another, and there is a limit to how much is kept.
        torch.compiler.reset()
        text = f"{number(row.median(AELAB))} ms, {row.ratio():.2f} of PyTorch ({row.reference()})"
        place = f"[{index + 1}/{len(rows)}] {row.name}, batch {row.batch_size}, {row.threads} thread(s)"
        print(f"{place}: {text}", file=sys.stderr, flush=True)
        if arguments.keep:
            with arguments.keep.open("a") as lines:
                lines.write(json.dumps(row.line()) + "\n")
    show(rows, arguments, no_compiler)


def show(rows, arguments, no_compiler=None):
    names = list(pytorch.NETWORKS)
    rows.sort(key=lambda row: (names.index(row.name), row.batch_size, -row.threads))
    arguments.rounds = min(len(row.rounds[AELAB]) for row in rows)
    arguments.seconds = min(row.seconds for row in rows)
    sides = {side for row in rows for side in row.rounds}
    has_compiler = any(side.startswith("compiled") for side in sides)
    text = caption(arguments, no_compiler) + "\n\n" + table(rows, BEFORE in sides, has_compiler)
    print(text)
    if arguments.markdown:
        write_between_markers(arguments.markdown, text)


if __name__ == "__main__":
    main()
