#!/usr/bin/env python3
"""Reference values from PyTorch for generative models: bounds from several samples, mixtures as priors, classes, codebooks.

    python scripts/reference/pytorch_golden_generative.py        # writes tests/golden/pytorch_generative.json

Everything as in pytorch_golden.py. Densities and divergences are those of torch.distributions. A case may hold classes, `labels`,
of which there are `num_classes`.
"""

import math

import torch
import torch.nn.functional as F
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from pytorch_golden import BATCH, STEPS, Weights, case, inputs, normal, per_example, write

CLASSES = 3


def encoder_and_decoder(weights, prefix, num_inputs=12, num_codes=3):
    weights.dense(f"{prefix}encoder.Dense.layers.0", num_inputs, 8)
    weights.dense(f"{prefix}posterior.mean", 8, 3)
    weights.dense(f"{prefix}posterior.log_var", 8, 3)
    weights.dense(f"{prefix}decoder.Dense.layers.0", num_codes, 8)
    weights.dense(f"{prefix}decoder.Dense.layers.1", 8, 12)


def posterior(weights, prefix, x):
    hidden = F.relu(weights.linear(f"{prefix}encoder.Dense.layers.0", x))
    log_var = weights.linear(f"{prefix}posterior.log_var", hidden)
    return Normal(weights.linear(f"{prefix}posterior.mean", hidden), torch.exp(0.5 * log_var))


def decode(weights, prefix, z):
    return weights.linear(f"{prefix}decoder.Dense.layers.1", F.relu(weights.linear(f"{prefix}decoder.Dense.layers.0", z)))


def bernoulli_nll(output, x):
    return F.binary_cross_entropy_with_logits(output, x, reduction="none")


def section(name, **more):
    return {name: {"hidden": [8], "latent_dim": 3, "likelihood": "bernoulli"} | more}


def iwae_case(num_samples):
    x = inputs(60, 12)
    noise = [normal(600 + step, (num_samples * BATCH, 3)) for step in range(STEPS)]

    def make():
        weights = Weights(61)
        encoder_and_decoder(weights, "network.")
        return weights

    def terms(weights, step):
        q = posterior(weights, "network.", x)
        # All examples for the first sample, then all for the second.
        z = q.loc + q.scale * noise[step].reshape(num_samples, BATCH, 3)
        log_joint = Normal(0.0, 1.0).log_prob(z).sum(-1) - bernoulli_nll(decode(weights, "network.", z), x.expand(num_samples, BATCH, 12)).sum(-1)
        log_weights = log_joint - q.log_prob(z).sum(-1)
        bound = torch.logsumexp(log_weights, dim=0) - math.log(num_samples)
        return [("nll_bound", -bound.mean(), 1.0)]

    return case("iwae", section("iwae", num_samples=num_samples), [12], "unit_interval", x, noise, make, terms)


def vamp_case():
    x = inputs(62, 12)
    noise = [normal(620 + step, (BATCH, 3)) for step in range(STEPS)]

    def make():
        weights = Weights(63)
        encoder_and_decoder(weights, "network.")
        weights.add("pseudo_inputs", (4, 12), 2.0)
        return weights

    def terms(weights, step):
        q = posterior(weights, "network.", x)
        z = q.loc + q.scale * noise[step]
        components = Independent(posterior(weights, "network.", torch.sigmoid(weights["pseudo_inputs"])), 1)
        prior = MixtureSameFamily(Categorical(logits=torch.zeros(4)), components)
        kl = (q.log_prob(z).sum(1) - prior.log_prob(z)).mean()
        return [("nll", per_example(bernoulli_nll(decode(weights, "network.", z), x)), 1.0), ("kl", kl, 0.5)]

    return case("vamp_vae", section("vamp_vae", num_pseudo_inputs=4, beta=0.5), [12], "unit_interval", x, noise, make, terms)


