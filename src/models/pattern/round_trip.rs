//! What prints, reads back: configurations of the crate's mixers, and values of every shape.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::cursor::Cursor;
use super::values::{Style, call, value_text};
use crate::layers::{
    AttentionConfig, LinearAttentionConfig, LstmConfig, Mamba2Config, MambaConfig, MixerConfig,
    ParallelConfig, QkNorm,
};
use crate::models::{
    BackboneConfig, BlockConfig, FeedForwardConfig, HiddenWidth, LanguageModelConfig, LayerConfig,
    NormPlacement, Residual,
};
use crate::ops::{HardAlibi, Position, Rope, RopePairs};

const WIDTH: usize = 16;

fn position() -> impl Strategy<Value = Position> {
    let pairs = prop_oneof![Just(RopePairs::Half), Just(RopePairs::Interleaved)];
    let rope = (prop_oneof![1.5..1e9, Just(1e4), Just(5e20)], prop_oneof![Just(1.0), Just(0.5)], pairs)
        .prop_map(|(base, fraction, pairs)| Position::Rope(Rope { base, fraction, pairs, scaling: None }));
    let hard = vec(1..100_usize, 0..2).prop_map(|windows| Position::HardAlibi(HardAlibi { windows }));
    prop_oneof![rope, hard, Just(Position::Nope), Just(Position::Alibi)]
}

fn attention() -> impl Strategy<Value = MixerConfig> {
    let heads = (prop_oneof![Just(2), Just(4)], option::of(1..3_usize), option::of(Just(8)));
    let cap =
        option::of(prop_oneof![1e-37..1e38, Just(f64::from(f32::MIN_POSITIVE)), Just(f64::from(0.1_f32))]);
    let qk_norm = option::of(prop_oneof![Just(QkNorm::Head), Just(QkNorm::Whole)]);
    (heads, position(), option::of(1..9_usize), any::<bool>(), cap, qk_norm).prop_map(
        |((heads, kv_heads, head_dim), position, window, bias, cap, qk_norm)| {
            AttentionConfig::new(WIDTH)
                .with_n_heads(heads)
                .with_n_kv_heads(kv_heads)
                .with_head_dim(head_dim)
                .with_position(position)
                .with_window(window)
                .with_bias(bias)
                .with_soft_cap(cap)
                .with_qk_norm(qk_norm)
                .into()
        },
    )
}

fn mixer() -> impl Strategy<Value = MixerConfig> {
    let defaults = vec!["lstm", "mamba", "mamba2", "linear_attention(normalization=none)", "s4d(init=inv)"];
    let default = proptest::sample::select(defaults).prop_map(|name| {
        let LayerConfig::Block(block) = <BackboneConfig>::parse(name, WIDTH).unwrap().layers.remove(0) else {
            unreachable!("{name} is a mixer")
        };
        block.mixer
    });
    let mamba = (option::of(1..9_usize), 1e-9..1e-3, 2..5_usize).prop_map(|(rank, dt_min, taps)| {
        MambaConfig::new(WIDTH).with_dt_rank(rank).with_dt_min(dt_min).with_d_conv(taps).into()
    });
    let leaf = prop_oneof![2 => default, 1 => attention(), 1 => mamba];
    leaf.prop_recursive(3, 8, 3, |inner| {
        vec(inner, 1..4).prop_map(|branches| ParallelConfig { d_model: WIDTH, branches }.into())
    })
}

fn block() -> impl Strategy<Value = BlockConfig> {
    let width = || option::of(1..99_usize).prop_map(|d_hidden| HiddenWidth { d_hidden });
    let feed_forward = prop_oneof![
        width().prop_map(FeedForwardConfig::Mlp),
        width().prop_map(FeedForwardConfig::ReluMlp),
        width().prop_map(FeedForwardConfig::Swiglu),
        width().prop_map(FeedForwardConfig::Geglu)
    ];
    let residual = prop_oneof![Just(Residual::Sequential), Just(Residual::Parallel)];
    let placement = prop_oneof![2 => Just(NormPlacement::Before), 1 => Just(NormPlacement::After)];
    (mixer(), placement, option::of((feed_forward, residual))).prop_map(|(mixer, placement, feed_forward)| {
        let block = BlockConfig::new(mixer).with_norm_placement(placement);
        match feed_forward {
            None => block,
            Some((ff, residual)) => block.with_feed_forward(ff).with_residual(residual),
        }
    })
}

