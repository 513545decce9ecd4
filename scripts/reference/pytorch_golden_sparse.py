#!/usr/bin/env python3
"""Reference values from PyTorch for the sparse, contractive and dictionary models.

    python scripts/reference/pytorch_golden_sparse.py        # writes tests/golden/pytorch_sparse.json

Helpers and the form of the file are those of pytorch_golden.py. Penalties are computed in another way than
aelab does wherever there is one: Jacobians by torch.func, not layer by layer; surrogate gradients by an
autograd function, not by detaching; the gradient of the atoms projected by hand, not through their length.
"""

import torch
import torch.nn.functional as F

from pytorch_golden import ADAM, BATCH, Weights, adam, case, inputs, per_example, tensor_json, trajectory, write

FEATURES, CODE = 12, 7


# --- penalties on a dense autoencoder ----------------------------------------------------------


def shallow_weights(seed, code, tied=False):
    def make():
        weights = Weights(seed)
        weights.dense("network.encoder.Dense.layers.0", FEATURES, code)
        if tied:
            weights.add("network.decoder.Tied.biases.0", (FEATURES,), 0.2)
        else:
            weights.dense("network.decoder.Untied.Dense.layers.0", code, FEATURES)
        return weights

    return make


def decode(weights, z):
    if "network.decoder.Tied.biases.0" in weights.tensors:
        return F.linear(z, weights["network.encoder.Dense.layers.0.weight"], weights["network.decoder.Tied.biases.0"])
    return weights.linear("network.decoder.Untied.Dense.layers.0", z)


def sparse_cases():
    x = inputs(31, FEATURES)
    base = {"hidden": [], "code_size": CODE}

    def objective(activation, penalty, weight):
        def terms(weights, step):
            z = activation(weights.linear("network.encoder.Dense.layers.0", x))
            return [("squared_error", per_example((decode(weights, z) - x) ** 2), 1.0), ("sparsity", penalty(z), weight)]

        return terms

    def kl(z):
        rho_hat = z.mean(dim=0)
        coin = torch.distributions.Bernoulli
        return torch.distributions.kl_divergence(coin(torch.full_like(rho_hat, 0.1)), coin(rho_hat)).sum()

    l1_config = base | {"code_activation": "tanh", "penalty": {"l1": {"lambda": 0.3}}}
    kl_config = base | {"code_activation": "sigmoid", "penalty": {"kl": {"rho": 0.1, "beta": 2.0}}}
    l1 = objective(torch.tanh, lambda z: torch.linalg.vector_norm(z, 1, dim=1).mean(), 0.3)
    return [
        case("sparse_l1", {"sparse": l1_config}, [FEATURES], "unit_interval", x, [], shallow_weights(32, CODE), l1),
        case("sparse_kl", {"sparse": kl_config}, [FEATURES], "unit_interval", x, [], shallow_weights(33, CODE), objective(torch.sigmoid, kl, 2.0)),
    ]


def contractive_cases():
    x = inputs(34, FEATURES)

    def objective(encode, lambda_):
        def terms(weights, step):
            z = encode(weights, x)
            jacobian = torch.func.vmap(torch.func.jacrev(lambda row: encode(weights, row)))(x)
            value = F.binary_cross_entropy_with_logits(output(weights, z), x, reduction="none")
            return [("nll", per_example(value), 1.0), ("contraction", (jacobian**2).sum(dim=(1, 2)).mean(), lambda_)]

        return terms

    def shallow(weights, x):
        return torch.sigmoid(weights.linear("network.encoder.Dense.layers.0", x))

    def deep(weights, x):
        return torch.sigmoid(weights.linear("network.encoder.Dense.layers.1", torch.tanh(weights.linear("network.encoder.Dense.layers.0", x))))

    def output(weights, z):
        if "network.decoder.Tied.biases.1" not in weights.tensors:
            return decode(weights, z)
        hidden = torch.tanh(F.linear(z, weights["network.encoder.Dense.layers.1.weight"], weights["network.decoder.Tied.biases.0"]))
        return F.linear(hidden, weights["network.encoder.Dense.layers.0.weight"], weights["network.decoder.Tied.biases.1"])

    def deep_weights():
        weights = Weights(36)
        weights.dense("network.encoder.Dense.layers.0", FEATURES, 8)
        weights.dense("network.encoder.Dense.layers.1", 8, 3)
        weights.add("network.decoder.Tied.biases.0", (8,), 0.2)
        weights.add("network.decoder.Tied.biases.1", (FEATURES,), 0.2)
        return weights

    base = {"code_activation": "sigmoid", "output_activation": "sigmoid", "loss": "binary_cross_entropy", "tied": True, "lambda": 0.5}
    one = base | {"hidden": [], "code_size": CODE}
    two = base | {"hidden": [8], "code_size": 3, "activation": "tanh"}
    return [
        case("contractive", {"contractive": one}, [FEATURES], "unit_interval", x, [], shallow_weights(35, CODE, True), objective(shallow, 0.5)),
        case("contractive_deep", {"contractive": two}, [FEATURES], "unit_interval", x, [], deep_weights, objective(deep, 0.5)),
    ]


