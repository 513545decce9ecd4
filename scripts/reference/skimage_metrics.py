"""Reference values for aelab-eval: PSNR and SSIM from scikit-image, PCA from scikit-learn.

Writes crates/aelab-eval/tests/golden/{image_metrics,pca}.json. Needs scikit-image 0.26, scikit-learn 1.9.
Pixels are stored as integers v; both sides compute with float32(v / 255). Run from the repository's root:

    python scripts/reference/skimage_metrics.py
"""

import json
from pathlib import Path

import numpy as np
import skimage
import sklearn
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.decomposition import PCA

GOLDEN = Path(__file__).resolve().parents[2] / "crates/aelab-eval/tests/golden"


def values(pixels):
    return (pixels / 255).astype(np.float32).astype(np.float64)


def window(height, width):
    """The arguments that metric/ssim.rs documents for each image size."""
    side = min(height, width)
    if side >= 11:
        return {"gaussian_weights": True, "sigma": 1.5}
    side = min(side, 7)
    return {"win_size": side if side % 2 else side - 1}


def similarity(x, y):
    """x, y: [channel, height, width]."""
    return structural_similarity(
        x, y, data_range=1.0, channel_axis=0, use_sample_covariance=False, **window(*x.shape[1:])
    )


def image_pairs():
    rng = np.random.default_rng(20261121)
    shapes = [(1, 28, 28), (3, 32, 32), (1, 8, 8), (1, 11, 11), (3, 12, 19), (1, 10, 31), (1, 6, 9), (1, 3, 4), (3, 7, 7), (1, 40, 17)]
    for shape in shapes:
        channels, height, width = shape
        ramp = np.broadcast_to(np.linspace(0, 255, width) * np.linspace(0.2, 1, height)[:, None], shape)
        ramp = np.rint(ramp).astype(int)
        noisy = np.clip(ramp + np.rint(rng.normal(0, 25, shape)), 0, 255).astype(int)
        yield "noisy", ramp, noisy
        yield "random", rng.integers(0, 256, shape), rng.integers(0, 256, shape)
        yield "constant", np.full(shape, 51), np.full(shape, 178)
        yield "identical", noisy, noisy


def image_metrics():
    cases = []
    for name, x, y in image_pairs():
        a, b = values(x), values(y)
        identical = np.array_equal(x, y)
        cases.append(
            {
                "name": name,
                "shape": list(x.shape),
                "x": x.ravel().tolist(),
                "y": y.ravel().tolist(),
                "psnr": None if identical else float(peak_signal_noise_ratio(a, b, data_range=1.0)),
                "ssim": float(similarity(a, b)),
            }
        )
    return {"scikit-image": skimage.__version__, "cases": cases}


def pca():
    rng = np.random.default_rng(7)
    cases = []
    for num_train, num_features in [(60, 12), (9, 15), (15, 15)]:
        mixing = rng.normal(size=(num_features, num_features)) * np.linspace(2, 0.1, num_features)[:, None]
        draw = lambda num: (rng.normal(size=(num, num_features)) @ mixing + 3).astype(np.float32)
        train, test = draw(num_train), draw(20)
        model = PCA(svd_solver="full").fit(train.astype(np.float64))
        # n centred examples span n - 1 dimensions; what a library puts beyond is rounding.
        rank = min(num_train - 1, num_features)
        errors = []
        for k in range(0, rank + 1, 2):
            components = model.components_[:k]
            centred = test.astype(np.float64) - model.mean_
            residual = centred - centred @ components.T @ components
            errors.append({"k": k, "test_sse": float((residual**2).sum(1).mean())})
        cases.append(
            {
                "num_features": num_features,
                "train": [float(v) for v in train.ravel()],
                "test": [float(v) for v in test.ravel()],
                "mean": model.mean_.tolist(),
                "eigenvalues": (model.explained_variance_ * (num_train - 1) / num_train)[:rank].tolist(),
                "first_component": model.components_[0].tolist(),
                "errors": errors,
            }
        )
    return {"scikit-learn": sklearn.__version__, "cases": cases}


GOLDEN.mkdir(parents=True, exist_ok=True)
for name, content in [("image_metrics", image_metrics()), ("pca", pca())]:
    (GOLDEN / f"{name}.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")
