"""Reference values for crates/aelab-nn/src/rbm_learning.rs: updates of restricted Boltzmann machines, in NumPy.

Contrastive divergence as in the code of Hinton & Salakhutdinov 2006 (rbm.m, rbmhidlinear.m), and persistent contrastive
divergence (Tieleman 2008), three updates each, in double precision, with noise that is stored beside the result.
Writes tests/golden/rbm_updates.json. Run from the repository's root:

    python scripts/reference/rbm_updates.py
"""

import json
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).resolve().parents[2] / "tests/golden/rbm_updates.json"


def single(values):
    """Values that single precision holds exactly, so that both sides compute with the same."""
    return np.asarray(values, dtype=np.float32).astype(np.float64)


class Noise:
    def __init__(self, rng):
        self.rng, self.draws = rng, []

    def draw(self, kind, shape):
        values = single(self.rng.uniform(size=shape) if kind == "bernoulli" else self.rng.normal(size=shape))
        self.draws.append(values.ravel().tolist())
        return values


def mean(kind, total_input):
    return 1 / (1 + np.exp(-total_input)) if kind == "bernoulli" else total_input


def sample(kind, probabilities, noise):
    draw = noise.draw(kind, probabilities.shape)
    return (probabilities > draw).astype(float) if kind == "bernoulli" else probabilities + draw


def case(name, visible, hidden, steps, persistent, seed):
    rng = np.random.default_rng(seed)
    num_visible, num_hidden, num_cases, num_chains = 5, 4, 6, 3
    vishid = single(0.3 * rng.normal(size=(num_visible, num_hidden)))
    visbiases, hidbiases = single(0.2 * rng.normal(size=num_visible)), single(0.2 * rng.normal(size=num_hidden))
    before = {"weight": vishid.tolist(), "visible_bias": visbiases.tolist(), "hidden_bias": hidbiases.tolist()}
    draw_data = rng.uniform if visible == "bernoulli" else rng.normal
    batches = [single(draw_data(size=(num_cases, num_visible))) for _ in range(3)]
    chains = single(np.round(rng.uniform(size=(num_chains, num_visible))))
    learning_rate, momentum, weight_cost = 0.1, 0.5, 0.01
    noise = Noise(rng)
    result = {
        "name": name, "visible": visible, "hidden": hidden, "steps": steps, "persistent": persistent,
        "learning_rate": learning_rate, "momentum": momentum, "weight_cost": weight_cost,
        "before": before, "batches": [batch.tolist() for batch in batches], "chains": chains.tolist(),
    }
    vishidinc, visbiasinc, hidbiasinc = np.zeros_like(vishid), np.zeros_like(visbiases), np.zeros_like(hidbiases)
    for data in batches:
        # positive phase
        poshidprobs = mean(hidden, data @ vishid + hidbiases)
        posprods = data.T @ poshidprobs / num_cases
        # negative phase
        if persistent:
            for _ in range(steps):
                states = sample(hidden, mean(hidden, chains @ vishid + hidbiases), noise)
                chains = sample(visible, mean(visible, states @ vishid.T + visbiases), noise)
            negdata = chains
            neghidprobs = mean(hidden, negdata @ vishid + hidbiases)
        else:
            neghidprobs = poshidprobs
            for _ in range(steps):
                poshidstates = sample(hidden, neghidprobs, noise)
                negdata = mean(visible, poshidstates @ vishid.T + visbiases)
                neghidprobs = mean(hidden, negdata @ vishid + hidbiases)
        negprods = negdata.T @ neghidprobs / len(negdata)
        # update
        vishidinc = momentum * vishidinc + learning_rate * (posprods - negprods - weight_cost * vishid)
        visbiasinc = momentum * visbiasinc + learning_rate * (data.mean(0) - negdata.mean(0))
        hidbiasinc = momentum * hidbiasinc + learning_rate * (poshidprobs.mean(0) - neghidprobs.mean(0))
        vishid, visbiases, hidbiases = vishid + vishidinc, visbiases + visbiasinc, hidbiases + hidbiasinc
    result["noise"] = noise.draws
    result["after"] = {"weight": vishid.tolist(), "visible_bias": visbiases.tolist(), "hidden_bias": hidbiases.tolist()}
    return result


CASES = [
    case("CD-1, Bernoulli units", "bernoulli", "bernoulli", 1, False, 1),
    case("CD-3, Bernoulli units", "bernoulli", "bernoulli", 3, False, 2),
    case("CD-1, Gaussian visible units", "gaussian", "bernoulli", 1, False, 3),
    case("CD-1, Gaussian hidden units", "bernoulli", "gaussian", 1, False, 4),
    case("PCD-2, Bernoulli units", "bernoulli", "bernoulli", 2, True, 5),
    case("PCD-1, Gaussian visible units", "gaussian", "bernoulli", 1, True, 6),
]

if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({"made_by": "scripts/reference/rbm_updates.py", "cases": CASES}) + "\n")
