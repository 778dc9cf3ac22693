"""The models of Hugging Face, and their parameters under our names and in our layouts.

The same maps serve gradients. Rotary positions turn a quarter of each head in both.
"""
import transformers

transformers.logging.set_verbosity_error()


def neox(vocab_size, d_model, n_layers, n_heads):
    return transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(
        vocab_size=vocab_size, hidden_size=d_model, num_hidden_layers=n_layers, num_attention_heads=n_heads,
        intermediate_size=4 * d_model, attn_implementation="sdpa"))


def mamba(vocab_size, d_model, n_layers, **options):
    return transformers.MambaForCausalLM(transformers.MambaConfig(
        vocab_size=vocab_size, hidden_size=d_model, num_hidden_layers=n_layers, state_size=16, **options))


def mamba2(vocab_size, d_model, n_layers):
    return transformers.Mamba2ForCausalLM(transformers.Mamba2Config(
        vocab_size=vocab_size, hidden_size=d_model, num_hidden_layers=n_layers, state_size=64, n_groups=1,
        head_dim=64, num_heads=2 * d_model // 64, expand=2, chunk_size=64))


def ours(model):
    """The request that builds the same model on our side."""
    config = model.config
    kind = config.model_type
    layers, d_model = config.num_hidden_layers, config.hidden_size
    pattern = {
        "gpt_neox": lambda: f"attention(n_heads={config.num_attention_heads}, position=rope(fraction=0.25), bias=true)"
                            " & mlp",
        "mamba": lambda: "mamba",
        "mamba2": lambda: "mamba2",
    }[kind]()
    return {"pattern": f"{layers}*({pattern})", "d_model": d_model, "vocab_size": config.vocab_size,
            "norm": "layer" if kind == "gpt_neox" else "rms",
            "head": "tied" if config.tie_word_embeddings else "untied"}


def renamed(model, arrays):
    """{our name: array in our layout} of {Hugging Face's name: array}."""
    rename = {"gpt_neox": from_neox, "mamba": from_mamba, "mamba2": from_mamba}[model.config.model_type]
    return {ours: array for name, array in arrays.items() for ours, array in rename(model, name, array)}


def from_neox(model, name, array):
    parts = name.split(".")
    if name == "gpt_neox.embed_in.weight":
        return [("embedding.weight", array)]
    if name == "lm_head.weight":
        return [("head.weight", array.T)]
    if parts[1] == "final_layer_norm":
        return [(f"backbone.norm.{NORM[parts[2]]}", array)]
    block, (module, leaf) = f"backbone.blocks.{parts[2]}", parts[-2:]
    if module == "query_key_value":
        # Rows are [head, (q, k, v), head_dim].
        each = array.unflatten(0, (model.config.num_attention_heads, 3, -1))
        return [(f"{block}.mixer.{part}_proj.{leaf}", layout(each[:, i].flatten(0, 1))) for i, part in enumerate("qkv")]
    if module in ("input_layernorm", "post_attention_layernorm"):
        norm = "mixer_norm" if module == "input_layernorm" else "feed_forward_norm"
        return [(f"{block}.{norm}.{NORM[leaf]}", array)]
    linear = {"dense": "mixer.o_proj", "dense_h_to_4h": "feed_forward.up_proj",
              "dense_4h_to_h": "feed_forward.down_proj"}[module]
    return [(f"{block}.{linear}.{leaf}", layout(array))]


def layout(array):
    """Weights are `[from, to]` with us."""
    return array.T if array.dim() == 2 else array


NORM = {"weight": "gamma", "bias": "beta"}


def from_mamba(model, name, array):
    parts = name.split(".")
    if name == "backbone.embeddings.weight":
        return [("embedding.weight", array)]
    if name == "lm_head.weight":
        return [("head.weight", array.T)]
    if parts[1] == "norm_f":
        return [("backbone.norm.gamma", array)]
    block, rest = f"backbone.blocks.{parts[2]}", ".".join(parts[3:])
    if rest == "norm.weight":
        return [(f"{block}.mixer_norm.gamma", array)]
    rest = rest.removeprefix("mixer.")
    if rest == "conv1d.weight":
        array = array[:, 0].T
    elif rest.endswith("_proj.weight"):
        array = array.T
    rest = {"conv1d.weight": "conv_weight", "conv1d.bias": "conv_bias", "A_log": "a_log", "D": "d",
            "norm.weight": "norm_weight"}.get(rest, rest)
    return [(f"{block}.mixer.{rest}", array)]
