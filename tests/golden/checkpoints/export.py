"""Published models in small: random parameters, odd sizes, Transformers' own `save_pretrained`; and what they say.

One folder a model: `config.json`, its safetensors, and `expected.safetensors`: `tokens [2, 11]`, their `logits` in one
pass, `decoded` one token at a time from a cache, the `hidden.N` before every layer and after the last norm, and
`padded`, the logits after the last tokens of a batch of rows of 11 and `short` tokens, padded on the left.

Parameters are exact in the file's type; everything is computed in float64 and rounded once.
"""
import copy
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from golden import Golden, keep_float64, torch
import numpy as np
import safetensors.torch  # Before `keep_float64`: it keeps a table of the real types.
import transformers as hf
from safetensors.numpy import load_file, save_file

HERE = Path(__file__).parent
SEQ, SHORT, VOCAB = 11, 6, 40


class Model(Golden):
    """A model in a folder."""

    def __init__(self, name, config, dtype=torch.float32, shard=None):
        super().__init__(HERE / name / "export.py", short=SHORT)
        self.path = HERE / name / "expected.safetensors"
        shutil.rmtree(HERE / name, ignore_errors=True)
        torch.set_default_dtype(SINGLE)
        model = hf.AutoModelForCausalLM.from_config(config)
        self.draw(model.double(), dtype)
        # A copy: the frequencies of rotary embeddings would lose their digits too.
        copy.deepcopy(model).to(dtype).save_pretrained(HERE / name, **({"max_shard_size": shard} if shard else {}))
        (HERE / name / "generation_config.json").unlink(missing_ok=True)
        torch.set_default_dtype(torch.float64)
        self.expect(model.double().eval())

    def draw(self, model, dtype):
        """Every parameter away from its usual initial value, and exact in the file's type."""
        tensors, self.tensors = self.tensors, {}
        self.parameters(model)
        self.tensors, self.leaves = tensors, {}
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "embed" in name:
                    parameter.mul_(3)
                parameter.copy_(parameter.to(dtype))

    def expect(self, model):
        tokens = torch.from_numpy(self.rng.integers(0, VOCAB, (2, SEQ)))
        self.store("tokens", tokens.double())
        with torch.no_grad():
            whole = model(tokens, output_hidden_states=True, use_cache=False)
            self.store("logits", whole.logits)
            hidden_states = whole.hidden_states
            if hasattr(model.config, "state_size"):
                # Mamba's are those after every layer, and after the norm.
                hidden_states = (model.get_input_embeddings()(tokens), *hidden_states[:-2], hidden_states[-1])
            for place, hidden in enumerate(hidden_states):
                self.store(f"hidden.{place}", hidden)
            self.store("decoded", self.decoded(model, tokens))
            self.store("padded", self.padded(model, tokens))
        self.save()

    def decoded(self, model, tokens):
        logits, cache = [], {}
        if model.config.model_type == "recurrent_gemma":
            # It does not return the one it makes; the recurrences keep their states themselves.
            cache["past_key_values"] = hf.DynamicCache(config=model.config)
        for place in range(SEQ):
            if not hasattr(model.config, "state_size"):
                cache["position_ids"] = torch.full((2, 1), place)
            out = model(tokens[:, place:place + 1], use_cache=True, **cache)
            name = "cache_params" if "cache_params" in out else "past_key_values"
            cache = {name: out[name]} if name in out else {name: cache[name]}
            logits.append(out.logits)
        return torch.cat(logits, 1)

    def padded(self, model, tokens):
        if model.config.model_type == "recurrent_gemma":
            # Its convolution reads the padding in Transformers: here rows stand alone.
            rows = [tokens[:1], tokens[1:, :SHORT]]
            return torch.cat([model(row, use_cache=False).logits[:, -1] for row in rows])
        mask = torch.ones(2, SEQ, dtype=torch.long)
        mask[1, :SEQ - SHORT] = 0
        moved = tokens.clone()
        moved[1, SEQ - SHORT:] = tokens[1, :SHORT]
        moved[1, :SEQ - SHORT] = 0
        positions = {}
        if not hasattr(model.config, "state_size"):
            positions = {"position_ids": (mask.cumsum(1) - 1).clamp(min=0)}
        return model(moved, attention_mask=mask, use_cache=False, **positions).logits[:, -1]


