"""Mamba's scan (arXiv 2312.00752), the loop of mamba_ssm's selective_scan_ref, with an initial state.

S_t = exp(Δ_t A) S_{t-1} + Δ_t u_t B_tᵀ, y_t = S_t C_t + D u_t.
"""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from golden import Golden, torch

batch, seq, d_inner, d_state = 2, 19, 7, 5
golden = Golden(__file__, d_inner=d_inner, d_state=d_state)
u = golden.leaf("u", golden.normal(batch, seq, d_inner))
delta = golden.leaf("delta", golden.uniform(0.01, 1.0, batch, seq, d_inner))
a = golden.leaf("A", golden.uniform(-4.0, -0.1, d_inner, d_state))
b = golden.leaf("B", golden.normal(batch, seq, d_state))
c = golden.leaf("C", golden.normal(batch, seq, d_state))
d = golden.leaf("D", golden.normal(d_inner))
state = golden.leaf("initial_state", golden.normal(batch, d_inner, d_state))
out = []
for t in range(seq):
    step = delta[:, t, :, None]
    state = torch.exp(step * a) * state + step * u[:, t, :, None] * b[:, t, None, :]
    out.append((state * c[:, t, None, :]).sum(-1) + d * u[:, t])
golden.backward(torch.stack(out, dim=1))
golden.backward(state, "state", "dstate", "grad_state")
golden.save()
