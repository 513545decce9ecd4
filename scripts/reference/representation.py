"""Reference values for what codes are good for: scikit-learn, and NumPy where scikit-learn leaves ties to chance.

Writes crates/aelab-eval/tests/golden/representation.json. Needs scikit-learn 1.9, SciPy. Values are multiples of 1/64 or
1/8192, exact in single precision. Run from the repository's root:

    python scripts/reference/representation.py
"""

import json
from pathlib import Path

import numpy as np
import sklearn
from scipy.stats import hypergeom
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import trustworthiness
from sklearn.metrics import (
    adjusted_rand_score,
    average_precision_score,
    normalized_mutual_info_score,
)
from sklearn.metrics.pairwise import cosine_distances
from sklearn.neighbors import KNeighborsClassifier

GOLDEN = Path(__file__).resolve().parents[2] / "crates/aelab-eval/tests/golden"
rng = np.random.default_rng(20261121)


def exact(values, grid=64):
    """Rounded to multiples of 1/64, or of something finer."""
    return np.rint(np.asarray(values) * grid) / grid


def flat(values):
    return np.asarray(values).ravel().tolist()


def distances(a, b):
    return np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))


def stable_trustworthiness(x, codes, k):
    """The formula, equally near examples in their order."""
    num = len(x)

    def order(points):
        all_distances = distances(points, points)
        np.fill_diagonal(all_distances, np.inf)
        return np.argsort(all_distances, axis=1, kind="stable")

    rank = np.empty((num, num), int)
    np.put_along_axis(rank, order(x), np.arange(1, num + 1)[None], axis=1)
    near = order(codes)[:, :k]
    excess = np.maximum(np.take_along_axis(rank, near, 1) - k, 0).sum()
    return float(1 - 2 / (num * k * (2 * num - 3 * k - 1)) * excess)


def neighbourhoods():
    cases = []
    for name, num, num_features, code_size in [("random", 40, 6, 2), ("random", 30, 3, 3), ("line", 25, 2, 1)]:
        x = exact(rng.normal(size=(num, num_features)), 8192)
        codes = exact(x[:, :code_size] + 0.5 * rng.normal(size=(num, code_size)), 8192)
        for k in [1, 5, 10]:
            # scikit-learn leaves ties to chance: there are none here.
            for points in (x, codes):
                own = np.sort(distances(points, points), axis=1)
                assert (np.diff(own, axis=1) > 0).all() or code_size == 1
            if code_size == 1:
                expected = stable_trustworthiness(x, codes, k), stable_trustworthiness(codes, x, k)
            else:
                expected = trustworthiness(x, codes, n_neighbors=k), trustworthiness(codes, x, n_neighbors=k)
                assert abs(expected[0] - stable_trustworthiness(x, codes, k)) < 1e-12
            cases.append((name, x, codes, k, expected))
    for name, x, codes in [
        ("lattice", rng.integers(0, 3, (40, 3)), rng.integers(0, 2, (40, 2))),
        ("constant codes", exact(rng.normal(size=(20, 2))), np.zeros((20, 2))),
        ("constant data", np.ones((20, 2)), exact(rng.normal(size=(20, 1)))),
        ("duplicates", np.repeat(exact(rng.normal(size=(10, 4))), 2, axis=0), np.repeat(exact(rng.normal(size=(10, 2))), 2, axis=0)),
        ("far from 0", 10000 + rng.integers(0, 4, (30, 2)), -500 + rng.integers(0, 3, (30, 1))),
    ]:
        x, codes = x.astype(float), codes.astype(float)
        for k in [1, 4]:
            cases.append((name, x, codes, k, (stable_trustworthiness(x, codes, k), stable_trustworthiness(codes, x, k))))
    return [
        {
            "name": name, "x": flat(x), "num_features": x.shape[1], "codes": flat(codes), "code_size": codes.shape[1], "k": k,
            "trustworthiness": expected[0], "continuity": expected[1],
        }
        for name, x, codes, k, expected in cases
    ]  # fmt: skip


