use std::ops::RangeInclusive;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, seq::index::sample};

use super::{Example, Target, Task, require, training_length};
use crate::check::expect_valid;
use crate::{Error, Result};

/// The phone book: names and numbers, two entries said again as examples, and a name whose number is asked.
///
/// ```text
/// Ann Lee: 0123456789
/// Bob Ray: 9876543210
/// Cay Fox: 5555512345
///
/// Cay Fox: 5555512345
/// Ann Lee: 0123456789
///
/// Bob Ray:                       say  9876543210, and a new line
/// ```
///
/// Characters are tokens, their ASCII codes. No name is there twice, and the one asked is none of the examples. The number
/// with the space before it is scored; all else after the book is in the loss only, as it is for a language model: names
/// are looked up with less than numbers, and with numbers alone small models learn neither. Books of training say all their
/// other entries again as examples, not two: more is looked up in a book. A length counts the entries.
///
/// # Source
///
/// arXiv 2402.01032, section 4, and its code, where a number begins with 6 to 9 and names are drawn with replacement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneBook {
    entries: RangeInclusive<usize>,
    first_names: Vec<String>,
    last_names: Vec<String>,
}

/// Of a number.
const DIGITS: usize = 10;
/// Entries said again when a number is asked.
const EXAMPLES: usize = 2;

impl PhoneBook {
    /// Books of so many entries in training, of people with a first and a last name of these.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if a name is empty or has a character other than ASCII letters, hyphens and apostrophes, or if
    /// `entries` is empty, starts below 3 (two are examples, and one is asked), or ends above the number of names.
    pub fn new(entries: RangeInclusive<usize>, first_names: &[&str], last_names: &[&str]) -> Result<Self> {
        let is_plain = |c: char| c.is_ascii_alphabetic() || c == '-' || c == '\'';
        let bad = |name: &&&str| name.is_empty() || !name.chars().all(is_plain);
        if let Some(name) = first_names.iter().chain(last_names).find(bad) {
            return Err(Error::Config(format!(
                "phone_book: {name:?} is not a name of ASCII letters, hyphens and apostrophes"
            )));
        }
        let distinct = |names: &[&str]| {
            let mut names: Vec<String> = names.iter().map(|&name| name.into()).collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        let book = Self { entries, first_names: distinct(first_names), last_names: distinct(last_names) };
        book.check_lengths()?;
        Ok(book)
    }

    fn people(&self) -> usize {
        self.first_names.len() * self.last_names.len()
    }

    /// A book of `length` entries, so many of them said again before another is asked.
    fn drawn(&self, length: usize, examples: usize, rng: &mut ChaCha8Rng) -> Example {
        let people = self.people();
        expect_valid(self.check(length));
        let entries: Vec<[String; 2]> = sample(rng, people, length)
            .into_iter()
            .map(|person| {
                let [first, last] = [person % self.first_names.len(), person / self.first_names.len()];
                let number = (0..DIGITS).map(|_| char::from(b'0' + rng.random_range(0..10_u8))).collect();
                [format!("{} {}:", self.first_names[first], self.last_names[last]), number]
            })
            .collect();
        book(&entries, &sample(rng, length, examples + 1).into_vec())
    }
}

impl Task for PhoneBook {
    fn name(&self) -> &str {
        "phone_book"
    }

    fn vocab_size(&self) -> usize {
        128
    }

    fn padding(&self) -> u32 {
        0
    }

    fn lengths(&self) -> RangeInclusive<usize> {
        self.entries.clone()
    }

    fn check(&self, length: usize) -> Result<()> {
        let people = self.people();
        require((EXAMPLES + 1..=people).contains(&length), || {
            format!(
                "phone_book: entries must be {} to {people}, the names there are, not {length}",
                EXAMPLES + 1
            )
        })
    }

    fn example(&self, length: usize, rng: &mut ChaCha8Rng) -> Example {
        self.drawn(length, EXAMPLES, rng)
    }

    fn longest(&self) -> usize {
        let lasts = || self.last_names.iter().map(String::len);
        let mut people: Vec<usize> =
            self.first_names.iter().flat_map(|first| lasts().map(move |last| first.len() + last)).collect();
        people.sort_unstable_by(|a, b| b.cmp(a));
        // First name, space, last name, colon, space, number, line; every entry twice, and two blank lines.
        let line = |names: &usize| names + DIGITS + 4;
        2 * people.iter().take(*self.entries.end()).map(line).sum::<usize>() + 2
    }

