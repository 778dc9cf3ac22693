"""The recurrence of arXiv 2312.06635, section 4.1: S_t = Diag(a_t) S_{t-1} + k_t v_t^T, o_t = S_t^T q_t.

Decays of the case "" lie between e^-2 and 1; those of "strong." between e^-50 and 1, one in four exactly 1, except for the
first key's, which are weak, so that something of initial_state, where both start, is left at the end.
"""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from golden import Golden, torch

batch, n_heads, seq, key_dim, value_dim = 2, 2, 37, 6, 4


def vector_decay(q, k, v, log_decay, state):
    out = []
    for t in range(seq):
        state = log_decay[:, :, t, :, None].exp() * state + k[:, :, t, :, None] * v[:, :, t, None, :]
        out.append(torch.einsum("bhkv,bhk->bhv", state, q[:, :, t]))
    return torch.stack(out, dim=2), state


golden = Golden(__file__, n_heads=n_heads, key_dim=key_dim, value_dim=value_dim)
q = golden.leaf("q", golden.normal(batch, n_heads, seq, key_dim))
k = golden.leaf("k", golden.normal(batch, n_heads, seq, key_dim))
v = golden.leaf("v", golden.normal(batch, n_heads, seq, value_dim))
state = golden.leaf("initial_state", golden.normal(batch, n_heads, key_dim, value_dim))
weak = golden.uniform(-2, 0, batch, n_heads, seq, key_dim)
strong = golden.uniform(-50, 0, batch, n_heads, seq, key_dim)
strong[golden.uniform(0, 1, *strong.shape) < 0.25] = 0
strong[..., 0] /= 100
for case, values in (("", weak), ("strong.", strong)):
    log_decay = golden.leaf(f"{case}log_decay", values)
    y, last = vector_decay(q, k, v, log_decay, state)
    golden.backward(y, case=case)
    golden.backward(last, "state", "dstate", "grad_state", case)
golden.save()