def k_sparse_cases():
    x = inputs(37, FEATURES)

    def make():
        weights = shallow_weights(38, CODE, True)()
        # What is kept outside training: a state of aelab's model, no weight.
        weights.tensors["num_kept"] = torch.full((1,), 3.0)
        return weights

    def terms(weights, step):
        before = weights.linear("network.encoder.Dense.layers.0", x)
        top = torch.topk(before, 3, dim=1)
        z = torch.zeros_like(before).scatter(1, top.indices, top.values)
        return [("squared_error", per_example((decode(weights, z) - x) ** 2), 1.0)]

    config = {"hidden": [], "code_size": CODE, "tied": True, "k": 3}
    return [dictionary_case("k_sparse", {"k_sparse": config}, x, make, terms)]


# --- dictionaries ------------------------------------------------------------------------------


def dictionary_case(name, config, x, make, terms, after_step=lambda weights: None):
    """Like `case`, with the gradient of the atoms projected and their length restored by hand, and with buffers."""
    weights = make()
    before = weights.json()
    trainable = [tensor for tensor in weights.tensors.values() if tensor.requires_grad]
    atoms = weights.tensors.get("dictionary.atoms")

    def objective(step):
        if step > 0:
            finish()
        return terms(weights, step)

    def finish():
        with torch.no_grad():
            if atoms is not None:
                atoms.div_(atoms.norm(dim=1, keepdim=True))
        after_step(weights)

    def make_optimizer(_):
        optimizer = adam(trainable)
        step = optimizer.step

        def projected(*arguments, **named):
            if atoms is not None:
                with torch.no_grad():
                    atoms.grad.sub_((atoms.grad * atoms).sum(dim=1, keepdim=True) * atoms)
            return step(*arguments, **named)

        optimizer.step = projected
        return optimizer

    history = trajectory(weights, objective, make_optimizer)
    finish()
    return {
        "name": name,
        "config": config,
        "optimizer": ADAM,
        "event_shape": [x.shape[1]],
        "domain": "unit_interval",
        "x": tensor_json(x),
        "noise": [],
        "before": before,
        "history": history,
        "after": weights.json(),
    }


def unit_atoms(weights, seed, num):
    """Atoms that are of length 1 to the last bit of single precision, nearly."""
    atoms = torch.randn((num, FEATURES), generator=torch.Generator().manual_seed(seed))
    atoms = (atoms / atoms.norm(dim=1, keepdim=True)).to(torch.float32).double()
    weights.tensors["dictionary.atoms"] = atoms.requires_grad_()
    weights.add("dictionary.bias", (FEATURES,), 0.3)


def top_k_sae_cases():
    x = inputs(40, FEATURES)
    num, k, k_auxiliary, dead_after = 20, 3, 4, 5
    state = {}

    def make():
        weights = Weights(41)
        weights.add("encoder", (FEATURES, num), 0.5)
        unit_atoms(weights, 42, num)
        weights.tensors["silence"] = torch.full((1, num), 7.0)
        return weights

    def top(before, k):
        values, indices = torch.topk(before, k, dim=1)
        return torch.zeros_like(before).scatter(1, indices, torch.relu(values))

    def terms(weights, step):
        atoms = weights["dictionary.atoms"]
        before = (x - weights["dictionary.bias"]) @ weights["encoder"]
        z = top(before, k)
        state["active"] = z.detach() > 0
        error = x - (z @ atoms + weights["dictionary.bias"])
        dead = weights["silence"] >= dead_after
        assert dead.any()
        explained = top(torch.where(dead, before, -torch.inf), k_auxiliary).nan_to_num(neginf=0.0) @ atoms
        return [("squared_error", per_example(error**2), 1.0), ("auxiliary", per_example((error.detach() - explained) ** 2), 0.25)]

    def after_step(weights):
        silence = weights["silence"]
        silence += BATCH
        silence[state["active"].any(dim=0, keepdim=True)] = 0

    config = {"code_size": num, "k": k, "auxiliary": {"k": k_auxiliary, "weight": 0.25, "dead_after": dead_after}}
    return [dictionary_case("top_k_sae", {"top_k_sae": config}, x, make, terms, after_step)]


