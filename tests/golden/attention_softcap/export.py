"""Gemma 2's soft cap (arXiv 2408.00118) on multi-query attention with GPT-J's interleaved, partial rotary positions.

The order is scale, cap, mask, softmax.
"""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from golden import Golden, PlainAttention, additive, torch, visible

batch, seq, d_model, n_heads, n_kv_heads, head_dim, rotary_dim = 2, 19, 18, 4, 1, 8, 4
theta, cap = 1000.0, 5.0


def rotate(t):
    """Turns each pair (2i, 2i+1) of the first rotary_dim entries by position · theta^(-2i/rotary_dim)."""
    frequency = theta ** (-torch.arange(0, rotary_dim, 2) / rotary_dim)
    turn = torch.polar(torch.ones(()), torch.arange(seq)[:, None] * frequency)
    pairs = torch.view_as_complex(t[..., :rotary_dim].unflatten(-1, (-1, 2)).contiguous())
    return torch.cat([torch.view_as_real(pairs * turn).flatten(-2), t[..., rotary_dim:]], dim=-1)


golden = Golden(__file__, d_model=d_model, n_heads=n_heads, n_kv_heads=n_kv_heads, head_dim=head_dim,
                rotary_dim=rotary_dim, rope_theta=theta, softcap=cap, bias=False)
attention = golden.parameters(PlainAttention(d_model, n_heads, n_kv_heads, head_dim))
# Large enough for the cap to bite.
x = golden.leaf("x", 2 * golden.normal(batch, seq, d_model))
y = attention(x, additive(visible(seq)), rotate, lambda scores: cap * torch.tanh(scores / cap))
golden.backward(y)
golden.save()
