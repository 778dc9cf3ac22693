//! A place in the text of a pattern.

use crate::{Error, Result};

/// Parentheses, brackets and repeats inside one another, at most.
const MAX_DEPTH: usize = 64;

/// The text, and how much of it has been read. Places are bytes here, and characters only in errors.
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// The place of the next character that is not white space.
    pub fn at(&mut self) -> usize {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.at
    }

    /// Back to a place that `at` gave.
    pub fn back_to(&mut self, at: usize) {
        self.at = at;
    }

    pub fn peek(&mut self) -> Option<char> {
        let at = self.at();
        self.text[at..].chars().next()
    }

    /// Reads `wanted` if it comes next.
    pub fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    /// Reads the characters that satisfy `accept`, perhaps none.
    pub fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let at = self.at();
        let rest = &self.text[at..];
        let taken = &rest[..rest.find(|c| !accept(c)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    /// Reads a name: letters, digits and `_`, the first no digit.
    pub fn name(&mut self) -> Option<&'a str> {
        let starts = |c: char| c.is_alphabetic() || c == '_';
        self.peek().filter(|&c| starts(c))?;
        Some(self.take_while(|c| c.is_alphanumeric() || c == '_'))
    }

    /// Reads text in double quotes, with the escapes of JSON.
    pub fn quoted(&mut self) -> Result<String> {
        let start = self.at();
        let mut escaped = false;
        let end = self.text[start..].char_indices().skip(1).find(|&(_, c)| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        });
        let Some((length, _)) = end else { return Err(self.error(start, "this quote is not closed")) };
        self.at = start + length + 1;
        serde_json::from_str(&self.text[start..self.at]).map_err(|problem| self.error(start, problem))
    }

    /// Reads `item, item, …` up to `close`; `open` is the place of what it closes.
    pub fn list(
        &mut self,
        open: usize,
        close: char,
        mut item: impl FnMut(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.nested(open, |cursor| {
            if cursor.eat(close) {
                return Ok(());
            }
            loop {
                item(cursor)?;
                if cursor.eat(close) {
                    return Ok(());
                }
                if !cursor.eat(',') {
                    return Err(match cursor.peek() {
                        None => cursor.unclosed(open),
                        Some(_) => cursor.unexpected(&format!("\",\" or \"{close}\"")),
                    });
                }
            }
        })
    }

    /// Reads something inside something else.
    pub fn nested<T>(&mut self, at: usize, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(at, format!("nested more than {MAX_DEPTH} deep")));
        }
        let read = read(self);
        self.depth -= 1;
        read
    }

    pub fn unclosed(&self, open: usize) -> Error {
        let bracket = self.text[open..].chars().next().unwrap_or('(');
        self.error(open, format!("this \"{bracket}\" is not closed"))
    }

    pub fn unexpected(&mut self, expected: &str) -> Error {
        let found = match self.peek() {
            Some(found) => format!("\"{}\"", found.escape_debug()),
            None => "the end".into(),
        };
        let at = self.at();
        self.error(at, format!("expected {expected}, found {found}"))
    }

    pub fn error(&self, at: usize, problem: impl std::fmt::Display) -> Error {
        error(self.text, at, problem)
    }
}

/// What is wrong at byte `at` of `text`.
pub(super) fn error(text: &str, at: usize, problem: impl std::fmt::Display) -> Error {
    Error::Pattern { position: text[..at].chars().count() + 1, problem: problem.to_string() }
}
