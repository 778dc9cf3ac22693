"""ALiBi (arXiv 2108.12409): softmax(q kᵀ/√d - m_h (i - j)), m_h = 2^(-8h/H), h = 1..H."""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from golden import Golden, PlainAttention, additive, torch, visible

batch, seq, d_model, n_heads, head_dim = 2, 19, 16, 4, 6
golden = Golden(__file__, d_model=d_model, n_heads=n_heads, n_kv_heads=n_heads, head_dim=head_dim, bias=False)
attention = golden.parameters(PlainAttention(d_model, n_heads, n_heads, head_dim))
x = golden.leaf("x", golden.normal(batch, seq, d_model))
slopes = torch.tensor([2 ** (-8 * h / n_heads) for h in range(1, n_heads + 1)])
distance = torch.arange(seq)[:, None] - torch.arange(seq)
y = attention(x, additive(visible(seq)) - slopes[:, None, None] * distance)
golden.store("slopes", slopes)
golden.backward(y)
golden.save()
