"""The trials of pytorch_sweep.py: three models and how they are trained and measured.

A module of its own, because joblib's workers import it once and keep what it caches; the application itself is sent to them
anew with each trial. Needs: torch, numpy.
"""

import functools
import json
import math
from pathlib import Path

import numpy
import torch
from torch import nn
from torch.nn import functional

NUM_VALID = 5000
LOG_EVERY = 50
CODE_SIZES = {
    "undercomplete": {"small": 16, "large": 32},
    "sparse": {"small": 98, "large": 196},
    "vae": {"small": 10, "large": 20},
}
RHO, BETA = 0.05, 3.0


class Undercomplete(nn.Module):
    def __init__(self, code_size):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(784, code_size), nn.Linear(code_size, 784)

    def reconstruct(self, x):
        return torch.sigmoid(self.decoder(torch.relu(self.encoder(x))))

    def loss(self, x):
        return (self.reconstruct(x) - x).square().sum(1).mean()


class Sparse(nn.Module):
    def __init__(self, code_size):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(784, code_size), nn.Linear(code_size, 784)

    def reconstruct(self, x):
        return torch.sigmoid(self.decoder(torch.sigmoid(self.encoder(x))))

    def loss(self, x):
        z = torch.sigmoid(self.encoder(x))
        error = (torch.sigmoid(self.decoder(z)) - x).square().sum(1).mean()
        average = z.mean(0)
        divergence = RHO * (math.log(RHO) - average.log()) + (1 - RHO) * (math.log(1 - RHO) - (1 - average).log())
        return error + BETA * divergence.sum()


class Vae(nn.Module):
    def __init__(self, latent_dim):
        super().__init__()
        self.encoder = nn.Linear(784, 400)
        self.mean, self.log_var = nn.Linear(400, latent_dim), nn.Linear(400, latent_dim)
        self.decoder = nn.Sequential(nn.Linear(latent_dim, 400), nn.ReLU(), nn.Linear(400, 784))

    def reconstruct(self, x):
        return torch.sigmoid(self.decoder(self.mean(torch.relu(self.encoder(x)))))

    def loss(self, x):
        features = torch.relu(self.encoder(x))
        mean, log_var = self.mean(features), self.log_var(features)
        z = mean + torch.exp(log_var / 2) * torch.randn_like(mean)
        nll = functional.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="none").sum(1).mean()
        return nll + 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1).mean()


MODELS = {"undercomplete": Undercomplete, "sparse": Sparse, "vae": Vae}


@functools.cache
def images(folder, name):
    """`[image, 784]` in [0, 1], of a file of MNIST's format."""
    content = numpy.fromfile(Path(folder) / name, dtype=numpy.uint8)[16:]
    return torch.from_numpy(content).reshape(-1, 784).float() / 255


def mean_loss(model, x, batch_size):
    with torch.no_grad():
        return sum(model.loss(batch).item() * len(batch) for batch in x.split(batch_size)) / len(x)


def measure(model, x):
    """Errors of the reconstructions: the numbers that aelab calls `sse`, `mse`, `mae`, `bce` and `psnr`."""
    squared = absolute = entropy = 0.0
    with torch.no_grad():
        for batch in x.split(1000):
            reconstruction = model.reconstruct(batch)
            squared += (reconstruction - batch).square().sum().item()
            absolute += (reconstruction - batch).abs().sum().item()
            entropy += functional.binary_cross_entropy(reconstruction, batch, reduction="sum").item()
    mse = squared / x.numel()
    return {"sse": squared / len(x), "mse": mse, "mae": absolute / x.numel(), "bce": entropy / len(x), "psnr": -10 * math.log10(mse)}


def train(config, folder):
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    x = images(config.data, "train-images-idx3-ubyte")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    valid, x = x[order[:NUM_VALID]], x[order[NUM_VALID:]]
    model = MODELS[config.model](CODE_SIZES[config.model][config.size])
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)
    step = 0
    with open(folder / "metrics.jsonl", "w", encoding="utf-8") as log:
        for epoch in range(config.epochs):
            for indices in torch.randperm(len(x)).split(config.batch_size):
                optimizer.zero_grad(set_to_none=True)
                loss = model.loss(x[indices])
                loss.backward()
                optimizer.step()
                step += 1
                if step % LOG_EVERY == 0:
                    log.write(json.dumps({"step": step, "train/loss": loss.item()}) + "\n")
            log.write(json.dumps({"step": step, "epoch": epoch + 1, "valid/loss": mean_loss(model, valid, config.batch_size)}) + "\n")
    return measure(model, images(config.data, "t10k-images-idx3-ubyte"))
