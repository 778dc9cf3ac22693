"""Mamba-2's scan (arXiv 2405.21060): one decay per head and step, B and C shared by the heads of a group.

S_t = exp(Δ_t A_h) S_{t-1} + Δ_t x_t B_tᵀ, y_t = S_t C_t + D_h x_t; head h reads group h // (heads / groups).
"""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from golden import Golden, torch

batch, seq, n_heads, head_dim, n_groups, d_state = 2, 19, 4, 3, 2, 5
golden = Golden(__file__, n_heads=n_heads, head_dim=head_dim, n_groups=n_groups, d_state=d_state)
x = golden.leaf("x", golden.normal(batch, seq, n_heads, head_dim))
dt = golden.leaf("dt", golden.uniform(0.01, 1.0, batch, seq, n_heads))
a = golden.leaf("A", golden.uniform(-4.0, -0.1, n_heads))
b = golden.leaf("B", golden.normal(batch, seq, n_groups, d_state))
c = golden.leaf("C", golden.normal(batch, seq, n_groups, d_state))
d = golden.leaf("D", golden.normal(n_heads))
state = golden.leaf("initial_state", golden.normal(batch, n_heads, head_dim, d_state))
b_head, c_head = (t.repeat_interleave(n_heads // n_groups, dim=2) for t in (b, c))
out = []
for t in range(seq):
    decay = torch.exp(dt[:, t] * a)[..., None, None]
    write = dt[:, t, :, None, None] * x[:, t, :, :, None] * b_head[:, t, :, None, :]
    state = decay * state + write
    out.append((state * c_head[:, t, :, None, :]).sum(-1) + d[:, None] * x[:, t])
golden.backward(torch.stack(out, dim=1))
golden.backward(state, "state", "dstate", "grad_state")
golden.save()