def votes():
    cases = []
    for num_train, num_test, size, num_classes in [(60, 30, 2, 3), (60, 30, 3, 10), (25, 10, 1, 2), (20, 10, 2, 1), (5, 10, 2, 5)]:
        train, test = exact(rng.normal(size=(num_train, size)) * 2), exact(rng.normal(size=(num_test, size)) * 2)
        # Classes need not be 0, 1, 2.
        labels, expected = 3 * rng.integers(0, num_classes, num_train) + 1, 3 * rng.integers(0, num_classes, num_test) + 1
        all_distances = np.sort(distances(test, train), axis=1)
        for k in [1, 2, 4, 5]:
            if k < num_train and (all_distances[:, k - 1] == all_distances[:, k]).any():
                continue  # which of the equally near ones votes is left to chance
            model = KNeighborsClassifier(k, weights="uniform", algorithm="brute").fit(train, labels)
            cases.append(
                {
                    "train": flat(train), "test": flat(test), "size": size, "k": k, "labels": flat(labels), "expected": flat(expected),
                    "predictions": flat(model.predict(test)), "accuracy": float(model.score(test, expected)),
                }
            )  # fmt: skip
    return cases


def agreements():
    cases = []
    for left, right in [
        (rng.integers(0, 4, 50), rng.integers(0, 3, 50)),
        (rng.integers(0, 10, 200), rng.integers(0, 10, 200)),
        (np.arange(10), np.arange(10)),
        (np.arange(10), np.zeros(10, int)),
        (np.zeros(10, int), np.arange(10)),
        (np.zeros(10, int), np.ones(10, int)),
        (np.array([0]), np.array([5])),
        (np.array([0, 1]), np.array([0, 0])),
        (np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])),
        (np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0])),
        (np.repeat([0, 1, 2], 20), np.concatenate([np.repeat([2, 1, 0], 18), rng.integers(0, 3, 6)])),
    ]:
        cases.append(
            {
                "left": flat(left), "right": flat(right),
                "nmi": float(normalized_mutual_info_score(left, right)), "ari": float(adjusted_rand_score(left, right)),
            }
        )  # fmt: skip
    return cases


def probes():
    def case(name, x, labels, c):
        # Far more iterations and a far smaller tolerance than by default: the optimum itself.
        model = LogisticRegression(C=c, tol=1e-10, max_iter=100_000).fit(x, labels)
        test = exact(rng.normal(size=(20, x.shape[1])) * 2)
        return {
            "name": name, "x": flat(x), "size": x.shape[1], "labels": flat(labels), "c": c,
            "coefficients": flat(model.coef_), "intercepts": flat(model.intercept_), "train_accuracy": float(model.score(x, labels)),
            "test": flat(test), "predictions": flat(model.predict(test)), "log_probabilities": flat(model.predict_log_proba(test)),
        }  # fmt: skip

    cases = []
    for c in [0.01, 1.0, 100.0]:
        x = exact(rng.normal(size=(60, 4)))
        cases.append(case("random", x, rng.integers(0, 3, 60), c))
        cases.append(case("two classes", x, 2 * (x[:, 0] + rng.normal(size=60) > 0).astype(int) + 5, c))
        labels = np.repeat([0, 1, 4], 20)
        cases.append(case("separable", exact(rng.normal(size=(60, 2)) * 0.2 + 3 * np.eye(3)[labels % 3][:, :2]), labels, c))
        collinear = exact(rng.normal(size=(50, 2)))
        cases.append(case("collinear", np.hstack([collinear, 2 * collinear, collinear.sum(1, keepdims=True)]), rng.integers(0, 4, 50), c))
        one = exact(rng.normal(size=(40, 1)))
        cases.append(case("one feature", one, (one[:, 0] > 0.3).astype(int) + (one[:, 0] > 1), c))
        cases.append(case("a constant feature", np.hstack([one, np.ones((40, 1))]), rng.integers(0, 3, 40), c))
        cases.append(case("more features than examples", exact(rng.normal(size=(8, 12))), np.arange(8) % 3, c))
        cases.append(case("rare class", exact(rng.normal(size=(50, 3))), (np.arange(50) == 7).astype(int) + 2 * (np.arange(50) > 30), c))
        cases.append(case("off centre", exact(rng.normal(size=(50, 3)) * [1, 4, 0.5] + [3, -5, 0]), rng.integers(0, 3, 50), c))
    return cases


