"""The workloads: PyTorch's side of each, and the request for ours.

A workload is built to a `Side`: the arrays that ours starts from, the results that must agree, and what is timed.
"""
import time
from dataclasses import dataclass, field
from typing import Callable

import torch

import models
import ops

WORKLOADS = {}


@dataclass
class Side:
    #: The request that loads ours; a file with `arrays` joins it.
    request: dict
    #: What ours starts from.
    arrays: dict
    #: {variant: a function that runs it once and returns seconds}.
    variants: dict
    #: Returns {name: array}; gradients are called "gradient of NAME".
    results: Callable
    #: {variant: ("gemm", operations) or ("read", bytes)}: what the limit of the machine is set against.
    work: dict = field(default_factory=dict)
    #: Tokens of one run.
    tokens: int = 0
    #: The largest deviation from our results, relative to the largest entry.
    tolerance: float = 1e-4
    #: Whether ours alone runs, for its peak memory.
    memory: bool = False


def workload(name):
    def register(build):
        WORKLOADS[name] = build
        return build
    return register


def timed(run):
    def once():
        start = time.perf_counter()
        run()
        if torch.get_default_device().type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start
    return once


def op(name, function, inputs, variants=("forward", "train"), forward_flops=None, train_factor=3, **options):
    """`inputs`: {our name: tensor}, in the order of `function`'s parameters."""
    leaves = [x.requires_grad_() for x in inputs.values()]

    def forward():
        with torch.no_grad():
            return function(*leaves)

    def train():
        function(*leaves).sum().backward()
        gradients = [x.grad for x in leaves]
        for x in leaves:
            x.grad = None
        return gradients

    def results():
        found = {"output": forward()}
        if "train" in variants:
            found |= {f"gradient of {key}": x for key, x in zip(inputs, train())}
        return found

    runs = {"forward": timed(forward), "train": timed(train)}
    work = forward_flops and {"forward": ("gemm", forward_flops), "train": ("gemm", train_factor * forward_flops)}
    return Side({"kind": "op", "name": name}, dict(inputs), {v: runs[v] for v in variants}, results, work or {},
                **options)


def normal(*shape):
    return torch.randn(*shape)


for seq, batch in ((256, 8), (1024, 2), (4096, 1)):
    # Of the two products of a causal map half counts; with gradients there are seven, scores twice.
    @workload(f"attention/b{batch}_h8_s{seq}_d64")
    def attention(batch=batch, seq=seq):
        inputs = {name: normal(batch, 8, seq, 64) for name in "qkv"}
        return op("attention", ops.attention, inputs, tokens=batch * seq,
                  forward_flops=2 * batch * 8 * seq**2 * 64, train_factor=3.5)


def scan_inputs(batch, seq, d_inner, d_state):
    return {"u": normal(batch, seq, d_inner), "delta": torch.rand(batch, seq, d_inner) * 0.1,
            "a": -torch.arange(1, d_state + 1).float().repeat(d_inner, 1),
            "b": normal(batch, seq, d_state), "c": normal(batch, seq, d_state)}


for seq in (1024, 4096):
    @workload(f"selective_scan/b2_s{seq}_d512_n16")
    def selective_scan(seq=seq):
        return op("selective_scan", ops.scan_by_mambapy, scan_inputs(2, seq, 512, 16), tokens=2 * seq)


@workload("selective_scan_loop/b2_s1024_d512_n16")
def selective_scan_loop():
    return op("selective_scan", ops.scan_by_loop, scan_inputs(2, 1024, 512, 16), ("forward",), tokens=2048)


def matrix_state_flops(seq):
    """Scores and values, of which half counts, reads and writes of the state, in chunks of 64 with heads of 64 × 64."""
    return 2 * 8 * seq * (64 + 64 + 2 * 64 + 2 * 64) * 64


for seq in (1024, 4096):
    @workload(f"scalar_decay/b2_h8_s{seq}_k64_v64")
    def scalar_decay(seq=seq):
        heads = {name: normal(2, seq, 8, 64) for name in "qkv"}
        return op("scalar_decay", ops.scalar_decay, heads | {"log_decay": -torch.rand(2, seq, 8) * 0.1},
                  tokens=2 * seq, forward_flops=matrix_state_flops(seq))


@workload("vector_decay/b2_h8_s1024_k64_v64")
def vector_decay():
    heads = {name: normal(2, 1024, 8, 64) for name in "qkv"}
    return op("vector_decay", ops.vector_decay, heads | {"log_decay": -torch.rand(2, 1024, 8, 64) * 0.1},
              tokens=2048, forward_flops=matrix_state_flops(1024))


