"""The trials of pytorch_sweep.py: three models and how they are trained and measured.

A module of its own, because joblib's workers import it once and keep what it caches; the application itself is sent to them
anew with each trial. Needs: torch, numpy.
"""

import functools
import json
import math
import os
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


@functools.cache
def labels(folder, name):
    return torch.from_numpy(numpy.fromfile(Path(folder) / name, dtype=numpy.uint8)[8:].astype(numpy.int64))


@functools.cache
def principal_components(folder):
    """Mean and components in rows, by falling variance, of the training images in double precision: once per process."""
    x = training_split(folder)[0].double()
    mean = x.mean(0)
    centred = x - mean
    _, vectors = torch.linalg.eigh(centred.T @ centred / len(x))
    return mean, vectors.flip(1).T


def similarity(x, y):
    """SSIM of each pair of images, in a Gaussian window of 11 x 11: what lies wholly inside, averaged."""
    window = torch.exp(-torch.arange(-5, 6) ** 2 / (2 * 1.5**2))
    window = (window / window.sum()).reshape(1, 1, 1, 11)
    maps = torch.cat([x, y, x * x, y * y, x * y]).reshape(-1, 1, 28, 28)
    maps = functional.conv2d(functional.conv2d(maps, window), window.transpose(2, 3))
    mean_x, mean_y, xx, yy, xy = maps.chunk(5)
    variances = xx - mean_x**2 + yy - mean_y**2
    ratio = (2 * mean_x * mean_y + 1e-4) * (2 * (xy - mean_x * mean_y) + 9e-4)
    return (ratio / ((mean_x**2 + mean_y**2 + 1e-4) * (variances + 9e-4))).mean((1, 2, 3))


def measure_more(model, config):
    """What aelab measures besides: SSIM, errors of each class, and those of PCA with a code of the same size."""
    x, y = images(config.data, "t10k-images-idx3-ubyte"), labels(config.data, "t10k-labels-idx1-ubyte")
    mean, components = principal_components(config.data)
    components = components[: CODE_SIZES[config.model][config.size]]
    errors, errors_of_pca, similarities = [], [], []
    with torch.no_grad():
        for batch in x.split(1000):
            reconstruction = model.reconstruct(batch)
            errors.append((reconstruction - batch).square().sum(1))
            similarities.append(similarity(batch, reconstruction))
            centred = batch.double() - mean
            errors_of_pca.append(centred.square().sum(1) - (centred @ components.T).square().sum(1))
    errors, errors_of_pca, similarities = torch.cat(errors), torch.cat(errors_of_pca), torch.cat(similarities)
    rows = [[label, errors[y == label].mean().item(), similarities[y == label].mean().item(), errors_of_pca[y == label].mean().item()]
            for label in range(10)]
    return {"ssim": similarities.mean().item(), "per_class": rows}


def save(state, path):
    """On disk before it takes the place of what was there."""
    unfinished = path.with_suffix(".unfinished")
    with open(unfinished, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


@functools.cache
def training_split(folder):
    x = images(folder, "train-images-idx3-ubyte")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return x[order[NUM_VALID:]], x[order[:NUM_VALID]]


def train(config, folder):
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    x, valid = training_split(config.data)
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
            if config.complete:
                save({"epoch": epoch + 1, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, folder / "last.pt")
    measured = measure(model, images(config.data, "t10k-images-idx3-ubyte"))
    if config.complete:
        more = measure_more(model, config)
        (folder / "per_class.json").write_text(json.dumps(more.pop("per_class")))
        measured |= more
    return measured
