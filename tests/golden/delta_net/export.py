"""DeltaNet as a loop over tokens in plain PyTorch, from arXiv 2406.06484 and the layer of flash-linear-attention.

q, k, v are projected, convolved (each with taps of its own, no bias) and passed through SiLU; q and k are divided by
their lengths; S ← S + β k (v − Sᵀ k)ᵀ, o = Sᵀ q / √head_dim; a norm over each head, and the output projection: the case
"plain.". The case "negative." has β in (0, 2) (arXiv 2411.12537) and multiplies the norm's output by silu(g_proj(x)).
"""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from golden import Golden, torch
from torch import nn
from torch.nn import functional as F

batch, seq, d_model, n_heads, head_dim, d_conv, eps = 2, 19, 10, 2, 4, 3, 1e-5


class DeltaNet(nn.Module):
    def __init__(self):
        super().__init__()
        width = n_heads * head_dim
        for name in "qkv":
            setattr(self, f"{name}_proj", nn.Linear(d_model, width, bias=False))
            setattr(self, f"{name}_conv1d", nn.Conv1d(width, width, d_conv, groups=width, bias=False))
        self.b_proj = nn.Linear(d_model, n_heads, bias=False)
        self.g_proj = nn.Linear(d_model, width, bias=False)
        self.o_norm = nn.RMSNorm(head_dim, eps=eps)
        self.o_proj = nn.Linear(width, d_model, bias=False)

    def convolved(self, name, x):
        projected = F.pad(getattr(self, f"{name}_proj")(x).mT, (d_conv - 1, 0))
        y = F.silu(getattr(self, f"{name}_conv1d")(projected))
        return y.mT.unflatten(-1, (n_heads, head_dim)), projected[..., -(d_conv - 1):].mT

    def forward(self, x, negative):
        (q, q_window), (k, k_window), (v, v_window) = (self.convolved(name, x) for name in "qkv")
        q, k = (t / (t.square().sum(-1, keepdim=True) + 1e-6).sqrt() for t in (q, k))
        beta = self.b_proj(x).sigmoid() * (2 if negative else 1)
        state, out = torch.zeros(batch, n_heads, head_dim, head_dim), []
        for t in range(seq):
            error = v[:, t] - torch.einsum("bhkv,bhk->bhv", state, k[:, t])
            state = state + torch.einsum("bh,bhk,bhv->bhkv", beta[:, t], k[:, t], error)
            out.append(torch.einsum("bhkv,bhk->bhv", state, q[:, t]) / head_dim**0.5)
        y = self.o_norm(torch.stack(out, dim=1)).flatten(-2)
        if negative:
            y = y * F.silu(self.g_proj(x))
        return self.o_proj(y), state, torch.cat((q_window, k_window, v_window), dim=-1)


golden = Golden(__file__, d_model=d_model, n_heads=n_heads, head_dim=head_dim, d_conv=d_conv, norm_eps=eps)
layer = golden.parameters(DeltaNet())
x = golden.leaf("x", golden.normal(batch, seq, d_model))
for case, negative in (("plain.", False), ("negative.", True)):
    y, state, window = layer(x, negative)
    golden.backward(y, case=case)
    golden.store(f"{case}state.recurrent", state)
golden.store("state.conv", window)
golden.save()
