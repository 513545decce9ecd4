"""Reference values for aelab-eval: MS-SSIM from parts of torchmetrics and scikit-image.

Contrast and structure of each scale are torchmetrics' (`_ssim_update`), SSIM of the coarsest scale is scikit-image's, scales are
halved by torch's `avg_pool2d`; only the product of Wang et al. 2003, Eq. 7, is written here. torchmetrics' own product is not used:
up to version 1.9 it averages SSIM of the coarsest scale over windows that reach into a reflected border, unlike contrast and structure
and unlike the paper's code.

Writes crates/aelab-eval/tests/golden/ms_ssim.json. Needs torch, torchmetrics 1.9, scikit-image 0.26. The images are too large to be stored: both sides
make them from the same formula (`image` here and in tests/suite/image_metrics.rs). Pixels are integers v; both sides compute with
float32(v / 255). Run from the repository's root:

    python scripts/reference/multiscale_ssim.py
"""

import json
from pathlib import Path

import numpy as np
import skimage
import torch
import torchmetrics
from skimage.metrics import structural_similarity
from torch.nn.functional import avg_pool2d
from torchmetrics.functional.image.ssim import _ssim_update

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


def ms_ssim(x, y, weights):
    """x, y: [1, channel, height, width]."""
    product = 1.0
    for scale, weight in enumerate(weights):
        if scale == len(weights) - 1:
            similarity = structural_similarity(
                x[0].numpy(), y[0].numpy(), data_range=1.0, channel_axis=0, use_sample_covariance=False, gaussian_weights=True, sigma=1.5
            )
        else:
            _, contrast = _ssim_update(x, y, sigma=[1.5, 1.5], data_range=1.0, return_contrast_sensitivity=True)
            similarity = contrast.item()
        product *= max(similarity, 0.0) ** weight
        x, y = avg_pool2d(x, 2), avg_pool2d(y, 2)
    return product


SHAPES = [((1, 28, 28), 2), ((3, 32, 32), 2), ((1, 22, 41), 2), ((1, 44, 51), 3), ((3, 60, 47), 3), ((1, 88, 121), 4), ((3, 176, 179), 5), ((1, 201, 190), 5)]
PAIRS = [("smooth", "noisy"), ("noisy", "noise"), ("dark", "light"), ("noise", "inverse"), ("noise", "noise"), ("smooth", "dark")]
cases = []
for shape, num_scales in SHAPES:
    weights = np.array(BETAS[:num_scales]) / sum(BETAS[:num_scales])
    for x, y in PAIRS:
        similarity = ms_ssim(values(x, shape), values(y, shape), weights)
        cases.append({"shape": list(shape), "num_scales": num_scales, "x": x, "y": y, "ms_ssim": float(similarity)})
content = {"torchmetrics": torchmetrics.__version__, "scikit-image": skimage.__version__, "cases": cases}
(GOLDEN / "ms_ssim.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")
