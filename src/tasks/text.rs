use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::random_letters::index;
use super::{Example, Row, Task, require};
use crate::check::expect_valid;
use crate::{Error, Result};

/// What is asked about a piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextQuestion {
    /// What comes next, everywhere: plain language modelling.
    Next,
    /// The whole again, given twice and begun a third time.
    Copy,
    /// What stood after these bytes?
    Lookup {
        /// The bytes that are shown.
        key: usize,
        /// The bytes that are asked for.
        answer: usize,
    },
}

impl TextQuestion {
    /// Bytes that a piece needs.
    fn least(self) -> usize {
        match self {
            Self::Next | Self::Copy => 2,
            Self::Lookup { key, answer } => key.saturating_add(answer),
        }
    }
}

/// Pieces `t` of a text, byte by byte; a length counts the bytes of `t`.
///
/// ```text
/// Next      t                               say what follows every byte
/// Copy      t\n\nt\n\nfirst                 say the rest of t after its first word, and a blank line
/// Lookup    t\n\nkey                        say what followed key in t, where it stands once
/// ```
///
/// Pieces begin at a word; line breaks of the text become spaces, so that a blank line ends a piece.
/// [`shuffled`](Self::shuffled) puts the bytes of every `t` in random order, so that knowing the language does not help.
///
/// # Source
///
/// arXiv 2402.01032, section 4, which copies natural and shuffled text; the lookup is that of section 3, on text.
#[derive(Clone, PartialEq)]
pub struct Text {
    text: Arc<[u8]>,
    /// Where words begin.
    words: Arc<[u32]>,
    lengths: RangeInclusive<usize>,
    question: TextQuestion,
    shuffled: bool,
    repeats: f64,
}

/// Bytes of a passage that is said again and again, at the least.
const PASSAGE: usize = 16;

/// Draws before a key that stands once in its piece is given up; of natural text a few are enough.
const TRIES: usize = 1000;

impl Text {
    /// Questions about pieces of `text`, of so many bytes in training.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the text has a NUL byte, which is the padding, has 4 GiB or more, or is not longer than the longest piece; if key or
    /// answer of a lookup are empty; or if `lengths` is empty or starts too low for the question: below 2, or for a lookup
    /// below key and answer together.
    pub fn new(text: &str, lengths: RangeInclusive<usize>, question: TextQuestion) -> Result<Self> {
        let text: Vec<u8> = text.split_whitespace().collect::<Vec<_>>().join(" ").into_bytes();
        if text.contains(&0) {
            return Err(Error::Config("text: has a NUL byte: this is not text".into()));
        }
        require(u32::try_from(text.len()).is_ok(), || {
            format!("text: {} bytes are too many; take less than 4 GiB", text.len())
        })?;
        let after_space = |&place: &usize| place == 0 || text[place - 1] == b' ';
        let words: Vec<u32> = (0..text.len()).filter(after_space).map(|place| place as u32).collect();
        let text =
            Self { text: text.into(), words: words.into(), lengths, question, shuffled: false, repeats: 0.0 };
        text.check_lengths()?;
        Ok(text)
    }

    /// The same of pieces in random order.
    pub fn shuffled(mut self) -> Self {
        self.shuffled = true;
        self
    }

    /// In this share of the pieces to be read on ([`TextQuestion::Next`]) a passage of 16 bytes (of less where the piece is
    /// shorter than 32) to half the piece is said over and over, with blank lines between. Real text in large amounts has such
    /// places, a single book hardly any.
    ///
    /// # Panics
    ///
    /// If it is not from 0 to 1.
    pub fn with_repeats(mut self, share: f64) -> Self {
        assert!((0.0..=1.0).contains(&share), "text: a share of repeats is from 0 to 1, not {share}");
        self.repeats = share;
        self
    }

    /// The text, byte after byte, as a model reads it.
    pub fn tokens(&self) -> Vec<u32> {
        self.text.iter().map(|&byte| byte.into()).collect()
    }

    /// Pieces of so many bytes, and one more that is due after the last.
    fn starts(&self, length: usize) -> usize {
        self.words.partition_point(|&start| (start as usize).saturating_add(length) < self.text.len())
    }

    fn piece(&self, length: usize, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let start = self.words[index(self.starts(length), rng)] as usize;
        let mut piece = self.text[start..start + length + 1].to_vec();
        if self.shuffled {
            piece[..length].shuffle(rng);
            // A piece begins with a word.
            if let Some(word) = piece[..length].iter().position(|&byte| byte != b' ') {
                piece.swap(0, word);
            }
        }
        piece
    }

    /// A piece to read: of so many bytes, and one more.
    fn reading(&self, length: usize, rng: &mut ChaCha8Rng) -> Vec<u8> {
        if self.repeats == 0.0 || !rng.random_bool(self.repeats) {
            return self.piece(length, rng);
        }
        let longest = (length / 2).max(1);
        let shortest = PASSAGE.min(longest);
        let passage = shortest + index(longest - shortest + 1, rng);
        let passage = [&self.piece(passage, rng)[..passage], b"\n\n"].concat();
        passage.into_iter().cycle().take(length + 1).collect()
    }

