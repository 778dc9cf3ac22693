//! What documents and padding mean to a scan.

use crate::ops::Segments;

/// What a token does to the state besides its own update.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Token {
    Plain,
    /// Begins a document: the state before it does not count.
    Reset,
    /// Padding: passes the state on.
    Padding,
}

/// Row after row.
pub(crate) fn tokens(segments: Option<&Segments>, batch: usize, seq: usize) -> Vec<Token> {
    let Some(segments) = segments else { return vec![Token::Plain; batch * seq] };
    (0..batch)
        .flat_map(|row| {
            let inside = segments.columns(row);
            segments.resets(row).into_iter().enumerate().map(move |(t, reset)| {
                match (reset, inside.contains(&t)) {
                    (true, _) => Token::Reset,
                    (false, true) => Token::Plain,
                    (false, false) => Token::Padding,
                }
            })
        })
        .collect()
}
