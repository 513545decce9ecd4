"""Reference values for aelab-eval: Fréchet distance, precision, recall, density and coverage.

Writes crates/aelab-eval/tests/golden/generation.json. The distance is that of SciPy's `sqrtm`, and of torchmetrics' formula (which
agree to about 1e-6 where covariances are singular), stored from a third one that is exact there: the trace of the root as the
nuclear norm of the product of the centred points' singular values and vectors. Precision, recall, density and coverage are the
formulas of https://github.com/clovaai/generative-evaluation-prdc, from distances that are exact (scipy's cdist). Run from the
repository's root:

    python scripts/reference/generation.py
"""

import json
import warnings
from pathlib import Path

import numpy as np
import scipy
import torch
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from torchmetrics.image.fid import _compute_fid

GOLDEN = Path(__file__).resolve().parents[2] / "crates/aelab-eval/tests/golden"


def by_sqrtm(a, b):
    """As in pytorch-fid."""
    c1, c2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    delta = a.mean(0) - b.mean(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = sqrtm(np.atleast_2d(c1) @ np.atleast_2d(c2))
    return float(delta @ delta + np.trace(np.atleast_2d(c1)) + np.trace(np.atleast_2d(c2)) - 2 * np.trace(root).real)


def by_torchmetrics(a, b):
    means = [torch.from_numpy(x.mean(0)) for x in (a, b)]
    covariances = [torch.from_numpy(np.atleast_2d(np.cov(x, rowvar=False))) for x in (a, b)]
    return float(_compute_fid(means[0], covariances[0], means[1], covariances[1]))


def by_singular_values(a, b):
    parts = []
    for x in (a, b):
        centred = (x - x.mean(0)) / np.sqrt(len(x) - 1)
        _, singular, vectors = np.linalg.svd(centred, full_matrices=False)
        parts.append((singular, vectors, float((centred**2).sum())))
    (s1, v1, t1), (s2, v2, t2) = parts
    shared = np.linalg.svd(s1[:, None] * (v1 @ v2.T) * s2, compute_uv=False).sum()
    delta = a.mean(0) - b.mean(0)
    return float(max(delta @ delta + t1 + t2 - 2 * shared, 0.0))


def kth_value(distances, k):
    return np.sort(distances, axis=-1)[..., k - 1]


def prdc(real, fake, k):
    real_radii = kth_value(cdist(real, real), k + 1)
    fake_radii = kth_value(cdist(fake, fake), k + 1)
    distances = cdist(real, fake)
    inside_real = distances < real_radii[:, None]
    return {
        "precision": float(inside_real.any(axis=0).mean()),
        "recall": float((distances < fake_radii[None, :]).any(axis=1).mean()),
        "density": float(inside_real.sum(axis=0).mean() / k),
        "coverage": float((distances.min(axis=1) < real_radii).mean()),
    }


def point_sets():
    rng = np.random.default_rng(20261121)
    # Multiples of 1/256: exact in f32, and short in the file.
    exact = lambda x: np.rint(np.asarray(x) * 256) / 256
    for num_real, num_fake, size in [(60, 50, 3), (40, 70, 8), (30, 30, 1)]:
        mixing = rng.normal(size=(size, size))
        real = exact(rng.normal(size=(num_real, size)) @ mixing)
        yield "random", real, exact(rng.normal(size=(num_fake, size)) * 1.3 + 0.4)
        yield "identical", real, real
        yield "shifted", real, real + 2.5
        yield "disjoint", real, exact(rng.normal(size=(num_fake, size)) + 100)
        yield "duplicates", exact(real[rng.integers(0, 12, num_real)]), exact(real[rng.integers(0, 20, num_fake)])
        yield "on a lattice", np.rint(rng.normal(size=(num_real, size))), np.rint(rng.normal(size=(num_fake, size)))
        yield "one point and a cloud", np.full((num_real, size), 0.5), real
    yield "fewer than values", exact(rng.normal(size=(9, 20))), exact(rng.normal(size=(7, 20)) + 1)
    flat = exact(rng.normal(size=(40, 2)))
    yield "in a plane", exact(flat @ np.array([[1, 0, 1, 2], [0, 1, 1, -1]])), exact(rng.normal(size=(40, 4)))


def main():
    cases = []
    for name, real, fake in point_sets():
        assert (real == real.astype(np.float32)).all() and (fake == fake.astype(np.float32)).all()
        distance = by_singular_values(real, fake)
        for other in (by_sqrtm(real, fake), by_torchmetrics(real, fake)):
            assert abs(other - distance) < 2e-6 * (1 + distance), (name, distance, other)
        cases.append(
            {
                "name": name,
                "size": real.shape[1],
                "real": real.ravel().tolist(),
                "fake": fake.ravel().tolist(),
                "frechet_distance": distance,
                "overlaps": [{"k": k, **prdc(real, fake, k)} for k in (1, 3, 5)],
            }
        )
    versions = {"numpy": np.__version__, "scipy": scipy.__version__}
    GOLDEN.mkdir(parents=True, exist_ok=True)
    (GOLDEN / "generation.json").write_text(json.dumps({**versions, "cases": cases}, separators=(",", ":")) + "\n")


main()
