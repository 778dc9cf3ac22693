"""The GLA layer of arXiv 2312.06635, section 4.4, with the authors' choices: RMS norm of every head with one weight,
no bias in the output gate, keys half as wide as values.

It goes on from initial_state.
"""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from golden import Golden, nn, torch

batch, seq, d_model, n_heads, gate_rank, gate_normalizer, eps = 2, 19, 12, 2, 5, 16, 1e-5
key_dim, value_dim = d_model // 2 // n_heads, d_model // n_heads


class GatedLinearAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = nn.Linear(d_model, n_heads * key_dim, bias=False)
        self.k_proj = nn.Linear(d_model, n_heads * key_dim, bias=False)
        self.v_proj = nn.Linear(d_model, n_heads * value_dim, bias=False)
        self.gk_proj = nn.Sequential(nn.Linear(d_model, gate_rank, bias=False),
                                     nn.Linear(gate_rank, n_heads * key_dim))
        self.g_proj = nn.Linear(d_model, n_heads * value_dim, bias=False)
        self.g_norm = nn.RMSNorm(value_dim, eps=eps)
        self.o_proj = nn.Linear(n_heads * value_dim, d_model, bias=False)

    def forward(self, x, state):
        q, k, v, gk = (p(x).unflatten(-1, (n_heads, -1)) for p in (self.q_proj, self.k_proj, self.v_proj, self.gk_proj))
        alpha = torch.sigmoid(gk) ** (1 / gate_normalizer)
        out = []
        for t in range(seq):
            state = alpha[:, t, :, :, None] * state + k[:, t, :, :, None] * v[:, t, :, None, :]
            out.append((q[:, t, :, None, :] * key_dim**-0.5 @ state).squeeze(-2))
        o = self.g_norm(torch.stack(out, dim=1)).flatten(2)
        return self.o_proj(o * nn.functional.silu(self.g_proj(x))), state


golden = Golden(__file__, d_model=d_model, n_heads=n_heads, key_dim=key_dim, value_dim=value_dim,
                gate_rank=gate_rank, gate_normalizer=gate_normalizer, norm_eps=eps)
layer = golden.parameters(GatedLinearAttention())
x = golden.leaf("x", golden.normal(batch, seq, d_model))
initial = golden.leaf("initial_state", golden.normal(batch, n_heads, key_dim, value_dim))
y, state = layer(x, initial)
golden.backward(y)
golden.store("state", state)
golden.save()
