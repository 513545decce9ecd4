"""Memory of one trial, aelab's runner and worker together, beside the same trial in PyTorch; and whether it grows over epochs.

Usage: python memory.py [--aelab target/release/aelab] [--python PYTHON_WITH_TORCH_AND_HYDRA] [--epochs 3] [--long 50]

For each model of sweep.yaml, large code: the largest sum over all processes of the proportional set size (PSS, which counts a
page that processes share once), looked at every 10 ms. aelab maps its data set; PyTorch holds it as a tensor of single
precision, which is what a trial needs of it there. Then the undercomplete model for `--long` epochs of aelab: the PSS of the
worker at the end of epoch 5 and of the last one. Linux only.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import shared_memory  # noqa: E402
import sweep  # noqa: E402

HERE = Path(__file__).resolve().parent
MODELS = {
    "undercomplete": "{undercomplete: {hidden: [], code_size: 32, code_activation: relu, output_activation: sigmoid}}",
    "sparse": "{sparse: {hidden: [], code_size: 196, code_activation: sigmoid, output_activation: sigmoid, penalty: {kl: {rho: 0.05, beta: 3.0}}}}",
    "vae": "{vae: {hidden: [400], latent_dim: 20, likelihood: bernoulli}}",
}
SPEC = """\
name: memory
data: {{fashion_mnist: {{}}}}
model: {model}
train: {{epochs: {epochs}, batch_size: 128, optimizer: {{adam: {{learning_rate: 1.0e-3}}}}, seed: 1}}
evaluate: [reconstruction]
"""


def family(pid):
    """A process and those that it has started."""
    found = [pid]
    for number in found:
        try:
            for task in Path(f"/proc/{number}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:
            pass  # It has ended meanwhile.
    return found


def sizes(pid):
    """PSS and the part of it that is the process's own, in MB."""
    try:
        values = shared_memory.megabytes(pid)
    except OSError:
        return 0.0, 0.0
    return values.get("Pss", 0.0), values.get("Pss_Anon", 0.0)


def watch(command, look=lambda pids: None, **options):
    """Largest PSS of all processes of a command together, and the largest part of that which no file backs."""
    most = most_own = 0.0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **options)
    while process.poll() is None:
        pids = family(process.pid)
        total, own = map(sum, zip(*map(sizes, pids)))
        most, most_own = max(most, total), max(most_own, own)
        look(pids)
        time.sleep(0.01)
    if process.returncode != 0:
        sys.exit(f"{command[0]} failed")
    return most, most_own


def run_aelab(arguments, folder, model, epochs, look=lambda pids: None):
    (folder / "spec.yaml").write_text(SPEC.format(model=model, epochs=epochs))
    return watch([arguments.aelab, "run", "spec.yaml", "--quiet"], look, cwd=folder)


def run_pytorch(arguments, folder, model):
    command = [arguments.python, HERE / "pytorch_sweep.py", f"data={sweep.FASHION_MNIST}", f"model={model}", "size=large", f"epochs={arguments.epochs}"]
    return watch(command, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)


def growth(arguments, folder):
    """PSS of the worker after epoch 5 and after the last, as far as lines of the log tell."""
    seen = {}

    def look(pids):
        for log in folder.glob("runs/memory/trials/*/metrics.jsonl"):
            lines = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
            epochs = [line["epoch"] for line in lines if "valid/loss" in line]
            if epochs and len(pids) > 1:
                seen[int(epochs[-1])] = sizes(pids[-1])

    run_aelab(arguments, folder, MODELS["undercomplete"], arguments.long, look)
    early = min((epoch for epoch in seen if epoch >= 5), default=None)
    late = max((epoch for epoch in seen if epoch < arguments.long), default=None)
    return (early, seen[early]), (late, seen[late])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aelab", default="target/release/aelab")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--long", type=int, default=50)
    arguments = parser.parse_args()
    arguments.aelab = str(Path(arguments.aelab).resolve())
    print("Largest PSS in MB (of it what no file backs):")
    print()
    print("| model | aelab | PyTorch | ratio |")
    print("|---|--:|--:|--:|")
    for model, section in MODELS.items():
        with tempfile.TemporaryDirectory(prefix="memory_") as name:
            ours = run_aelab(arguments, Path(name), section, arguments.epochs)
        with tempfile.TemporaryDirectory(prefix="memory_") as name:
            theirs = run_pytorch(arguments, Path(name), model)
        cells = [f"{total:.0f} ({own:.0f})" for total, own in (ours, theirs)]
        print(f"| {model} | {' | '.join(cells)} | {theirs[0] / ours[0]:.1f} |", flush=True)
    if arguments.long > 5:
        with tempfile.TemporaryDirectory(prefix="memory_") as name:
            (early, before), (late, after) = growth(arguments, Path(name))
        print()
        print(f"worker: {before[0]:.1f} MB after epoch {early}, {after[0]:.1f} MB after epoch {late}")


if __name__ == "__main__":
    main()
