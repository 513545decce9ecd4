"""Values of the anomaly metrics by scikit-learn, SciPy and NumPy, for crates/aelab-eval/tests/golden/anomaly_metrics.json.

DeLong's variance is written here from the paper's definition (the matrix of all comparisons), the generalised Pareto fit is
scipy.stats.genpareto.fit(floc=0), continued to full precision, and VUS-PR is the code of the authors' repository
(https://github.com/TheDatumOrg/VUS, metrics `RangeAUC_volume`), in NumPy, without the parts for ROC.

    python scripts/reference/anomaly_metrics.py
"""

import json
from pathlib import Path

import numpy as np
from scipy import optimize, stats
from sklearn.metrics import average_precision_score, precision_recall_curve, precision_recall_fscore_support, roc_auc_score, roc_curve

OUT = Path(__file__).parents[2] / "crates/aelab-eval/tests/golden/anomaly_metrics.json"
rng = np.random.default_rng(0)


def delong(normal, anomalies):
    psi = (anomalies[:, None] > normal[None, :]) + 0.5 * (anomalies[:, None] == normal[None, :])
    area, variance = psi.mean(), 0.0
    for axis in (0, 1):
        placements = psi.mean(axis=axis)
        if len(placements) > 1:
            variance += placements.var(ddof=1) / len(placements)
    half = stats.norm.ppf(0.975) * np.sqrt(variance)
    return max(area - half, 0.0), min(area + half, 1.0)


def detection(name, normal, anomalies, threshold):
    normal, anomalies = np.asarray(normal, float), np.asarray(anomalies, float)
    labels, scores = np.r_[np.zeros(len(normal)), np.ones(len(anomalies))], np.r_[normal, anomalies]
    low, high = delong(normal, anomalies)
    precision, recall, f1, _ = precision_recall_fscore_support(labels, scores > threshold, average="binary", zero_division=0)
    false_positives, true_positives, _ = roc_curve(labels, scores, drop_intermediate=False)
    curve = precision_recall_curve(labels, scores)
    return dict(
        name=name, normal=normal.tolist(), anomalies=anomalies.tolist(), threshold=threshold, auroc=roc_auc_score(labels, scores),
        low=low, high=high, average_precision=average_precision_score(labels, scores), precision=precision, recall=recall, f1=f1,
        roc=[false_positives[1:].tolist(), true_positives[1:].tolist()], precision_curve=curve[0][:-1][::-1].tolist(),
    )


def rounded(values, digits=3):
    return np.round(values, digits)


DETECTION = [
    detection("separated a little", rounded(rng.normal(0, 1, 60)), rounded(rng.normal(1, 1, 40)), 0.7),
    detection("heavy ties", rounded(rng.normal(0, 1, 70), 0), rounded(rng.normal(0.7, 1, 50), 0), 0.0),
    detection("few anomalies", rounded(rng.gamma(2, 1, 90)), rounded(rng.gamma(6, 1, 4)), 4.0),
    detection("useless", rounded(rng.normal(0, 1, 30)), rounded(rng.normal(0, 1, 80)), 10.0),
    detection("perfect", [1.0, 2.0, 3.0], [4.0, 5.0], 3.5),
    detection("the wrong way round", [4.0, 5.0, 4.5], [1.0, 2.0, 3.0, 2.0], 3.5),
    detection("all the same", [1.0] * 5, [1.0] * 3, 1.0),
    detection("one of each", [1.0], [2.0], 0.0),
    detection("one of each, tied", [2.0], [2.0], 0.0),
    detection("a threshold at a score", [1.0, 2.0, 2.0, 3.0], [2.0, 3.0, 4.0], 2.0),
    detection("two zeros", [-0.0, 0.0, 1.0], [0.0, -0.0, 2.0], 0.0),
]


def pareto_fit(x):
    def nll(parameters):
        shape, log_scale = parameters
        value = -stats.genpareto.logpdf(x, shape, 0, np.exp(log_scale)).sum()
        return value if np.isfinite(value) else 1e12

    shape, _, scale = stats.genpareto.fit(x, floc=0)
    best = np.array([shape, np.log(scale)])
    for _ in range(20):
        best = optimize.minimize(nll, best, method="Nelder-Mead", options=dict(xatol=1e-13, fatol=1e-13, maxiter=4000)).x
    return best[0], np.exp(best[1]), -nll(best)


def pareto(name, x, **kwargs):
    shape, scale, log_likelihood = pareto_fit(x)
    tail = [[p, stats.genpareto.isf(p, shape, 0, scale)] for p in (0.5, 0.1, 0.001)]
    return dict(name=name, excesses=x.tolist(), shape=shape, scale=scale, log_likelihood=log_likelihood, tail=tail)


