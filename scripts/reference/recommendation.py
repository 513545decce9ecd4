"""Rankings by scikit-learn, which averages over orders of ties, and without ties by the formulas of the Mult-VAE repository (dawenl/vae_cf); EASE by the closed form of the paper and by a
numerical optimiser, biases of ratings by least squares.

    python scripts/reference/recommendation.py > crates/aelab-eval/tests/golden/recommendation.json

Needs numpy, scipy, scikit-learn.
"""

import json

import numpy as np
from scipy.optimize import minimize
from sklearn.metrics import ndcg_score


def ndcg_of_mult_vae(scores, shown, held_out, k):
    """`NDCG_binary_at_k_batch` for one row."""
    scores = np.where(shown > 0, -np.inf, scores)
    top = np.argsort(-scores, kind="stable")[:k]
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    gain = (held_out[top] * discount[: len(top)]).sum()
    return float(gain / discount[: min(int(held_out.sum()), k)].sum())


def recall_of_mult_vae(scores, shown, held_out, k):
    """`Recall_at_k_batch` for one row."""
    scores = np.where(shown > 0, -np.inf, scores)
    top = np.argsort(-scores, kind="stable")[:k]
    return float(held_out[top].sum() / min(k, held_out.sum()))


def expected_recall(scores, shown, held_out, k):
    """Mean of that over all orders of equal scores: the probability of each item to be among the first k."""
    left = scores[shown == 0]
    above = (left[None, :] > left[:, None]).sum(1)
    equal = (left[None, :] == left[:, None]).sum(1)
    probability = np.clip((k - above) / equal, 0.0, 1.0)
    return float((probability * held_out[shown == 0]).sum() / min(k, held_out.sum()))


def rankings(rng):
    found = []
    for num_items, ties in [(6, False), (30, False), (30, True), (30, False), (5, True), (40, True), (8, "all")]:
        scores = rng.permutation(num_items) / 4.0 if not ties else rng.integers(0, 1 if ties == "all" else 3, num_items) / 4.0
        chosen = rng.random(num_items) < 0.5
        chosen[:3] = True
        held_out = chosen & (rng.random(num_items) < 0.5)
        held_out[0], held_out[1] = True, False
        shown = chosen & ~held_out
        for k in [1, 2, 5, 100]:
            row = [scores, shown.astype(float), held_out.astype(float)]
            ndcg = float(ndcg_score([held_out[~shown].astype(float)], [scores[~shown]], k=k, ignore_ties=False))
            recall = expected_recall(*row, k)
            if not ties:
                other = ndcg_of_mult_vae(*row, k)
                assert abs(ndcg - other) < 1e-12, (ndcg, other)
                assert abs(recall - recall_of_mult_vae(*row, k)) < 1e-12
            else:
                # The mean over orders that break the ties at random.
                orders = [[scores + 1e-6 * rng.random(num_items), *row[1:]] for _ in range(4000)]
                for expected, of in [(ndcg, ndcg_of_mult_vae), (recall, recall_of_mult_vae)]:
                    several = [of(*order, k) for order in orders]
                    assert abs(np.mean(several) - expected) < 5 * np.std(several) / np.sqrt(len(several)) + 1e-12, (np.mean(several), expected)
            found.append({"k": k, "scores": scores.tolist(), "shown": row[1].tolist(), "held_out": held_out.tolist(), "ndcg": ndcg, "recall": recall})
    return found


def ease(rng):
    found = []
    for num_rows, num_items, price in [(20, 6, 1.5), (4, 7, 10.0), (30, 5, 0.1)]:
        x = (rng.random((num_rows, num_items)) < 0.4).astype(float)
        x[:, -1] = 0.0  # an item that nobody chose
        inverse = np.linalg.inv(x.T @ x + price * np.eye(num_items))
        weights = inverse / -np.diag(inverse)
        np.fill_diagonal(weights, 0.0)
        free = ~np.eye(num_items, dtype=bool)

        def objective(values):
            b = np.zeros((num_items, num_items))
            b[free] = values
            residual = x @ b - x
            return (residual**2).sum() + price * (b**2).sum(), (2 * (x.T @ residual + price * b))[free]

        optimum = minimize(objective, np.zeros(free.sum()), jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 10000})
        assert np.abs(optimum.x - weights[free]).max() < 1e-7, np.abs(optimum.x - weights[free]).max()
        found.append({"num_items": num_items, "lambda": price, "rows": x.ravel().tolist(), "weights": weights.ravel().tolist()})
    return found


def biases(rng):
    found = []
    for num_rows, num_columns, price in [(7, 5, 1.0), (12, 8, 10.0), (6, 6, 0.3)]:
        # The last column has no rating.
        rated = [(u, i) for u in range(num_rows) for i in range(num_columns - 1) if rng.random() < 0.5 or u == i]
        values = rng.integers(1, 6, len(rated)).astype(float)
        mean = values.mean()
        design = np.zeros((len(rated), num_rows + num_columns))
        for at, (u, i) in enumerate(rated):
            design[at, u] = design[at, num_rows + i] = 1.0
        solution = np.linalg.solve(design.T @ design + price * np.eye(num_rows + num_columns), design.T @ (values - mean))
        predictions = mean + solution[:num_rows, None] + solution[None, num_rows:]
        ratings = [[u, i, value] for (u, i), value in zip(rated, values.tolist())]
        found.append({"num_rows": num_rows, "num_columns": num_columns, "lambda": price, "ratings": ratings, "predictions": predictions.ravel().tolist()})
    return found


def main():
    rng = np.random.default_rng(11)
    print(json.dumps({"rankings": rankings(rng), "ease": ease(rng), "biases": biases(rng)}))


if __name__ == "__main__":
    main()
