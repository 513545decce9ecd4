"""Reference values for aelab-eval: MS-SSIM from torchmetrics.

Writes crates/aelab-eval/tests/golden/ms_ssim.json. Needs torch, torchmetrics 1.x. The images are too large to be stored: both sides
make them from the same formula (`image` here and in tests/suite/image_metrics.rs). Pixels are integers v; both sides compute with
float32(v / 255). Run from the repository's root:

    python scripts/reference/multiscale_ssim.py
"""

import json
from pathlib import Path

import numpy as np
import torch
import torchmetrics
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

GOLDEN = Path(__file__).resolve().parents[2] / "crates/aelab-eval/tests/golden"
BETAS = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]


def image(kind, shape):
    """Integers in [0, 255], [channel, height, width]."""
    channel, row, column = np.meshgrid(*[np.arange(size, dtype=np.int64) for size in shape], indexing="ij")
    smooth = (3 * row + 2 * column + 40 * channel) % 200
    noise = (row * row * 31 + column * column * 17 + row * column * 13 + channel * 7) % 97
    return {
        "smooth": smooth,
        "noisy": np.minimum(smooth + noise // 2, 255),
        "noise": noise * 255 // 96,
        "inverse": 255 - noise * 255 // 96,
        "dark": np.full(shape, 51),
        "light": np.full(shape, 178),
    }[kind]


def values(kind, shape):
    return torch.from_numpy((image(kind, shape) / 255).astype(np.float32).astype(np.float64))[None]


cases = []
# Shapes that torchmetrics takes with so many scales, odd sides among them.
for shape, num_scales in [((1, 28, 28), 2), ((3, 32, 32), 2), ((1, 22, 41), 2), ((1, 44, 51), 3), ((3, 60, 47), 3), ((1, 100, 121), 4), ((3, 176, 179), 5), ((1, 201, 190), 5)]:
    betas = np.array(BETAS[:num_scales]) / sum(BETAS[:num_scales])
    for x, y in [("smooth", "noisy"), ("noisy", "noise"), ("dark", "light"), ("noise", "inverse"), ("noise", "noise"), ("smooth", "dark")]:
        similarity = multiscale_structural_similarity_index_measure(
            values(y, shape), values(x, shape), data_range=1.0, betas=tuple(betas.tolist()), normalize="relu"
        )
        cases.append({"shape": list(shape), "num_scales": num_scales, "x": x, "y": y, "ms_ssim": float(similarity)})
content = {"torchmetrics": torchmetrics.__version__, "cases": cases}
(GOLDEN / "ms_ssim.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")