def gated_sae_cases():
    x = inputs(43, FEATURES)
    num = 9

    def make():
        weights = Weights(44)
        weights.add("encoder", (FEATURES, num), 0.5)
        weights.add("gate_bias", (num,), 0.3)
        weights.add("log_scale", (num,), 0.3)
        weights.add("magnitude_bias", (num,), 0.3)
        unit_atoms(weights, 45, num)
        return weights

    def terms(weights, step):
        atoms, bias = weights["dictionary.atoms"], weights["dictionary.bias"]
        gate = (x - bias) @ weights["encoder"] + weights["gate_bias"]
        magnitude = (x - bias) @ (weights["encoder"] * torch.exp(weights["log_scale"])) + weights["magnitude_bias"]
        z = torch.heaviside(gate.detach(), torch.zeros(())) * torch.relu(magnitude)
        by_gates = torch.relu(gate) @ atoms.detach() + bias.detach()
        return [
            ("squared_error", per_example((x - z @ atoms - bias) ** 2), 1.0),
            ("sparsity", torch.relu(gate).sum(dim=1).mean(), 0.2),
            ("auxiliary", per_example((x - by_gates) ** 2), 1.0),
        ]

    return [dictionary_case("gated_sae", {"gated_sae": {"code_size": num, "lambda": 0.2}}, x, make, terms)]


def jump_relu_sae_cases():
    x = inputs(46, FEATURES)
    num, bandwidth = 9, 0.5

    class Step(torch.autograd.Function):
        @staticmethod
        def forward(ctx, before, threshold):
            ctx.save_for_backward(before, threshold)
            return (before > threshold).double()

        @staticmethod
        def backward(ctx, grad):
            before, threshold = ctx.saved_tensors
            kernel = (torch.abs((before - threshold) / bandwidth) < 0.5).double() / bandwidth
            return torch.zeros_like(grad), (-kernel * grad).sum(dim=0)

    class JumpRelu(torch.autograd.Function):
        @staticmethod
        def forward(ctx, before, threshold):
            ctx.save_for_backward(before, threshold)
            return before * (before > threshold)

        @staticmethod
        def backward(ctx, grad):
            before, threshold = ctx.saved_tensors
            kernel = (torch.abs((before - threshold) / bandwidth) < 0.5).double() / bandwidth
            return grad * (before > threshold), (-threshold * kernel * grad).sum(dim=0)

    def make():
        weights = Weights(47)
        weights.add("encoder", (FEATURES, num), 0.5)
        weights.add("encoder_bias", (num,), 0.3)
        weights.tensors["log_threshold"] = torch.full((num,), -1.5).requires_grad_()
        unit_atoms(weights, 48, num)
        return weights

    def terms(weights, step):
        atoms, bias = weights["dictionary.atoms"], weights["dictionary.bias"]
        before = (x - bias) @ weights["encoder"] + weights["encoder_bias"]
        threshold = torch.exp(weights["log_threshold"])
        z = JumpRelu.apply(before, threshold)
        l0 = Step.apply(before, threshold).sum(dim=1).mean()
        return [("squared_error", per_example((x - z @ atoms - bias) ** 2), 1.0), ("sparsity", l0, 0.1)]

    config = {"code_size": num, "lambda": 0.1, "initial_threshold": 0.2, "bandwidth": bandwidth}
    return [dictionary_case("jump_relu_sae", {"jump_relu_sae": config}, x, make, terms)]


def main():
    cases = sparse_cases() + contractive_cases() + k_sparse_cases() + top_k_sae_cases() + gated_sae_cases() + jump_relu_sae_cases()
    write("sparse", {"torch": torch.__version__, "cases": cases})


if __name__ == "__main__":
    main()
