"""A Markdown table of the lines that step_time.rs and pytorch_step_time.py print.

Usage: python table.py LINES.jsonl

A cell is the median over rounds of each round's median step, with the smallest and the largest round beside it.
A ratio is PyTorch's time divided by aelab's: above 1, aelab is faster. Fails when the two sides disagree about the
number of parameters of a network: they would not be the same network.
"""

import json
import statistics
import sys
from collections import defaultdict

AELAB, DEFAULT, FUSED = ("aelab", "adam"), ("pytorch", "adam"), ("pytorch", "adam fused")


def main():
    rounds = defaultdict(list)
    parameters = defaultdict(set)
    with open(sys.argv[1], encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            rounds[line["network"], line["threads"], (line["side"], line["optimizer"])].append(line["milliseconds"])
            parameters[line["network"]].add(line["parameters"])
    for network, counts in parameters.items():
        if len(counts) != 1:
            sys.exit(f"{network}: the two sides have {sorted(counts)} parameters, so they are not the same network")

    def cell(values):
        return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"

    print("| network | parameters | threads | aelab, ms | PyTorch Adam, ms | PyTorch fused Adam, ms | ratio | ratio to fused |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for network, threads in sorted({key[:2] for key in rounds}, key=lambda key: (list(parameters).index(key[0]), key[1])):
        ours, default, fused = (rounds[network, threads, side] for side in (AELAB, DEFAULT, FUSED))
        ratios = [statistics.median(theirs) / statistics.median(ours) for theirs in (default, fused)]
        cells = [network, f"{parameters[network].copy().pop():,}", threads, cell(ours), cell(default), cell(fused)]
        print("|", " | ".join([*map(str, cells), *(f"{ratio:.2f}" for ratio in ratios)]), "|")


if __name__ == "__main__":
    main()