def clusters():
    cases = []
    for num, size, k, spread in [(60, 2, 3, 0.3), (60, 2, 3, 1.0), (50, 3, 5, 0.5), (30, 1, 2, 1.0), (20, 2, 1, 1.0), (6, 2, 6, 1.0)]:
        points = exact(rng.normal(size=(num, size)) * spread + 4 * rng.normal(size=(k, size))[np.arange(num) % k])
        model = KMeans(k, n_init=200, tol=0, max_iter=1000, random_state=0).fit(points)
        cases.append({"points": flat(points), "size": size, "k": k, "inertia": float(model.inertia_), "groups": flat(model.labels_)})
    return cases


def expected_average_precision(all_distances, right):
    """Mean over right ones of the precision at their place, in expectation over the orders of ties."""
    total = 0.0
    for distance in all_distances[right]:
        same = all_distances == distance
        num, num_right = same.sum(), (same & right).sum()
        before, right_before = (all_distances < distance).sum(), ((all_distances < distance) & right).sum()
        for place in range(num):
            # Of one or two examples some higher moment, which nobody asked for, is 0 / 0.
            with np.errstate(all="ignore"):
                among = float(hypergeom.stats(num - 1, num_right - 1, place, moments="m")) if num > 1 else 0.0
            total += (right_before + 1 + among) / (before + place + 1) / num
    return total / right.sum()


def expected_precision(all_distances, right, k):
    k = min(k, len(right))
    last = np.sort(all_distances)[k - 1]
    before, same = all_distances < last, all_distances == last
    return ((before & right).sum() + (same & right).sum() * (k - before.sum()) / same.sum()) / k


def mean_scores(all_distances, right):
    rows = [(d, r) for d, r in zip(all_distances, right) if r.any()]
    average = [expected_average_precision(d, r) for d, r in rows]
    for (d, r), value in zip(rows, average):
        if len(np.unique(d)) == len(d):
            assert abs(average_precision_score(r, -d) - value) < 1e-12
    precision = {str(k): float(np.mean([expected_precision(d, r, k) for d, r in zip(all_distances, right)])) for k in [1, 10, 100]}
    return {"map": float(np.mean(average)), "precision": precision}


def retrievals():
    cases = []
    for name, train, test, num_classes in [
        ("random", exact(rng.normal(size=(40, 3))), exact(rng.normal(size=(12, 3))), 3),
        ("ties", rng.integers(0, 3, (40, 2)), rng.integers(0, 3, (12, 2)), 3),
        ("constant", np.ones((30, 2)), np.ones((6, 2)), 3),
        ("many dimensions", exact(rng.normal(size=(40, 70))), exact(rng.normal(size=(6, 70))), 2),
        ("a class without examples", exact(rng.normal(size=(30, 2))), exact(rng.normal(size=(8, 2))), 4),
    ]:
        train, test = train.astype(float), test.astype(float)
        train_labels, test_labels = np.arange(len(train)) % num_classes, np.arange(len(test)) % num_classes
        if name == "a class without examples":
            train_labels = np.minimum(train_labels, 2)
        right = test_labels[:, None] == train_labels[None]
        median = np.median(train, axis=0)
        hamming = ((test > median)[:, None] != (train > median)[None]).sum(-1)
        within = hamming <= 2
        shares = np.where(within.any(1), (within & right).sum(1) / np.maximum(within.sum(1), 1), 0)
        cases.append(
            {
                "name": name, "size": train.shape[1], "train": flat(train), "test": flat(test),
                "train_labels": flat(train_labels), "test_labels": flat(test_labels),
                "euclidean": mean_scores(distances(test, train), right), "cosine": mean_scores(np.round(cosine_distances(test, train), 12), right),
                "hamming": mean_scores(hamming, right), "within_radius_2": float(shares.mean()),
            }
        )  # fmt: skip
    return cases


content = {
    "scikit-learn": sklearn.__version__,
    "neighbourhoods": neighbourhoods(),
    "votes": votes(),
    "agreements": agreements(),
    "probes": probes(),
    "clusters": clusters(),
    "retrievals": retrievals(),
}
GOLDEN.mkdir(parents=True, exist_ok=True)
(GOLDEN / "representation.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")