    fn training_example(&self, rng: &mut ChaCha8Rng) -> Example {
        let length = training_length(self, rng);
        self.drawn(length, length - 1, rng)
    }
}

/// The page of `entries`, names with their colon and numbers; of those `asked` the last is the question, the others are
/// examples.
pub(super) fn book(entries: &[[String; 2]], asked: &[usize]) -> Example {
    let mut text: String = entries.iter().map(|[name, number]| format!("{name} {number}\n")).collect();
    let book_len = text.len();
    for (place, &entry) in asked.iter().enumerate() {
        if place == 0 || place == asked.len() - 1 {
            text.push('\n');
        }
        let [name, number] = &entries[entry];
        text.push_str(&format!("{name} {number}\n"));
    }
    let tokens: Vec<u32> = text.bytes().map(u32::from).collect();
    // The number, the space before it, and not the line's end.
    let answer = tokens.len() - DIGITS - 2..tokens.len() - 1;
    let target =
        |said: usize| Target { position: said - 1, token: tokens[said], scored: answer.contains(&said) };
    let targets = (book_len..tokens.len()).map(target).collect();
    Example { tokens, targets }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn book() -> PhoneBook {
        PhoneBook::new(3..=4, &["Ann", "Bob"], &["Lee", "Ray"]).unwrap()
    }

    #[test]
    fn drawn_book() {
        let Example { tokens, targets } = book().example(3, &mut ChaCha8Rng::seed_from_u64(4));
        let text: String = tokens.iter().map(|&token| char::from(token as u8)).collect();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 8, "{text}");
        assert!(lines[3].is_empty() && lines[6].is_empty());
        let entries = &lines[..3];
        let again = [lines[4], lines[5], lines[7]];
        assert!(again.iter().all(|line| entries.contains(line)));
        assert!(again[0] != again[1] && again[0] != again[2] && again[1] != again[2]);
        assert_eq!(lines[0].len(), "Ann Lee: 0123456789".len());
        // All after the book is in the loss, the last number and its space are scored.
        let asked: usize = lines[3..].iter().map(|line| line.len() + 1).sum();
        assert_eq!(targets.len(), asked);
        assert!(targets.iter().all(|target| tokens[target.position + 1] == target.token));
        let scored: String =
            targets.iter().filter(|t| t.scored).map(|target| char::from(target.token as u8)).collect();
        assert_eq!(scored, lines[7][lines[7].find(' ').unwrap() + 5..]);
    }

    #[test]
    fn a_training_book_says_every_entry_again() {
        let Example { tokens, .. } = book().training_example(&mut ChaCha8Rng::seed_from_u64(4));
        let text: String = tokens.iter().map(|&token| char::from(token as u8)).collect();
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        assert!(tokens.len() <= book().longest());
        let (entries, again) = lines.split_at(lines.len() / 2);
        assert!((3..=4).contains(&entries.len()), "{text}");
        assert!(entries.iter().all(|entry| again.contains(entry)), "{text}");
    }

    /// No two of its people have the same two names, the longest ones.
    #[test]
    fn longest_book() {
        let names = [["Al", "Bo", "Maximilian"], ["Li", "Wu", "Vanderbilt"]];
        let book = PhoneBook::new(3..=5, &names[0], &names[1]).unwrap();
        let entries = 20 + 4 * 12 + 5 * (" : 0123456789\n".len());
        assert_eq!(book.longest(), 2 * entries + 2);
    }

    #[test]
    fn names_that_cannot_be() {
        let error = PhoneBook::new(3..=4, &["Ann"], &["O:Hara"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "phone_book: \"O:Hara\" is not a name of ASCII letters, hyphens and apostrophes"
        );
        let error = PhoneBook::new(3..=4, &["Ann", "Ann"], &["Lee", "Ray"]).unwrap_err();
        let many = "phone_book: entries must be 3 to 2, the names there are, not 3 (lengths are 3..=4)";
        assert_eq!(error.to_string(), many);
        let error = PhoneBook::new(2..=4, &["Ann", "Bob"], &["Lee", "Ray"]).unwrap_err();
        assert!(error.to_string().contains("must be 3 to 4, the names there are, not 2"), "{error}");
    }
}
