"""Hugging Face's Qwen3NextGatedDeltaNet, its chunked PyTorch path, with the states its cache holds afterwards."""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from golden import Golden, keep_float64, torch
from transformers import DynamicCache, Qwen3NextConfig
from transformers.models.qwen3_next.modeling_qwen3_next import Qwen3NextGatedDeltaNet

keep_float64()
batch, seq, d_model, n_heads, n_v_heads, head_dim, head_v_dim, d_conv, eps = 2, 19, 12, 2, 4, 3, 6, 4, 1e-6
config = Qwen3NextConfig(
    hidden_size=d_model, linear_num_key_heads=n_heads, linear_num_value_heads=n_v_heads, linear_key_head_dim=head_dim,
    linear_value_head_dim=head_v_dim, linear_conv_kernel_dim=d_conv, rms_norm_eps=eps, num_hidden_layers=1,
    layer_types=["linear_attention"])
golden = Golden(__file__, d_model=d_model, n_heads=n_heads, n_v_heads=n_v_heads, head_dim=head_dim,
                head_v_dim=head_v_dim, d_conv=d_conv, norm_eps=eps)
mixer = golden.parameters(Qwen3NextGatedDeltaNet(config, layer_idx=0))
x = golden.leaf("x", golden.normal(batch, seq, d_model))
golden.backward(mixer(x))
cache = DynamicCache(config=config)
with torch.no_grad():
    mixer(x, cache_params=cache)
golden.store("state.conv", cache.layers[0].conv_states[0])
golden.store("state.recurrent", cache.layers[0].recurrent_states[0])
golden.save()
