//! What a pretrained model is asked: phone books and copies, as text with one right continuation.

use std::sync::Arc;

use burn_sequence::checkpoint::Tokenizer;
use burn_sequence::tasks::Task;
use burn_sequence::{Error, Result};
use clap::ValueEnum;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::common::people;

/// A kind of question.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whose number? By entries of the book.
    PhoneBook,
    /// Natural text, said twice and begun a third time. By tokens.
    Copy,
    /// The same, its tokens in random order.
    ShuffledCopy,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::PhoneBook => "phone_book",
            Self::Copy => "copy",
            Self::ShuffledCopy => "shuffled_copy",
        }
    }

    pub fn unit(self) -> &'static str {
        if self == Self::PhoneBook { "entries of the book" } else { "tokens of the text" }
    }

    /// Before this an answer ends.
    pub fn stop(self) -> &'static str {
        if self == Self::PhoneBook { "\n" } else { "\n\n" }
    }
}

/// A prompt and what is to be said after it.
pub struct Question {
    pub prompt: String,
    pub answer: String,
}

/// Where questions come from.
pub struct Source<'a> {
    tokenizer: &'a Tokenizer,
    book: Arc<dyn Task>,
    /// Natural text as tokens.
    text: Vec<u32>,
}

impl<'a> Source<'a> {
    /// Questions about this text, in this tokenizer's tokens, and about books.
    pub fn new(tokenizer: &'a Tokenizer, text: &str) -> Result<Self> {
        let book = people::phone_book(3..=3)?;
        // One line: a blank one ends a text.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Self { tokenizer, book: Arc::new(book), text: tokenizer.encode(&text)? })
    }

    /// The same question for the same numbers.
    pub fn question(&self, kind: Kind, length: usize, number: u64) -> Result<Question> {
        let mut rng = ChaCha8Rng::seed_from_u64(number);
        rng.set_stream(length as u64);
        if kind == Kind::PhoneBook {
            self.book.check(length)?;
            let example = self.book.example(length, &mut rng);
            let text: String = example.tokens.iter().map(|&token| char::from(token as u8)).collect();
            let (prompt, answer) =
                text.trim_end().rsplit_once(' ').expect("a name, and a number after a space");
            return Ok(Question { prompt: prompt.into(), answer: answer.into() });
        }
        if self.text.len() < 2 * length {
            let problem = format!("the text has {} tokens, too few for copies of {length}", self.text.len());
            return Err(Error::Config(problem));
        }
        let start = rng.random_range(0..self.text.len() - length);
        let mut tokens = self.text[start..start + length].to_vec();
        if kind == Kind::ShuffledCopy {
            tokens.shuffle(&mut rng);
        }
        let text = self.tokenizer.decode(&tokens)?;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (first, answer) = text.split_once(' ').unwrap_or((&text, ""));
        Ok(Question { prompt: format!("{text}\n\n{text}\n\n{first}"), answer: answer.into() })
    }
}