def conditional_case():
    x = inputs(64, 12)
    labels = torch.arange(BATCH) % CLASSES
    classes = F.one_hot(labels, CLASSES).double()
    noise = [normal(640 + step, (BATCH, 3)) for step in range(STEPS)]

    def make():
        weights = Weights(65)
        encoder_and_decoder(weights, "", num_inputs=12 + CLASSES, num_codes=3 + CLASSES)
        return weights

    def terms(weights, step):
        q = posterior(weights, "", torch.cat([x, classes], dim=1))
        z = q.loc + q.scale * noise[step]
        nll = bernoulli_nll(decode(weights, "", torch.cat([z, classes], dim=1)), x)
        kl = torch.distributions.kl_divergence(q, Normal(0.0, 1.0))
        return [("nll", per_example(nll), 1.0), ("kl", per_example(kl), 1.0)]

    made = case("conditional_vae", section("conditional_vae"), [12], "unit_interval", x, noise, make, terms)
    return made | {"labels": labels.tolist(), "num_classes": CLASSES}


def vq_case(averaged):
    """Two vectors of two dimensions per example and five entries; learned by gradient, or as moving averages of decay 0.9."""
    x = inputs(66, 12)
    name = "vq_vae_averaged" if averaged else "vq_vae_gradient"
    learning = {"ema": {"decay": 0.9}} if averaged else {"gradient": {}}
    decay = 0.9 if averaged else 0.99

    def make():
        weights = Weights(67)
        weights.dense("encoder.Dense.layers.0", 12, 8)
        weights.dense("to_vectors", 8, 4)
        weights.dense("decoder.Dense.layers.0", 4, 8)
        weights.dense("decoder.Dense.layers.1", 8, 12)
        weights.add("codebook.embeddings", (5, 2), 1.0)
        weights.tensors["codebook.usage"] = torch.full((2, 5), 0.5)
        if averaged:
            weights["codebook.embeddings"].requires_grad_(False)
            weights.tensors["codebook.sums"] = weights["codebook.embeddings"].clone()
        return weights

    def terms(weights, step):
        vectors = weights.linear("to_vectors", F.relu(weights.linear("encoder.Dense.layers.0", x))).reshape(2 * BATCH, 2)
        entries = weights["codebook.embeddings"]
        codes = torch.cdist(vectors, entries).argmin(dim=1).detach()
        chosen = F.one_hot(codes, 5).double()
        nearest = entries[codes].clone()
        quantised = (vectors + (nearest - vectors).detach()).reshape(BATCH, 4)
        output = weights.linear("decoder.Dense.layers.1", F.relu(weights.linear("decoder.Dense.layers.0", quantised)))
        flat = lambda tensor: tensor.reshape(BATCH, 4)
        found = [("nll", per_example(bernoulli_nll(output, x)), 1.0)]
        if not averaged:
            found.append(("codebook", per_example((flat(vectors.detach()) - flat(nearest)) ** 2), 1.0))
        found.append(("commitment", per_example((flat(vectors) - flat(nearest.detach())) ** 2), 0.25))
        with torch.no_grad():
            counts = chosen.reshape(BATCH, 2, 5).sum(0)
            usage = weights["codebook.usage"]
            usage.mul_(decay).add_((1 - decay) * counts)
            if averaged:
                sums = weights["codebook.sums"]
                sums.mul_(decay).add_((1 - decay) * chosen.T @ vectors)
                entries.copy_(sums / usage.sum(0).unsqueeze(1))
        return found

    config = {"vq_vae": {"hidden": [8], "num_codes": 2, "codebook_size": 5, "embedding_dim": 2, "likelihood": "bernoulli", "codebook": learning}}
    return case(name, config, [12], "unit_interval", x, [], make, terms)


def main():
    cases = [iwae_case(5), vamp_case(), conditional_case(), vq_case(False), vq_case(True)]
    write("generative", {"torch": torch.__version__, "cases": cases})


if __name__ == "__main__":
    main()
