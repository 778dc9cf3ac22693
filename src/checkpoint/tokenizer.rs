//! Text to tokens and back, as a published model was trained on it.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// The tokenizer in a published model's folder: `tokenizer.json`, read by Hugging Face's `tokenizers`.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    /// The tokenizer itself.
    pub inner: tokenizers::Tokenizer,
    path: PathBuf,
}

impl Tokenizer {
    /// Reads `tokenizer.json` in `folder`; what it says of truncation and padding, which is left of how it was used last, is
    /// forgotten: a text is read whole and alone.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if it is missing, damaged or of a kind that `tokenizers` does not know.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self> {
        let path = folder.as_ref().join("tokenizer.json");
        let whole = |mut inner: tokenizers::Tokenizer| {
            inner.with_padding(None).with_truncation(None)?;
            Ok(inner)
        };
        match tokenizers::Tokenizer::from_file(&path).and_then(whole) {
            Ok(inner) => Ok(Self { inner, path }),
            Err(problem) => Err(Error::file(path, problem)),
        }
    }

    /// The tokens of a text, with those that the model expects around every text.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if the tokenizer cannot read it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode(text, true);
        Ok(encoding.map_err(|problem| Error::file(&self.path, problem))?.get_ids().to_vec())
    }

    /// The text of tokens, without special ones.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if the tokenizer cannot write it.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        self.inner.decode(tokens, true).map_err(|problem| Error::file(&self.path, problem))
    }

    /// The token of this name.
    pub fn token(&self, name: &str) -> Option<u32> {
        self.inner.token_to_id(name)
    }

    /// The text of one token after another.
    pub fn stream(&self) -> TextStream<'_> {
        TextStream { tokenizer: self, tokens: Vec::new(), told: 0, told_characters: 0, begun: String::new() }
    }

    /// The same of tokens that go on after these: a space between the two is told, which some tokenizers leave out at the
    /// beginning of a text.
    ///
    /// # Errors
    ///
    /// Those of [`decode`](Self::decode).
    pub fn stream_after(&self, prompt: &[u32]) -> Result<TextStream<'_>> {
        let whole = self.decode(prompt)?;
        let (mut told, mut text) = (prompt.len(), whole.clone());
        // The prompt may end inside a character, of four tokens at most, which is told when it is whole.
        while text.ends_with(HALF) && told > prompt.len().saturating_sub(3) {
            told -= 1;
            text = self.decode(&prompt[..told])?;
        }
        let told_characters = text.chars().count();
        let begun = whole.chars().skip(told_characters).collect();
        Ok(TextStream { tokenizer: self, tokens: prompt.to_vec(), told, told_characters, begun })
    }
}

/// What half a character decodes to.
const HALF: char = char::REPLACEMENT_CHARACTER;

/// Text that comes token by token. A character may take several tokens, and is told when it is whole.
#[derive(Clone, Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    /// The tokens of what was told last, and those after them: whether a word begins with a space, or bytes make a
    /// character, is seen beside those before.
    tokens: Vec<u32>,
    /// Of these, told.
    told: usize,
    /// Characters of their text.
    told_characters: usize,
    /// What a prompt ends in beyond them: nothing new if it stays, as half a character does not.
    begun: String,
}

impl TextStream<'_> {
    /// The text that this token adds; empty in the middle of a character.
    ///
    /// # Errors
    ///
    /// Those of [`Tokenizer::decode`].
    pub fn push(&mut self, token: u32) -> Result<String> {
        self.tokens.push(token);
        let text = self.tokenizer.decode(&self.tokens)?;
        if text.ends_with(HALF) {
            return Ok(String::new());
        }
        let new = self.untold(&text);
        if !new.is_empty() {
            self.tokens.drain(..self.told);
            self.told = self.tokens.len();
            self.told_characters = self.tokenizer.decode(&self.tokens)?.chars().count();
            self.begun.clear();
        }
        Ok(new)
    }

    /// What was held back: the beginning of a character that did not come.
    ///
    /// # Errors
    ///
    /// Those of [`Tokenizer::decode`].
    pub fn finish(self) -> Result<String> {
        Ok(self.untold(&self.tokenizer.decode(&self.tokens)?))
    }

    /// What of the text of `tokens` is not told.
    fn untold(&self, text: &str) -> String {
        let new: String = text.chars().skip(self.told_characters).collect();
        new.strip_prefix(&self.begun).map(String::from).unwrap_or(new)
    }
}
