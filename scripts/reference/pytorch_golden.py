#!/usr/bin/env python3
"""Reference values from PyTorch for the tests of aelab-losses and aelab-models.

    python scripts/reference/pytorch_golden.py        # writes tests/golden/pytorch_*.json

Everything is computed in double precision from weights, inputs and noise that are exactly
representable in single precision, so the values are what a single-precision implementation
should come close to, not what another one rounded to. Weights are written in aelab's layout:
those of dense layers as [input, output], which is the transpose of PyTorch's; those of
convolutions as they are. Files hold, per case, the configuration that aelab parses, the event
shape, inputs, noise (one list per draw), initial weights, and per optimizer step the terms
before it, then the weights after the last step.
"""

import json
import math
import pathlib

import numpy
import torch
import torch.nn.functional as F

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
STEPS = 20
BATCH = 6

torch.set_default_dtype(torch.float64)


def representable(tensor):
    """Rounded to single precision, four decimals where that is enough: short to write, exact to read."""
    return torch.round(tensor * 1e4).div(1e4).to(torch.float32).to(torch.float64)


def numbers(tensor):
    """The shortest decimals that read back as the nearest single-precision numbers."""
    return [float(str(numpy.float32(value))) for value in tensor.detach().reshape(-1).tolist()]


def tensor_json(tensor):
    return {"shape": list(tensor.shape), "values": numbers(tensor)}


