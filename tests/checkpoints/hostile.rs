//! Random damage: whatever the bytes, loading ends in a model or an error, never in a panic or in memory running out.

use burn::tensor::Device;
use burn_sequence::checkpoint;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use crate::folder::Copy;

const MODELS: [&str; 9] = [
    "bamba",
    "gpt_neox",
    "llama",
    "qwen3",
    "mamba",
    "mamba2",
    "recurrent_gemma",
    "olmo_hybrid",
    "state_spaces_mamba2",
];

/// Values that a key may be given: of every kind, and numbers at the ends of their ranges.
fn value() -> impl Strategy<Value = Value> {
    let values = [
        Value::Null,
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(3),
        json!(64),
        json!(65_536),
        json!(1_u64 << 33),
        json!(u64::MAX),
        json!(1e-300),
        json!(1e300),
        json!(""),
        json!("auto"),
        json!("yarn"),
        json!([]),
        json!([0, 1e9]),
        json!({}),
        json!({ "rope_type": "yarn", "factor": 0.0 }),
    ];
    prop_oneof![3 => select(values.to_vec()), 1 => any::<u32>().prop_map(Value::from)]
}

/// Gives a random key of an object a value, or drops it; of an object in that object, where there is one and so many
/// indices.
fn change(json: &mut Value, keys: &[Index], new: Option<Value>) {
    let Some(object) = json.as_object_mut().filter(|object| !object.is_empty()) else { return };
    let names: Vec<String> = object.keys().cloned().collect();
    let name = keys[0].get(&names);
    match (&mut object[name], new) {
        (inner @ Value::Object(_), new) if keys.len() > 1 => change(inner, &keys[1..], new),
        (place, Some(new)) => *place = new,
        (_, None) => {
            object.remove(name);
        }
    }
}

/// A key, the value it gets, and `None` to drop it.
fn changes() -> impl Strategy<Value = Vec<(Vec<Index>, Option<Value>)>> {
    vec((vec(any::<Index>(), 1..3), proptest::option::weighted(0.9, value())), 1..4)
}

/// Loads it; any error will do.
fn load(copy: &Copy) {
    if let Err(error) = checkpoint::load(copy.path(), &Device::default()) {
        assert!(!error.to_string().is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn configurations(name in select(&MODELS[..]), changes in changes()) {
        let copy = Copy::of(name);
        for (keys, new) in changes {
            copy.json("config.json", |json| change(json, &keys, new));
        }
        load(&copy);
    }

    #[test]
    fn headers(name in select(vec!["gpt_neox", "mamba", "mamba2"]), changes in changes()) {
        let copy = Copy::of(name);
        for (keys, new) in changes {
            copy.header(|json| change(json, &keys, new));
        }
        load(&copy);
    }

    #[test]
    fn bytes(
        name in select(vec!["gpt_neox", "mamba", "mamba2"]),
        file in select(vec!["config.json", "model.safetensors"]),
        places in vec((any::<Index>(), any::<u8>()), 1..8),
        end in proptest::option::weighted(0.2, any::<Index>()),
    ) {
        let copy = Copy::of(name);
        let mut bytes = copy.bytes(file);
        // The header: damaged numbers are numbers.
        let header = bytes.len().min(2048);
        for (place, byte) in places {
            bytes[place.index(header)] = byte;
        }
        if let Some(end) = end {
            bytes.truncate(end.index(bytes.len()));
        }
        copy.write(file, bytes);
        load(&copy);
    }
}
