"""Hugging Face's RecurrentGemmaRecurrentBlock, with the states it holds afterwards; gelu exact.

The case "alone." is its RecurrentGemmaRglru alone, on rows of documents: positions that begin again at 0.
"""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from golden import Golden, keep_float64, torch
from transformers import RecurrentGemmaConfig
from transformers.models.recurrent_gemma.modeling_recurrent_gemma import (
    RecurrentGemmaRecurrentBlock, RecurrentGemmaRglru)

keep_float64()
# The type that states are summed in was bound before.
RecurrentGemmaRglru._rnn_scan.__defaults__ = (torch.float64,)
batch, seq, d_model, d_rnn, n_heads, d_conv = 2, 19, 12, 15, 3, 4
lengths = [[4, 1, 14], [19]]
config = RecurrentGemmaConfig(
    hidden_size=d_model, lru_width=d_rnn, num_attention_heads=n_heads, conv1d_width=d_conv,
    hidden_activation="gelu")
golden = Golden(__file__, d_model=d_model, d_rnn=d_rnn, n_heads=n_heads, d_conv=d_conv, lengths=lengths)
block = golden.parameters(RecurrentGemmaRecurrentBlock(config, layer_idx=0))
x = golden.leaf("x", golden.normal(batch, seq, d_model))
y, _ = block(x, torch.arange(seq).expand(batch, seq), None)
golden.backward(y)
golden.store("state.conv", block.conv1d_state)
golden.store("state.h", block.rg_lru.recurrent_states)

v = golden.leaf("alone.v", golden.normal(batch, seq, d_rnn))
positions = torch.stack([torch.cat([torch.arange(length) for length in row]) for row in lengths])
block.rg_lru.recurrent_states = None
golden.backward(block.rg_lru(v, positions), cotangent="alone.dv", case="alone.")
golden.save()
