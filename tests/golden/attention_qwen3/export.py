"""Hugging Face's Qwen3Attention: RMS-normalised queries and keys, grouped queries, a sliding window."""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from golden import Golden, additive, keep_float64, torch, visible
from transformers import Qwen3Config
from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention, Qwen3RotaryEmbedding

keep_float64()
batch, seq, d_model, n_heads, n_kv_heads, head_dim, theta, window, eps = 2, 19, 10, 6, 3, 4, 5000.0, 5, 1e-6
config = Qwen3Config(
    hidden_size=d_model, num_attention_heads=n_heads, num_key_value_heads=n_kv_heads, head_dim=head_dim,
    rms_norm_eps=eps, use_sliding_window=True, sliding_window=window, max_window_layers=0,
    attn_implementation="eager", rope_parameters={"rope_type": "default", "rope_theta": theta})
golden = Golden(__file__, d_model=d_model, n_heads=n_heads, n_kv_heads=n_kv_heads, head_dim=head_dim,
                rotary_dim=head_dim, rope_theta=theta, window=window, norm_eps=eps, bias=False)
attention = golden.parameters(Qwen3Attention(config, layer_idx=0))
x = golden.leaf("x", golden.normal(batch, seq, d_model))
positions = Qwen3RotaryEmbedding(config)(x, torch.arange(seq)[None])
# Eager attention ignores the layer's own window: the mask has to carry it.
y, _ = attention(x, positions, additive(visible(seq, window)))
golden.backward(y)
golden.save()