@workload("delta_rule/b2_h8_s1024_k64_v64")
def delta_rule():
    heads = {name: normal(2, 1024, 8, 64) for name in "qkv"}
    gates = {"log_decay": -torch.rand(2, 1024, 8) * 0.1, "beta": torch.rand(2, 1024, 8)}
    return op("delta_rule", ops.delta_rule, heads | gates, tokens=2048)


def linear_weights(model):
    return sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear))


def training(model, batch, seq, mixer_flops=0):
    """A step on a batch: loss, gradients, clipping, AdamW. `mixer_flops`: of all layers' mixers, with gradients."""
    tokens = torch.randint(0, model.config.vocab_size, (batch, seq))
    parameters = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    arrays = models.renamed(model, parameters) | {"tokens": tokens}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def backward():
        optimizer.zero_grad()
        loss = model(input_ids=tokens, labels=tokens, use_cache=False).loss
        loss.backward()
        return loss.detach().reshape(1)

    def step():
        backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    def results():
        found = {"loss": backward()}
        gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
        found |= {f"gradient of {key}": x for key, x in models.renamed(model, gradients).items()}
        for _ in range(3):
            step()
        return found | {"loss after three steps": backward()}

    flops = 6 * batch * seq * linear_weights(model) + mixer_flops
    return Side({"kind": "training", "model": models.ours(model)}, arrays, {"train": timed(step)}, results,
                {"train": ("gemm", flops)}, batch * seq)


VOCAB = 32


def attention_flops(n_layers, batch, seq, d_model):
    """As of the op."""
    return 3.5 * n_layers * 2 * batch * seq**2 * d_model


def mamba2_flops(n_layers, batch, seq, d_model):
    """As of the op, but that all heads share their scores; a state of 64."""
    return 3 * n_layers * batch * seq * 64 * (64 + (64 + 2 * 64 + 2 * 64) * 2 * d_model // 64)


@workload("model/transformer_4x128_b32_s256")
def transformer_4x128():
    return training(models.neox(VOCAB, 128, 4, 8), 32, 256, attention_flops(4, 32, 256, 128))


@workload("model/mamba_4x128_b32_s256")
def mamba_4x128():
    return training(models.mamba(VOCAB, 128, 4, use_mambapy=True), 32, 256)


@workload("model/mamba2_4x128_b32_s256")
def mamba2_4x128():
    return training(models.mamba2(VOCAB, 128, 4), 32, 256, mamba2_flops(4, 32, 256, 128))


@workload("model/transformer_6x512_b4_s512")
def transformer_6x512():
    return training(models.neox(VOCAB, 512, 6, 8), 4, 512, attention_flops(6, 4, 512, 512))


@workload("model/mamba2_6x512_b4_s512")
def mamba2_6x512():
    return training(models.mamba2(VOCAB, 512, 6), 4, 512, mamba2_flops(6, 4, 512, 512))


def decoding(model, tokens=32):
    """Greedy decoding of `tokens` tokens after a prompt of 64, without the time for the prompt."""
    model.eval()
    prompt = torch.randint(0, 1000, (1, 64))
    arrays = models.renamed(model, dict(model.named_parameters())) | {"tokens": prompt}

    def generate(count):
        return model.generate(prompt, max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=0)

    def run():
        return timed(lambda: generate(2 + tokens))() - timed(lambda: generate(2))()

    weights = tokens * linear_weights(model)
    return Side({"kind": "decoding", "model": models.ours(model), "tokens": tokens}, arrays,
                {"decode": run, "decode_bf16": run, "decode_int8": run}, lambda: {"tokens": generate(tokens)[0, 64:]},
                {"decode": ("read", 4 * weights), "decode_bf16": ("read", 2 * weights), "decode_int8": ("read", weights)},
                tokens, tolerance=0)


@workload("decode/transformer_160m")
def transformer_160m():
    return decoding(models.neox(50304, 768, 12, 12))


@workload("decode/mamba_130m")
def mamba_130m():
    return decoding(models.mamba(50280, 768, 24))


def memory(op, seq):
    """The peak of the resident memory of a process that runs our op with gradients."""
    return Side({"kind": "random_op", "name": op, "seq": seq}, {}, {"train": None}, dict, tokens=seq, memory=True)


@workload("memory/attention_b1_h8_s16384_d64")
def attention_memory():
    return memory("attention", 16384)


@workload("memory/selective_scan_b1_s32768_d512_n16")
def selective_scan_memory():
    return memory("selective_scan", 32768)


@workload("memory/selective_scan_b1_s65536_d512_n16")
def selective_scan_memory_twice():
    return memory("selective_scan", 65536)
