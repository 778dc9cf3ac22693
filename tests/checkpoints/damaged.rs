//! Damaged, hostile and foreign folders: each is an error of its own that names file, key, found and expected.

use burn::tensor::Device;
use burn_sequence::checkpoint;
use serde_json::{Value, json};

use crate::folder::Copy;

/// The message, without the folder.
fn problem(copy: &Copy) -> String {
    let error = checkpoint::load(copy.path(), &Device::default()).expect_err("a damaged model").to_string();
    error.replace(&format!("{}/", copy.path().display()), "")
}

fn set(key: &'static str, value: Value) -> impl FnOnce(&mut Value) {
    move |json| json[key] = value
}

#[test]
fn configurations() {
    let cases: [(&str, &'static str, Value, &str); 21] = [
        (
            "llama",
            "model_type",
            json!("gpt9"),
            r#"config.json: model_type is "gpt9"; known: gpt_neox, llama, mistral"#,
        ),
        ("llama", "model_type", Value::Null, r#"config.json: model_type is "missing"; known"#),
        (
            "llama",
            "hidden_size",
            Value::Null,
            r#"config.json: key "hidden_size" is missing, expected a whole number"#,
        ),
        (
            "llama",
            "hidden_size",
            json!("24"),
            r#"config.json: key "hidden_size" is "24", expected a whole number"#,
        ),
        (
            "llama",
            "hidden_size",
            json!(-24),
            r#"config.json: key "hidden_size" is -24, expected a whole number"#,
        ),
        ("llama", "hidden_size", json!(0), r#"config.json: key "hidden_size" is 0, expected at least 1"#),
        (
            "llama",
            "hidden_size",
            json!(u64::MAX),
            r#"config.json: key "hidden_size" is 18446744073709551615, expected at most"#,
        ),
        (
            "llama",
            "num_hidden_layers",
            json!(30_000),
            r#"config.json: key "num_hidden_layers" is 30000, expected at most"#,
        ),
        (
            "llama",
            "num_hidden_layers",
            json!(4),
            r#"key "model.layers.3.input_layernorm.weight" is missing, expected shape [24]"#,
        ),
        (
            "llama",
            "num_hidden_layers",
            json!(2),
            r#"13 tensors have no place in the model that config.json describes: "model.layers.2.input_layernorm.weight""#,
        ),
        (
            "llama",
            "hidden_act",
            json!("gelu_new"),
            r#"config.json: key "hidden_act" is "gelu_new", supported: "silu""#,
        ),
        ("llama", "num_attention_heads", json!(3), "attention: n_kv_heads (2) must divide n_heads (3)"),
        (
            "llama",
            "head_dim",
            json!(10),
            r#"key "model.layers.0.self_attn.q_proj.weight" has shape [32, 24], expected [40, 24]"#,
        ),
        (
            "mamba",
            "expand",
            json!(1_000_000_000_u64),
            r#"config.json: key "expand" is 1000000000, expected at most"#,
        ),
        ("mamba", "state_size", json!(40_000), r#"config.json: key "state_size" is 40000, expected at most"#),
        (
            "recurrent_gemma",
            "block_types",
            json!(["recurrent", "convolution"]),
            r#"config.json: key "block_types" is ["recurrent","convolution"], expected "recurrent" or "attention""#,
        ),
        (
            "recurrent_gemma",
            "num_attention_heads",
            json!(8),
            r#"key "model.layers.0.temporal_block.rg_lru.recurrent_gate_weight" has shape [4, 8, 8], expected [8, 4, 4]"#,
        ),
        (
            "recurrent_gemma",
            "logits_soft_cap",
            json!(0),
            "logits_soft_cap must be positive and finite, got 0",
        ),
        (
            "olmo_hybrid",
            "layer_types",
            json!(["linear_attention", "sliding_attention", "linear_attention"]),
            r#"expected "full_attention" or "linear_attention""#,
        ),
        (
            "olmo_hybrid",
            "linear_value_head_dim",
            json!(12),
            r#"config.json: key "linear_value_head_dim" is 12, expected a multiple of linear_key_head_dim, 5"#,
        ),
        ("mamba2", "num_heads", json!(5), r#"config.json: key "num_heads" is 5, supported: 6"#),
    ];
    for (name, key, value, expected) in cases {
        let copy = Copy::of(name);
        copy.json("config.json", set(key, value));
        let found = problem(&copy);
        assert!(found.contains(expected), "{key}: {found}");
    }
}

#[test]
fn nested_keys_are_named_whole() {
    let copy = Copy::of("llama");
    copy.json("config.json", |json| json["rope_parameters"]["rope_type"] = json!("dynamic"));
    let expected = r#"config.json: key "rope_parameters.rope_type" is "dynamic", supported: "default", "linear", "llama3", "yarn""#;
    assert_eq!(problem(&copy), expected);
    copy.json("config.json", |json| json["rope_parameters"] = json!({ "rope_type": "linear" }));
    assert_eq!(problem(&copy), r#"config.json: key "rope_parameters.factor" is missing, expected a number"#);
}

#[test]
fn rotary_embeddings_without_a_base_or_of_a_part() {
    let copy = Copy::of("llama");
    let changes = [
        (
            json!({ "rope_theta": null }),
            r#"config.json: key "rope_parameters.rope_theta" is null, expected a number"#,
        ),
        (
            json!({ "rope_theta": 100.0, "partial_rotary_factor": 0.5 }),
            r#"config.json: key "rope_parameters.partial_rotary_factor" is 0.5, supported: 1.0"#,
        ),
    ];
    for (rope, expected) in changes {
        copy.json("config.json", |json| json["rope_parameters"] = rope);
        assert_eq!(problem(&copy), expected);
    }
    copy.json("config.json", |json| {
        json["rope_parameters"] = Value::Null;
        json["rope_theta"] = Value::Null;
    });
    assert_eq!(problem(&copy), r#"config.json: key "rope_theta" is null, expected a number"#);
    copy.json("config.json", |json| {
        json["rope_theta"] = json!(100.0);
        json["partial_rotary_factor"] = json!(0.5);
    });
    assert_eq!(problem(&copy), r#"config.json: key "partial_rotary_factor" is 0.5, supported: 1.0"#);
}

#[test]
fn files() {
    let copy = Copy::of("mamba");
    let whole = copy.bytes("model.safetensors");
    let damaged = |bytes: &[u8]| {
        copy.write("model.safetensors", bytes);
        let found = problem(&copy);
        assert!(found.starts_with("model.safetensors: not a whole safetensors file: "), "{found}");
    };
    for len in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        damaged(&whole[..len]);
    }
    damaged(&[&whole[..], b"more"].concat());
    damaged(&[&u64::MAX.to_le_bytes(), &whole[8..]].concat());
    damaged(&[&(1_u64 << 40).to_le_bytes(), &whole[8..]].concat());
    damaged(&[&whole[..8], b"]]", &whole[10..]].concat());
    damaged(b"pickle, perhaps");

    std::fs::remove_file(copy.path().join("model.safetensors")).expect("it was just written");
    let expected = "model.safetensors: is missing, and so is model.safetensors.index.json; weights are read from safetensors, not from pickles (.bin)";
    assert_eq!(problem(&copy), expected);
    copy.write("model.safetensors", whole);
    copy.write("config.json", "{");
    assert!(problem(&copy).starts_with("config.json: EOF"), "{}", problem(&copy));
    std::fs::remove_file(copy.path().join("config.json")).expect("it was just written");
    assert!(problem(&copy).starts_with("config.json: No such file"), "{}", problem(&copy));
}

#[test]
fn headers() {
    type Change = fn(&mut Value);
    let changes: [Change; 5] = [
        // Past the end; overlapping; before its start; more numbers than bytes; a shape that overflows.
        |json| json["backbone.norm_f.weight"]["data_offsets"][1] = json!(1_u64 << 50),
        |json| json["backbone.norm_f.weight"]["data_offsets"] = json!([0, 96]),
        |json| json["backbone.norm_f.weight"]["data_offsets"] = json!([96, 0]),
        |json| json["backbone.norm_f.weight"]["shape"] = json!([25]),
        |json| json["backbone.norm_f.weight"]["shape"] = json!([u64::MAX, u64::MAX]),
    ];
    for change in changes {
        let copy = Copy::of("mamba");
        copy.header(change);
        let found = problem(&copy);
        assert!(found.starts_with("model.safetensors: not a whole safetensors file: "), "{found}");
    }
}

#[test]
fn tensors() {
    let copy = Copy::of("mamba");
    copy.header(|json| json["backbone.norm_f.weight"]["dtype"] = json!("I32"));
    let expected =
        r#"model.safetensors: key "backbone.norm_f.weight" is of type I32, supported: F64, F32, F16, BF16"#;
    assert_eq!(problem(&copy), expected);

    let copy = Copy::of("mamba");
    copy.header(|json| json["backbone.layers.1.mixer.A_log"]["shape"] = json!([5, 48]));
    let expected =
        r#"model.safetensors: key "backbone.layers.1.mixer.A_log" has shape [5, 48], expected [48, 5]"#;
    assert_eq!(problem(&copy), expected);

    let copy = Copy::of("mamba");
    copy.header(|json| {
        let renamed = json["backbone.norm_f.weight"].take();
        json.as_object_mut().expect("an object").remove("backbone.norm_f.weight");
        json["norm_f.weight"] = renamed;
    });
    assert_eq!(
        problem(&copy),
        r#"model.safetensors: key "backbone.norm_f.weight" is missing, expected shape [24]"#
    );
}

#[test]
fn shards() {
    const INDEX: &str = "model.safetensors.index.json";
    let copy = Copy::of("qwen2");
    copy.json(INDEX, |json| json["weight_map"]["lm_head.weight"] = json!("../model.safetensors"));
    let expected = r#"model.safetensors.index.json: key "weight_map.lm_head.weight" is "../model.safetensors", expected the name of a file beside it"#;
    assert_eq!(problem(&copy), expected);
    copy.json(INDEX, |json| json["weight_map"]["lm_head.weight"] = json!("model-9.safetensors"));
    assert!(problem(&copy).starts_with("model-9.safetensors: No such file"), "{}", problem(&copy));
    copy.json(INDEX, |json| json["weight_map"] = json!([]));
    let expected = r#"model.safetensors.index.json: key "weight_map" is missing, expected an object"#;
    assert_eq!(problem(&copy), expected);

    let copy = Copy::of("qwen2");
    copy.write("model-00002-of-00004.safetensors", copy.bytes("model-00001-of-00004.safetensors"));
    let found = problem(&copy);
    assert!(
        found.starts_with("model-00002-of-00004.safetensors: key \"") && found.contains("is also in"),
        "{found}"
    );

    let copy = Copy::of("qwen2");
    copy.json(INDEX, |json| json["weight_map"]["lm_head.weight"] = json!("model-00002-of-00004.safetensors"));
    let expected = r#"model.safetensors.index.json: key "lm_head.weight" is said to be in "model-00002-of-00004.safetensors", and is not"#;
    assert_eq!(problem(&copy), expected);
}
