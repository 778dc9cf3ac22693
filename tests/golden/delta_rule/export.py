"""The gated delta rule (arXiv 2412.06464) by Hugging Face's recurrent loop for Qwen3-Next.

S ← e^g S, S ← S + β k (v − Sᵀ k)ᵀ, o = Sᵀ q; two heads of values for each head of keys. The case "initial." starts from
initial_state instead of zeros, the case "ungated." has g = 0: DeltaNet (arXiv 2406.06484). Keys have length 1 and β lies
in (0, 2).
"""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from golden import Golden, keep_float64, torch
from transformers.models.qwen3_next.modeling_qwen3_next import torch_recurrent_gated_delta_rule

keep_float64()
batch, n_heads, n_v_heads, seq, key_dim, value_dim = 2, 2, 4, 19, 6, 3
golden = Golden(__file__, n_heads=n_heads, n_v_heads=n_v_heads, key_dim=key_dim, value_dim=value_dim)


def unit(x):
    x = (x / x.norm(dim=-1, keepdim=True)).numpy()
    return torch.from_numpy(x.astype("float32")).double()


def delta_rule(g, start):
    # The loop scales queries by key_dim^(-1/2).
    tokens_first = [x.transpose(1, 2) for x in (q * key_dim**0.5, k, v, g, beta)]
    o, state = torch_recurrent_gated_delta_rule(*tokens_first, initial_state=start, output_final_state=True)
    return o.transpose(1, 2), state


q = golden.leaf("q", golden.normal(batch, n_heads, seq, key_dim))
k = golden.leaf("k", unit(golden.normal(batch, n_heads, seq, key_dim)))
v = golden.leaf("v", golden.normal(batch, n_v_heads, seq, value_dim))
beta = golden.leaf("beta", golden.uniform(0.0, 2.0, batch, n_v_heads, seq))
log_decay = golden.leaf("log_decay", golden.uniform(-1.0, 0.0, batch, n_v_heads, seq))
initial = golden.leaf("initial_state", golden.normal(batch, n_v_heads, key_dim, value_dim))
for case, g, start in (("", log_decay, None), ("initial.", log_decay, initial),
                       ("ungated.", torch.zeros_like(log_decay), initial)):
    y, state = delta_rule(g, start)
    golden.backward(y, case=case)
    golden.backward(state, "state", "dstate", "grad_state", case)
golden.save()
