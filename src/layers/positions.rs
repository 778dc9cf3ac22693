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

/// A state counts the tokens of every row.
pub(super) fn check_seen(seen: &[usize], batch: usize) {
    let rows = seen.len();
    assert!(rows == batch, "state: seen is of {rows} rows, expected {batch}");
}

/// Tokens of its current document that each row has seen after a call on `seq` columns.
pub(super) fn seen_after(segments: Option<&Segments>, earlier: &[usize], seq: usize) -> Vec<usize> {
    match segments {
        None => earlier.iter().map(|seen| seen + seq).collect(),
        Some(segments) => {
            let rows = segments.last_documents().zip(earlier);
            rows.map(|((last, began), earlier)| if began { last } else { earlier + last }).collect()
        }
    }
}
