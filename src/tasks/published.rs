//! The same strings as the code of arXiv 2402.01032 makes them: `tests/golden/formats`.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Mutex;

use rand::{SeedableRng, rngs::ChaCha8Rng};
use serde::Deserialize;

use super::copying::copy_of;
use super::ngram_lookup::lookup;
use super::phone_book::book;
use super::{Example, KeyPlace, Packing, Task, vocabulary};

#[derive(Deserialize)]
struct Published {
    examples: Vec<Asked>,
    rows: Vec<Packed>,
    books: Vec<Book>,
}

/// A string, padded, and 1 where its loss is.
#[derive(Deserialize)]
struct Asked {
    task: String,
    n: usize,
    string: String,
    ids: Vec<u32>,
    mask: Vec<u8>,
}

#[derive(Deserialize)]
struct Packed {
    task: String,
    n: usize,
    strings: Vec<String>,
    ids: Vec<u32>,
    mask: Vec<u8>,
}

#[derive(Deserialize)]
struct Book {
    entries: usize,
    prompt: String,
    label: String,
}

fn published() -> Published {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/formats/strings.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Ours, of the same letters, key and answer.
fn ours(task: &str, n: usize, string: &str) -> Example {
    let parts: Vec<Vec<u32>> = (string.strip_prefix('$').and_then(|text| text.strip_suffix('.')).unwrap())
        .split('|')
        .map(|part| vocabulary::encode(part).unwrap())
        .collect();
    match (task, &parts[..]) {
        ("copy" | "duplicate_ngram", [x, _]) => copy_of(x),
        ("prefix_ngram", [key, x, answer]) => lookup(KeyPlace::Prefix, key, x, answer),
        ("suffix_ngram", [x, end]) => lookup(KeyPlace::Suffix, &end[..n], x, &end[n..]),
        other => panic!("{other:?}"),
    }
}

/// 1 at every token that is to be said.
fn mask(targets: impl Iterator<Item = usize>, len: usize) -> Vec<u8> {
    let mut mask = vec![0; len];
    targets.for_each(|position| mask[position + 1] = 1);
    mask
}

#[test]
fn strings_and_their_losses() {
    let examples = published().examples;
    assert_eq!(examples.len(), 24);
    for Asked { task, n, string, mut ids, mask: expected } in examples {
        let Example { mut tokens, targets } = ours(&task, n, &string);
        assert_eq!(mask(targets.iter().map(|target| target.position), expected.len()), expected, "{string}");
        // All but the end is scored, and what is scored is the answer of the first place of the key.
        let scored: Vec<u32> =
            targets.iter().filter(|target| target.scored).map(|target| target.token).collect();
        assert_eq!(scored.len() + 1, targets.len());
        let (said, copied) = (vocabulary::decode(&scored).unwrap(), string.split('|').next().unwrap());
        let x = if task == "prefix_ngram" { string.split('|').nth(1).unwrap() } else { &copied[1..] };
        let key = match &*task {
            "prefix_ngram" => &copied[1..],
            "suffix_ngram" => &string.split('|').nth(1).unwrap()[..n],
            _ => "",
        };
        let place = x.find(key).unwrap() + key.len();
        assert!(x[place..].starts_with(&said), "{string}: {said}");
        tokens.resize(ids.len(), vocabulary::PADDING);
        assert_eq!(tokens, std::mem::take(&mut ids), "{string}");
    }
}

/// Gives the examples it holds, one after another.
struct Listed(Mutex<VecDeque<Example>>);

impl Task for Listed {
    fn name(&self) -> &str {
        "listed"
    }

    fn vocab_size(&self) -> usize {
        vocabulary::SIZE
    }

    fn padding(&self) -> u32 {
        vocabulary::PADDING
    }

    fn lengths(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn example(&self, _: usize, _: &mut ChaCha8Rng) -> Example {
        self.0.lock().unwrap().pop_front().expect("one more")
    }
}

#[test]
fn rows_are_packed_alike() {
    for Packed { task, n, strings, ids, mask: expected } in published().rows {
        let listed = Listed(Mutex::new(strings.iter().map(|string| ours(&task, n, string)).collect()));
        let row = Packing::Paper.pack(&listed, ids.len(), &mut ChaCha8Rng::seed_from_u64(0));
        assert_eq!(row.tokens, ids);
        assert_eq!(
            mask(row.targets.iter().map(|target| target.position), ids.len()),
            expected,
            "{strings:?}"
        );
        assert!(listed.0.lock().unwrap().is_empty());
    }
}

#[test]
fn phone_books() {
    for Book { entries: count, prompt, label } in published().books {
        let lines: Vec<&str> = prompt.lines().filter(|line| !line.is_empty()).collect();
        let entries: Vec<[String; 2]> = (lines[..count].iter())
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(name, number)| [name.to_string(), number.to_string()])
            .collect();
        // Names may be there twice in the paper's books: the number tells.
        let place = |line: &str| entries.iter().position(|[name, number]| line == format!("{name} {number}"));
        let question = format!("{} {label}", lines[count + 2]);
        let asked = [lines[count], lines[count + 1], &question].map(|line| place(line).expect("an entry"));
        let Example { tokens, targets } = book(&entries, &asked);
        let text: String = tokens.iter().map(|&token| char::from(token as u8)).collect();
        assert_eq!(text, format!("{prompt} {label}\n"));
        let scored: String = targets.iter().filter(|t| t.scored).map(|t| char::from(t.token as u8)).collect();
        assert_eq!(scored, format!(" {label}"));
    }
}
