#!/usr/bin/env python3
"""Reference values from PyTorch for series and for collaborative filtering.

    python scripts/reference/pytorch_golden_sequence.py    # writes tests/golden/pytorch_sequence.json, pytorch_lstm.json

See pytorch_golden.py for what the files hold. An LSTM's weights are written in aelab's layout: those of PyTorch
transposed, its two biases as their sum.
"""

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from pytorch_golden import BATCH, STEPS, Weights, case, inputs, normal, numbers, per_example, representable, tensor_json, write

TIME, CHANNELS, UNITS, CODE = 5, 2, 4, 3


class SeriesWeights(Weights):
    def lstm(self, path, num_inputs, num_units):
        self.add(f"{path}.input", (num_inputs, 4 * num_units), 0.8)
        self.add(f"{path}.recurrent", (num_units, 4 * num_units), 0.8)
        self.add(f"{path}.bias", (4 * num_units,), 0.3)

    def step(self, path, x, state):
        bias = self[f"{path}.bias"]
        return torch.lstm_cell(x, state, self[f"{path}.input"].T, self[f"{path}.recurrent"].T, bias, torch.zeros_like(bias))


# --- layers -----------------------------------------------------------------------------------


def layer_case(name, num_layers, bidirectional, seed):
    """Outputs at the end of series of differing lengths, from torch.nn.LSTM on packed series."""
    lengths = [6, 4, 1]
    torch.manual_seed(seed)
    lstm = torch.nn.LSTM(CHANNELS, UNITS, num_layers, batch_first=True, bidirectional=bidirectional)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.copy_(representable(parameter * 2))
    x = normal(seed, (3, 6, CHANNELS))
    mask = torch.tensor([[1.0] * length + [0.0] * (6 - length) for length in lengths])
    outputs, _ = pad_packed_sequence(lstm(pack_padded_sequence(x, lengths, batch_first=True))[0], batch_first=True)
    last = torch.stack([outputs[row, length - 1, :UNITS] for row, length in enumerate(lengths)])
    if bidirectional:
        last = torch.cat([last, outputs[:, 0, UNITS:]], dim=1)
    cells = []
    for layer in range(num_layers):
        for suffix in ["", "_reverse"] if bidirectional else [""]:
            weight = lambda kind: getattr(lstm, f"{kind}_l{layer}{suffix}").detach()
            bias = weight("bias_ih") + weight("bias_hh")
            cells.append([tensor_json(value) for value in (weight("weight_ih").T, weight("weight_hh").T, bias)])
    return {
        "name": name,
        "x": tensor_json(x.flatten(1)),
        "mask": numbers(mask.repeat_interleave(CHANNELS, dim=1)),
        "layers": num_layers,
        "bidirectional": bidirectional,
        "cells": cells,
        "last": numbers(last),
    }


# --- autoencoders of series -------------------------------------------------------------------


def zeros():
    return torch.zeros(BATCH, UNITS)


def series_weights(seed, directions, one_shot=False, head="code"):
    def make():
        weights = SeriesWeights(seed)
        weights.lstm("network.encoder.layers.0.forward", CHANNELS, UNITS)
        if directions == 2:
            weights.lstm("network.encoder.layers.0.backward", CHANNELS, UNITS)
        if one_shot:
            weights.lstm("network.decoder.cells.0", CODE, UNITS)
        else:
            weights.dense("network.decoder.starts.0", CODE, 2 * UNITS)
            weights.lstm("network.decoder.cells.0", CHANNELS, UNITS)
        weights.dense("network.decoder.output", UNITS, CHANNELS)
        if head == "code":
            weights.dense("code", directions * UNITS, CODE)
        else:
            weights.dense("posterior.mean", directions * UNITS, CODE)
            weights.dense("posterior.log_var", directions * UNITS, CODE)
        return weights

    return make


def last_outputs(weights, series):
    ends = []
    for direction, order in [("forward", range(TIME)), ("backward", reversed(range(TIME)))]:
        path = f"network.encoder.layers.0.{direction}"
        if f"{path}.bias" not in weights.tensors:
            continue
        state = zeros(), zeros()
        for time in order:
            state = weights.step(path, series[:, time], state)
        ends.append(state[0])
    return torch.cat(ends, dim=1)


def written(weights, z, reverse, one_shot=False, truth=None):
    """The series that the decoder writes; fed with `truth` in place of its own values where it is given."""
    path = "network.decoder.cells.0"
    if one_shot:
        state = zeros(), zeros()
    else:
        h, c = weights.linear("network.decoder.starts.0", z).chunk(2, dim=1)
        state = torch.tanh(h), c
    values, fed = [None] * TIME, torch.zeros(BATCH, CHANNELS)
    for time in reversed(range(TIME)) if reverse else range(TIME):
        state = weights.step(path, z if one_shot else fed, state)
        values[time] = weights.linear("network.decoder.output", state[0])
        fed = values[time] if truth is None else truth[:, time]
    return torch.cat(values, dim=1)


