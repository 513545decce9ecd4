"""One training step in PyTorch, for the networks of crates/aelab-bench/src/networks.rs.

The same mathematics as there, written as one would write it in PyTorch for speed: fused Adam, closed forms, no
statistics that only aelab reports. Objectives are summed over features and averaged over the batch. What is said of
compiling, channels-last images and sparse codes below is a *form*: the same network, another way to compute it; the
benchmark takes the fastest.

    python pytorch_step_time.py [--threads N] [--seconds S] [--only PART] [--batch-sizes 32 128] [--forms eager compiled]
    python pytorch_step_time.py --agree FOLDER        20 steps that examples/record_steps.rs wrote, taken again

Prints a line of JSON for each network, batch size and form. Needs: torch, numpy.
"""

import argparse
import json
import math
import os
import statistics
import sys
import time
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F
from torch import nn

LEARNING_RATE = 1e-3
NUM_WARM_UP_STEPS = 10
# Compilers look at the first steps, and their kernels at the first data.
NUM_WARM_UP_STEPS_COMPILED = 15
# Largest relative difference of the first loss.
AGREEMENT_OF_THE_FIRST = 1e-5


class Parameters:
    """Arrays of a recording, handed out by name, so that what was not asked for is noticed."""

    def __init__(self, folder):
        self.arrays = {path.name.removesuffix(".npy"): numpy.load(path) for path in Path(folder).glob("*.npy")}

    def take(self, name):
        return torch.from_numpy(self.arrays.pop(name))

    def linear(self, layer, name):
        """Weights are [input, output] there."""
        layer.weight.data.copy_(self.take(name + ".weight").T)
        layer.bias.data.copy_(self.take(name + ".bias"))

    def convolution(self, layer, name):
        layer.weight.data.copy_(self.take(name + ".weight"))
        layer.bias.data.copy_(self.take(name + ".bias"))

    def lstm(self, input_weight, recurrent_weight, bias, name):
        input_weight.data.copy_(self.take(name + ".input").T)
        recurrent_weight.data.copy_(self.take(name + ".recurrent").T)
        bias.data.copy_(self.take(name + ".bias"))


class Network(nn.Module):
    """`forward(x, noise)` is the objective; `noise` is None, or the draws of a recorded step."""

    # Features of an example.
    num_features = 784
    # Draws of a recorded step that count here.
    num_draws = 0
    # Largest relative difference of a loss within 20 steps.
    agreement = 1e-4
    # What this form is called beside `eager` and `compiled`.
    form = ""

    def compiled(self, **options):
        """A function like `forward`."""
        return torch.compile(self, **options)

    def num_trained(self):
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)


def squared_error(output, x):
    return (output - x).square().sum() / x.shape[0]


def cross_entropy(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / x.shape[0]


class Dense(Network):
    """784 through `widths` and back; ReLU after each hidden layer, a linear output, squared error."""

    def __init__(self, widths, code_activation=()):
        super().__init__()
        sizes = [784, *widths]
        sizes += sizes[-2::-1]
        layers = []
        for index, (num_inputs, num_outputs) in enumerate(zip(sizes, sizes[1:])):
            layers.append(nn.Linear(num_inputs, num_outputs))
            if index == len(widths) - 1:
                layers += code_activation
            elif index < len(sizes) - 2:
                layers.append(nn.ReLU())
        self.layers = nn.Sequential(*layers)

    def forward(self, x, noise=None):
        return squared_error(self.layers(x), x)

    def load(self, parameters):
        layers = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        half = len(layers) // 2
        for index, layer in enumerate(layers):
            side = "encoder.Dense" if index < half else "decoder.Untied.Dense"
            parameters.linear(layer, f"network.{side}.layers.{index % half}")


def conv_encoder():
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        nn.Conv2d(1, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
    )


def conv_decoder(code_size):
    return nn.Sequential(
        nn.Linear(code_size, 64 * 7 * 7),
        nn.ReLU(),
        nn.Unflatten(1, (64, 7, 7)),
        nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 3, stride=2, padding=1, output_padding=1),
        nn.Flatten(),
    )


