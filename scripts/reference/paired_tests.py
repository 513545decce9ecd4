#!/usr/bin/env python3
"""What SciPy and statsmodels compute of random and degenerate numbers, for crates/aelab-report/tests/statistics.rs.

    pip install numpy scipy statsmodels
    python scripts/reference/paired_tests.py > crates/aelab-report/tests/golden/statistics.json

`null` stands where SciPy says NaN. The exact Wilcoxon test with ties is SciPy's permutation method with all assignments of
signs; its function for the exact distribution knows no ties.
"""

import json
import warnings

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

warnings.filterwarnings("ignore")
rng = np.random.default_rng(4)


def number(value):
    value = float(value)
    return value if np.isfinite(value) else None


def samples():
    """Pairs of samples: random ones of many sizes, then degenerate ones."""
    pairs = []
    for size in [2, 3, 4, 5, 7, 10, 15, 25, 26, 40]:
        for shift in [0.0, 0.3, 2.0]:
            x = rng.normal(size=size).round(4)
            pairs.append((x, (x + rng.normal(shift, 1.0, size=size)).round(4)))
    for size in [3, 6, 12, 20, 30]:  # ties and zeros
        pairs.append((rng.integers(0, 4, size).astype(float), rng.integers(0, 4, size).astype(float)))
        pairs.append((rng.integers(0, 3, size).astype(float), rng.integers(2, 5, size).astype(float)))
    pairs.append((np.array([1.0, 2.0]), np.array([2.0, 1.0])))  # mean difference 0
    pairs.append((np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0])))  # all equal
    pairs.append((np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.5, 2.5, 3.5, 4.5])))  # the same difference everywhere
    pairs.append((np.array([0.0, 0.0]), np.array([1.0, 1.0])))  # no variance at all
    pairs.append((np.array([0.0, 0.0]), np.array([1.0, 0.0])))  # one difference is 0
    pairs.append((np.array([1e9, 1e9 + 1, 1e9 + 3]), np.array([1e9 + 1, 1e9 + 3, 1e9 + 4])))  # small differences of large values
    return pairs


def wilcoxon(difference):
    kept = difference[difference != 0]
    if len(kept) == 0:
        return None
    magnitudes = np.abs(kept)
    has_ties = len(np.unique(magnitudes)) < len(magnitudes)
    if len(kept) > 25:
        return stats.wilcoxon(kept, method="asymptotic", correction=False).pvalue
    if not has_ties:
        return stats.wilcoxon(kept, method="exact").pvalue
    if len(kept) > 13:
        return "skip"  # too many assignments to enumerate here
    return stats.wilcoxon(kept, method=stats.PermutationMethod(n_resamples=np.inf)).pvalue


paired = []
for x, y in samples():
    difference = x - y
    p = wilcoxon(difference)
    paired.append(
        {
            "x": x.tolist(),
            "y": y.tolist(),
            "paired_t": number(stats.ttest_rel(x, y).pvalue),
            "wilcoxon": p if p in (None, "skip") else number(p),
            "half_width": number(stats.sem(x) * stats.t.ppf(0.975, len(x) - 1)),
            "ranks": stats.rankdata(x).tolist(),
        }
    )

holm = []
for values in [[0.01, 0.04, 0.03, 0.005], [0.5], [0.02, 0.02, 0.02], [0.0, 1.0, 0.9], rng.uniform(size=12).round(6).tolist(), (rng.uniform(size=30) ** 4).tolist()]:
    holm.append({"p_values": values, "corrected": multipletests(values, method="holm")[1].tolist()})

friedman = []
for blocks in [
    rng.normal(size=(8, 4)),
    rng.normal(size=(2, 3)),
    rng.integers(0, 3, size=(10, 5)).astype(float),
    rng.normal(size=(30, 6)) + np.arange(6) * 0.4,
    np.tile([1.0, 2.0, 3.0], (5, 1)),
    np.ones((4, 3)),
]:
    outcome = stats.friedmanchisquare(*blocks.T)
    friedman.append({"blocks": blocks.tolist(), "statistic": number(outcome.statistic), "p_value": number(outcome.pvalue)})

print(json.dumps({"paired": paired, "holm": holm, "friedman": friedman}, indent=0))
