//! Logits, decoding, padded batches and hidden vectors of one small model of every family, against Transformers.

use burn::tensor::{Device, Int, Tensor};
use burn_sequence::checkpoint::{self, Checkpoint};
use burn_sequence::generation::Decoder;
use burn_sequence::models::Head;
use safetensors::SafeTensors;
use serde_json::Value;

use crate::folder::{Copy, deviation, expected, most, published, tensor};

/// Of the largest entry; f32 against f64. What is found is in `docs/checkpoints.md`.
const TOLERANCE: f64 = 1e-5;

const MODELS: [&str; 17] = [
    "gpt_neox",
    "gpt_neox_sequential",
    "llama",
    "llama_tied",
    "mistral",
    "qwen2",
    "qwen3",
    "mamba",
    "mamba2",
    "mamba2_tied",
    "bamba",
    "recurrent_gemma",
    "olmo2",
    "olmo_hybrid",
    "olmo_hybrid_rope",
    "state_spaces_mamba",
    "state_spaces_mamba2",
];

/// Tokens of the shorter row of the padded batch.
const SHORT: usize = 6;

fn load(name: &str) -> Checkpoint {
    checkpoint::load(published(name), &Device::default()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// As AllenAI's own export writes it; Transformers says the same with it.
#[test]
fn a_base_that_is_null_turns_nothing_wherever_it_stands() {
    let copy = Copy::of("olmo_hybrid");
    copy.json("config.json", |json| {
        json.as_object_mut().expect("an object").remove("rope_parameters");
        json["rope_theta"] = Value::Null;
    });
    let found = checkpoint::load(copy.path(), &Device::default()).expect("a whole model");
    assert_eq!(found.config, load("olmo_hybrid").config);
}

#[test]
fn say_what_transformers_says() {
    println!("| model | keys | one pass | decoded | padded | hidden |");
    for name in MODELS {
        let Checkpoint { model, ignored, .. } = load(name);
        let expected = expected(name);
        let tokens = tensor::<2>(&expected["tokens"]).int();
        let [batch, seq] = tokens.dims();

        let (logits, _) = model.forward(tokens.clone(), None, None);
        let pass = deviation(logits, &expected["logits"]);

        let mut state = model.init_state(batch, &model.device());
        let mut logits = Vec::new();
        for place in 0..seq {
            let (next, after) = model.step(tokens.clone().narrow(1, place, 1).squeeze_dim(1), state);
            logits.push(next.unsqueeze_dim(1));
            state = after;
        }
        let decoded = deviation(Tensor::<3>::cat(logits, 1), &expected["decoded"]);

        let rows: Vec<u32> = tokens.clone().into_data().iter::<u32>().collect();
        let prompts = [rows[..seq].to_vec(), rows[seq..seq + SHORT].to_vec()];
        let padded = Decoder::new(&model).prefill(&prompts).expect("tokens of the vocabulary");
        let padded = deviation(padded, &expected["padded"]);

        let hidden = hidden(&model, tokens);
        let hidden = hidden.into_iter().enumerate();
        let hidden = hidden.map(|(place, hidden)| deviation(hidden, &expected[&format!("hidden.{place}")]));
        let hidden = most(hidden);

        let keys = keys(name) - ignored.len();
        println!("| {name} | {keys} | {pass:.1e} | {decoded:.1e} | {padded:.1e} | {hidden:.1e} |");
        for found in [pass, decoded, padded, hidden] {
            assert!(found <= TOLERANCE, "{name}: {found:e}");
        }
    }
}

/// Before every layer, and after the last norm.
fn hidden(model: &burn_sequence::models::LanguageModel, tokens: Tensor<2, Int>) -> Vec<Tensor<3>> {
    let mut x = model.embed(tokens);
    let mut hidden = Vec::new();
    for block in model.backbone.layers() {
        hidden.push(x.clone());
        x = block.forward(x, None, None).0;
    }
    hidden.push(model.backbone.norm.forward(x));
    hidden
}

/// Tensors in the files of a model.
fn keys(name: &str) -> usize {
    tensors(&published(name)).len()
}

/// Key, shape and 32-bit numbers of every tensor of a folder.
fn tensors(folder: &std::path::Path) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let mut tensors = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a file").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a plain name");
        if !name.starts_with("model") || !name.ends_with(".safetensors") {
            continue;
        }
        let bytes = std::fs::read(&path).expect("a file");
        let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
        tensors.extend(file.iter().map(|(key, view)| {
            let data = match view.dtype() {
                safetensors::Dtype::F32 => view.data().to_vec(),
                safetensors::Dtype::F16 => {
                    widened(view.data(), |half| burn::tensor::f16::from_le_bytes(half).to_f32())
                }
                _ => widened(view.data(), |half| burn::tensor::bf16::from_le_bytes(half).to_f32()),
            };
            (key.to_string(), view.shape().to_vec(), data)
        }));
    }
    tensors.sort();
    tensors
}

