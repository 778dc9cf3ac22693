//! Where the tokens of a call stand in their documents.

use crate::ops::Segments;

/// The positions of a call's tokens: of one row where all rows agree, else of every row; `earlier` tokens of each
/// row's first document came in earlier calls.
pub(super) fn positions(segments: Option<&Segments>, earlier: &[usize], seq: usize) -> Vec<usize> {
    match segments {
        Some(segments) => segments.position_table(earlier),
        None if earlier.iter().all(|&seen| seen == earlier[0]) => (earlier[0]..earlier[0] + seq).collect(),
        None => earlier.iter().flat_map(|&seen| seen..seen + seq).collect(),
    }
}
