"""Reference values for the closed-form baselines of `denoising` and `inpainting`.

The best affine denoiser by brute force: every outcome of a masking or salt-and-pepper corruption of every training
example is written down as a row with its probability, and a weighted least-squares problem with an intercept is solved
(numpy.linalg.lstsq). Gaussian noise of deviation sigma on n centred examples is ridge regression of x on itself with
alpha = n sigma^2 (scikit-learn). The conditional Gaussian with a ridge is ridge regression of the hidden features on the
observed ones with alpha = n ridge (scikit-learn).

Writes crates/aelab-eval/tests/golden/{affine_denoiser,conditional_gaussian}.json. Needs scikit-learn 1.9. Values are
multiples of 1/64, exact in float32. Run from the repository's root:

    python scripts/reference/denoising.py
"""

import itertools
import json
from pathlib import Path

import numpy as np
import sklearn
from sklearn.linear_model import Ridge

GOLDEN = Path(__file__).resolve().parents[2] / "crates/aelab-eval/tests/golden"


def grid(values):
    return np.rint(np.asarray(values) * 64) / 64


def outcomes(row, kind, rate):
    """Every corrupted copy of a row with its probability."""
    if kind == "masking":
        of_one = [[(value, 1 - rate), (0.0, rate)] for value in row]
    else:
        of_one = [[(value, 1 - rate), (0.0, rate / 2), (1.0, rate / 2)] for value in row]
    for choice in itertools.product(*of_one):
        yield [value for value, _ in choice], np.prod([probability for _, probability in choice])


def regression(train, kind, strength, inputs):
    if kind == "gaussian":
        alpha = len(train) * strength**2
        return Ridge(alpha=alpha, solver="svd").fit(train, train).predict(inputs)
    rows, targets, weights = [], [], []
    for row in train:
        for corrupted, probability in outcomes(row, kind, strength):
            if probability > 0:
                rows.append([*corrupted, 1.0])
                targets.append(row)
                weights.append(np.sqrt(probability))
    rows, targets, weights = np.array(rows), np.array(targets), np.array(weights)[:, None]
    solution = np.linalg.lstsq(rows * weights, targets * weights, rcond=1e-12)[0]
    return np.hstack([inputs, np.ones((len(inputs), 1))]) @ solution


def corrupt(rng, rows, kind, strength):
    if kind == "gaussian":
        return grid(rows + strength * rng.normal(size=rows.shape))
    chosen = rng.random(rows.shape) < strength
    value = 0.0 if kind == "masking" else rng.integers(0, 2, rows.shape)
    return np.where(chosen, value, rows)


def training_sets(rng):
    yield "random", grid(rng.random((14, 4)))
    yield "correlated", grid(0.5 + 0.2 * rng.normal(size=(14, 2)) @ rng.normal(size=(2, 4)))
    constant = grid(rng.random((12, 4)))
    constant[:, 1], constant[:, 3] = 0.0, 0.75
    yield "constant features, one of them 0", constant
    twice = grid(rng.random((12, 4)))
    twice[:, 2] = twice[:, 0]
    yield "a feature twice", twice
    yield "fewer examples than features", grid(rng.random((3, 5)))
    yield "one example", grid(rng.random((1, 3)))


def affine_denoiser():
    rng = np.random.default_rng(20261121)
    cases = []
    for name, train in training_sets(rng):
        for kind, strength in [
            ("gaussian", 0.5), ("gaussian", 0.125), ("masking", 0.25), ("masking", 0.75), ("masking", 1.0),
            ("salt_and_pepper", 0.25), ("salt_and_pepper", 1.0),
        ]:
            inputs = corrupt(rng, np.repeat(train, 2, axis=0), kind, strength)
            # What never happens says nothing, and each side may say what it likes.
            cases.append(case(name, train, kind, strength, inputs))
        # No noise at all: what was seen in training comes back.
        cases.append(case(name, train, "masking", 0.0, train))
    return {"numpy": np.__version__, "sklearn": sklearn.__version__, "cases": cases}


def case(name, train, kind, strength, inputs):
    key = "sigma" if kind == "gaussian" else "rate"
    return {
        "name": name, "num_features": train.shape[1], "train": train.ravel().tolist(), "corruption": {kind: {key: strength}},
        "inputs": inputs.ravel().tolist(), "expected": regression(train, kind, strength, inputs).ravel().tolist(),
    }


def conditional_gaussian():
    rng = np.random.default_rng(20261122)
    cases = []
    for name, train in training_sets(rng):
        size = train.shape[1]
        test = grid(rng.random((4, size)))
        for hidden in [[0], [1, 2], list(range(size - 1)), list(range(size))]:
            for ridge in [1e-4, 0.1]:
                observed = [feature for feature in range(size) if feature not in hidden]
                if observed:
                    model = Ridge(alpha=len(train) * ridge, solver="svd").fit(train[:, observed], train[:, hidden])
                    expected = model.predict(test[:, observed])
                else:
                    expected = np.repeat(train.mean(0)[None], len(test), axis=0)
                cases.append({
                    "name": name, "num_features": size, "train": train.ravel().tolist(), "hidden": hidden, "ridge": ridge,
                    "test": test.ravel().tolist(), "expected": np.asarray(expected).ravel().tolist(),
                })
    return {"numpy": np.__version__, "sklearn": sklearn.__version__, "cases": cases}


for name, golden in [("affine_denoiser", affine_denoiser()), ("conditional_gaussian", conditional_gaussian())]:
    (GOLDEN / f"{name}.json").write_text(json.dumps(golden))