def load_convolutions(parameters, encoder, decoder, names):
    for layers, name in zip((encoder, decoder), names):
        kinds = (nn.Conv2d, nn.ConvTranspose2d)
        for index, layer in enumerate(layer for layer in layers if isinstance(layer, kinds)):
            parameters.convolution(layer, f"network.{name}.Convolutional.maps.convolutions.{index}")


class Convolutional(Network):
    def __init__(self):
        super().__init__()
        self.encoder = conv_encoder()
        self.code = nn.Linear(64 * 7 * 7, 32)
        self.decoder = conv_decoder(32)

    def forward(self, x, noise=None):
        return squared_error(self.decoder(self.code(self.encoder(x))), x)

    def load(self, parameters):
        load_convolutions(parameters, self.encoder, self.decoder, ("encoder", "decoder.Untied"))
        parameters.linear(self.code, "network.encoder.Convolutional.dense.layers.0")
        parameters.linear(self.decoder[0], "network.decoder.Untied.Convolutional.dense.layers.0")


class ChannelsLast:
    """Weights of convolutions with the channels innermost, which the maps then take on."""

    form = "channels last"

    def __init__(self):
        super().__init__()
        self.to(memory_format=torch.channels_last)


class ConvolutionalChannelsLast(ChannelsLast, Convolutional):
    pass


class Variational(Network):
    """A Gaussian code of 20, Bernoulli outputs, one sample."""

    num_draws = 1

    def __init__(self):
        super().__init__()
        self.encoder, num_inputs, self.decoder = self.halves()
        # Mean and logarithm of the variance in one product.
        self.head = nn.Linear(num_inputs, 40)

    def halves(self):
        decoder = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784))
        return nn.Sequential(nn.Linear(784, 400), nn.ReLU()), 400, decoder

    def forward(self, x, noise=None):
        mean, log_var = self.head(self.encoder(x)).chunk(2, 1)
        deviation = torch.exp(0.5 * log_var)
        epsilon = torch.randn_like(mean) if noise is None else noise[0]
        logits = self.decoder(mean + deviation * epsilon)
        kl = -0.5 * (1 + log_var - mean.square() - deviation.square()).sum() / x.shape[0]
        return cross_entropy(logits, x) + kl

    def load(self, parameters):
        for part, rows in (("mean", slice(0, 20)), ("log_var", slice(20, 40))):
            self.head.weight.data[rows] = parameters.take(f"network.posterior.{part}.weight").T
            self.head.bias.data[rows] = parameters.take(f"network.posterior.{part}.bias")
        self.load_halves(parameters)

    def load_halves(self, parameters):
        parameters.linear(self.encoder[0], "network.encoder.Dense.layers.0")
        for index, layer in enumerate((self.decoder[0], self.decoder[2])):
            parameters.linear(layer, f"network.decoder.Dense.layers.{index}")


class VariationalConvolutional(Variational):
    def halves(self):
        return conv_encoder(), 64 * 7 * 7, conv_decoder(20)

    def load_halves(self, parameters):
        load_convolutions(parameters, self.encoder, self.decoder, ("encoder", "decoder"))
        parameters.linear(self.decoder[0], "network.decoder.Convolutional.dense.layers.0")


class VariationalConvolutionalChannelsLast(ChannelsLast, VariationalConvolutional):
    pass


class SparseKl(Network):
    """Sigmoid code and output, squared error, 3 KL(0.05 || average activation)."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(784, 196), nn.Linear(196, 784)

    def forward(self, x, noise=None):
        z = torch.sigmoid(self.encoder(x))
        average, rho = z.mean(0), 0.05
        cross = -rho * average.log().sum() - (1 - rho) * torch.log1p(-average).sum()
        entropy = -rho * math.log(rho) - (1 - rho) * math.log(1 - rho)
        return squared_error(torch.sigmoid(self.decoder(z)), x) + 3.0 * (cross - 196 * entropy)

    def load(self, parameters):
        parameters.linear(self.encoder, "network.encoder.Dense.layers.0")
        parameters.linear(self.decoder, "network.decoder.Untied.Dense.layers.0")


class Tied(Network):
    """784 to 1000 and back through the same weight."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(784, 1000)
        self.bias = nn.Parameter(torch.zeros(784))

    def decode(self, z):
        return torch.addmm(self.bias, z, self.encoder.weight)

    def load(self, parameters):
        parameters.linear(self.encoder, "network.encoder.Dense.layers.0")
        self.bias.data.copy_(parameters.take("network.decoder.Tied.biases.0"))