def series_cases():
    x = normal(30, (BATCH, TIME * CHANNELS))
    series = x.reshape(BATCH, TIME, CHANNELS)
    noise = [normal(300 + step, (BATCH, CODE)) for step in range(STEPS)]

    def lstm(name, seed, directions=1, reverse=True, one_shot=False, forced=False):
        config = {"hidden": [UNITS], "code_size": CODE, "bidirectional": directions == 2, "reverse": reverse}
        config |= {"decoding": "one_shot"} if one_shot else {"teacher_forcing": 1.0 if forced else 0.0}

        def objective(weights, step):
            z = weights.linear("code", last_outputs(weights, series))
            reconstruction = written(weights, z, reverse, one_shot, series if forced else None)
            return [("squared_error", per_example((reconstruction - x) ** 2), 1.0)]

        return case(name, {"lstm": config}, [TIME, CHANNELS], "real", x, [], series_weights(seed, directions, one_shot), objective)

    def vae(weights, step):
        features = last_outputs(weights, series)
        mean, log_var = weights.linear("posterior.mean", features), weights.linear("posterior.log_var", features)
        output = written(weights, mean + torch.exp(0.5 * log_var) * noise[step], True)
        nll = -torch.distributions.Normal(output, 0.5**0.5).log_prob(x)
        posterior = torch.distributions.Normal(mean, torch.exp(0.5 * log_var))
        kl = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0))
        return [("nll", per_example(nll), 1.0), ("kl", per_example(kl), 0.3)]

    vae_config = {"hidden": [UNITS], "latent_dim": CODE, "likelihood": {"gaussian": {"variance": 0.5}}, "beta": 0.3, "bidirectional": True}
    vae_weights = series_weights(36, 2, head="posterior")
    return [
        lstm("lstm_recurrent", 31),
        lstm("lstm_bidirectional", 32, directions=2, reverse=False),
        lstm("lstm_teacher_forcing", 33, forced=True),
        lstm("lstm_one_shot", 34, one_shot=True),
        lstm("lstm_one_shot_bidirectional", 35, directions=2, one_shot=True, reverse=False),
        case("sequence_vae", {"sequence_vae": vae_config}, [TIME, CHANNELS], "real", x, noise, vae_weights, vae),
    ]


# --- collaborative filtering ------------------------------------------------------------------


def collaborative_cases():
    items, code, hidden = 9, 3, 6
    generator = torch.Generator().manual_seed(40)
    ratings = torch.randint(1, 6, (BATCH, items), generator=generator).double()
    mask = (torch.rand((BATCH, items), generator=generator) > 0.5).double()
    chosen = (torch.rand((BATCH, items), generator=generator) > 0.6).double()
    kept = [(torch.rand((BATCH, items), generator=generator) > 0.5).double() for _ in range(STEPS)]
    noise = [normal(400 + step, (BATCH, code)) for step in range(STEPS)]

    def rec_weights():
        weights = Weights(41)
        weights.dense("encoder.layers.0", items, code)
        weights.dense("decoder.layers.0", code, items)
        return weights

    def decay(weights):
        return 0.5 * sum((tensor**2).sum() for path, tensor in weights.tensors.items() if path.endswith("weight"))

    def auto_rec(weights, step):
        predictions = weights.linear("decoder.layers.0", torch.sigmoid(weights.linear("encoder.layers.0", ratings * mask)))
        return [("squared_error", per_example((ratings - predictions) ** 2 * mask), 1.0), ("weight_decay", decay(weights), 0.05)]

    def dae_weights():
        weights = Weights(42)
        weights.dense("encoder.layers.0", items, code)
        weights.dense("decoder.layers.0", code, items)
        return weights

    def multinomial(logits):
        return per_example(-F.log_softmax(logits, dim=1) * chosen)

    def mult_dae(weights, step):
        shown = F.normalize(chosen, dim=1) * kept[step] * 2
        logits = weights.linear("decoder.layers.0", torch.tanh(weights.linear("encoder.layers.0", shown)))
        return [("nll", multinomial(logits), 1.0), ("weight_decay", decay(weights), 0.01)]

    def vae_weights():
        weights = Weights(43)
        weights.dense("encoder.layers.0", items, hidden)
        weights.dense("posterior.mean", hidden, code)
        weights.dense("posterior.log_var", hidden, code)
        weights.dense("decoder.layers.0", code, hidden)
        weights.dense("decoder.layers.1", hidden, items)
        return weights

    def mult_vae(weights, step):
        features = torch.tanh(weights.linear("encoder.layers.0", F.normalize(chosen, dim=1)))
        mean, log_var = weights.linear("posterior.mean", features), weights.linear("posterior.log_var", features)
        z = mean + torch.exp(0.5 * log_var) * noise[step]
        logits = weights.linear("decoder.layers.1", torch.tanh(weights.linear("decoder.layers.0", z)))
        posterior = torch.distributions.Normal(mean, torch.exp(0.5 * log_var))
        kl = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0))
        return [("nll", multinomial(logits), 1.0), ("kl", per_example(kl), 0.2), ("weight_decay", decay(weights), 0.01)]

    rec = {"code_size": code, "lambda": 0.05}
    dae = {"hidden": [], "code_size": code, "input_dropout": 0.5, "lambda": 0.01}
    vae = {"hidden": [hidden], "latent_dim": code, "beta": 0.2, "input_dropout": 0.0, "lambda": 0.01}
    observed = case("auto_rec", {"auto_rec": rec}, [items], "real", ratings, [], rec_weights, auto_rec) | {"mask": tensor_json(mask)}
    return [
        observed,
        case("mult_dae", {"mult_dae": dae}, [items], "binary", chosen, kept, dae_weights, mult_dae),
        case("mult_vae", {"mult_vae": vae}, [items], "binary", chosen, noise, vae_weights, mult_vae),
    ]


def main():
    layers = [layer_case("plain", 1, False, 1), layer_case("bidirectional", 1, True, 2), layer_case("stacked", 2, True, 3)]
    write("lstm", {"torch": torch.__version__, "cases": layers})
    write("sequence", {"torch": torch.__version__, "cases": series_cases() + collaborative_cases()})


if __name__ == "__main__":
    main()
