"""Densities of tree-structured Parzen estimators (Bergstra et al. 2011), by scipy's truncated normal distribution.

Writes crates/aelab-experiment/src/search/tpe_densities.json. Shares no code with aelab: bandwidths are found by going through all pairs.
"""

import json
import pathlib

import numpy as np
from scipy.stats import truncnorm

rng = np.random.default_rng(7)


def kernels(points):
    """The prior, and for each point its mean and the distance to the farther neighbour."""
    means = sorted(list(points) + [0.5])
    narrowest = 1 / min(100, len(means) + 1)
    found = [(0.5, 1.0)]
    for point in points:
        below = [mean for mean in means if mean < point]
        above = [mean for mean in means if mean > point]
        gaps = [point - max(below)] if below else [0.0]
        gaps += [min(above) - point] if above else [0.0]
        found.append((point, float(np.clip(max(gaps), narrowest, 1.0))))
    return found


def mixture(points):
    return [truncnorm((0 - mean) / sd, (1 - mean) / sd, loc=mean, scale=sd) for mean, sd in kernels(points)]


cases = []
for num in [0, 1, 2, 5, 30, 200]:
    points = [float(p) for p in rng.uniform(0, 1, num)]
    at = [float(u) for u in rng.uniform(0, 1, 6)]
    parts = mixture(points)
    cells = [(0.0, 0.125), (0.4, 0.6), (0.875, 1.0), (0.3, 0.3 + 1e-9)]
    cases.append({
        "points": points,
        "at": at,
        "densities": [float(np.mean([part.pdf(u) for part in parts])) for u in at],
        "cells": cells,
        # Of a tiny cell the difference of two distribution functions has no digits left: density times width.
        "masses": [float(np.mean([part.cdf(high) - part.cdf(low) if high - low > 1e-6 else part.pdf((low + high) / 2) * (high - low) for part in parts]))
                   for low, high in cells],
    })

path = pathlib.Path(__file__).parents[2] / "crates/aelab-experiment/src/search/tpe_densities.json"
path.write_text(json.dumps(cases, indent=1) + "\n")
