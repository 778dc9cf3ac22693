//! Rows cut where a scan may begin anew.

use std::ops::Range;

use super::Segments;

/// Consecutive tokens of one document.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// Their columns.
    pub(crate) tokens: Range<usize>,
    /// Whether they begin a document other than the row's first: the state before them does not count.
    pub(crate) resets: bool,
}

/// The tokens of a row of `seq` columns, in order, in pieces of at most `longest` tokens; padding is in none.
pub(crate) fn pieces(segments: Option<&Segments>, row: usize, seq: usize, longest: usize) -> Vec<Piece> {
    let columns = segments.map_or(0..seq, |segments| segments.columns(row));
    let resets = segments.map(|segments| segments.resets(row));
    let mut pieces: Vec<Piece> = Vec::with_capacity(seq.div_ceil(longest));
    for t in columns {
        let resets = resets.as_ref().is_some_and(|resets| resets[t]);
        match pieces.last_mut() {
            Some(piece) if !resets && piece.tokens.len() < longest => piece.tokens.end += 1,
            _ => pieces.push(Piece { tokens: t..t + 1, resets }),
        }
    }
    pieces
}
