#!/usr/bin/env python3
"""Times flash-linear-attention's kernels on the shapes that compare.py has for scalar_decay and delta_rule.

    pip install flash-linear-attention
    python3 benches/pytorch/fla.py

Needs a GPU that Triton knows. Where it refuses a backward, it says so.
"""
import statistics
import time

import torch
import torch.nn.functional as F
from fla.ops.gated_delta_rule import chunk_gated_delta_rule
from fla.ops.simple_gla import chunk_simple_gla

BATCH, SEQ, HEADS, DIM = 2, 1024, 8, 64
CALLS, ROUNDS = 20, 5


def milliseconds(run):
    """Of a call, the median of some rounds; the queue is empty before a round and after."""
    for _ in range(3):
        run()
    rounds = []
    for _ in range(ROUNDS):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        for _ in range(CALLS):
            run()
        torch.cuda.synchronize()
        rounds.append((time.perf_counter() - begun) / CALLS * 1e3)
    return statistics.median(rounds)


def report(function, *arrays):
    def forward():
        with torch.no_grad():
            function(*arrays)

    def train():
        leaves = [array.detach().requires_grad_() for array in arrays]
        torch.autograd.grad(function(*leaves)[0].sum(), leaves)

    for name, run in (("forward", forward), ("train", train)):
        try:
            print(f"{function.__name__} {name} {milliseconds(run):.3f} ms", flush=True)
        except RuntimeError as refused:
            print(f"{function.__name__} {name}: {refused}", flush=True)


def main():
    torch.manual_seed(0)
    torch.set_default_device("cuda")
    of_heads = (BATCH, SEQ, HEADS)
    q, k, v = (torch.randn(*of_heads, DIM) for _ in range(3))
    log_decay = F.logsigmoid(torch.randn(of_heads))
    report(chunk_simple_gla, q, k, v, log_decay)
    report(chunk_gated_delta_rule, q, F.normalize(k, dim=-1), v, log_decay, torch.rand(of_heads))


if __name__ == "__main__":
    main()
