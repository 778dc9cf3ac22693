use super::*;
use crate::tasks::{Target, vocabulary};
use rand::SeedableRng;

const PLACES: [KeyPlace; 2] = [KeyPlace::Prefix, KeyPlace::Suffix];

/// Key, string and answer, read back from the text of a drawn example.
fn parts(task: &NgramLookup, length: usize, seed: u64) -> [String; 3] {
    let text = text(task, length, seed);
    let inside = text.strip_prefix('$').unwrap().strip_suffix('.').unwrap();
    let parts: Vec<&str> = inside.split('|').collect();
    match (task.key_place, parts.as_slice()) {
        (KeyPlace::Prefix, [key, x, answer]) => [*key, *x, *answer],
        (KeyPlace::Suffix, [x, joined]) => [&joined[..task.n], *x, &joined[task.n..]],
        _ => panic!("{text}"),
    }
    .map(String::from)
}

fn text(task: &NgramLookup, length: usize, seed: u64) -> String {
    vocabulary::decode(&task.example(length, &mut ChaCha8Rng::seed_from_u64(seed)).tokens).unwrap()
}

#[test]
fn drawn_strings() {
    let drawn = PLACES.map(|place| text(&NgramLookup::new(6..=16, 3, 2, place), 8, 12));
    assert_eq!(drawn, ["$zup|bazuprxg|rx.", "$bazuprxg|zuprx."]);
}

#[test]
fn targets_written_by_hand() {
    let ids = |text| vocabulary::encode(text).unwrap();
    let targets = |place| lookup(place, &ids("bc"), &ids("abcde"), &ids("de"));

    let prefix = targets(KeyPlace::Prefix);
    assert_eq!(prefix.tokens, ids("$bc|abcde|de."));
    // `|` is at 9: after it comes d, after d comes e, after e the end.
    assert_eq!(
        prefix.targets,
        [
            Target { position: 9, token: 3, scored: true },
            Target { position: 10, token: 4, scored: true },
            Target { position: 11, token: 28, scored: false },
        ]
    );

    let suffix = targets(KeyPlace::Suffix);
    assert_eq!(suffix.tokens, ids("$abcde|bcde."));
    // The key's c is at 8; the key itself is given, not asked.
    assert_eq!(
        suffix.targets,
        [
            Target { position: 8, token: 3, scored: true },
            Target { position: 9, token: 4, scored: true },
            Target { position: 10, token: 28, scored: false },
        ]
    );
}

#[test]
fn answer_follows_the_only_occurrence_of_the_key() {
    for place in PLACES {
        let task = NgramLookup::new(6..=30, 2, 3, place);
        for seed in 0..300 {
            let length = 6 + seed as usize % 25;
            let [key, x, answer] = parts(&task, length, seed);
            assert_eq!((key.len(), x.len(), answer.len()), (2, length, 3));
            let at = x.find(&key).unwrap();
            assert_eq!(x.rfind(&key), Some(at), "{x}: {key} is not unique");
            assert_eq!(x[at + 2..at + 5], answer);
        }
    }
}

#[test]
fn without_unique_keys_the_first_occurrence_counts() {
    // Among twelve of two letters hardly one occurs once.
    let task = NgramLookup::new(12..=12, 1, 2, KeyPlace::Suffix).with_alphabet(2);
    let mut repeated = 0;
    for seed in 0..100 {
        let [key, x, answer] = parts(&task, 12, seed);
        let at = x.find(&key).unwrap();
        assert_eq!(x[at + 1..at + 3], answer);
        repeated += usize::from(x.rfind(&key) != Some(at));
    }
    assert!(repeated > 50, "only {repeated} of 100 took the fallback");
}

#[test]
fn the_rest_of_the_string_where_the_answer_does_not_fit() {
    for length_answer in [20, usize::MAX] {
        let task = NgramLookup::new(8..=16, 3, length_answer, KeyPlace::Prefix);
        let mut answer_lengths = std::collections::BTreeSet::new();
        for seed in 0..300 {
            let [key, x, answer] = parts(&task, 9, seed);
            assert_eq!(x[x.find(&key).unwrap() + 3..], answer);
            answer_lengths.insert(answer.len());
        }
        assert_eq!(answer_lengths, (1..=6).collect());
        let tokens = |seed| task.example(16, &mut ChaCha8Rng::seed_from_u64(seed)).tokens.len();
        assert_eq!((0..300).map(tokens).max(), Some(task.longest()));
    }
}

#[test]
fn keys_start_wherever_the_answer_fits() {
    let task = NgramLookup::new(8..=16, 3, 2, KeyPlace::Suffix);
    let starts: std::collections::BTreeSet<usize> = (0..300)
        .map(|seed| {
            let [key, x, _] = parts(&task, 8, seed);
            x.find(&key).unwrap()
        })
        .collect();
    // Three of the key and two of the answer leave starts 0 to 3.
    assert_eq!(starts, (0..=3).collect());
}

#[test]
#[should_panic(expected = "suffix_ngram: length (3) must be above n (3)")]
fn no_room_for_an_answer() {
    NgramLookup::new(3..=9, 3, 1, KeyPlace::Suffix);
}

#[test]
#[should_panic(expected = "prefix_ngram: length_answer must be above 0")]
fn empty_answer() {
    NgramLookup::new(4..=9, 3, 0, KeyPlace::Prefix);
}

#[test]
#[should_panic(expected = "prefix_ngram: length (3) must be above n (3)")]
fn example_without_an_answer() {
    NgramLookup::new(4..=9, 3, 1, KeyPlace::Prefix).example(3, &mut ChaCha8Rng::seed_from_u64(0));
}

#[test]
fn json_round_trip() {
    let task = NgramLookup::new(4..=9, 3, usize::MAX, KeyPlace::Suffix);
    let json = serde_json::to_string(&task).unwrap();
    assert_eq!(serde_json::from_str::<NgramLookup>(&json).unwrap(), task);
}
