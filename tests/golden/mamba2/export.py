"""Hugging Face's Mamba2Mixer, its chunked PyTorch path, with the states its cache holds afterwards.

Its gated norm normalises each of the n_groups parts of the channels by itself, as mamba_ssm's does;
the case "ungrouped." has the same parameters and one norm over all channels.
"""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from golden import Golden, keep_float64, torch
from transformers import DynamicCache, Mamba2Config
from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

keep_float64()
batch, seq, d_model, expand, head_dim, n_groups, d_state, d_conv, chunk, eps = 2, 19, 12, 2, 6, 2, 5, 3, 4, 1e-5
n_heads = expand * d_model // head_dim
config = Mamba2Config(
    hidden_size=d_model, expand=expand, num_heads=n_heads, head_dim=head_dim, n_groups=n_groups,
    state_size=d_state, conv_kernel=d_conv, chunk_size=chunk, layer_norm_epsilon=eps, use_conv_bias=True,
    use_bias=False, num_hidden_layers=1)
golden = Golden(__file__, d_model=d_model, expand=expand, n_heads=n_heads, head_dim=head_dim, n_groups=n_groups,
                d_state=d_state, d_conv=d_conv, chunk_size=chunk, norm_eps=eps, norm_group_size=12,
                conv_bias=True, bias=False)
mixer = golden.parameters(Mamba2Mixer(config, layer_idx=0))
assert mixer.norm.group_size == 12
x = golden.leaf("x", golden.normal(batch, seq, d_model))
golden.backward(mixer(x))
cache = DynamicCache(config=config)
with torch.no_grad():
    mixer(x, cache_params=cache)
golden.store("state.conv", cache.layers[0].conv_states[0])
golden.store("state.ssm", cache.layers[0].recurrent_states[0])
mixer.norm.group_size = expand * d_model
golden.backward(mixer(x), case="ungrouped.")
golden.save()