def state_spaces(name, of, settings):
    """The folder of another model in the layout of mamba_ssm."""
    shutil.rmtree(HERE / name, ignore_errors=True)
    shutil.copytree(HERE / of, HERE / name)
    tensors = load_file(HERE / name / "model.safetensors")
    tensors["backbone.embedding.weight"] = tensors.pop("backbone.embeddings.weight")
    # Its files have the head even where it is the embedding.
    tensors.setdefault("lm_head.weight", tensors["backbone.embedding.weight"].copy())
    save_file(tensors, HERE / name / "model.safetensors")
    (HERE / name / "config.json").write_text(json.dumps(settings, indent=2) + "\n")


def olmo_hybrid(name, keys):
    """As OLMo Hybrid is published: Transformers reads that, but writes q, k and v as thirds, and the norm after attention
    under the name of another one."""
    tensors = load_file(HERE / name / "model.safetensors")
    for key in [key for key in tensors if key.endswith("linear_attn.q_conv1d.weight")]:
        names = [key.replace("q_conv1d", f"{part}_conv1d") for part in "qkv"]
        together = np.concatenate([tensors[name] for name in names])
        tensors |= dict(zip(names, np.split(together, [keys, 2 * keys])))
    for key in [key for key in tensors if key.endswith("post_feedforward_layernorm.weight")]:
        norm = key.replace("post_feedforward_layernorm", "feedforward_layer_norm")
        tensors[key.replace("post_feedforward", "post_attention")] = tensors.pop(norm)
    save_file(tensors, HERE / name / "model.safetensors", metadata={"format": "pt"})


def characters(name):
    """A tokenizer of single characters: as many as the vocabulary has room for."""
    vocab = ["<unk>", "<s>", "</s>", "\n", " ", *"abcdefghijklmnopqrstuvwxyz012345678"]
    special = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    tokenizer = dict(
        version="1.0", truncation=None, padding=None, normalizer=None, pre_tokenizer=None, post_processor=None,
        added_tokens=[dict(id=id, content=vocab[id], **special) for id in range(3)], decoder=dict(type="Fuse"),
        model=dict(type="BPE", unk_token="<unk>", vocab={token: id for id, token in enumerate(vocab)}, merges=[]))
    assert len(vocab) == VOCAB
    (HERE / name / "tokenizer.json").write_text(json.dumps(tokenizer, indent=1) + "\n")


SINGLE = torch.float32
# Before Transformers' casts to float32 become casts to float64: its files are written with the real type.
BRAIN, HALF = torch.bfloat16, torch.float16
common = dict(vocab_size=VOCAB, bos_token_id=1, eos_token_id=2, attn_implementation="eager")

keep_float64()
Model("gpt_neox", hf.GPTNeoXConfig(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40, rotary_pct=0.25,
    rotary_emb_base=500, layer_norm_eps=1e-3, **common))
Model("gpt_neox_sequential", hf.GPTNeoXConfig(
    hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=32, rotary_pct=0.5,
    use_parallel_residual=False, attention_bias=False, **common), dtype=HALF)
small = dict(hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=36, **common)
Model("llama", hf.LlamaConfig(
    num_key_value_heads=2, head_dim=8, attention_bias=True, rms_norm_eps=1e-3,
    rope_parameters=dict(rope_type="llama3", rope_theta=100.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                         original_max_position_embeddings=16), **small), dtype=BRAIN, shard="10KB")
Model("llama_tied", hf.LlamaConfig(
    num_key_value_heads=1, tie_word_embeddings=True,
    rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0), **small))
