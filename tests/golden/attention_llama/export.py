"""Hugging Face's LlamaAttention: grouped queries, rotary positions over the whole head."""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from golden import Golden, additive, keep_float64, torch, visible
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRotaryEmbedding

keep_float64()
batch, seq, d_model, n_heads, n_kv_heads, head_dim, theta = 2, 19, 20, 4, 2, 6, 10000.0
config = LlamaConfig(
    hidden_size=d_model, num_attention_heads=n_heads, num_key_value_heads=n_kv_heads, head_dim=head_dim,
    attn_implementation="eager", rope_parameters={"rope_type": "default", "rope_theta": theta})
golden = Golden(__file__, d_model=d_model, n_heads=n_heads, n_kv_heads=n_kv_heads, head_dim=head_dim,
                rotary_dim=head_dim, rope_theta=theta, bias=False)
attention = golden.parameters(LlamaAttention(config, layer_idx=0))
x = golden.leaf("x", golden.normal(batch, seq, d_model))
positions = LlamaRotaryEmbedding(config)(x, torch.arange(seq)[None])
y, _ = attention(x, positions, additive(visible(seq)))
golden.backward(y)
golden.save()
