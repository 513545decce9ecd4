"""Scores of disentanglement by the formulas of disentanglement_lib (google-research/disentanglement_lib, evaluation/metrics),
written in NumPy, with scikit-learn's and SciPy's own parts where it calls them.

    python scripts/reference/disentanglement.py > crates/aelab-eval/tests/golden/disentanglement.json

Needs numpy, scipy, scikit-learn. The solvers run to convergence (tolerance 1e-12), where the library stops at scikit-learn's defaults.
"""

import json
import warnings

import numpy as np
import scipy.stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score, roc_auc_score
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

warnings.filterwarnings("ignore", category=ConvergenceWarning)
NUM_BINS = 20


def discretize(codes):
    columns = [np.digitize(column, np.histogram(column, NUM_BINS)[1][:-1]) for column in codes.T]
    return np.stack(columns, axis=1)


def information(codes, factors):
    bins = discretize(codes)
    return np.array([[mutual_info_score(y, mu) for y in factors.T] for mu in bins.T])


def mig(matrix, entropies):
    ordered = np.sort(matrix, axis=0)[::-1]
    return float(np.mean((ordered[0] - ordered[1]) / entropies))


def modularity(matrix):
    squared = np.square(matrix)
    largest = np.max(squared, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        score = 1.0 - (np.sum(squared, axis=1) - largest) / (largest * (squared.shape[1] - 1.0))
    score[largest == 0.0] = 0.0
    return float(np.mean(score))


def disentanglement(importances):
    per_code = 1.0 - scipy.stats.entropy(importances.T + 1e-11, base=importances.shape[1])
    if importances.sum() == 0.0:
        importances = np.ones_like(importances)
    return float(np.sum(per_code * importances.sum(axis=1) / importances.sum()))


def completeness(importances):
    per_factor = 1.0 - scipy.stats.entropy(importances + 1e-11, base=importances.shape[0])
    if importances.sum() == 0.0:
        importances = np.ones_like(importances)
    return float(np.sum(per_factor * importances.sum(axis=0) / importances.sum()))


def accuracies(codes, factors, test_codes, test_factors):
    found = np.zeros((codes.shape[1], factors.shape[1]))
    for i in range(codes.shape[1]):
        for j in range(factors.shape[1]):
            # dual=False is LIBLINEAR's primal solver: the same minimum, found exactly.
            classifier = LinearSVC(C=0.01, class_weight="balanced", dual=False, tol=1e-12, max_iter=1000000)
            classifier.fit(codes[:, [i]], factors[:, j])
            found[i, j] = np.mean(classifier.predict(test_codes[:, [i]]) == test_factors[:, j])
    return found


def squared_correlations(codes, factors):
    found = np.zeros((codes.shape[1], factors.shape[1]))
    for i in range(codes.shape[1]):
        for j in range(factors.shape[1]):
            covariance = np.cov(codes[:, i], factors[:, j], ddof=1)
            if covariance[0, 0] > 1e-12:
                found[i, j] = covariance[0, 1] ** 2 / (covariance[0, 0] * covariance[1, 1])
    return found


def gap(matrix):
    ordered = np.sort(matrix, axis=0)
    return float(np.mean(ordered[-1] - ordered[-2]))


def explicitness(codes, factors, test_codes, test_factors):
    mean, deviation = codes.mean(axis=0), codes.std(axis=0)
    deviation[deviation == 0.0] = 1.0  # the library divides by 0 here
    x, unseen = (codes - mean) / deviation, (test_codes - mean) / deviation
    areas = []
    for y, wanted in zip(factors.T, test_factors.T):
        probabilities = LogisticRegression(tol=1e-12, max_iter=100000).fit(x, y).predict_proba(unseen)
        values = np.unique(y)
        areas.append(float(np.mean([roc_auc_score(wanted == value, probabilities[:, k]) for k, value in enumerate(values)])))
    return areas


def votes(codes, factors, rng, num):
    """For each vote the fixed factor, the drawn examples, and the dimension of least relative variance."""
    found = []
    scales = codes.var(axis=0, ddof=1)
    active = np.sqrt(scales) >= 0.05
    for _ in range(num):
        factor = int(rng.integers(factors.shape[1]))
        value = factors[rng.integers(len(factors)), factor]
        members = np.flatnonzero(factors[:, factor] == value)
        drawn = rng.choice(members, 16)
        local = codes[drawn].var(axis=0, ddof=1)
        found.append({"factor": factor, "drawn": drawn.tolist(), "vote": int(np.argmin(local[active] / scales[active]))})
    return {"scales": scales.tolist(), "active": np.flatnonzero(active).tolist(), "votes": found}


def numbers(array):
    return np.asarray(array, dtype=np.float64).ravel().tolist()


def case(name, codes, factors, num_train, rng):
    codes = codes.astype(np.float32).astype(np.float64)
    train, test = slice(0, num_train), slice(num_train, None)
    x, y, unseen, wanted = codes[train], factors[train], codes[test], factors[test]
    assert all(set(np.unique(a)) == set(np.unique(b)) for a, b in zip(y.T, wanted.T)), name
    matrix = information(x, y)
    entropies = np.array([mutual_info_score(column, column) for column in y.T])
    predicted = accuracies(x, y, unseen, wanted)
    correlations = squared_correlations(x, y)
    # Importances of single trees with a fixed random state: any matrix will do for the formulas.
    importances = np.stack([DecisionTreeClassifier(random_state=0, max_depth=4).fit(x, column).feature_importances_ for column in y.T], axis=1)
    return {
        "name": name,
        "code_size": codes.shape[1],
        "num_factors": factors.shape[1],
        "codes": numbers(x),
        "factors": y.ravel().tolist(),
        "test_codes": numbers(unseen),
        "test_factors": wanted.ravel().tolist(),
        "information": numbers(matrix),
        "entropies": numbers(entropies),
        "mig": mig(matrix, entropies),
        "modularity": modularity(matrix),
        "importances": numbers(importances),
        "disentanglement": disentanglement(importances),
        "completeness": completeness(importances),
        "accuracies": numbers(predicted),
        "sap": gap(predicted),
        "correlations": numbers(correlations),
        "sap_r2": gap(correlations),
        "explicitness": explicitness(x, y, unseen, wanted),
        "votes": votes(x, y, rng, 20),
    }


def tree_case(seed, max_depth):
    """Data on which scikit-learn finds the same tree whatever the order in which it looks at the dimensions."""
    for attempt in range(seed, seed + 1000):
        rng = np.random.default_rng(attempt)
        # No two values of a dimension are equal, and classes follow from rules, so that large nodes have one best split.
        x = np.stack([rng.permutation(60) / 8.0 for _ in range(3)], axis=1)
        a, b = rng.uniform(2, 5, 2)
        y = np.where(x[:, 0] < a, np.where(x[:, 1] < b, 0, 1), np.where(x[:, 2] < b, 2, 0))
        fits = [DecisionTreeClassifier(random_state=state, max_depth=max_depth).fit(x, y) for state in range(30)]
        if all(np.abs(fit.feature_importances_ - fits[0].feature_importances_).max() < 1e-12 for fit in fits):
            unseen = rng.integers(-20, 60, (30, 3)) / 8.0
            shares = [fit.predict_proba(unseen) for fit in fits]
            if all(np.array_equal(other, shares[0]) for other in shares):
                return {
                    "max_depth": max_depth,
                    "depth": int(fits[0].get_depth()),
                    "codes": numbers(x),
                    "classes": y.tolist(),
                    "importances": numbers(fits[0].feature_importances_),
                    "unseen": numbers(unseen),
                    "shares": numbers(shares[0]),
                }
    raise SystemExit("no data without ties of splits found")


def main():
    rng = np.random.default_rng(7)
    sizes = [2, 3, 5]
    factors = np.stack([rng.integers(0, size, 150) for size in sizes], axis=1)
    noise = lambda scale, num: scale * rng.normal(size=(150, num))
    axis = factors @ np.diag([1.0, 0.7, 0.4]) + noise(0.2, 3)
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    wide = np.concatenate([axis, noise(1.0, 1)], axis=1)
    cases = [
        case("axis-aligned with a useless dimension", wide.round(4), factors, 100, rng),
        case("rotated", (wide @ rotation).round(4), factors, 100, rng),
        case("useless", noise(1.0, 4).round(3), factors, 100, rng),
        case("the factors themselves", factors.astype(float), factors, 100, rng),
        case("each factor twice", np.concatenate([factors, -factors], axis=1).astype(float), factors, 100, rng),
        case("ties, a constant and a collapsed dimension", np.concatenate([axis.round(0), np.full((150, 1), 0.25), noise(0.001, 1).round(5)], axis=1), factors, 100, rng),
    ]
    trees = [tree_case(seed, depth) for seed, depth in [(0, None), (2000, 1), (4000, 2), (6000, 3), (8000, None)]]
    points = np.abs(rng.normal(size=(120, 4))).round(4)
    labels = rng.integers(0, 3, 120)
    points[np.arange(120), labels] *= 0.3
    points = points.astype(np.float32).astype(np.float64)
    fitted = LogisticRegression(tol=1e-12, max_iter=100000).fit(points[:80], labels[:80])
    beta_vae = {"points": numbers(points), "labels": labels.tolist(), "num_train": 80, "accuracy": float(fitted.score(points[80:], labels[80:]))}
    print(json.dumps({"cases": cases, "trees": trees, "beta_vae": beta_vae}))


if __name__ == "__main__":
    main()