characters("llama_tied")
Model("mistral", hf.MistralConfig(num_key_value_heads=2, sliding_window=5, head_dim=10, **small))
Model("qwen2", hf.Qwen2Config(
    num_key_value_heads=2, use_sliding_window=True, sliding_window=4, max_window_layers=1, **small), shard="20KB")
Model("qwen3", hf.Qwen3Config(
    num_key_value_heads=2, head_dim=10, tie_word_embeddings=True, rms_norm_eps=1e-2,
    rope_parameters=dict(rope_type="yarn", rope_theta=1000.0, factor=4.0, original_max_position_embeddings=16), **small))
ssm = dict(vocab_size=VOCAB, hidden_size=24, num_hidden_layers=2, pad_token_id=0, bos_token_id=1, eos_token_id=2)
Model("mamba", hf.MambaConfig(state_size=5, conv_kernel=3, time_step_rank=3, layer_norm_epsilon=1e-3, **ssm))
Model("mamba2", hf.Mamba2Config(
    state_size=6, conv_kernel=3, expand=3, num_heads=6, head_dim=12, n_groups=2, chunk_size=4, **ssm))
Model("mamba2_tied", hf.Mamba2Config(
    state_size=6, conv_kernel=4, expand=2, num_heads=4, head_dim=12, n_groups=1, chunk_size=64,
    tie_word_embeddings=True, **ssm))
Model("bamba", hf.BambaConfig(
    **small | dict(num_attention_heads=3), num_key_value_heads=1, attn_layer_indices=[1], mamba_n_heads=6, mamba_n_groups=2, mamba_d_state=6, mamba_d_conv=3,
    mamba_expand=3, mamba_chunk_size=4, rms_norm_eps=1e-3, pad_token_id=0, num_logits_to_keep=None))
Model("recurrent_gemma", hf.RecurrentGemmaConfig(
    **small | dict(hidden_size=32), num_key_value_heads=1, lru_width=32, attention_window_size=4, conv1d_width=3, logits_soft_cap=5.0,
    rms_norm_eps=1e-3, block_types=["recurrent", "attention"], pad_token_id=0))
olmo = {key: value for key, value in small.items() if key != "num_hidden_layers"}
Model("olmo2", hf.Olmo2Config(num_hidden_layers=2, num_key_value_heads=2, rms_norm_eps=1e-3, pad_token_id=0, **olmo))
delta = dict(linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=5, linear_value_head_dim=10,
             linear_conv_kernel_dim=3, pad_token_id=0)
Model("olmo_hybrid", hf.OlmoHybridConfig(
    num_hidden_layers=3, layer_types=["linear_attention", "full_attention", "linear_attention"],
    num_key_value_heads=2, rms_norm_eps=1e-3, rope_parameters=dict(rope_theta=None), **delta, **olmo))
olmo_hybrid("olmo_hybrid", keys=10)
Model("olmo_hybrid_rope", hf.OlmoHybridConfig(
    num_hidden_layers=2, linear_allow_neg_eigval=False, attention_bias=True, tie_word_embeddings=True,
    rope_parameters=dict(rope_type="default", rope_theta=500.0), pad_token_id=0, **olmo))
Model("mamba_plain", hf.MambaConfig(state_size=4, **ssm))
state_spaces("state_spaces_mamba", "mamba_plain", dict(
    d_model=24, n_layer=2, vocab_size=37, ssm_cfg=dict(d_state=4), rms_norm=True, residual_in_fp32=True,
    fused_add_norm=True, pad_vocab_size_multiple=8))
state_spaces("state_spaces_mamba2", "mamba2_tied", dict(
    d_model=24, d_intermediate=0, n_layer=2, vocab_size=37, attn_layer_idx=[], attn_cfg={}, rms_norm=True,
    ssm_cfg=dict(layer="Mamba2", d_state=6, headdim=12), residual_in_fp32=True, fused_add_norm=True,
    pad_vocab_size_multiple=8, tie_embeddings=True))
shutil.rmtree(HERE / "mamba_plain")
