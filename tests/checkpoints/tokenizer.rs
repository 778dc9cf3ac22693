//! Text to tokens and back.

use burn_sequence::checkpoint::{TextStream, Tokenizer};
use proptest::prelude::*;
use serde_json::json;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use crate::folder::published;

/// A tokenizer whose tokens are bytes.
fn bytes() -> Tokenizer {
    let mut characters: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    characters.sort_unstable();
    let vocab: serde_json::Map<_, _> =
        characters.iter().enumerate().map(|(id, character)| (character.to_string(), json!(id))).collect();
    let level =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false });
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": level, "post_processor": null, "decoder": level,
        "model": { "type": "BPE", "vocab": vocab, "merges": [] },
    });
    of(tokenizer)
}

/// As it is left by one who cut texts to three tokens, or made them eight.
#[test]
fn a_text_is_read_whole_and_alone() {
    let whole = bytes();
    let mut tokenizer: serde_json::Value =
        serde_json::from_str(&whole.inner.to_string(false).unwrap()).unwrap();
    tokenizer["truncation"] =
        json!({ "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0 });
    tokenizer["padding"] = json!({
        "strategy": { "Fixed": 8 }, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "!",
    });
    let other = of(tokenizer);
    for text in ["a", "a longer text"] {
        assert_eq!(other.encode(text).unwrap(), whole.encode(text).unwrap());
    }
}

fn of(tokenizer: serde_json::Value) -> Tokenizer {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).expect("room for a file");
    Tokenizer::load(folder.path()).expect("a tokenizer")
}

#[test]
fn a_character_is_told_when_it_is_whole() {
    let tokenizer = bytes();
    let tokens = tokenizer.encode("aé!").unwrap();
    assert_eq!(tokens.len(), 4);
    let mut stream = tokenizer.stream();
    let told: Vec<String> = tokens.iter().map(|&token| stream.push(token).unwrap()).collect();
    assert_eq!(told, ["a", "", "é", "!"]);
}

/// Bytes where there is no token for a character, as in Llama 2 and Mistral.
fn byte_fallback() -> Tokenizer {
    let mut vocab: serde_json::Map<_, _> =
        (0..256).map(|byte| (format!("<0x{byte:02X}>"), json!(byte))).collect();
    for (id, token) in ["a", "b", "\u{2581}"].into_iter().enumerate() {
        vocab.insert(token.into(), json!(256 + id));
    }
    of(json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null,
        "decoder": { "type": "Sequence", "decoders": [
            { "type": "Replace", "pattern": { "String": "\u{2581}" }, "content": " " },
            { "type": "ByteFallback" }, { "type": "Fuse" },
            { "type": "Strip", "content": " ", "start": 1, "stop": 0 },
        ] },
        "model": { "type": "BPE", "vocab": vocab, "merges": [], "byte_fallback": true },
    }))
}

#[test]
fn what_goes_on_begins_with_its_space() {
    let tokenizer = byte_fallback();
    let (prompt, rest) = (tokenizer.encode("\u{2581}ab").unwrap(), tokenizer.encode("\u{2581}ba").unwrap());
    let told = |mut stream: TextStream| -> String {
        rest.iter().map(|&token| stream.push(token).unwrap()).collect()
    };
    assert_eq!(told(tokenizer.stream()), "ba");
    assert_eq!(told(tokenizer.stream_after(&prompt).unwrap()), " ba");
}

/// As after `max_tokens`, which may end a text inside a character.
#[test]
fn what_goes_on_ends_the_character_that_was_begun() {
    let check = |tokenizer: &Tokenizer, text: &str| {
        let tokens = tokenizer.encode(text).unwrap();
        assert_eq!(tokens.len(), text.len(), "a token is a byte");
        for begun in 0..=tokens.len() {
            let (prompt, rest) = tokens.split_at(begun);
            let whole = (0..=begun).rev().find(|&bytes| text.is_char_boundary(bytes)).unwrap();
            let mut stream = tokenizer.stream_after(prompt).unwrap();
            let told: String = rest.iter().map(|&token| stream.push(token).unwrap()).collect();
            assert_eq!(told, text[whole..], "after {begun} tokens");
        }
    };
    check(&bytes(), "aé🦀b");
    check(&byte_fallback(), "aé🦀🦀b");
}

/// Which is no half of a character: it was said, as all of the prompt.
#[test]
fn a_prompt_may_end_in_the_replacement_character() {
    let tokenizer = bytes();
    let (prompt, rest) = (tokenizer.encode("a\u{fffd}").unwrap(), tokenizer.encode("bé").unwrap());
    let mut stream = tokenizer.stream_after(&prompt).unwrap();
    let told: String = rest.iter().map(|&token| stream.push(token).unwrap()).collect();
    assert_eq!(told, "bé");
    assert_eq!(tokenizer.stream_after(&prompt).unwrap().finish().unwrap(), "");
}

#[test]
fn bytes_without_a_token_of_their_own() {
    let tokenizer = byte_fallback();
    let told = |tokens: &[u32]| {
        let mut stream = tokenizer.stream();
        let mut told: String = tokens.iter().map(|&token| stream.push(token).unwrap()).collect();
        told += &stream.finish().unwrap();
        told
    };
    let tokens = tokenizer.encode("éλ漢a🦀🦀b").unwrap();
    assert_eq!(told(&tokens), "éλ漢a🦀🦀b");
    // No character at all: nothing is right, and nothing breaks.
    assert!(told(&[0x0A, 0xF0, 256]).ends_with('a'));
    assert!(told(&[256, 0xC3]).starts_with('a'));
}

proptest! {
    #[test]
    fn what_is_told_is_the_text(text in "[a-z éλ漢🦀]{0,12}") {
        let tokenizer = bytes();
        let tokens = tokenizer.encode(&text).unwrap();
        prop_assert_eq!(tokenizer.decode(&tokens).unwrap(), text.clone());
        let mut stream = tokenizer.stream();
        let told: String = tokens.iter().map(|&token| stream.push(token).unwrap()).collect();
        prop_assert_eq!(told, text);
    }
}

#[test]
fn a_published_tokenizer() {
    let tokenizer = Tokenizer::load(published("llama_tied")).unwrap();
    assert_eq!(tokenizer.encode("ab 0").unwrap(), [5, 6, 4, 31]);
    assert_eq!(tokenizer.decode(&[1, 5, 6, 4, 31, 2]).unwrap(), "ab 0");
    assert_eq!(tokenizer.token("</s>"), Some(2));
    let error = Tokenizer::load(published("llama")).unwrap_err().to_string();
    assert!(error.contains("llama/tokenizer.json"), "{error}");
}
