"""Linear attention as loops over positions, for four feature maps φ.

o_t = φ(q_t) S_t / (φ(q_t)·z_t + eps), S_t = Σ_{j≤t} φ(k_j)ᵀ v_j, z_t = Σ_{j≤t} φ(k_j):
elu + 1 (arXiv 2006.16236), ReLU, the second-order Taylor map of Based (arXiv 2402.18668), and the
identity, which is not normalised.
"""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from golden import Golden, torch
from torch.nn import functional as F

batch, n_heads, seq, key_dim, value_dim, eps = 2, 3, 19, 5, 3, 1e-6


def taylor(x):
    pairs = (x[..., :, None] * x[..., None, :]).flatten(-2)
    return torch.cat([torch.ones_like(x[..., :1]), x / key_dim**0.25, pairs / (2 * key_dim) ** 0.5], dim=-1)


def attend(feature_map, q, k, v, normalise):
    q, k = feature_map(q), feature_map(k)
    state, z, out = 0, 0, []
    for t in range(seq):
        state = state + k[:, :, t, :, None] * v[:, :, t, None, :]
        z = z + k[:, :, t]
        o = (q[:, :, t, :, None] * state).sum(-2)
        if normalise:
            o = o / ((q[:, :, t] * z).sum(-1, keepdim=True) + eps)
        out.append(o)
    return torch.stack(out, dim=2)


golden = Golden(__file__, n_heads=n_heads, key_dim=key_dim, value_dim=value_dim, eps=eps)
q = golden.leaf("q", golden.normal(batch, n_heads, seq, key_dim))
k = golden.leaf("k", golden.normal(batch, n_heads, seq, key_dim))
v = golden.leaf("v", golden.normal(batch, n_heads, seq, value_dim))
golden.backward(attend(lambda x: F.elu(x) + 1, q, k, v, True), case="elu.")
golden.backward(attend(F.relu, q, k, v, True), case="relu.")
golden.backward(attend(lambda x: x, q, k, v, False), case="identity.")
golden.backward(attend(taylor, q, k, v, True), case="taylor.")
golden.save()