    /// `None` if no piece was found of which so many bytes stand in it once.
    fn lookup(&self, key: usize, answer: usize, length: usize, rng: &mut ChaCha8Rng) -> Option<Example> {
        for _ in 0..TRIES {
            let piece = self.piece(length, rng);
            let place = index(length - key - answer + 1, rng);
            if stands_once(&piece[..length], place..place + key) {
                return Some(asked_at(&piece, length, place..place + key, answer));
            }
        }
        // Keys that stand once are rare here: pieces are searched for one.
        (0..TRIES).find_map(|_| {
            let piece = self.piece(length, rng);
            let place = (0..=length - key - answer)
                .find(|&place| stands_once(&piece[..length], place..place + key))?;
            Some(asked_at(&piece, length, place..place + key, answer))
        })
    }

    fn check_size(&self, length: usize) -> Result<()> {
        let (least, bytes) = (self.question.least(), self.text.len());
        if let TextQuestion::Lookup { key, answer } = self.question {
            require(key > 0 && answer > 0, || format!("text: key ({key}) and answer ({answer}) need bytes"))?;
        }
        require(length >= least, || format!("text: a piece needs {least} bytes or more, not {length}"))?;
        require(self.starts(length) > 0, || format!("text: {bytes} bytes are too few for pieces of {length}"))
    }
}

/// Whether these bytes of a piece stand nowhere else in it.
fn stands_once(piece: &[u8], key: Range<usize>) -> bool {
    let shown = &piece[key.clone()];
    piece.windows(key.len()).filter(|window| *window == shown).take(2).count() == 1
}

/// The first `length` bytes of a piece, these of them again, and so many after them to be said.
fn asked_at(piece: &[u8], length: usize, key: Range<usize>, answer: usize) -> Example {
    let (prompt, asked) =
        ([&piece[..length], b"\n\n", &piece[key.clone()]].concat(), &piece[key.end..][..answer]);
    Example::prompted(tokens(&prompt), &tokens(asked), b'\n'.into())
}

fn no_key(key: usize, length: usize) -> String {
    format!("text: no piece of {length} bytes was found of which {key} stand in it once")
}

fn tokens(bytes: &[u8]) -> Vec<u32> {
    bytes.iter().map(|&byte| byte.into()).collect()
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, words, lengths, question, shuffled, repeats } = self;
        let text = format_args!("{} bytes, {} words", text.len(), words.len()).to_string();
        let mut tuple = f.debug_tuple("Text");
        tuple.field(&text).field(lengths).field(question).field(shuffled).field(repeats).finish()
    }
}

impl Task for Text {
    fn name(&self) -> &str {
        match (self.question, self.shuffled) {
            (TextQuestion::Next, _) => "text",
            (TextQuestion::Copy, false) => "text_copy",
            (TextQuestion::Copy, true) => "shuffled_text_copy",
            (TextQuestion::Lookup { .. }, false) => "text_lookup",
            (TextQuestion::Lookup { .. }, true) => "shuffled_text_lookup",
        }
    }

    fn vocab_size(&self) -> usize {
        256
    }

    fn padding(&self) -> u32 {
        0
    }

    fn lengths(&self) -> RangeInclusive<usize> {
        self.lengths.clone()
    }

    fn check(&self, length: usize) -> Result<()> {
        self.check_size(length)?;
        let TextQuestion::Lookup { key, answer } = self.question else { return Ok(()) };
        let found = self.lookup(key, answer, length, &mut ChaCha8Rng::seed_from_u64(0));
        require(found.is_some(), || no_key(key, length))
    }