class KSparse(Tied):
    """Of a linear code the 25 largest are kept; squared error."""

    def forward(self, x, noise=None):
        z = self.encoder(x)
        values, indices = z.topk(25, sorted=False)
        return squared_error(self.decode(torch.zeros_like(z).scatter(1, indices, values)), x)

    def load(self, parameters):
        super().load(parameters)
        # How many are kept outside training.
        parameters.take("num_kept")


class KSparseRows(KSparse):
    """Decodes by adding 25 rows of the weight."""

    form = "sparse rows"

    def forward(self, x, noise=None):
        values, indices = self.encoder(x).topk(25, sorted=False)
        output = F.embedding_bag(indices, self.encoder.weight, per_sample_weights=values, mode="sum") + self.bias
        return squared_error(output, x)


class Contractive(Tied):
    """Sigmoid code, Bernoulli outputs, 0.1 times the squared norm of the Jacobian in closed form."""

    def forward(self, x, noise=None):
        z = torch.sigmoid(self.encoder(x))
        norms = self.encoder.weight.square().sum(1)
        slopes = (z * (1 - z)).square().sum(0)
        return cross_entropy(self.decode(z), x) + 0.1 / x.shape[0] * torch.dot(slopes, norms)


class Boltzmann(Network):
    """CD-1 by hand: sampled hidden states, means elsewhere; momentum 0.5, rate 0.1, weight cost 2e-4."""

    num_draws = 1
    # A probability within rounding of its draw makes another state, and everything after it a little different.
    agreement = 5e-3

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(784, 1000) * 0.1, requires_grad=False)
        self.visible_bias = nn.Parameter(torch.zeros(784), requires_grad=False)
        self.hidden_bias = nn.Parameter(torch.zeros(1000), requires_grad=False)
        for name in ("weight", "visible_bias", "hidden_bias"):
            self.register_buffer(name + "_velocity", torch.zeros_like(getattr(self, name)))

    def num_trained(self):
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, x, noise=None):
        """The update, and the reconstruction error before it."""
        scale, rate, momentum, cost = 1 / x.shape[0], 0.1, 0.5, 2e-4
        hidden = torch.sigmoid(torch.addmm(self.hidden_bias, x, self.weight))
        uniform = torch.rand_like(hidden) if noise is None else noise[0]
        states = (hidden > uniform).to(x.dtype)
        visible = torch.sigmoid(torch.addmm(self.visible_bias, states, self.weight.T))
        again = torch.sigmoid(torch.addmm(self.hidden_bias, visible, self.weight))
        # velocity <- momentum velocity + rate (gradient - cost W), both products added in place.
        velocity = self.weight_velocity
        velocity.addmm_(x.T, hidden, beta=momentum, alpha=rate * scale)
        velocity.addmm_(visible.T, again, alpha=-rate * scale).add_(self.weight, alpha=-rate * cost)
        change = x - visible
        self.visible_bias_velocity.mul_(momentum).add_(change.mean(0), alpha=rate)
        self.hidden_bias_velocity.mul_(momentum).add_((hidden - again).mean(0), alpha=rate)
        self.weight.add_(velocity)
        self.visible_bias.add_(self.visible_bias_velocity)
        self.hidden_bias.add_(self.hidden_bias_velocity)
        return change.square().sum() * scale

    def load(self, parameters):
        self.weight.copy_(parameters.take("stack.encoder.layers.0.weight"))
        self.hidden_bias.copy_(parameters.take("stack.encoder.layers.0.bias"))
        self.visible_bias.copy_(parameters.take("stack.decoder.Untied.layers.0.bias"))
        # The decoder's own weight waits for fine-tuning.
        parameters.take("stack.decoder.Untied.layers.0.weight")


