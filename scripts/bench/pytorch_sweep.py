"""The sweep of sweep.yaml in PyTorch, as a Hydra application: one trial for each combination of model, size and seed.

Usage: python pytorch_sweep.py -m hydra/launcher=joblib hydra.launcher.n_jobs=2 hydra.sweep.dir=FOLDER data=FOLDER \
           model=undercomplete,sparse,vae size=small,large seed=1,2,3,4 [epochs=5] [threads=1] [complete=true]

Written as by somebody who wants it fast: the images are one tensor that each process reads once and keeps, batches are
slices of a permutation without a DataLoader, Adam is the fused one, and losses are only read where they are logged. Each
trial writes metrics.jsonl while it trains and metrics.json when it is over; the sweep ends with summary.csv. It keeps no
checkpoints and draws no pictures. With complete=true it also keeps a checkpoint of each epoch, and measures what aelab does:
SSIM, and errors by class beside those of PCA. Needs: torch, numpy, hydra-core, hydra-joblib-launcher.
"""

import csv
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig

import pytorch_trials


@dataclass
class Config:
    data: str = "???"
    model: str = "undercomplete"
    size: str = "small"
    seed: int = 1
    epochs: int = 5
    batch_size: int = 128
    learning_rate: float = 1e-3
    threads: int = 1
    complete: bool = False


ConfigStore.instance().store(name="sweep", node=Config)


@hydra.main(version_base=None, config_name="sweep")
def trial(config):
    began = time.perf_counter()
    folder = Path(HydraConfig.get().runtime.output_dir)
    metrics = pytorch_trials.train(config, folder)
    entry = {"model": config.model, "size": config.size, "seed": config.seed, **metrics, "seconds": time.perf_counter() - began}
    (folder / "metrics.json").write_text(json.dumps(entry))


def summarise(folder):
    """All trials as one table."""
    rows = [json.loads(path.read_text()) for path in sorted(folder.glob("*/metrics.json"))]
    with open(folder / "summary.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    trial()
    for argument in sys.argv:
        if argument.startswith("hydra.sweep.dir="):
            summarise(Path(argument.split("=", 1)[1]))