class Weights:
    """Named leaf tensors in aelab's layout, uniform in +-bound."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)
        self.tensors = {}

    def add(self, path, shape, bound):
        values = (torch.rand(shape, generator=self.generator) * 2 - 1) * bound
        self.tensors[path] = representable(values).requires_grad_()

    def dense(self, path, num_inputs, num_outputs, bias=True):
        self.add(f"{path}.weight", (num_inputs, num_outputs), math.sqrt(6 / (num_inputs + num_outputs)))
        if bias:
            self.add(f"{path}.bias", (num_outputs,), 0.2)

    def convolution(self, path, num_inputs, num_outputs, kernel, transposed=False):
        shape = (num_inputs, num_outputs) if transposed else (num_outputs, num_inputs)
        self.add(f"{path}.weight", (*shape, kernel, kernel), math.sqrt(6 / ((num_inputs + num_outputs) * kernel**2)))
        self.add(f"{path}.bias", (num_outputs,), 0.2)

    def __getitem__(self, path):
        return self.tensors[path]

    def linear(self, path, x):
        bias = self.tensors.get(f"{path}.bias")
        return x @ self[f"{path}.weight"] + (0 if bias is None else bias)

    def json(self):
        return {path: tensor_json(tensor) for path, tensor in self.tensors.items()}


def trajectory(weights, objective, make_optimizer, steps=STEPS):
    """Terms before each step; `objective(step)` gives (name, value, weight) triples."""
    optimizer = make_optimizer(list(weights.tensors.values()))
    history = []
    for step in range(steps):
        optimizer.zero_grad()
        terms = objective(step)
        loss = sum(weight * value for _, value, weight in terms)
        loss.backward()
        optimizer.step()
        history.append({name: float(f"{value.item():.10g}") for name, value, _ in terms} | {"loss": float(f"{loss.item():.10g}")})
    return history


def adam(parameters):
    return torch.optim.Adam(parameters, lr=1e-2)


ADAM = {"adam": {"learning_rate": 1e-2}}


def case(name, config, event_shape, domain, x, noise, make_weights, objective, optimizer=adam, optimizer_config=None, steps=STEPS):
    weights = make_weights()
    before = weights.json()
    history = trajectory(weights, lambda step: objective(weights, step), optimizer, steps)
    return {
        "name": name,
        "config": config,
        "optimizer": optimizer_config or ADAM,
        "event_shape": event_shape,
        "domain": domain,
        "x": tensor_json(x),
        "noise": [numbers(draw) for draw in noise],
        "before": before,
        "history": history,
        "after": weights.json(),
    }


def inputs(seed, num_features, num=BATCH):
    generator = torch.Generator().manual_seed(seed)
    return representable(torch.rand((num, num_features), generator=generator))


def normal(seed, shape):
    return representable(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))


def per_example(values):
    """Summed over features, averaged over the batch."""
    return values.sum(dim=1).mean()


# --- dense autoencoders -----------------------------------------------------------------------


def dense_weights(seed, tied=False):
    def make():
        weights = Weights(seed)
        weights.dense("network.encoder.Dense.layers.0", 12, 8)
        weights.dense("network.encoder.Dense.layers.1", 8, 3)
        if tied:
            weights.add("network.decoder.Tied.biases.0", (8,), 0.2)
            weights.add("network.decoder.Tied.biases.1", (12,), 0.2)
        else:
            weights.dense("network.decoder.Untied.Dense.layers.0", 3, 8)
            weights.dense("network.decoder.Untied.Dense.layers.1", 8, 12)
        return weights

    return make


def dense_output(weights, x):
    z = weights.linear("network.encoder.Dense.layers.1", torch.tanh(weights.linear("network.encoder.Dense.layers.0", x)))
    if "network.decoder.Tied.biases.0" in weights.tensors:
        hidden = torch.tanh(F.linear(z, weights["network.encoder.Dense.layers.1.weight"], weights["network.decoder.Tied.biases.0"]))
        return F.linear(hidden, weights["network.encoder.Dense.layers.0.weight"], weights["network.decoder.Tied.biases.1"])
    return weights.linear("network.decoder.Untied.Dense.layers.1", torch.tanh(weights.linear("network.decoder.Untied.Dense.layers.0", z)))


def squared_error_objective(x, target=None):
    target = x if target is None else target
    return lambda weights, step: [("squared_error", per_example((dense_output(weights, x) - target) ** 2), 1.0)]


def dense_cases():
    x = inputs(1, 12)
    config = {"hidden": [8], "code_size": 3, "activation": "tanh"}

    def cross_entropy(weights, step):
        value = F.binary_cross_entropy_with_logits(dense_output(weights, x), x, reduction="none")
        return [("nll", per_example(value), 1.0)]

    bce = config | {"output_activation": "sigmoid", "loss": "binary_cross_entropy"}
    kept = [(torch.rand(x.shape, generator=torch.Generator().manual_seed(50 + step)) > 0.3).double() for step in range(STEPS)]
    denoising = config | {"corruption": {"masking": {"rate": 0.3}}}

    def restore(weights, step):
        return squared_error_objective(x * kept[step], x)(weights, step)

    return [
        case("undercomplete", {"undercomplete": config}, [12], "unit_interval", x, [], dense_weights(2), squared_error_objective(x)),
        case("undercomplete_tied", {"undercomplete": config | {"tied": True}}, [12], "unit_interval", x, [], dense_weights(3, True), squared_error_objective(x)),
        case("undercomplete_cross_entropy", {"undercomplete": bce}, [12], "unit_interval", x, [], dense_weights(4), cross_entropy),
        case("denoising", {"denoising": denoising}, [12], "unit_interval", x, kept, dense_weights(5), restore),
    ]


# --- variational autoencoders -----------------------------------------------------------------


def vae_cases():
    x = inputs(6, 12)
    noise = [normal(100 + step, (BATCH, 3)) for step in range(STEPS)]

    def make(seed, learned=False):
        def build():
            weights = Weights(seed)
            weights.dense("network.encoder.Dense.layers.0", 12, 8)
            weights.dense("network.posterior.mean", 8, 3)
            weights.dense("network.posterior.log_var", 8, 3)
            weights.dense("network.decoder.Dense.layers.0", 3, 8)
            weights.dense("network.decoder.Dense.layers.1", 8, 12)
            if learned:
                weights.tensors["network.likelihood.log_var"] = torch.zeros((1, 1)).requires_grad_()
            return weights

        return build

    def objective(nll, beta=1.0):
        def terms(weights, step):
            hidden = F.relu(weights.linear("network.encoder.Dense.layers.0", x))
            mean, log_var = weights.linear("network.posterior.mean", hidden), weights.linear("network.posterior.log_var", hidden)
            z = mean + torch.exp(0.5 * log_var) * noise[step]
            output = weights.linear("network.decoder.Dense.layers.1", F.relu(weights.linear("network.decoder.Dense.layers.0", z)))
            posterior = torch.distributions.Normal(mean, torch.exp(0.5 * log_var))
            kl = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0))
            return [("nll", per_example(nll(weights, output)), 1.0), ("kl", per_example(kl), beta)]

        return terms

    def bernoulli(weights, output):
        return F.binary_cross_entropy_with_logits(output, x, reduction="none")

    def gaussian(weights, output):
        return -torch.distributions.Normal(output, math.sqrt(0.1)).log_prob(x)

    def learned(weights, output):
        return -torch.distributions.Normal(output, torch.exp(0.5 * weights["network.likelihood.log_var"])).log_prob(x)

    def config(likelihood, **more):
        return {"vae": {"hidden": [8], "latent_dim": 3, "likelihood": likelihood} | more}

    def vae(name, config, weights, terms):
        return case(name, config, [12], "unit_interval", x, noise, weights, terms)

    return [
        vae("vae_bernoulli", config("bernoulli"), make(7), objective(bernoulli)),
        vae("vae_gaussian", config({"gaussian": {"variance": 0.1}}, beta=4.0), make(8), objective(gaussian, 4.0)),
        vae("vae_learned_variance", config({"gaussian_learned_variance": {}}), make(9, True), objective(learned)),
    ]


# --- convolutional autoencoders ---------------------------------------------------------------


def conv_cases():
    """Images of 7 x 6 pixels: odd and even, and not square, so that a swapped axis cannot hide."""
    height, width = 7, 6
    x = inputs(10, height * width, num=4)
    sizes = [(7, 6), (4, 3), (2, 2)]

    def make(seed, transposed):
        def build():
            weights = Weights(seed)
            weights.convolution("network.encoder.Convolutional.maps.convolutions.0", 1, 3, 3)
            weights.convolution("network.encoder.Convolutional.maps.convolutions.1", 3, 4, 3)
            weights.dense("network.encoder.Convolutional.dense.layers.0", 16, 5)
            weights.dense("network.decoder.Untied.Convolutional.dense.layers.0", 5, 16)
            weights.convolution("network.decoder.Untied.Convolutional.maps.convolutions.0", 4, 3, 3, transposed)
            weights.convolution("network.decoder.Untied.Convolutional.maps.convolutions.1", 3, 1, 3, transposed)
            return weights

        return build

    def parameters(weights, path):
        return weights[f"{path}.weight"], weights[f"{path}.bias"]

    def strided(weights, step):
        images = x.reshape(-1, 1, height, width)
        for layer in range(2):
            images = F.elu(F.conv2d(images, *parameters(weights, f"network.encoder.Convolutional.maps.convolutions.{layer}"), stride=2, padding=1))
        z = weights.linear("network.encoder.Convolutional.dense.layers.0", images.flatten(1))
        images = F.elu(weights.linear("network.decoder.Untied.Convolutional.dense.layers.0", z)).reshape(-1, 4, *sizes[2])
        for layer in range(2):
            target = sizes[1 - layer]
            extra = [size - (2 * small - 1) for size, small in zip(target, images.shape[2:])]
            images = F.conv_transpose2d(
                images, *parameters(weights, f"network.decoder.Untied.Convolutional.maps.convolutions.{layer}"), stride=2, padding=1, output_padding=extra
            )
            images = F.elu(images) if layer == 0 else images
        return [("squared_error", per_example((images.flatten(1) - x) ** 2), 1.0)]

    def pooled(weights, step):
        images = x.reshape(-1, 1, height, width)
        for layer in range(2):
            images = F.tanh(F.conv2d(images, *parameters(weights, f"network.encoder.Convolutional.maps.convolutions.{layer}"), padding=1))
            images = F.max_pool2d(images, 2, ceil_mode=True)
        z = weights.linear("network.encoder.Convolutional.dense.layers.0", images.flatten(1))
        images = F.tanh(weights.linear("network.decoder.Untied.Convolutional.dense.layers.0", z)).reshape(-1, 4, *sizes[2])
        for layer in range(2):
            target = sizes[1 - layer]
            images = F.interpolate(images, scale_factor=2, mode="nearest")[:, :, : target[0], : target[1]]
            images = F.conv2d(images, *parameters(weights, f"network.decoder.Untied.Convolutional.maps.convolutions.{layer}"), padding=1)
            images = F.tanh(images) if layer == 0 else images
        value = F.binary_cross_entropy_with_logits(images.flatten(1), x, reduction="none")
        return [("nll", per_example(value), 1.0)]

    shape = [1, height, width]
    base = {"channels": [3, 4], "code_size": 5}
    pool = base | {"form": "pooled", "activation": "tanh", "output_activation": "sigmoid", "loss": "binary_cross_entropy"}
    return [
        case("conv_strided", {"convolutional": base | {"activation": "elu"}}, shape, "unit_interval", x, [], make(11, True), strided),
        case("conv_pooled", {"convolutional": pool}, shape, "unit_interval", x, [], make(12, False), pooled),
    ]


# --- optimizers -------------------------------------------------------------------------------


def optimizer_cases():
    x = inputs(1, 12)
    config = {"undercomplete": {"hidden": [8], "code_size": 3, "activation": "tanh"}}
    optim = torch.optim
    optimizers = [
        ("sgd", {"sgd": {"learning_rate": 0.02, "weight_decay": 0.01}}, lambda p: optim.SGD(p, lr=0.02, weight_decay=0.01)),
        ("sgd_momentum", {"sgd": {"learning_rate": 0.01, "momentum": 0.9}}, lambda p: optim.SGD(p, lr=0.01, momentum=0.9)),
        (
            "sgd_nesterov",
            {"sgd": {"learning_rate": 0.01, "momentum": 0.9, "nesterov": True}},
            lambda p: optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
        ),
        (
            "adam",
            {"adam": {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.99, "weight_decay": 0.1}},
            lambda p: optim.Adam(p, lr=0.01, betas=(0.8, 0.99), weight_decay=0.1),
        ),
        ("adamw", {"adamw": {"learning_rate": 0.01, "weight_decay": 0.1}}, lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1)),
        (
            "rmsprop",
            {"rmsprop": {"learning_rate": 0.003, "momentum": 0.5, "weight_decay": 0.1}},
            lambda p: optim.RMSprop(p, lr=0.003, momentum=0.5, weight_decay=0.1),
        ),
        (
            "rmsprop_centered",
            {"rmsprop": {"learning_rate": 0.003, "centered": True}},
            lambda p: optim.RMSprop(p, lr=0.003, centered=True),
        ),
        (
            "adagrad",
            {"adagrad": {"learning_rate": 0.05, "learning_rate_decay": 0.1, "weight_decay": 0.1}},
            lambda p: optim.Adagrad(p, lr=0.05, lr_decay=0.1, weight_decay=0.1),
        ),
    ]
    return [
        case(name, config, [12], "unit_interval", x, [], dense_weights(2), squared_error_objective(x), make, given)
        for name, given, make in optimizers
    ]


# --- objectives -------------------------------------------------------------------------------


def loss_cases():
    shape = (5, 7)
    x, r = inputs(20, 7, num=5), normal(21, shape)
    mean, log_var = normal(22, shape), normal(23, shape)
    logits = representable(normal(24, shape) * 4)
    mask = (torch.rand(shape, generator=torch.Generator().manual_seed(25)) > 0.4).double()
    log_prob = torch.distributions.Normal(mean, torch.exp(0.5 * log_var)).log_prob(x)
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, torch.exp(0.5 * log_var)), torch.distributions.Normal(0.0, 1.0)
    )
    values = {
        "squared_error": (x - r) ** 2,
        "binary_cross_entropy_from_logits": F.binary_cross_entropy_with_logits(logits, x, reduction="none"),
        "gaussian_nll": F.gaussian_nll_loss(mean, x, torch.full(shape, 0.3), full=True, reduction="none"),
        "gaussian_nll_with_log_var": -log_prob,
        "kl_to_standard_normal": kl,
    }
    activations = {
        "linear": lambda v: v,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "relu": F.relu,
        "leaky_relu": F.leaky_relu,
        "elu": F.elu,
        "selu": F.selu,
        "gelu": F.gelu,
        "softplus": F.softplus,
        "silu": F.silu,
    }
    at = representable(torch.tensor([-20.0, -2.0, -0.5, 0.0, 0.7, 1.5, 30.0]))
    return {
        "shape": list(shape),
        "x": numbers(x),
        "reconstruction": numbers(r),
        "mean": numbers(mean),
        "log_var": numbers(log_var),
        "logits": numbers(logits),
        "mask": numbers(mask),
        "variance": 0.3,
        "values": {name: float(f"{per_example(value).item():.10g}") for name, value in values.items()},
        "masked": {name: float(f"{per_example(value * mask).item():.10g}") for name, value in values.items()},
        "activations": {"at": numbers(at), "values": {name: numbers(function(at)) for name, function in activations.items()}},
    }


def write(name, content):
    path = FOLDER / f"pytorch_{name}.json"
    lines = json.dumps(content, separators=(",", ":"))
    # One case per line, so that a change shows where it is.
    path.write_text(lines.replace('},{"name"', '},\n{"name"') + "\n")
    print(f"{path.name}: {path.stat().st_size} bytes")


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    write("losses", loss_cases())
    write("models", {"torch": torch.__version__, "cases": dense_cases() + vae_cases() + conv_cases()})
    write("optimizers", {"torch": torch.__version__, "cases": optimizer_cases()})


if __name__ == "__main__":
    main()
