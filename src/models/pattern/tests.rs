use crate::layers::{AttentionConfig, MambaConfig, MixerConfig, ParallelConfig, QkNorm};
use crate::models::{BackboneConfig, BlockConfig, LanguageModelConfig, LayerConfig};
use crate::ops::{Position, Rope};

fn parse(pattern: &str) -> BackboneConfig {
    BackboneConfig::parse(pattern, 128).unwrap_or_else(|error| panic!("{pattern}: {error}"))
}

fn mixer(pattern: &str) -> MixerConfig {
    match parse(pattern).layers.swap_remove(0) {
        LayerConfig::Block(block) => block.mixer,
        LayerConfig::Shared(_) => panic!("{pattern} is shared"),
    }
}

#[test]
fn options_overlay_the_defaults_of_the_width() {
    let expected = AttentionConfig::new(128)
        .with_n_heads(4)
        .with_n_kv_heads(Some(2))
        .with_position(Position::Rope(Rope { base: 500_000.0, fraction: 0.25, ..Rope::default() }))
        .with_qk_norm(Some(QkNorm::Whole));
    let text = "attention(n_heads=4, n_kv_heads=2, position=rope(base=5e5, fraction=0.25), qk_norm=whole, window=none)";
    assert_eq!(mixer(text), MixerConfig::Attention(expected));
    assert_eq!(mixer("mamba(dt_min=1e-4)"), MixerConfig::Mamba(MambaConfig::new(128).with_dt_min(1e-4)));
    // `none` is the absence of a value for one option and a name for another.
    let none = mixer("linear_attention(key_dim=none, normalization=none)");
    let MixerConfig::LinearAttention(config) = none else { panic!("{none:?}") };
    assert_eq!((config.key_dim, config.normalization), (None, crate::layers::Normalization::None));
    // The default of this option depends on the width.
    let narrow: BackboneConfig = BackboneConfig::parse("mamba2(d_state=8)", 24).unwrap();
    assert!(
        matches!(&narrow.layers[0], LayerConfig::Block(BlockConfig { mixer: MixerConfig::Mamba2(c), .. })
        if c.head_dim == 16 && c.d_state == 8)
    );
}

/// Different ways to write the same layers.
#[test]
fn same_layers() {
    for (one, other) in [
        ("mamba,attention", " mamba ,\n\tattention "),
        ("3*lstm", "lstm, lstm, lstm"),
        ("2*3*lstm", "6*lstm"),
        ("2*(lstm, 2*mamba)", "lstm, mamba, mamba, lstm, (mamba, mamba)"),
        ("2*attention + mlp", "2*(attention + mlp)"),
        ("2*attention | lstm & swiglu", "2*((attention | lstm) & swiglu)"),
        ("2*~attention + mlp", "2*(~(attention + mlp))"),
        ("((lstm))", "lstm()"),
        ("attention(position=hard_alibi())", "attention(position=hard_alibi)"),
    ] {
        assert_eq!(parse(one), parse(other), "{one} and {other}");
    }
    assert_ne!(parse("attention | lstm | mamba"), parse("(attention | lstm) | mamba"));
    assert_ne!(parse("attention + mlp"), parse("attention & mlp"));
    assert_ne!(parse("attention"), parse("~attention"));
}

#[test]
fn canonical_texts_print_as_they_are() {
    for text in [
        "mamba",
        "lstm, attention, mamba",
        "3*(3*mamba2, attention(n_kv_heads=2, window=512))",
        "attention, 4*(mamba, lstm), 2*mamba",
        "6*mamba, attention + mlp, 5*(6*mamba, @7)",
        "2*(attention | mamba2)",
        "(attention | mamba2) + mlp(d_hidden=512)",
        "(attention | mamba | lstm) | retention",
        "24*(attention(position=rope(fraction=0.25)) & mlp)",
        "attention(position=hard_alibi(windows=[1, 2, 3]), soft_cap=0.1)",
        "attention(position=rope(base=500000, pairs=interleaved))",
        "linear_attention(feature_map=identity, normalization=none)",
        "retention(norm_epsilon=1e-7)",
        "rg_lru(d_rnn=192, n_heads=4), min_gru(expand=2)",
        "s4d(discretization=bilinear, init=inv)",
        "parallel(branches=[lstm(d_model=128)])",
        "10000*lstm",
        "5000*(lstm, mamba)",
        "9000*lstm, attention, 3*mamba",
    ] {
        assert_eq!(parse(text).pattern(), text);
    }
}

#[test]
fn shared_layers_count_written_out_layers() {
    let layers = parse("2*(2*lstm, @2), @1").layers;
    let shared = layers.iter().map(|layer| match layer {
        LayerConfig::Shared(earlier) => Some(*earlier),
        LayerConfig::Block(_) => None,
    });
    let shared: Vec<_> = shared.collect();
    assert_eq!(shared, [None, None, Some(1), None, None, Some(1), Some(0)]);
}

#[test]
fn language_models_check_their_vocabulary() {
    let config: LanguageModelConfig = LanguageModelConfig::parse("2*lstm", 16, 100).unwrap();
    assert_eq!((config.vocab_size, config.backbone.d_model, config.pattern().as_str()), (100, 16, "2*lstm"));
    let error = <LanguageModelConfig>::parse("lstm", 16, 0).unwrap_err().to_string();
    assert_eq!(error, "language model: vocab_size must be at least 1, got 0");
}

#[test]
fn a_parallel_of_parallels_keeps_its_shape() {
    let inner = ParallelConfig { d_model: 128, branches: vec![mixer("lstm"), mixer("mamba")] };
    let outer = ParallelConfig { d_model: 128, branches: vec![mixer("attention"), inner.into()] };
    assert_eq!(mixer("attention | (lstm | mamba)"), MixerConfig::Parallel(outer));
}
