"""Makes a run directory of many trials out of one of few, to see how long `aelab status`, `compare` and `export` take.

    python3 scripts/synthetic_results.py RUN OUTPUT NUM [--seeds S]

RUN is a finished run directory; OUTPUT gets NUM trials whose results are those of the finished trials of RUN in turn, with
noise on every value. Trials differ in a made-up hyperparameter `train.optimizer.adam.learning_rate`, in code size (2, 4, 8, ...,
256) and in S seeds (default 5). Only what tables are made of is written: plan.json, config.yaml, result.json and the curves.
Needs nothing but Python.
"""

import argparse
import copy
import hashlib
import json
import random
import re
from pathlib import Path

CODE_SIZES = [2, 4, 8, 16, 32, 64, 128, 256]


def read_finished(run, plan):
    """The planned trials of a run that have finished, each with its result and its curves as text."""
    finished = []
    for trial in plan["trials"]:
        folder = run / "trials" / trial["hash"]
        path = folder / "result.json"
        if path.is_file():
            result = json.loads(path.read_text())
            if result["state"] == "finished":
                curves = folder / "metrics.jsonl"
                finished.append((trial, result, curves.read_text() if curves.is_file() else ""))
    return finished


def canonical(value):
    """JSON with sorted keys and without spaces, its numbers as aelab writes them: what the checksum of a result is taken of."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key, ensure_ascii=False)}:{canonical(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, float) and "e" in repr(value):
        digits, exponent = repr(value).split("e")
        if int(exponent) == -5:
            sign, digits = re.fullmatch(r"(-?)([\d.]+)", digits).groups()
            return f"{sign}0.0000{digits.replace('.', '')}"
        return f"{digits}e{int(exponent)}"
    return json.dumps(value, ensure_ascii=False)


def with_checksum(result):
    """`result.json`: the result and its checksum."""
    result.pop("checksum", None)
    checksum = hashlib.sha256(canonical(result).encode()).hexdigest()[:16]
    return json.dumps({**result, "checksum": checksum}, indent=2)


def synthetic(finished, index, num_seeds, draw):
    """Trial number `index` of the plan, its result and its curves."""
    trial, result, curves = copy.deepcopy(finished[index % len(finished)])
    configuration, seed = divmod(index, num_seeds)
    step, size = divmod(configuration, len(CODE_SIZES))
    trial["index"] = index
    trial["hash"] = f"{index:016x}"
    trial["seed"] = seed
    trial["code_size"] = CODE_SIZES[size]
    model = trial["model"]
    learning_rate = round(1e-4 * 1.01**step, 10)
    code_key = "latent_dim" if "latent_dim" in trial["definition"]["model"][model] else "code_size"
    trial["definition"]["model"][model][code_key] = CODE_SIZES[size]
    trial["definition"]["train"]["seed"] = seed
    trial["definition"]["train"]["optimizer"] = {"adam": {"learning_rate": learning_rate}}
    trial["overrides"] = [
        [f"model.{model}.{code_key}", CODE_SIZES[size]],
        ["train.optimizer.adam.learning_rate", learning_rate],
    ]
    for metric in result["metrics"]:
        metric["value"] *= 1.0 + 0.05 * draw.random()
    return trial, result, curves


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("num", type=int)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    plan = json.loads((arguments.run / "plan.json").read_text())
    finished = read_finished(arguments.run, plan)
    if not finished:
        raise SystemExit(f"{arguments.run} has no finished trial")
    draw = random.Random(1)
    trials = []
    for index in range(arguments.num):
        trial, result, curves = synthetic(finished, index, arguments.seeds, draw)
        folder = arguments.output / "trials" / trial["hash"]
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text("# synthetic\n")
        (folder / "result.json").write_text(with_checksum(result))
        (folder / "metrics.jsonl").write_text(curves)
        trials.append(trial)
    plan["name"] = arguments.output.name
    plan["trials"] = trials
    (arguments.output / "plan.json").write_text(json.dumps(plan))


if __name__ == "__main__":
    main()