PARETO = [
    pareto("heavy tail", rounded(stats.genpareto.rvs(0.4, size=150, random_state=1), 6)),
    pareto("exponential", rounded(stats.expon.rvs(scale=3, size=200, random_state=2), 6)),
    pareto("light tail", rounded(stats.genpareto.rvs(-0.3, scale=0.01, size=120, random_state=3), 8)),
    pareto("tiny units", rounded(stats.genpareto.rvs(0.1, scale=1e-4, size=80, random_state=4), 9)),
    pareto("few", rounded(stats.genpareto.rvs(0.2, size=15, random_state=6), 6)),
]


def extreme_value(scores, initial_quantile, rate):
    start = np.quantile(scores, initial_quantile)
    excesses = scores[scores > start] - start
    shape, scale, _ = pareto_fit(excesses)
    ratio = rate * len(scores) / len(excesses)
    return start + scale / shape * (ratio ** (-shape) - 1)  # Siffer et al. 2017, Eq. 1


def threshold(name, scores):
    return dict(
        name=name, scores=scores.tolist(), quantiles=[[level, np.quantile(scores, level)] for level in (0.05, 0.5, 0.95, 0.99)],
        mean_plus_3_sigma=scores.mean() + 3 * scores.std(),
        extreme_value=[[q, r, extreme_value(scores, q, r)] for q, r in ((0.9, 0.01), (0.8, 0.001), (0.9, 0.05))],
    )


THRESHOLDS = [
    threshold("gamma", rounded(rng.gamma(3, 1, 500), 5)),
    threshold("log-normal", rounded(np.exp(rng.normal(0, 1, 400)), 5)),
]


class Metricor:
    """Of the authors' repository, shortened to what VUS-PR needs."""

    def range_convers_new(self, label):
        segments, start = [], None
        for index, value in enumerate(list(label) + [0]):
            if value != 0 and start is None:
                start = index
            if value == 0 and start is not None:
                segments.append((start, index - 1))
                start = None
        return segments

    def extend_postive_range(self, x, window=5):
        label = x.copy().astype(float)
        length = len(label)
        for s, e in self.range_convers_new(label):
            x1 = np.arange(e, min(e + window // 2, length))
            label[x1] += np.sqrt(1 - (x1 - e) / window) if window else 0
            x2 = np.arange(max(s - window // 2, 0), s)
            label[x2] += np.sqrt(1 - (s - x2) / window) if window else 0
        return np.minimum(np.ones(length), label)

    def TPR_Precision_RangeAUC(self, labels, pred, P, L):
        indices = np.where(labels == 1)[0]
        product = labels * pred
        TP = np.sum(product)
        newlabels = product.copy()
        newlabels[indices] = 1
        P_new = (P + np.sum(newlabels)) / 2
        recall = min(TP / P_new, 1)
        existence = 0
        for seg in L:
            if np.sum(product[seg[0] : (seg[1] + 1)]) > 0:
                existence += 1
        return recall * existence / len(L), TP / np.sum(pred)

    def vus_pr(self, labels_original, score, window_size):
        score_sorted = -np.sort(-score)
        P = np.sum(labels_original)
        areas = []
        for window in range(window_size + 1):
            labels = self.extend_postive_range(labels_original, window)
            L = self.range_convers_new(labels)
            tpr, prec = [0.0], [1.0]
            for i in np.linspace(0, len(score) - 1, 250).astype(int):
                recall, precision = self.TPR_Precision_RangeAUC(labels, score >= score_sorted[i], P, L)
                tpr.append(recall)
                prec.append(precision)
            tpr, prec = np.array(tpr), np.array(prec)
            areas.append(np.sum((tpr[1:] - tpr[:-1]) * prec[1:]))
        return sum(areas) / len(areas)


def volume(name, labels, scores):
    labels = np.asarray(labels, int)
    scores = np.asarray(scores, float)
    values = [[window, Metricor().vus_pr(labels, scores, window)] for window in (0, 1, 5, 12)]
    return dict(name=name, labels=labels.tolist(), scores=scores.tolist(), volumes=values)


def stretches(length, *spans):
    labels = np.zeros(length, int)
    for start, end in spans:
        labels[start:end] = 1
    return labels


long = stretches(400, (50, 70), (200, 203), (380, 400))
VOLUMES = [
    volume("noise", long, rounded(rng.normal(0, 1, 400))),
    volume("found late", long, rounded(np.roll(long, 4) + rng.normal(0, 0.2, 400))),
    volume("found exactly", stretches(60, (10, 20)), stretches(60, (10, 20))),
    volume("one of two", stretches(90, (0, 8), (40, 60)), rounded(stretches(90, (40, 60)) + rng.normal(0, 0.1, 90))),
    volume("neighbours", stretches(50, (10, 14), (17, 21)), rounded(rng.normal(0, 1, 50), 1)),
    volume("a single point", stretches(30, (29, 30)), rounded(rng.normal(0, 1, 30), 2)),
    volume("constant scores", stretches(40, (5, 9)), np.ones(40)),
]

OUT.write_text(json.dumps(dict(detection=DETECTION, pareto=PARETO, thresholds=THRESHOLDS, volumes=VOLUMES)) + "\n")
print(OUT, OUT.stat().st_size)
