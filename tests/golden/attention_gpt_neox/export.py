"""Hugging Face's GPTNeoXAttention: rotary positions on half of each head, biases, one fused projection."""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from golden import Golden, additive, keep_float64, torch, visible
from transformers import GPTNeoXConfig
from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXAttention, GPTNeoXRotaryEmbedding

keep_float64()
batch, seq, d_model, n_heads, theta = 2, 19, 24, 3, 10000.0
config = GPTNeoXConfig(
    hidden_size=d_model, num_attention_heads=n_heads, attention_bias=True, attn_implementation="eager",
    rope_parameters={"rope_type": "default", "rope_theta": theta, "partial_rotary_factor": 0.5})
golden = Golden(__file__, d_model=d_model, n_heads=n_heads, n_kv_heads=n_heads, head_dim=d_model // n_heads,
                rotary_dim=d_model // n_heads // 2, rope_theta=theta, bias=True)
attention = golden.parameters(GPTNeoXAttention(config, layer_idx=0))
x = golden.leaf("x", golden.normal(batch, seq, d_model))
positions = GPTNeoXRotaryEmbedding(config)(x, torch.arange(seq)[None])
y, _ = attention(x, attention_mask=additive(visible(seq)), position_embeddings=positions)
golden.backward(y)

# The fused rows are [head, (q, k, v), head_dim]: the same numbers under the names of four projections.
for kind in ("param", "grad"):
    for part in ("weight", "bias"):
        fused = torch.from_numpy(golden.tensors[f"{kind}.query_key_value.{part}"])
        for i, name in enumerate(("q_proj", "k_proj", "v_proj")):
            golden.store(f"{kind}.{name}.{part}", fused.unflatten(0, (n_heads, 3, -1))[:, i].flatten(0, 1))
        golden.store(f"{kind}.o_proj.{part}", torch.from_numpy(golden.tensors[f"{kind}.dense.{part}"]))
golden.save()