class LstmOneShot(Network):
    """140 values through 64 units to a code of 64, and back with the code as the input of every step, the last step first."""

    num_features = 140

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.LSTM(1, 64), nn.LSTM(64, 64)
        for lstm in (self.encoder, self.decoder):
            # Only the sum of the two biases matters; one is trained.
            lstm.bias_hh_l0.data.zero_()
            lstm.bias_hh_l0.requires_grad_(False)
        self.code, self.output = nn.Linear(64, 64), nn.Linear(64, 1)

    def forward(self, x, noise=None):
        steps = x.T.contiguous().unsqueeze(2)
        _, (last, _) = self.encoder(steps)
        z = self.code(last[0])
        written, _ = self.decoder(z.expand(140, -1, -1))
        return squared_error(self.output(written).squeeze(2).flip(0), steps.squeeze(2)) * (140 / x.shape[0])

    def load(self, parameters):
        for lstm, name in ((self.encoder, "encoder.layers.0.forward"), (self.decoder, "decoder.cells.0")):
            parameters.lstm(lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, "network." + name)
        parameters.linear(self.code, "code")
        parameters.linear(self.output, "network.decoder.output")


class LstmRecurrent(Network):
    """The code makes the decoder's first memory; each step is fed with the value written before, the last step first."""

    num_features = 140

    def __init__(self):
        super().__init__()
        self.encoder, self.cell = nn.LSTM(1, 64), nn.LSTMCell(1, 64)
        for bias in (self.encoder.bias_hh_l0, self.cell.bias_hh):
            bias.data.zero_()
            bias.requires_grad_(False)
        self.code, self.start, self.output = nn.Linear(64, 64), nn.Linear(64, 128), nn.Linear(64, 1)
        self.step = self.one_step

    def one_step(self, value, h, c):
        h, c = self.cell(value, (h, c))
        return self.output(h), h, c

    def forward(self, x, noise=None):
        _, (last, _) = self.encoder(x.T.contiguous().unsqueeze(2))
        h, c = self.start(self.code(last[0])).chunk(2, 1)
        h, value, written = h.tanh(), x.new_zeros(x.shape[0], 1), []
        for _ in range(140):
            value, h, c = self.step(value, h, c)
            written.append(value)
        return squared_error(torch.cat(written[::-1], 1), x)

    def compiled(self, **options):
        """One step is compiled: all 140 in one graph take minutes to compile."""
        self.step = torch.compile(self.one_step, **options)
        return self

    def load(self, parameters):
        lstm, cell = self.encoder, self.cell
        parameters.lstm(lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, "network.encoder.layers.0.forward")
        parameters.lstm(cell.weight_ih, cell.weight_hh, cell.bias_ih, "network.decoder.cells.0")
        parameters.linear(self.code, "code")
        parameters.linear(self.start, "network.decoder.starts.0")
        parameters.linear(self.output, "network.decoder.output")


# By the names of networks.rs: the forms of each.
NETWORKS = {
    "784-1000-500-250-30": [lambda: Dense([1000, 500, 250, 30])],
    "784-32": [lambda: Dense([32], [nn.ReLU()])],
    "conv 1-32-64-32": [Convolutional, ConvolutionalChannelsLast],
    "vae 784-400-20": [Variational],
    "vae conv 1-32-64-20": [VariationalConvolutional, VariationalConvolutionalChannelsLast],
    "sparse kl 784-196": [SparseKl],
    "k-sparse 784-1000": [KSparse, KSparseRows],
    "contractive 784-1000 tied": [Contractive],
    "rbm 784-1000 cd-1": [Boltzmann],
    "lstm 140x1-64 one-shot": [LstmOneShot],
    "lstm 140x1-64 recurrent": [LstmRecurrent],
}
FORMS = ("eager", "compiled")


