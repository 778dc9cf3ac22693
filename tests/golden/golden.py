"""What the export scripts share: seeded tensors, gradients for a fixed cotangent, one file per script.

Values are drawn as float32 and every script computes on them in float64, so the only rounding in a
file is the final one.
"""
import json
import struct
import sys
import zlib
from pathlib import Path

# Without these kernels Transformers falls back to its plain PyTorch code.
for package in ("fla", "mamba_ssm", "causal_conv1d", "kernels"):
    sys.modules[package] = None

import numpy as np
import torch
from torch import nn

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
torch.set_default_dtype(torch.float64)


def keep_float64():
    """Makes the casts to float32 inside Transformers' modules casts to float64. Call after importing them."""
    torch.Tensor.float = torch.Tensor.double
    torch.float32 = torch.float = torch.float64


class Golden:
    """The tensors of one golden file. `hyper` goes into its metadata, as strings."""

    def __init__(self, script, **hyper):
        self.path = Path(script).resolve().with_name("data.safetensors")
        self.rng = np.random.default_rng(zlib.crc32(self.path.parent.name.encode()))
        self.hyper = {key: str(value) for key, value in hyper.items()}
        self.tensors = {}
        self.leaves = {}

    def normal(self, *shape):
        return torch.from_numpy(self.rng.standard_normal(shape, dtype=np.float32)).double()

    def uniform(self, low, high, *shape):
        return torch.from_numpy(self.rng.uniform(low, high, shape).astype(np.float32)).double()

    def store(self, name, tensor):
        assert name not in self.tensors, name
        self.tensors[name] = np.ascontiguousarray(tensor.detach().numpy(), dtype=np.float32)

    def leaf(self, name, values):
        """An input: stored as `name`, its gradient as `grad.name`."""
        self.store(name, values)
        self.leaves[name] = values.clone().requires_grad_()
        return self.leaves[name]

    def parameters(self, module):
        """Draws every parameter of `module` so that leaving any one out, or at its usual initial value, shows."""
        for name, parameter in module.named_parameters():
            if name.endswith("A_log"):
                values = self.uniform(0.5, 4.0, *parameter.shape).log()
            elif name.endswith("recurrent_param"):
                # From decays that RecurrentGemma's bound on the square root acts on, up.
                values = self.uniform(-20.0, 1.0, *parameter.shape)
            elif name in ("dt_bias", "dt_proj.bias"):
                values = self.uniform(-3.0, 0.5, *parameter.shape)
            elif "norm" in name:
                values = 1 + 0.4 * self.normal(*parameter.shape)
            elif parameter.dim() > 1:
                values = self.normal(*parameter.shape) / parameter[0].numel() ** 0.5
            else:
                values = 0.5 * self.normal(*parameter.shape)
            with torch.no_grad():
                parameter.copy_(torch.from_numpy(values.numpy().astype(np.float32)))
            self.store(f"param.{name}", parameter)
            self.leaves[name] = parameter
        return module.eval()

    def backward(self, out, name="y", cotangent="dy", grad="grad", case=""):
        """Stores `out`, and the gradients of `(out * cotangent).sum()` for every leaf it depends on.

        Cases of one shape share one cotangent.
        """
        if cotangent not in self.tensors:
            self.store(cotangent, self.normal(*out.shape))
        d = torch.from_numpy(self.tensors[cotangent]).double()
        self.store(case + name, out)
        grads = torch.autograd.grad(out, list(self.leaves.values()), d, retain_graph=True, allow_unused=True)
        for leaf, g in zip(self.leaves, grads):
            if g is not None:
                self.store(f"{case}{grad}.{leaf}", g)

    def save(self):
        """Writes safetensors by hand: the package shuffles the metadata, and so changes the bytes at every run."""
        assert all(np.isfinite(t).all() for t in self.tensors.values())
        header, data = {"__metadata__": self.hyper}, b""
        for name, tensor in sorted(self.tensors.items()):
            start, data = len(data), data + tensor.astype("<f4").tobytes()
            header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [start, len(data)]}
        header = json.dumps(header).encode()
        header += b" " * (-len(header) % 8)
        self.path.write_bytes(struct.pack("<Q", len(header)) + header + data)
        print(f"{self.path.parent.name}: {len(self.tensors)} tensors, {self.path.stat().st_size} bytes")


def visible(seq, window=None):
    """[query, key]: true where j <= i and, with a window, i - window < j."""
    distance = torch.arange(seq)[:, None] - torch.arange(seq)
    return (distance >= 0) & (distance < (window or seq))


def additive(mask):
    return torch.zeros(mask.shape).masked_fill(~mask, -torch.inf)


class PlainAttention(nn.Module):
    """softmax(soften(q kᵀ / √d) + bias) v, with `rotate` applied to q and k; no biases in the projections."""

    def __init__(self, d_model, n_heads, n_kv_heads, head_dim):
        super().__init__()
        self.head_dim, self.groups = head_dim, n_heads // n_kv_heads
        self.q_proj = nn.Linear(d_model, n_heads * head_dim, bias=False)
        self.k_proj = nn.Linear(d_model, n_kv_heads * head_dim, bias=False)
        self.v_proj = nn.Linear(d_model, n_kv_heads * head_dim, bias=False)
        self.o_proj = nn.Linear(n_heads * head_dim, d_model, bias=False)

    def forward(self, x, bias, rotate=lambda t: t, soften=lambda s: s):
        q, k, v = (p(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
                   for p in (self.q_proj, self.k_proj, self.v_proj))
        q, k = rotate(q), rotate(k)
        k, v = (t.repeat_interleave(self.groups, dim=1) for t in (k, v))
        weights = (soften(q @ k.mT / self.head_dim**0.5) + bias).softmax(-1)
        return self.o_proj((weights @ v).transpose(1, 2).flatten(2))
