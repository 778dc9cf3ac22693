"""RetNet's recurrent form (arXiv 2307.08621): S_t = γ_h S_{t-1} + k_tᵀ v_t, o_t = q_t S_t, γ_h = 1 - 2^(-5-h).

The case "initial." starts from initial_state instead of zeros.
"""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from golden import Golden, torch

batch, n_heads, seq, key_dim, value_dim = 2, 3, 19, 6, 4


def retention(q, k, v, state):
    out = []
    for t in range(seq):
        state = gamma[:, None, None] * state + k[:, :, t, :, None] * v[:, :, t, None, :]
        out.append((q[:, :, t, None, :] @ state).squeeze(-2))
    return torch.stack(out, dim=2), state


golden = Golden(__file__, n_heads=n_heads, key_dim=key_dim, value_dim=value_dim)
gamma = 1 - 2.0 ** (-5 - torch.arange(n_heads))
golden.store("gamma", gamma)
q = golden.leaf("q", golden.normal(batch, n_heads, seq, key_dim))
k = golden.leaf("k", golden.normal(batch, n_heads, seq, key_dim))
v = golden.leaf("v", golden.normal(batch, n_heads, seq, value_dim))
initial = golden.leaf("initial_state", golden.normal(batch, n_heads, key_dim, value_dim))
for case, start in (("", torch.zeros_like(initial)), ("initial.", initial)):
    y, state = retention(q, k, v, start)
    golden.backward(y, case=case)
    golden.backward(state, "state", "dstate", "grad_state", case)
golden.save()
