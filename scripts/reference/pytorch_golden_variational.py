#!/usr/bin/env python3
"""Reference values from PyTorch for the variational and generative families of aelab-models.

    python scripts/reference/pytorch_golden_variational.py     # writes tests/golden/pytorch_variational.json

See pytorch_golden.py, whose helpers and conventions these are. Where a step draws noise more than once, the
draws of a step follow each other.
"""

import math

import torch
import torch.nn.functional as F

from pytorch_golden import BATCH, STEPS, Weights, case, inputs, normal, per_example, representable, write

LATENT = 3
# Small steps: several of these terms are differences, which larger ones drive to 0, where a relative deviation says nothing.
RATE = 1e-3
OPTIMIZER = {"optimizer": lambda parameters: torch.optim.Adam(parameters, lr=RATE), "optimizer_config": {"adam": {"learning_rate": RATE}}}


def make(seed, spread=1.0, narrow=0.0, **more):
    """Weights of 12 features, 8 hidden units and 3 latent dimensions; `more` are further tensors by their path.

    `spread` scales the posterior means and `narrow` lowers the logarithms of the variances, so that the examples' codes differ.
    """

    def build():
        weights = Weights(seed)
        weights.dense("network.encoder.Dense.layers.0", 12, 8)
        weights.dense("network.posterior.mean", 8, LATENT)
        weights.dense("network.posterior.log_var", 8, LATENT)
        weights.dense("network.decoder.Dense.layers.0", LATENT, 8)
        weights.dense("network.decoder.Dense.layers.1", 8, 12)
        means = weights["network.posterior.mean.weight"].detach()
        weights.tensors["network.posterior.mean.weight"] = representable(spread * means).requires_grad_()
        log_vars = weights["network.posterior.log_var.bias"].detach()
        weights.tensors["network.posterior.log_var.bias"] = representable(log_vars - narrow).requires_grad_()
        weights.tensors.update(more)
        return weights

    return build


def posterior(weights, x):
    hidden = F.relu(weights.linear("network.encoder.Dense.layers.0", x))
    mean, log_var = weights.linear("network.posterior.mean", hidden), weights.linear("network.posterior.log_var", hidden)
    return torch.distributions.Normal(mean, torch.exp(0.5 * log_var))


def decoder(weights, z):
    return weights.linear("network.decoder.Dense.layers.1", F.relu(weights.linear("network.decoder.Dense.layers.0", z)))


def bernoulli(x):
    return lambda output: per_example(F.binary_cross_entropy_with_logits(output, x, reduction="none"))


def kl(q):
    return per_example(torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)))


