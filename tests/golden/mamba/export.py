"""Hugging Face's MambaMixer, its sequential PyTorch path, with the states its cache holds afterwards."""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from golden import Golden, keep_float64, torch
from transformers import DynamicCache, MambaConfig
from transformers.models.mamba.modeling_mamba import MambaMixer

keep_float64()
batch, seq, d_model, expand, d_state, d_conv, dt_rank = 2, 19, 12, 2, 5, 3, 3
config = MambaConfig(
    hidden_size=d_model, expand=expand, state_size=d_state, conv_kernel=d_conv, time_step_rank=dt_rank,
    use_conv_bias=True, use_bias=False, num_hidden_layers=1, use_associative_scan=False)
golden = Golden(__file__, d_model=d_model, expand=expand, d_state=d_state, d_conv=d_conv, dt_rank=dt_rank,
                conv_bias=True, bias=False)
mixer = golden.parameters(MambaMixer(config, layer_idx=0))
x = golden.leaf("x", golden.normal(batch, seq, d_model))
golden.backward(mixer(x))
cache = DynamicCache(config=config)
with torch.no_grad():
    mixer(x, cache_params=cache)
golden.store("state.conv", cache.layers[0].conv_states[0])
golden.store("state.ssm", cache.layers[0].recurrent_states[0])
golden.save()
