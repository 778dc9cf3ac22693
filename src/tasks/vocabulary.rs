//! The thirty tokens of the paper's tasks, as text and as ids.
//!
//! | id | character | meaning |
//! |---|---|---|
//! | 0–25 | `a`–`z` | letters |
//! | 26 | `$` | begin of string |
//! | 27 | `\|` | separator: what follows is to be copied, searched or answered |
//! | 28 | `.` | end of string |
//! | 29 | `*` | padding |
//!
//! Source: the code of [arXiv 2402.01032](https://arxiv.org/abs/2402.01032).

use crate::{Error, Result};

/// How many letters there are; their ids are those below it.
pub const LETTERS: u32 = 26;
/// `$`, the begin of a string.
pub const BOS: u32 = 26;
/// `|`, between the parts of a string.
pub const SEPARATOR: u32 = 27;
/// `.`, the end of a string.
pub const EOS: u32 = 28;
/// `*`, what fills a row after its string.
pub const PADDING: u32 = 29;
/// How many tokens there are.
pub const SIZE: usize = 30;

const CHARACTERS: &[u8; SIZE] = b"abcdefghijklmnopqrstuvwxyz$|.*";

/// The ids of the characters of `text`.
///
/// # Errors
///
/// [`Error::Tokens`] with the first character outside the vocabulary and its place, counted from 1.
pub fn encode(text: &str) -> Result<Vec<u32>> {
    let id = |(index, character): (usize, char)| {
        CHARACTERS.iter().position(|&known| char::from(known) == character).map(|id| id as u32).ok_or_else(
            || {
                Error::Tokens(format!(
                    "character {}: {character:?} is not in the vocabulary; expected a to z, $, |, . or *",
                    index + 1
                ))
            },
        )
    };
    text.chars().enumerate().map(id).collect()
}

/// The text of `tokens`, one character each.
///
/// # Errors
///
/// [`Error::Tokens`] with the first id outside the vocabulary and its place, counted from 1.
pub fn decode(tokens: &[u32]) -> Result<String> {
    let character = |(index, &token): (usize, &u32)| {
        CHARACTERS.get(token as usize).map(|&known| char::from(known)).ok_or_else(|| {
            Error::Tokens(format!(
                "token {}: {token} is not in the vocabulary; ids go from 0 to {}",
                index + 1,
                SIZE - 1
            ))
        })
    };
    tokens.iter().enumerate().map(character).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_papers() {
        assert_eq!(encode("$abz|.*").unwrap(), [26, 0, 1, 25, 27, 28, 29]);
        assert_eq!(encode("$|.*").unwrap(), [BOS, SEPARATOR, EOS, PADDING]);
        assert_eq!(encode("z").unwrap(), [LETTERS - 1]);
    }

    #[test]
    fn decode_inverts_encode() {
        let ids: Vec<u32> = (0..SIZE as u32).collect();
        let text = decode(&ids).unwrap();
        assert_eq!(text, "abcdefghijklmnopqrstuvwxyz$|.*");
        assert_eq!(encode(&text).unwrap(), ids);
    }

    #[test]
    fn errors_name_the_character_and_its_place() {
        assert_eq!(
            encode("$aé|").unwrap_err().to_string(),
            "character 3: 'é' is not in the vocabulary; expected a to z, $, |, . or *"
        );
        assert!(matches!(encode("A"), Err(Error::Tokens(_))));
        assert_eq!(
            decode(&[0, 29, 30]).unwrap_err().to_string(),
            "token 3: 30 is not in the vocabulary; ids go from 0 to 29"
        );
    }
}