def mmd(z, prior, kernel):
    """The unbiased estimate, by torch.cdist and an explicit mean over pairs of different members."""

    def mean(a, b, different):
        values = kernel(torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist") ** 2)
        if different:
            keep = ~torch.eye(len(a), dtype=torch.bool)
            return values[keep].mean()
        return values.mean()

    return mean(z, z, True) + mean(prior, prior, True) - 2 * mean(z, prior, False)


def main():
    x = inputs(6, 12)
    one_draw = [normal(100 + step, (BATCH, LATENT)) for step in range(STEPS)]
    two_draws = [normal(200 + draw, (BATCH, LATENT)) for draw in range(2 * STEPS)]
    base = {"hidden": [8], "latent_dim": LATENT, "likelihood": "bernoulli"}

    def variational(name, config, noise, weights, terms):
        """`terms(q, z, output, step)` for one sample of the posterior."""
        draws = len(noise) // STEPS

        def objective(weights, step):
            q = posterior(weights, x)
            z = q.mean + q.stddev * noise[draws * step]
            return terms(q, z, decoder(weights, z), step)

        return case(name, config, [12], "unit_interval", x, noise, weights, objective, **OPTIMIZER)

    def capacity(q, z, output, step):
        # Far from the KL of these steps, where the distance has its kink.
        divergence = kl(q)
        return [("nll", bernoulli(x)(output), 1.0), ("kl", divergence, 0.0), ("capacity_excess", (divergence - 40.0).abs(), 5.0)]

    num_examples = 1000.0

    def total_correlation(stratified):
        def terms(q, z, output, step):
            pairs = torch.distributions.Normal(q.mean[None], q.stddev[None]).log_prob(z[:, None])
            others = BATCH - 1
            if stratified:
                weights = torch.full((BATCH, BATCH), 1 / others)
                for row in range(BATCH):
                    weights[row, row] = 1 / num_examples
                    weights[row, (row + 1) % BATCH] = (num_examples - others) / (num_examples * others)
            else:
                weights = torch.full((BATCH, BATCH), 1 / (num_examples * BATCH))
            joint = torch.logsumexp(pairs.sum(2) + weights.log(), 1)
            product = torch.logsumexp(pairs + weights.log()[:, :, None], 1).sum(1)
            given_x, prior = q.log_prob(z).sum(1), torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
            return [
                ("nll", bernoulli(x)(output), 1.0),
                ("mutual_information", (given_x - joint).mean(), 0.5),
                ("total_correlation", (joint - product).mean(), 6.0),
                ("dimension_wise_kl", (product - prior).mean(), 1.0),
                ("kl", kl(q), 0.0),
            ]

        return terms

    def dip(variant):
        def terms(q, z, output, step):
            covariance = torch.cov(q.mean.T, correction=0)
            if variant == "ii":
                covariance = covariance + torch.diag(q.variance.mean(0))
            diagonal = torch.diagonal(covariance)
            off_diagonal = (covariance - torch.diag(diagonal)) ** 2
            return [
                ("nll", bernoulli(x)(output), 1.0),
                ("kl", kl(q), 1.0),
                ("covariance", off_diagonal.sum(), 10.0),
                ("unit_variance", ((diagonal - 1) ** 2).sum(), 5.0),
            ]

        return terms

    typical = 2 * LATENT

    def info(q, z, output, step):
        discrepancy = mmd(z, two_draws[2 * step + 1], lambda squares: torch.exp(-squares / typical))
        return [("nll", bernoulli(x)(output), 1.0), ("kl", kl(q), 0.5), ("mmd", discrepancy, 19.5)]

    def continuous_bernoulli(q, z, output, step):
        # PyTorch's own series around 1/2 is short; with these limits the exact form serves everywhere else.
        likelihood = torch.distributions.ContinuousBernoulli(logits=output, lims=(0.4999999, 0.5000001))
        return [("nll", -per_example(likelihood.log_prob(x)), 1.0), ("kl", kl(q), 1.0)]

    def per_feature(weights, step):
        q = posterior(weights, x)
        z = q.mean + q.stddev * one_draw[step]
        variance = torch.exp(weights["network.likelihood.log_var"]) + 0.01
        nll = -per_example(torch.distributions.Normal(decoder(weights, z), torch.sqrt(variance)).log_prob(x))
        return [("nll", nll, 1.0), ("kl", kl(q), 1.0)]

    def wae_weights():
        weights = Weights(38)
        weights.dense("network.encoder.Dense.layers.0", 12, 8)
        weights.dense("network.encoder.Dense.layers.1", 8, LATENT)
        weights.dense("network.decoder.Untied.Dense.layers.0", LATENT, 8)
        weights.dense("network.decoder.Untied.Dense.layers.1", 8, 12)
        return weights

    scales = [0.5, 1.0, 4.0]

    def wae(weights, step):
        z = weights.linear("network.encoder.Dense.layers.1", F.relu(weights.linear("network.encoder.Dense.layers.0", x)))
        output = weights.linear("network.decoder.Untied.Dense.layers.1", F.relu(weights.linear("network.decoder.Untied.Dense.layers.0", z)))
        kernel = lambda squares: sum(typical * scale / (typical * scale + squares) for scale in scales)
        return [("squared_error", per_example((output - x) ** 2), 1.0), ("mmd", mmd(z, one_draw[step], kernel), 10.0)]

    def size():
        return {"num_examples": torch.tensor([num_examples])}

    tc = {"beta": 6.0, "alpha": 0.5}
    log_var = {"network.likelihood.log_var": representable(torch.linspace(-1, 1, 12)[None]).requires_grad_()}
    cases = [
        variational("beta_vae_capacity", {"beta_vae": base | {"capacity": {"gamma": 5.0, "nats": 40.0}}}, one_draw, make(30), capacity),
        variational("beta_tc_vae_weighted", {"beta_tc_vae": base | tc}, one_draw, make(31, **size()), total_correlation(False)),
        variational(
            "beta_tc_vae_stratified",
            {"beta_tc_vae": base | tc | {"estimator": "minibatch_stratified"}},
            one_draw,
            make(42, 4.0, 2.0, **size()),
            total_correlation(True),
        ),
        variational("dip_vae_i", {"dip_vae": base | {"variant": "i", "lambda_od": 10.0, "lambda_d": 5.0}}, one_draw, make(33, 6.0), dip("i")),
        variational("dip_vae_ii", {"dip_vae": base | {"variant": "ii", "lambda_od": 10.0, "lambda_d": 5.0}}, one_draw, make(34, 6.0), dip("ii")),
        variational("info_vae", {"info_vae": base | {"alpha": 0.5, "lambda": 20.0}}, two_draws, make(35, 6.0), info),
        variational("vae_continuous_bernoulli", {"vae": base | {"likelihood": "continuous_bernoulli"}}, one_draw, make(36, 3.0), continuous_bernoulli),
        case(
            "vae_per_feature_variance",
            {"vae": base | {"likelihood": {"gaussian_per_feature_variance": {"min_variance": 0.01}}}},
            [12],
            "unit_interval",
            x,
            one_draw,
            make(37, **log_var),
            per_feature,
            **OPTIMIZER,
        ),
        case(
            "wae",
            {"wae": {"hidden": [8], "code_size": LATENT, "lambda": 10.0, "kernel": {"imq": {"scales": scales}}}},
            [12],
            "unit_interval",
            x,
            one_draw,
            wae_weights,
            wae,
            **OPTIMIZER,
        ),
    ]
    write("variational", {"torch": torch.__version__, "cases": cases})


if __name__ == "__main__":
    main()
