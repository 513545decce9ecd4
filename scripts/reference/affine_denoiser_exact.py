"""Exact test errors of the best affine denoiser on MNIST and Fashion-MNIST: the noise is integrated out, not drawn.

For given test images x the expected squared error of `m + W (corrupted - c)` is

    |m - x + W (scale x - c)|^2 + sum_j |W_j|^2 Var(corrupted_j | x),

W_j a column of W. Printed beside it: the standard deviation, in dB, of what 10,000 test images with one draw of the noise
each give (from 3 draws, by image), and the mean over the draws. Data: idx files below $AELAB_DATA. half a minute on two cores.

    python scripts/reference/affine_denoiser_exact.py
"""

import os
from pathlib import Path

import numpy as np

FOLDER = Path(os.environ.get("AELAB_DATA", Path.home() / ".local/share/aelab"))


def images(path):
    return np.frombuffer(path.read_bytes(), np.uint8, offset=16).reshape(-1, 784).astype(np.float64) / 255


def decibel(mse):
    return -10 * np.log10(mse)


rng = np.random.default_rng(1)
for data in ["mnist", "fashion_mnist"]:
    train, test = (images(FOLDER / data / name) for name in ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte"])
    mean, square = train.mean(0), (train**2).mean(0)
    covariance = np.cov(train.T, bias=True)
    for kind, strength in [("gaussian", 0.5), ("masking", 0.25)]:
        scale = 1.0 if kind == "gaussian" else 1 - strength
        noise = np.full(784, strength**2) if kind == "gaussian" else strength * (1 - strength) * square
        weights = scale * covariance @ np.linalg.pinv(scale**2 * covariance + np.diag(noise), hermitian=True)
        centre = scale * mean
        systematic = mean - test + (scale * test - centre) @ weights.T
        variance = np.full_like(test, strength**2) if kind == "gaussian" else strength * (1 - strength) * test**2
        exact = ((systematic**2).sum(1) + variance @ (weights**2).sum(0)).mean() / 784
        means, clipped_means, errors = [], [], []
        for _ in range(3):
            draw = rng.normal(size=test.shape) if kind == "gaussian" else rng.random(test.shape)
            corrupted = test + strength * draw if kind == "gaussian" else test * (draw >= strength)
            denoised = mean + (corrupted - centre) @ weights.T
            errors.append(((denoised - test) ** 2).mean(1))
            means.append(errors[-1].mean())
            clipped_means.append(((denoised.clip(0, 1) - test) ** 2).mean())
        # Noise only: what differs between draws of one image.
        deviation = np.sqrt(np.var(errors, axis=0, ddof=1).mean() / len(test))
        print(
            f"{data} {kind} {strength}: exact mse {exact:.7f}, {decibel(exact):.4f} dB; draws {decibel(np.mean(means)):.4f} dB, "
            f"clipped {decibel(np.mean(clipped_means)):.4f} dB; deviation of one draw {4.343 * deviation / exact:.4f} dB"
        )
