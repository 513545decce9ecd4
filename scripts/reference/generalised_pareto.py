"""Generalised Pareto distributions with an excess far above all others, by maximising the likelihood with SciPy from many starts: the values in
the tests of crates/aelab-eval/src/metric/pareto.rs.

    python scripts/reference/generalised_pareto.py

Needs numpy, scipy. Shares no code with aelab.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.stats import genpareto


def fit(excesses):
    def cost(logarithms):
        shape, scale = np.exp(logarithms)
        return -genpareto.logpdf(excesses, shape, scale=scale).sum()

    starts = [(np.log(shape), np.log(scale)) for shape in (0.1, 0.5, 1.0, 3.0) for scale in (1e-6, 0.01, 1.0, 30.0)]
    options = {"xatol": 1e-12, "fatol": 1e-12, "maxiter": 20000, "maxfev": 20000}
    best = min((minimize(cost, start, method="Nelder-Mead", options=options) for start in starts), key=lambda found: found.fun)
    return np.exp(best.x), best.fun


for name, outlier in [("1e10", 1e10), ("1e30", 1e30)]:
    # Quantiles of the exponential distribution in place of draws, so that the test can make them, too.
    excesses = np.append(-np.log1p(-(np.arange(59) + 0.5) / 59), outlier)
    (shape, scale), value = fit(excesses)
    print(name, "shape", shape, "scale", scale, "log-likelihood", -value, "exceeded at .1", genpareto.isf(0.1, shape, scale=scale))