class Steps:
    """A network in training on one batch."""

    def __init__(self, network, x, how="eager", **options):
        self.network, self.x, self.how = network, x, how
        self.objective = network.compiled(**options) if how == "compiled" else network
        self.form = " ".join(filter(None, (how, network.form)))
        self.warm = False
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(trained, lr=LEARNING_RATE, fused=True) if trained else None

    def step(self, noise=None):
        """Forward, backward, update; the loss is read, as it is in aelab."""
        if self.optimizer is None:
            with torch.no_grad():
                return self.objective(self.x, noise).item()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.objective(self.x, noise)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def warm_up(self):
        if not self.warm:
            for _ in range(NUM_WARM_UP_STEPS_COMPILED if self.how == "compiled" else NUM_WARM_UP_STEPS):
                self.step()
            self.warm = True

    def time(self, seconds):
        """Milliseconds of each step."""
        self.warm_up()
        for _ in range(3):
            self.step()
        milliseconds, begin = [], time.perf_counter()
        while not milliseconds or time.perf_counter() - begin < seconds:
            since = time.perf_counter()
            self.step()
            milliseconds.append((time.perf_counter() - since) * 1e3)
        return milliseconds


def batch(name, batch_size, device):
    """Uniform values, as the data of aelab's side."""
    x = torch.rand(batch_size, NETWORKS[name][0]().num_features, generator=torch.Generator().manual_seed(1))
    return x.to(device)


def forms(name, batch_size, hows, device, **options):
    """The network in each of its forms, in training."""
    torch.manual_seed(1)
    x = batch(name, batch_size, device)
    return [Steps(build().to(device), x, how, **options) for build in NETWORKS[name] for how in hows]


def differences_of(folder, build, how="eager", device="cpu"):
    """Relative differences between the losses of a recording and those found here, step by step."""
    folder = Path(folder)
    recorded = json.loads((folder / "steps.json").read_text())
    network, parameters = build(), Parameters(folder / "parameters")
    network.load(parameters)
    if parameters.arrays:
        raise SystemExit(f"{recorded['network']}: nothing here is {sorted(parameters.arrays)}")
    steps = Steps(network.to(device), torch.from_numpy(numpy.load(folder / "batch.npy")).to(device), how)
    draws = [torch.from_numpy(numpy.load(path)).to(device) for path in sorted((folder / "noise").glob("*.npy"))]
    differences = []
    for expected, num_draws in zip(numpy.load(folder / "losses.npy"), recorded["draws"]):
        noise, draws = draws[: network.num_draws], draws[num_draws:]
        found = steps.step(noise or None)
        differences.append(abs(found - expected) / abs(expected))
    return [difference if math.isfinite(difference) else math.inf for difference in differences]


def agree(folder, device, out=sys.stdout):
    """Checks every recording in a folder in every form; the names of those that disagree."""
    wrong = []
    for path in sorted(Path(folder).glob("*/steps.json")):
        recorded = json.loads(path.read_text())
        for build in NETWORKS[recorded["network"]]:
            differences = differences_of(path.parent, build, device=device)
            name = ", ".join(filter(None, (recorded["network"], build().form, f"batch {recorded['batch_size']}")))
            print(f"{name}: {len(differences)} losses within {max(differences):.1e}", file=out, flush=True)
            if not (differences[0] <= AGREEMENT_OF_THE_FIRST and max(differences) <= build().agreement):
                wrong.append(name)
    return wrong


def can_compile():
    """Why not, or None."""
    try:
        torch.compile(lambda x: x.sin() + 1)(torch.ones(64))
    except Exception as error:  # pylint: disable=broad-exception-caught
        return str(error).strip().splitlines()[0]
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=2.0, help="of measuring each line")
    parser.add_argument("--only", default="", help="part of a network's name")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[128])
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--agree", metavar="FOLDER")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.agree:
        wrong = agree(arguments.agree, arguments.device)
        return f"losses do not agree: {', '.join(wrong)}" if wrong else 0
    for name in (name for name in NETWORKS if arguments.only in name):
        for batch_size in arguments.batch_sizes:
            for steps in forms(name, batch_size, arguments.forms, arguments.device):
                milliseconds = steps.time(arguments.seconds)
                line = {
                    "side": "pytorch",
                    "network": name,
                    "batch_size": batch_size,
                    "form": steps.form,
                    "threads": arguments.threads,
                    "parameters": steps.network.num_trained(),
                    "steps": len(milliseconds),
                    "milliseconds": statistics.median(milliseconds),
                }
                print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
