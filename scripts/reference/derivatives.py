"""Expected values for `jacobian`, `fine_tune`, `sparsity` and `memorisation`, by PyTorch, NumPy, scikit-learn and SciPy.

    python scripts/reference/derivatives.py

writes crates/aelab-eval/tests/golden/{jacobian,fine_tune,sparsity,memorisation}.json. Shares no code with aelab.
"""

import json
from pathlib import Path

import numpy as np
import torch
from scipy.stats import mannwhitneyu
from sklearn.metrics.pairwise import cosine_similarity

GOLDEN = Path(__file__).parents[2] / "crates/aelab-eval/tests/golden"
rng = np.random.default_rng(4)


def exact(values):
    """Rounded so that single precision holds them exactly."""
    return np.round(np.asarray(values) * 256) / 256


def write(name, content):
    path = GOLDEN / f"{name}.json"
    path.write_text(json.dumps(content) + "\n")
    print(path, path.stat().st_size)


def network(sizes, scale):
    return [(exact(rng.normal(size=(a, b)) * scale), exact(rng.normal(size=b) * 0.5)) for a, b in zip(sizes, sizes[1:])]


def as_json(layers):
    return [{"weight": w.ravel().tolist(), "bias": b.tolist()} for w, b in layers]


def encoder(layers, linear):
    tensors = [(torch.tensor(w), torch.tensor(b)) for w, b in layers]

    def encode(x):
        for w, b in tensors:
            x = x @ w + b
            x = x if linear else torch.sigmoid(x)
        return x

    return encode


def jacobian():
    cases = []
    for name, sizes, scale, linear in [
        ("one sigmoid layer", [6, 9], 1.0, False),
        ("two sigmoid layers", [7, 5, 4], 1.5, False),
        ("linear", [5, 3], 1.0, True),
        ("one unit", [4, 1], 1.0, False),
        ("saturated", [3, 8], 40.0, False),
        ("zero weights", [3, 2], 0.0, False),
    ]:
        layers, x = network(sizes, scale), exact(rng.normal(size=(5, sizes[0])))
        encode = encoder(layers, linear)
        norms, squares, dimensions, spectra = [], [], [], []
        for row in torch.tensor(x):
            jacobian = torch.autograd.functional.jacobian(encode, row).numpy()
            values = np.linalg.svd(jacobian, compute_uv=False)
            norms.append(np.linalg.norm(jacobian))
            squares.append(np.square(jacobian).sum())
            dimensions.append(int((values > 0.1 * values.max()).sum()))
            spectra.append(values)
        codes = encode(torch.tensor(x)).numpy()
        bounded = bool(((codes >= 0) & (codes <= 1)).all())
        cases.append(
            {
                "name": name,
                "sizes": sizes,
                "linear": linear,
                "layers": as_json(layers),
                "x": x.ravel().tolist(),
                "norm": np.mean(norms),
                "squared": np.mean(squares),
                "local_dimension": np.mean(dimensions),
                "spectrum": np.mean(spectra, axis=0).tolist(),
                "saturated": 100 * np.mean((codes < 0.05) | (codes > 0.95)) if bounded else None,
            }
        )
    write("jacobian", {"cases": cases})