fn widened(bytes: &[u8], number: impl Fn([u8; 2]) -> f32) -> Vec<u8> {
    bytes.as_chunks().0.iter().flat_map(|half| number(*half).to_le_bytes()).collect()
}

#[test]
fn are_written_back() {
    for name in MODELS {
        let published = load(name);
        let folder = tempfile::tempdir().expect("a temporary folder");
        published.save(folder.path()).expect("a folder to write to");
        // For `reload.py`, which shows them to Transformers.
        if let Some(kept) = std::env::var_os("WRITTEN") {
            published.save(std::path::Path::new(&kept).join(name)).expect("a folder to write to");
        }
        let mut before = tensors(&self::published(name));
        before.retain(|(key, _, _)| !published.ignored.contains(key));
        let after = tensors(folder.path());
        if name == "olmo_hybrid_rope" {
            // Transformers writes some tensors under other names and cuts: these are written as they are published.
            let sizes = |tensors: &[(String, Vec<usize>, Vec<u8>)]| -> usize {
                tensors.iter().map(|(_, _, bytes)| bytes.len()).sum()
            };
            assert_eq!((after.len(), sizes(&after)), (before.len(), sizes(&before)));
        } else if name == "recurrent_gemma" {
            // Scales of norms are kept as what they differ from 1 by.
            assert_eq!(before.len(), after.len());
            for ((key, shape, before), (written, other, after)) in before.iter().zip(&after) {
                assert_eq!((key, shape), (written, other));
                let close = key.contains("norm") && furthest(before, after) <= f64::from(f32::EPSILON);
                assert!(before == after || close, "{key}");
            }
        } else {
            assert_eq!(after, before, "{name}");
        }

        let again = checkpoint::load(folder.path(), &Device::default()).expect("what was just written");
        assert_eq!(again.config, published.config, "{name}");
        assert_eq!(again.family(), published.family(), "{name}");
        assert_eq!(again.stop_tokens, published.stop_tokens, "{name}");
        let tokens = tensor::<2>(&expected(name)["tokens"]).int();
        let logits = |of: &Checkpoint| of.model.forward(tokens.clone(), None, None).0.into_data();
        if name != "recurrent_gemma" {
            logits(&again).assert_eq(&logits(&published), true);
        }
    }
}