    fn example(&self, length: usize, rng: &mut ChaCha8Rng) -> Example {
        expect_valid(self.check_size(length));
        match self.question {
            TextQuestion::Next => {
                let Row { tokens, targets, .. } = Row::next_tokens(&tokens(&self.reading(length, rng)));
                Example { tokens, targets }
            }
            TextQuestion::Copy => {
                let piece = &self.piece(length, rng)[..length];
                let word = piece.iter().position(|&byte| byte == b' ').unwrap_or(1).min(length - 1);
                let (first, rest) = piece.split_at(word);
                let prompt = [piece, b"\n\n", piece, b"\n\n", first].concat();
                let rest = [rest, b"\n"].concat();
                Example::prompted(tokens(&prompt), &tokens(&rest), b'\n'.into())
            }
            TextQuestion::Lookup { key, answer } => {
                self.lookup(key, answer, length, rng).unwrap_or_else(|| panic!("{}", no_key(key, length)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "Call me Ishmael. Some years ago - never mind\nhow long precisely -  having little or no money";

    fn example(question: TextQuestion, shuffled: bool) -> (String, String) {
        let text = Text::new(TEXT, 20..=30, question).unwrap();
        let text = if shuffled { text.shuffled() } else { text };
        let Example { tokens, targets } = text.example(24, &mut ChaCha8Rng::seed_from_u64(6));
        let string = |tokens: &mut dyn Iterator<Item = u32>| {
            tokens.map(|token| char::from(u8::try_from(token).unwrap())).collect()
        };
        let scored = targets.iter().filter(|target| target.scored);
        (string(&mut tokens.into_iter()), string(&mut scored.map(|target| target.token)))
    }

    #[test]
    fn a_copy_is_the_piece_twice_and_its_first_word() {
        let (tokens, answer) = example(TextQuestion::Copy, false);
        let [first, second, third, end] = tokens.split("\n\n").collect::<Vec<_>>()[..] else {
            panic!("{tokens:?}")
        };
        assert_eq!((first.len(), first, first, end), (24, second, third, ""));
        assert!(TEXT.replace('\n', " ").replace("  ", " ").contains(first), "{first:?}");
        let word = first.split(' ').next().unwrap();
        assert_eq!(answer, format!("{}\n", &first[word.len()..]));
    }

    #[test]
    fn a_shuffled_copy_has_the_same_bytes() {
        let sorted = |text: String| {
            let mut bytes = text.split("\n\n").next().unwrap().as_bytes().to_vec();
            bytes.sort_unstable();
            bytes
        };
        let [natural, shuffled] = [false, true].map(|shuffled| example(TextQuestion::Copy, shuffled).0);
        assert_ne!(natural, shuffled);
        assert!(!shuffled.starts_with(' '));
        assert_eq!(sorted(natural), sorted(shuffled));
    }

    #[test]
    fn a_lookup_is_answered_by_what_stood_after_the_key() {
        for shuffled in [false, true] {
            let (tokens, answer) = example(TextQuestion::Lookup { key: 5, answer: 3 }, shuffled);
            let (piece, rest) = tokens.split_once("\n\n").unwrap();
            assert_eq!((piece.len(), rest.len()), (24, 5 + 3 + 1));
            let (key, said) = rest.split_at(5);
            assert_eq!(piece.matches(key).count(), 1);
            assert!(piece.contains(&format!("{key}{answer}")));
            assert_eq!(said, format!("{answer}\n"));
        }
    }

    #[test]
    fn a_key_that_stands_once_is_found_where_they_are_rare() {
        // Two letters, and in all the text one place that is not said again and again.
        let text = format!("{} xy{}", "ab ".repeat(400), "ab ".repeat(400));
        let text = Text::new(&text, 600..=900, TextQuestion::Lookup { key: 2, answer: 1 }).unwrap();
        text.check_lengths().unwrap();
        for seed in 0..20 {
            let Example { tokens, .. } = text.example(900, &mut ChaCha8Rng::seed_from_u64(seed));
            let key = &tokens[902..904];
            assert_eq!(tokens[..900].windows(2).filter(|bytes| bytes == &key).count(), 1);
        }
    }

    #[test]
    fn plain_text_asks_for_every_next_byte() {
        let (tokens, answer) = example(TextQuestion::Next, false);
        assert_eq!((tokens.len(), answer.len()), (24, 24));
        assert_eq!(tokens[1..], answer[..23]);
    }

    #[test]
    fn repeats_say_a_passage_over_and_over() {
        let text = Text::new(TEXT, 20..=40, TextQuestion::Next).unwrap().with_repeats(0.5);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut said_again = 0;
        for _ in 0..200 {
            let Example { tokens, targets } = text.example(40, &mut rng);
            assert_eq!((tokens.len(), targets.len()), (40, 40));
            let bytes: Vec<u8> = tokens.into_iter().map(|token| token as u8).collect();
            let piece = std::str::from_utf8(&bytes).unwrap();
            if let Some((passage, rest)) = piece.split_once("\n\n") {
                said_again += 1;
                assert!((16..=20).contains(&passage.len()), "{piece:?}");
                let next = &rest[..passage.len().min(rest.len())];
                assert!(passage.starts_with(next), "{piece:?}");
            }
        }
        assert!((70..=130).contains(&said_again), "{said_again}");
    }

    #[test]
    fn what_is_no_text_is_an_error() {
        let problem = |text: &str| Text::new(text, 2..=40, TextQuestion::Copy).unwrap_err().to_string();
        assert!(problem("too short").contains("9 bytes are too few for pieces of 40"));
        assert!(problem("a\0b").contains("NUL"));
        let lookup = TextQuestion::Lookup { key: 4, answer: 2 };
        let problem = Text::new(&"same ".repeat(30), 40..=40, lookup).unwrap_err().to_string();
        assert_eq!(problem, format!("{} (lengths are 40..=40)", no_key(4, 40)));
    }

    #[test]
    fn questions_that_cannot_be() {
        let lookup = |lengths, key, answer| {
            Text::new(TEXT, lengths, TextQuestion::Lookup { key, answer }).unwrap_err().to_string()
        };
        let short = "text: a piece needs 8 bytes or more, not 4 (lengths are 4..=9)";
        assert_eq!(lookup(4..=9, 5, 3), short);
        assert!(lookup(4..=9, 0, 3).starts_with("text: key (0) and answer (3) need bytes"));
        assert!(lookup(4..=9, usize::MAX, 3).contains("a piece needs"));
        let text = Text::new(TEXT, 4..=9, TextQuestion::Copy).unwrap();
        assert!(text.check(usize::MAX).unwrap_err().to_string().contains("too few for pieces"));
    }
}
