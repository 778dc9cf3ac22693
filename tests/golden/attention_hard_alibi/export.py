"""Hard-ALiBi (arXiv 2402.01032): some heads see the last m tokens only, the others everything before.

No positions besides; a window of 0 in the metadata means none.
"""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from golden import Golden, PlainAttention, additive, torch, visible

batch, seq, d_model, n_heads, head_dim, windows = 2, 19, 14, 4, 6, (1, 2, 0, 0)
golden = Golden(__file__, d_model=d_model, n_heads=n_heads, n_kv_heads=n_heads, head_dim=head_dim, bias=False,
                windows=",".join(map(str, windows)))
attention = golden.parameters(PlainAttention(d_model, n_heads, n_heads, head_dim))
x = golden.leaf("x", golden.normal(batch, seq, d_model))
y = attention(x, additive(torch.stack([visible(seq, window) for window in windows])))
golden.backward(y)
golden.save()
