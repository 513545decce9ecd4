"""Milliseconds of one training step in PyTorch, for the networks of crates/aelab-models/examples/step_time.rs.

Usage: python pytorch_step_time.py THREADS [SECONDS]

The same shapes, activations, objective (squared error summed over features, averaged over the batch) and Adam
settings; the loss is read after every step there, so it is here. Each network is timed with PyTorch's default Adam
and with its fused one. Prints one line of JSON per network and optimizer. Needs: torch.
"""

import json
import statistics
import sys
import time

import torch
from torch import nn

BATCH_SIZE = 128
LEARNING_RATE = 1e-3
NUM_WARM_UP_STEPS = 10


def dense(widths, code_activation):
    """784 through `widths` and back; ReLU after each hidden layer, a linear output."""
    sizes = [784, *widths]
    sizes += sizes[-2::-1]
    layers = []
    for index, (num_inputs, num_outputs) in enumerate(zip(sizes, sizes[1:])):
        layers.append(nn.Linear(num_inputs, num_outputs))
        if index == len(widths) - 1:
            layers += code_activation
        elif index < len(sizes) - 2:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def convolutional():
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        nn.Conv2d(1, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 32),
        nn.Linear(32, 64 * 7 * 7),
        nn.ReLU(),
        nn.Unflatten(1, (64, 7, 7)),
        nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 3, stride=2, padding=1, output_padding=1),
        nn.Flatten(),
    )


NETWORKS = {
    "784-1000-500-250-30": lambda: dense([1000, 500, 250, 30], []),
    "784-32": lambda: dense([32], [nn.ReLU()]),
    "conv 1-32-64-32": convolutional,
}


def time_steps(model, optimizer, seconds):
    """Milliseconds of every step after a warm-up, on one batch of uniform values."""
    x = torch.rand(BATCH_SIZE, 784, generator=torch.Generator().manual_seed(1))
    milliseconds = []
    begin = time.perf_counter()
    step = 0
    while step <= NUM_WARM_UP_STEPS or time.perf_counter() - begin < seconds:
        if step == NUM_WARM_UP_STEPS:
            begin = time.perf_counter()
        since = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = (model(x) - x).square().sum(1).mean()
        loss.backward()
        optimizer.step()
        loss.item()
        if step >= NUM_WARM_UP_STEPS:
            milliseconds.append((time.perf_counter() - since) * 1e3)
        step += 1
    return milliseconds


def main():
    threads = int(sys.argv[1])
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 2.0
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    for name, build in NETWORKS.items():
        for optimizer_name, options in [("adam", {}), ("adam fused", {"fused": True})]:
            torch.manual_seed(1)
            model = build()
            optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, **options)
            milliseconds = time_steps(model, optimizer, seconds)
            line = {
                "side": "pytorch",
                "network": name,
                "optimizer": optimizer_name,
                "threads": threads,
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
                "steps": len(milliseconds),
                "milliseconds": statistics.median(milliseconds),
                "version": torch.__version__,
            }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
