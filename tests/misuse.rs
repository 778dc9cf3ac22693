//! Bad input: each kind has a message that names what is wrong.
#![recursion_limit = "256"]

#[path = "misuse/tasks.rs"]
mod tasks;

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{Device, Int, Tensor};
use burn_sequence::generation::GenerateOptions;
use burn_sequence::layers::*;
use burn_sequence::models::{LanguageModel, LanguageModelConfig, LayerConfig};
use burn_sequence::ops::{
    DiagonalScanInputs, Gates, Implementation, Segments, VectorDecayInputs, diagonal_scan, vector_decay,
};

fn message(act: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(act)).expect_err("this must panic");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).expect("a panic with a text")
}

fn config_error(config: &impl BuildMixer) -> String {
    let error = config.check().expect_err("such a mixer cannot be built").to_string();
    // `init` panics with the same words.
    assert_eq!(message(|| drop(config.build(&Device::default()))), error);
    error
}

fn model() -> LanguageModel {
    let config: LanguageModelConfig =
        LanguageModelConfig::parse("attention(n_heads=2), mamba(d_state=4)", 8, 10).unwrap();
    config.init(&Device::default())
}

#[test]
fn sizes_that_do_not_fit() {
    let cases: [(String, &str); 21] = [
        (
            config_error(&AttentionConfig::new(128).with_n_heads(6)),
            "attention: n_heads (6) must divide d_model (128)",
        ),
        (
            config_error(&AttentionConfig::new(16).with_n_heads(4).with_n_kv_heads(Some(3))),
            "attention: n_kv_heads (3) must divide n_heads (4)",
        ),
        (
            config_error(&AttentionConfig::new(16).with_window(Some(0))),
            "attention: window must be at least 1, got 0: a token sees itself",
        ),
        (config_error(&MambaConfig::new(0)), "mamba: d_model must be at least 1, got 0"),
        (config_error(&MambaConfig::new(16).with_d_state(0)), "mamba: d_state must be at least 1, got 0"),
        (
            config_error(&Mamba2Config::new(16).with_head_dim(5)),
            "mamba2: head_dim (5) must divide expand · d_model (32)",
        ),
        (
            config_error(&Mamba2Config::new(16).with_head_dim(8).with_n_groups(3)),
            "mamba2: n_groups (3) must divide the heads (4)",
        ),
        (
            config_error(&LinearAttentionConfig::new(16).with_n_heads(3)),
            "linear_attention: n_heads (3) must divide d_model (16)",
        ),
        (
            config_error(&DeltaNetConfig::new(12)),
            "delta_net: n_heads (8) must divide d_model (12), or set head_dim",
        ),
        (
            config_error(&DeltaNetConfig::new(16).with_d_conv(1)),
            "delta_net: d_conv must be at least 2, got 1",
        ),
        (
            config_error(&GatedDeltaNetConfig::new(16).with_n_v_heads(Some(12))),
            "gated_delta_net: n_heads (8) must divide n_v_heads (12)",
        ),
        (
            config_error(&GatedDeltaNetConfig::new(16).with_norm_epsilon(0.0)),
            "gated_delta_net: norm_epsilon must be positive and finite, got 0",
        ),
        (
            config_error(&GatedDeltaNetConfig::new(16).with_expand_v(usize::MAX)),
            "gated_delta_net: expand_v must be at most 1048576, got 18446744073709551615",
        ),
        (
            config_error(&RgLruConfig::new(16).with_d_rnn(Some(20)).with_n_heads(8)),
            "rg_lru: n_heads (8) must divide d_rnn (20)",
        ),
        (
            config_error(&MinGruConfig::new(16).with_expand(usize::MAX)),
            "min_gru: expand must be at most 1048576, got 18446744073709551615",
        ),
        (
            config_error(&S4dConfig::new(16).with_d_state(5)),
            "s4d: d_state must be even, half of it complex states, got 5",
        ),
        (
            config_error(&S4dConfig::new(16).with_dt_max(1e300)),
            "s4d: 0 < dt_min ≤ dt_max ≤ 1000000 is needed, got dt_min 0.001, dt_max 1e300",
        ),
        (config_error(&LstmConfig::new(0)), "lstm: d_model must be at least 1, got 0"),
        (
            config_error(&AttentionConfig::new(16).with_n_heads(1 << 40)),
            "attention: n_heads must be at most 1048576, got 1099511627776",
        ),
        (
            config_error(&Mamba2Config::new(16).with_head_dim(8).with_norm_epsilon(-1.0)),
            "mamba2: norm_epsilon must be positive and finite, got -1",
        ),
        (
            config_error(&RetentionConfig::new(16).with_n_heads(16)),
            "retention: rope: an even number of dimensions must turn, got 1 of head_dim (1)",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
}

#[test]
fn sizes_that_would_overflow() {
    let gla = GlaConfig::new(16).with_n_heads(2);
    for (config, expected) in [
        (
            gla.clone().with_key_dim(Some(usize::MAX)),
            "gla: key_dim must be at most 1048576, got 18446744073709551615",
        ),
        (gla.clone().with_value_dim(Some(1 << 21)), "gla: value_dim must be at most 1048576, got 2097152"),
        (gla.clone().with_gate_rank(1 << 40), "gla: gate_rank must be at most 1048576, got 1099511627776"),
        (gla.with_gate_normalizer(0.0), "gla: gate_normalizer must be positive and finite, got 0"),
        (GlaConfig::new(18), "gla: n_heads (4) must divide d_model (18)"),
        (GlaConfig::new(4), "gla: key_dim must be at least 1, got 0"),
    ] {
        assert_eq!(config_error(&config), expected);
    }
}

#[test]
fn inputs_of_another_width() {
    let device = Device::default();
    for config in [MixerConfig::from(MambaConfig::new(8)), LstmConfig::new(8).into()] {
        let mixer = config.build(&device);
        let found = message(|| drop(mixer.forward(Tensor::zeros([1, 3, 9], &device), None, None)));
        assert!(found.contains("expected 8, got 9"), "{found}");
    }
}

#[test]
fn states_of_another_batch_or_mixer() {
    let device = Device::default();
    let mamba = MixerConfig::from(MambaConfig::new(8)).build(&device);
    let lstm = MixerConfig::from(LstmConfig::new(8)).build(&device);
    let step = |state| message(|| drop(mamba.step(Tensor::zeros([2, 8], &device), state)));
    let found = step(mamba.init_state(3, &device));
    assert!(found.contains("conv") && found.contains("expected 2, got 3"), "{found}");
    assert_eq!(step(lstm.init_state(2, &device)), "Mamba: expected its own state, got that of Lstm");
}

#[test]
fn segments_of_another_batch() {
    let device = Device::default();
    let tokens = Tensor::<2, Int>::zeros([2, 5], &device);
    let found = message(|| drop(model().forward(tokens, Some(&Segments::from_lengths(&[2, 3])), None)));
    assert_eq!(found, "segments: expected [batch, seq] = [2, 5], got [1, 5]");
}

#[test]
fn states_of_another_model() {
    let device = Device::default();
    let mut state = model().init_state(1, &device);
    state.layers.pop();
    let found = message(|| drop(model().step(Tensor::zeros([1], &device), state)));
    assert_eq!(found, "backbone: the state has 1 layers, expected 2");
}

#[test]
fn tokens_and_prompts() {
    let options = GenerateOptions::default();
    let error = |prompt: &[u32]| model().generate(&[prompt.to_vec()], &options).unwrap_err().to_string();
    let found = error(&[1, 10]);
    assert!(found.contains("token 10") && found.contains("vocab_size is 10"), "{found}");
    let found = error(&[]);
    assert!(found.contains("empty"), "{found}");
}

#[test]
fn no_rows_and_no_tokens() {
    let device = Device::default();
    let model = model();
    for dims in [[1, 0], [0, 4]] {
        let found = message(|| drop(model.forward(Tensor::zeros(dims, &device), None, None)));
        assert_eq!(found, format!("tokens: expected at least one row and one token, got {dims:?}"));
        let [batch, seq] = dims;
        for mixer in MixerConfig::defaults(16) {
            if let MixerConfig::Parallel(_) = mixer {
                continue;
            }
            let x = Tensor::zeros([batch, seq, 16], &device);
            let found = message(|| drop(mixer.build(&device).forward(x, None, None)));
            assert_eq!(
                found,
                format!("a mixer: expected at least one row and one token, got {dims:?}"),
                "{mixer:?}"
            );
        }
    }
    assert_eq!(message(|| drop(Segments::from_lengths(&[]))), "segments: at least one document is needed");
}

/// A state whose counts are of another batch.
#[test]
fn counts_of_another_batch() {
    let device = Device::default();
    let x = || Tensor::zeros([2, 3, 8], &device);
    let retention = RetentionConfig::new(8).with_n_heads(2).init(&device);
    let mut state = retention.init_state(2, &device);
    state.seen.pop();
    let found = message(|| drop(retention.forward(x(), None, Some(state))));
    assert_eq!(found, "state: seen is of 1 rows, expected 2");
    let rg_lru = RgLruConfig::new(8).with_n_heads(2).init(&device);
    let mut state = rg_lru.init_state(2, &device);
    state.seen.push(0);
    let found = message(|| drop(rg_lru.forward(x(), None, Some(state))));
    assert_eq!(found, "state: seen is of 3 rows, expected 2");
}

/// A key that is misspelt is no other model.
#[test]
fn misspelt_keys() {
    let config: LanguageModelConfig = LanguageModelConfig::parse("lstm + mlp", 8, 10).unwrap();
    let json = serde_json::to_string(&config).unwrap();
    for (key, misspelt) in [
        ("\"feed_forward\"", "\"feed_foward\""),
        ("\"norm_epsilon\"", "\"norm_eps\""),
        ("\"logits_soft_cap\"", "\"logit_soft_cap\""),
    ] {
        assert!(json.contains(key), "{json}");
        let found = serde_json::from_str::<LanguageModelConfig>(&json.replace(key, misspelt))
            .unwrap_err()
            .to_string();
        assert!(found.contains(misspelt.trim_matches('"')), "{found}");
    }
}

#[test]
fn sizes_beyond_reason() {
    let parse = |d_model, vocab_size| LanguageModelConfig::<MixerConfig>::parse("lstm", d_model, vocab_size);
    let found = parse(usize::MAX, 10).unwrap_err().to_string();
    assert!(found.contains("d_model must be at most 1048576"), "{found}");
    let found = parse(8, 1 << 30).and_then(|config| config.check()).unwrap_err().to_string();
    assert!(found.contains("vocab_size must be at most 1048576"), "{found}");
}

/// One step size for all.
#[test]
fn step_sizes_of_one_value() {
    for pattern in ["mamba(dt_min=0.1, dt_max=0.1)", "mamba2(dt_min=0.1, head_dim=8)", "s4d(dt_min=0.1)"] {
        let config: LanguageModelConfig = LanguageModelConfig::parse(pattern, 8, 10).unwrap();
        let (logits, _) =
            config.init(&Device::default()).forward(Tensor::zeros([1, 3], &Device::default()), None, None);
        assert!(logits.into_data().iter::<f32>().all(f32::is_finite), "{pattern}");
    }
}

#[test]
fn saved_models_that_are_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let config: LanguageModelConfig = LanguageModelConfig::parse("lstm", 8, 10).unwrap();
    config.save_model(&config.init(&Device::default()), folder.path()).unwrap();
    let load = || <LanguageModelConfig>::load_model(folder.path(), &Device::default());
    assert_eq!(load().unwrap().0, config);
    let path = folder.path().join("model.bpk");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    let found = load().unwrap_err().to_string();
    assert!(found.contains("model.bpk"), "{found}");
    std::fs::remove_file(&path).unwrap();
    let found = load().unwrap_err().to_string();
    assert!(found.contains("model.bpk") && found.contains("is missing"), "{found}");
}

/// An option of another name would be passed over, and the model be another one.
#[test]
fn saved_models_with_options_that_nobody_knows() {
    let folder = tempfile::tempdir().unwrap();
    let pattern = "attention(n_heads=2, window=4) + swiglu, mamba | gla(n_heads=2)";
    let config: LanguageModelConfig = LanguageModelConfig::parse(pattern, 8, 10).unwrap();
    config.save_model(&config.init(&Device::default()), folder.path()).unwrap();
    let path = folder.path().join("config.json");
    let json = std::fs::read_to_string(&path).unwrap();
    for (known, other) in
        [("window", "windows"), ("d_state", "state"), ("gate_normalizer", "gate_normaliser")]
    {
        std::fs::write(
            &path,
            json.replacen(&format!("\"{known}\":"), &format!("\"{other}\": 3, \"{known}\":"), 1),
        )
        .unwrap();
        let found =
            <LanguageModelConfig>::load_model(folder.path(), &Device::default()).unwrap_err().to_string();
        assert!(
            found.contains("config.json") && found.contains(&format!("{other}\" is no option")),
            "{found}"
        );
    }
    std::fs::write(&path, format!("{json} and more")).unwrap();
    assert!(<LanguageModelConfig>::load_model(folder.path(), &Device::default()).is_err());
}

#[test]
fn saved_states_of_another_model() {
    let device = Device::default();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    model().init_state(1, &device).save(&path).unwrap();
    let found = model().init_state(2, &device).load(&path).unwrap_err().to_string();
    assert!(
        found.contains("state") && (found.contains("expected 2") || found.contains("expected [2")),
        "{found}"
    );
    let of = |d_state| MambaConfig::new(8).with_d_state(d_state).build(&device).init_state(1, &device);
    of(16).save(&path).unwrap();
    let found = of(32).load(&path).unwrap_err().to_string();
    assert!(found.contains("[1, 16, 16], expected [1, 16, 32]"), "{found}");
    std::fs::write(&path, b"no state").unwrap();
    assert!(model().init_state(1, &device).load(&path).is_err());
    // Columns that a window has dropped are missing without one.
    let attention = |window| AttentionConfig::new(8).with_n_heads(2).with_window(window).build(&device);
    let (_, state) = attention(Some(4)).forward(Tensor::ones([1, 9, 8], &device), None, None);
    state.save(&path).unwrap();
    for window in [None, Some(3), Some(8)] {
        let found = attention(window).init_state(1, &device).load(&path).unwrap_err().to_string();
        assert!(found.contains("do not fit together"), "{window:?}: {found}");
    }
    assert!(attention(Some(4)).init_state(1, &device).load(&path).is_ok());
}

#[test]
fn numbers_that_are_lost_in_32_bits() {
    let tiny = config_error(&RetentionConfig::new(16).with_norm_epsilon(1e-50));
    assert_eq!(tiny, "retention: norm_epsilon must be neither 0 nor infinite in 32 bits, got 1e-50");
    let large = config_error(&AttentionConfig::new(16).with_soft_cap(Some(1e40)));
    assert!(large.ends_with("must be neither 0 nor infinite in 32 bits, got 1e40"), "{large}");
}

#[test]
fn ops_without_tokens() {
    let device = Device::default();
    let of = |seq: usize| Tensor::<4>::zeros([1, 2, seq, 3], &device);
    let decay = || VectorDecayInputs {
        q: of(0),
        k: of(0),
        v: of(0),
        log_decay: of(0),
        state: of(3),
        segments: None,
        chunk_size: 4,
    };
    let expected = ": expected at least one row and one token, got [1, 0]";
    for implementation in [Implementation::Portable, Implementation::Auto] {
        let found = message(|| drop(vector_decay(decay(), implementation)));
        assert_eq!(found, format!("vector_decay{expected}"));
    }
    let gates = Gates::Given {
        log_decay: Tensor::zeros([1, 0, 3], &device),
        write: Tensor::zeros([1, 0, 3], &device),
    };
    let scan = DiagonalScanInputs { gates, state: Tensor::zeros([1, 3], &device), segments: None };
    assert_eq!(
        message(|| drop(diagonal_scan(scan, Implementation::Auto))),
        format!("diagonal_scan{expected}")
    );
}

#[test]
fn a_backbone_names_the_layer() {
    let mut config: LanguageModelConfig =
        LanguageModelConfig::parse("lstm, attention(n_heads=2)", 8, 10).unwrap();
    let LayerConfig::Block(block) = &mut config.backbone.layers[1] else { panic!("a block") };
    block.mixer = AttentionConfig::new(8).with_n_heads(3).into();
    assert_eq!(
        config.check().unwrap_err().to_string(),
        "layer 2: attention: n_heads (3) must divide d_model (8)"
    );
    config.backbone.layers[1] = LayerConfig::Shared(usize::MAX);
    assert!(config.check().unwrap_err().to_string().starts_with("layer 2: shares the weights of layer"));
}

#[test]
fn saved_states_that_are_damaged() {
    use safetensors::{Dtype, SafeTensors, tensor::TensorView};
    let device = Device::default();
    let attention =
        MixerConfig::from(AttentionConfig::new(8).with_n_heads(2).with_window(Some(4))).build(&device);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (_, state) = attention.forward(Tensor::ones([1, 9, 8], &device), None, None);
    state.save(&path).unwrap();
    let saved = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&saved).unwrap();
    let load = |name: &str, dtype: Dtype, shape: &[usize], bytes: &[u8]| {
        let views = file.iter().map(|(key, view)| {
            let changed = || TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
            (key.to_string(), if key.ends_with(name) { changed() } else { view })
        });
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        attention.init_state(1, &device).load(&path).map(drop).map_err(|error| error.to_string())
    };
    let counts = |counts: &[u64]| counts.iter().flat_map(|count| count.to_le_bytes()).collect::<Vec<u8>>();
    assert_eq!(load("columns", Dtype::U64, &[2], &counts(&[4, 0])), Ok(()));
    for columns in [[5, 0], [3, 1], [4, 4], [0, 1]] {
        let found = load("columns", Dtype::U64, &[2], &counts(&columns)).unwrap_err();
        assert!(found.contains("do not fit together"), "{columns:?}: {found}");
    }
    let found = load("seen", Dtype::U64, &[1], &counts(&[u64::MAX])).unwrap_err();
    assert!(found.contains("seen counts 18446744073709551615, more than"), "{found}");
    let found = load("seen", Dtype::F64, &[1], &[0; 8]).unwrap_err();
    assert!(found.contains("seen holds F64, expected U64"), "{found}");
    for (dtype, width) in [(Dtype::U8, 1), (Dtype::I32, 4), (Dtype::F64, 8)] {
        let found = load("keys", dtype, &[1, 2, 4, 4], &vec![0; 32 * width]).unwrap_err();
        assert!(found.contains(&format!("keys holds {dtype:?}, expected F32")), "{found}");
    }
    let found = load("values", Dtype::F32, &[1, 2, 3, 4], &[0; 96]).unwrap_err();
    assert!(found.contains("do not fit together"), "{found}");
}