#[test]
fn stop_tokens_are_written_back() {
    let copy = Copy::of("llama");
    copy.write("generation_config.json", r#"{"eos_token_id": [2, 7], "temperature": 0.5}"#);
    let mut published = checkpoint::load(copy.path(), &Device::default()).expect("a committed model");
    assert_eq!(published.stop_tokens, [2, 7]);
    for tokens in [vec![2, 7], vec![5], vec![]] {
        published.stop_tokens = tokens.clone();
        published.save(copy.path()).expect("a folder to write to");
        let again = checkpoint::load(copy.path(), &Device::default()).expect("what was just written");
        assert_eq!(again.stop_tokens, tokens);
    }
    let generation = String::from_utf8(copy.bytes("generation_config.json")).expect("JSON");
    assert!(generation.contains("\"temperature\": 0.5"), "{generation}");
}

fn furthest(a: &[u8], b: &[u8]) -> f64 {
    let numbers = |bytes: &[u8]| -> Vec<f32> {
        bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect()
    };
    assert_eq!(a.len(), b.len());
    most(numbers(a).into_iter().zip(numbers(b)).map(|(a, b)| f64::from((a - b).abs())))
}

#[test]
fn infinity_as_python_writes_it() {
    let copy = Copy::of("mamba2");
    let config = String::from_utf8(copy.bytes("config.json")).expect("text");
    let (before, rest) = config
        .split_once(
            r#"{
      "__float__""#,
        )
        .expect("as Transformers writes it now");
    let (_, after) = rest.split_once('}').expect("the end of the object");
    copy.write("config.json", format!("{before}Infinity{after}"));
    let published = checkpoint::load(copy.path(), &Device::default()).expect("an infinite limit");
    let folder = tempfile::tempdir().expect("a temporary folder");
    published.save(folder.path()).expect("a folder to write to");
    let written = std::fs::read_to_string(folder.path().join("config.json")).expect("just written");
    assert!(written.contains("Infinity\n") && !written.contains("\"Infinity"), "{written}");
    checkpoint::load(folder.path(), &Device::default()).expect("what was just written");
}

#[test]
fn a_head_that_is_the_embedding_no_more() {
    let copy = Copy::of("state_spaces_mamba");
    let mut file = copy.bytes("model.safetensors");
    let last = file.len() - 1;
    // The head, in a file whose keys are in order.
    assert_eq!(load("state_spaces_mamba").ignored, ["lm_head.weight"]);
    file[last] ^= 1;
    copy.write("model.safetensors", file);
    let published = checkpoint::load(copy.path(), &Device::default()).expect("a head of its own");
    assert_eq!(published.config.head, Head::Untied);
    assert!(published.ignored.is_empty());
    let folder = tempfile::tempdir().expect("a temporary folder");
    published.save(folder.path()).expect("a folder to write to");
    let again = checkpoint::load(folder.path(), &Device::default()).expect("what was just written");
    assert_eq!(again.config, published.config);
}

#[test]
fn one_file_goes_before_several() {
    let copy = Copy::of("qwen2");
    let mut published = checkpoint::load(copy.path(), &Device::default()).expect("four files");
    published.model.embedding.weight = published.model.embedding.weight.map(|weight| weight * 2.0);
    published.save(copy.path()).expect("the same folder");
    let again = checkpoint::load(copy.path(), &Device::default()).expect("what was just written");
    let weight = |of: &Checkpoint| of.model.embedding.weight.val().into_data();
    weight(&again).assert_eq(&weight(&published), true);
}

#[test]
fn stop_tokens_are_those_of_the_config() {
    assert_eq!(load("llama").stop_tokens, [2]);
}

/// As Transformers reads it: a window that is missing is the usual one, `null` is none.
#[test]
fn a_window_of_null_is_no_window() {
    let pattern = |window: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let copy = Copy::of("qwen2");
        copy.json("config.json", |json| {
            let settings = json.as_object_mut().expect("an object");
            settings.remove("layer_types");
            settings.insert("use_sliding_window".into(), true.into());
            settings.insert("max_window_layers".into(), 0.into());
            window(settings);
        });
        checkpoint::load(copy.path(), &Device::default()).unwrap().config.backbone.pattern()
    };
    let set =
        |value: Value| pattern(&|settings| drop(settings.insert("sliding_window".into(), value.clone())));
    assert!(!set(Value::Null).contains("window"));
    assert!(set(7.into()).contains("window=7"));
    assert!(pattern(&|settings| drop(settings.remove("sliding_window"))).contains("window=4096"));
}