def fine_tune():
    """Full batches, so that order does not matter: 50 steps an epoch; the head starts at 0, both learn by Adam."""
    sizes, num_classes, rate = [5, 6, 4], 3, 0.02
    layers = network(sizes, 1.0)
    centres = rng.normal(size=(num_classes, 5)) * 1.2
    # No class is a third of the examples: the first gradient of its bias would be 0, and Adam would make full steps of its rounding.
    labels = np.array([0, 0, 0, 0, 1, 2] * 4)
    x = exact(centres[labels] + rng.normal(size=(24, 5)))
    parameters = [torch.tensor(value, requires_grad=True) for layer in layers for value in layer]
    head = [torch.zeros(4, num_classes, dtype=torch.float64, requires_grad=True), torch.zeros(num_classes, dtype=torch.float64, requires_grad=True)]
    optimizer = torch.optim.Adam(parameters + head, lr=rate)
    inputs, targets = torch.tensor(x), torch.tensor(labels)

    def logits():
        z = inputs
        for w, b in zip(parameters[::2], parameters[1::2]):
            z = torch.sigmoid(z @ w + b)
        return z @ head[0] + head[1]

    epochs = []
    for _ in range(3):
        losses = []
        for _ in range(50):
            loss = torch.nn.functional.cross_entropy(logits(), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        error = 100 * (logits().argmax(1) != targets).double().mean().item()
        epochs.append({"cross_entropy": float(np.mean(losses)), "error": error})
    content = {"sizes": sizes, "layers": as_json(layers), "x": x.ravel().tolist(), "labels": labels.tolist(), "rate": rate, "epochs": epochs}
    write("fine_tune", content)


def sparsity():
    codes = []
    for values in [
        exact(rng.normal(size=7)),
        exact(np.maximum(rng.normal(size=20), 0)),
        [0.0, 0.0, 3.0, 0.0],
        [2.0, 2.0, -2.0, 2.0],
        [1e-30, 0.0],
    ]:
        z = np.asarray(values, dtype=np.float32).astype(np.float64)
        n = len(z)
        # SciKit-free formulas, as printed in the papers.
        hoyer = (np.sqrt(n) - np.abs(z).sum() / np.sqrt((z**2).sum())) / (np.sqrt(n) - 1)
        treves_rolls = (1 - (np.abs(z) / n).sum() ** 2 / (z**2 / n).sum()) / (1 - 1 / n)
        codes.append({"code": z.tolist(), "hoyer": hoyer, "treves_rolls": treves_rolls})
    dictionaries = []
    true = exact(rng.normal(size=(6, 5)))
    for name, learned in [
        ("exact", true),
        ("permuted, stretched, with others", np.concatenate([exact(rng.normal(size=(3, 5))), 2 * true[::-1]])),
        ("opposite signs", -true),
        ("random", exact(rng.normal(size=(9, 5)))),
        ("one atom", true[:1]),
        ("zeros", np.zeros((2, 5))),
        ("twice the same", np.concatenate([true[:1], true[:1]])),
    ]:
        cosines = cosine_similarity(true, learned)
        dictionaries.append(
            {
                "name": name,
                "learned": learned.ravel().tolist(),
                "mmcs": cosines.max(axis=1).mean(),
                "mmcs_learned": cosines.max(axis=0).mean(),
                "recovered": 100 * (cosines.max(axis=1) > 0.9).mean(),
            }
        )
    write("sparsity", {"codes": codes, "size": 5, "true": true.ravel().tolist(), "dictionaries": dictionaries})


def memorisation():
    cases = []
    for name, samples, test in [
        ("alike", np.round(rng.gamma(3, size=40), 3), np.round(rng.gamma(3, size=30), 3)),
        ("copies", np.zeros(20), np.round(rng.gamma(3, size=30), 3)),
        ("far", 100 + np.round(rng.gamma(3, size=20), 3), np.round(rng.gamma(3, size=30), 3)),
        ("ties", rng.integers(0, 4, size=30), rng.integers(0, 4, size=25)),
        ("all equal", np.ones(5), np.ones(4)),
        ("one each", np.array([1.0]), np.array([2.0])),
    ]:
        # U counts pairs in which the test distance is the larger one, ties half.
        u = mannwhitneyu(test, samples, alternative="two-sided", method="asymptotic").statistic
        m, n = len(samples), len(test)
        # The released code of Meehan et al.: Zu with the rank sum of the samples, no correction for ties.
        z = ((m * n - u) - m * n / 2) / np.sqrt(m * n * (m + n + 1) / 12)
        thresholds = {str(q): np.quantile(test, q, method="inverted_cdf") for q in [0.01, 0.1, 0.5]}
        # Those at the threshold count half.
        shares = {q: 50 * float((samples < at).mean() + (samples <= at).mean()) for q, at in thresholds.items()}
        cases.append({"name": name, "samples": samples.tolist(), "test": test.tolist(), "probability": u / (m * n), "score": z, "shares": shares})
    write("memorisation", {"cases": cases})


jacobian()
fine_tune()
sparsity()
memorisation()