/// A few blocks, drawn from again and again, so that there is something to fold; now and then a shared layer.
fn backbone() -> impl Strategy<Value = BackboneConfig> {
    let picks = vec(prop_oneof![4 => (0..3_usize).prop_map(Ok), 1 => any::<usize>().prop_map(Err)], 1..12);
    (vec(block(), 3), picks, 1..4_usize).prop_map(|(blocks, picks, times)| {
        let mut config = BackboneConfig::new(WIDTH);
        for (index, pick) in (0..times).flat_map(|_| &picks).enumerate() {
            config = match pick {
                Err(earlier) if index > 0 => config.with_shared_layer(earlier % index),
                Err(_) => config.with_layer(blocks[0].clone()),
                Ok(pick) => config.with_layer(blocks[*pick].clone()),
            };
        }
        config
    })
}

/// JSON of any shape, with keys and texts that need quotes.
fn value() -> impl Strategy<Value = Value> {
    let text = "none|true|rope|Elu|[a-z\"\\\\ ,=()λ-]{0,5}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no such number", |x| x.is_finite()).prop_map(Value::from),
        any::<f32>().prop_filter("JSON has no such number", |x| x.is_finite()).prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(text, inner, 0..4).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn configurations(config in backbone()) {
        config.check().unwrap();
        let text = config.pattern();
        let read: BackboneConfig = BackboneConfig::parse(&text, WIDTH).unwrap();
        prop_assert_eq!(&read, &config, "{}", text);
        prop_assert_eq!(read.pattern(), text);
        let json = serde_json::to_value(LanguageModelConfig::new(7, config.clone())).unwrap();
        let read: LanguageModelConfig = serde_json::from_value(json).unwrap();
        prop_assert_eq!(read.backbone, config);
    }

    #[test]
    fn values(value in value()) {
        let text = format!("x(y={})", value_text(&value, Style::Exact));
        let call = call(&mut Cursor::new(&text)).unwrap().unwrap();
        prop_assert_eq!(&call.arguments[0].value, &value, "{}", text);
    }
}

#[test]
fn short_values() {
    for (value, text) in [
        (json!(500_000.0), "500000"),
        (json!(0.1_f32), "0.1"),
        (json!(-0.0), "-0.0"),
        (json!(1e-5), "1e-5"),
        (json!(1e20), "1e20"),
        (json!("none"), "none"),
        (json!("true"), "\"true\""),
        (json!({"rope": {"base": 2.0, "also": null}}), "rope(also=none, base=2)"),
        (json!({"fixed": 0.5}), "fixed(0.5)"),
        (json!({"a b": 1}), "(\"a b\"=1)"),
        (json!({"x": 1, "y": [1, 2]}), "(x=1, y=[1, 2])"),
    ] {
        assert_eq!(value_text(&value, Style::Short), text);
    }
}

#[test]
fn the_defaults_of_every_kind_are_bare_names() {
    let mixers = [
        MixerConfig::from(AttentionConfig::new(64)),
        MambaConfig::new(64).into(),
        Mamba2Config::new(64).into(),
        LinearAttentionConfig::new(64).into(),
        LstmConfig::new(64).into(),
    ];
    let mut config = BackboneConfig::new(64);
    for mixer in mixers {
        config = config.with_layer(BlockConfig::<MixerConfig>::new(mixer));
    }
    assert_eq!(config.pattern(), "attention, mamba, mamba2, linear_attention, lstm");
}
