//! Which tokens of a row belong together, as data: packed documents and padding.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};

/// The documents and the padding of every row of a batch.
///
/// A row is `[left padding][document]…[document][right padding]`. Every mixer keeps three promises about it:
/// nothing passes from one document into the next; padding is never seen and leaves no trace in the state;
/// the first document of a row continues the state that the call was given (of a piece that a new document
/// begins, made by [`slice`](Self::slice), none does), and the state that the call
/// returns is the one that the row's last document leaves behind. Outputs at padding are finite, and mean
/// nothing.
///
/// ```
/// use burn_sequence::ops::Segments;
///
/// let one_row = Segments::from_lengths(&[130, 70, 56]);             // three documents, end to end
/// let prompts = Segments::right_padded(&[5, 3, 8], 8);              // three rows of eight
/// assert_eq!((one_row.batch(), one_row.seq()), (1, 256));
/// assert_eq!((prompts.batch(), prompts.seq()), (3, 8));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segments {
    seq: usize,
    rows: Arc<[Row]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    left: usize,
    /// The first is 0 where no document goes on with the state: every other begins anew.
    lengths: Vec<usize>,
}

impl Row {
    fn tokens(&self) -> usize {
        self.lengths.iter().sum()
    }
}

impl Segments {
    /// One row of documents, end to end.
    ///
    /// # Panics
    ///
    /// If there is no document, or one is empty.
    pub fn from_lengths(lengths: &[usize]) -> Self {
        assert!(!lengths.is_empty(), "segments: at least one document is needed");
        Self::packed(&[lengths.to_vec()])
    }

    /// Rows of documents, end to end; what is short of the longest row is right padding.
    ///
    /// # Panics
    ///
    /// If there is no row, or a document is empty.
    pub fn packed(rows: &[Vec<usize>]) -> Self {
        let seq = rows.iter().map(|lengths| lengths.iter().sum()).max().unwrap_or(0);
        Self::new(seq, rows.iter().map(|lengths| (0, lengths.clone())))
    }

    /// One document a row, padded on the right to `seq`.
    ///
    /// # Panics
    ///
    /// If there is no row, or a length exceeds `seq`.
    pub fn right_padded(lengths: &[usize], seq: usize) -> Self {
        Self::new(seq, lengths.iter().map(|&length| (0, Vec::from_iter((length > 0).then_some(length)))))
    }

    /// One document a row, padded on the left to `seq`.
    ///
    /// # Panics
    ///
    /// If there is no row, or a length exceeds `seq`.
    pub fn left_padded(lengths: &[usize], seq: usize) -> Self {
        Self::new(
            seq,
            lengths.iter().map(|&length| {
                assert!(length <= seq, "segments: length {length} exceeds seq {seq}");
                (seq - length, Vec::from_iter((length > 0).then_some(length)))
            }),
        )
    }

    /// Any mixture: for each row its left padding and the lengths of its documents.
    ///
    /// # Panics
    ///
    /// If there is no row, a document is empty, or a row exceeds `seq`.
    pub fn new(seq: usize, rows: impl IntoIterator<Item = (usize, Vec<usize>)>) -> Self {
        let segments =
            Self { seq, rows: rows.into_iter().map(|(left, lengths)| Row { left, lengths }).collect() };
        assert!(!segments.rows.is_empty(), "segments: at least one row is needed");
        for (index, row) in segments.rows.iter().enumerate() {
            assert!(!row.lengths.contains(&0), "segments: row {index} has a document of length 0");
            let total = row.left + row.tokens();
            assert!(total <= seq, "segments: row {index} holds {total} tokens, expected at most seq ({seq})");
        }
        segments
    }

    /// Rows.
    pub fn batch(&self) -> usize {
        self.rows.len()
    }

    /// Tokens of a row, padding included.
    pub fn seq(&self) -> usize {
        self.seq
    }

    /// Panics unless the segments describe a batch of this size.
    ///
    /// # Panics
    ///
    /// As said.
    pub fn check(&self, batch: usize, seq: usize) {
        assert!(
            [self.batch(), self.seq] == [batch, seq],
            "segments: expected [batch, seq] = [{batch}, {seq}], got [{}, {}]",
            self.batch(),
            self.seq
        );
    }

    /// Whether a row has padding on the left.
    pub fn has_left_padding(&self) -> bool {
        self.rows.iter().any(|row| row.left > 0)
    }

    /// Whether a row has padding on the right.
    pub fn has_right_padding(&self) -> bool {
        self.rows.iter().any(|row| row.left + row.tokens() < self.seq)
    }

    /// Whether a document follows another in a row.
    pub fn has_resets(&self) -> bool {
        self.rows.iter().any(|row| row.lengths.len() > 1)
    }

    /// Tokens of each row, without padding.
    pub fn tokens(&self) -> Vec<usize> {
        self.rows.iter().map(Row::tokens).collect()
    }

    /// The same segments over the columns `start..end`: what a call on a piece of the sequence is given.
    ///
    /// A document that began before `start`, and a row's first, continue the state. One that begins at `start` after another
    /// does not: the piece knows it.
    ///
    /// # Panics
    ///
    /// If `start..end` is not a range within the sequence.
    pub fn slice(&self, start: usize, end: usize) -> Self {
        assert!(start < end && end <= self.seq, "segments: {start}..{end} is not within 0..{}", self.seq);
        let clip = |from: usize, to: usize| to.clamp(start, end) - from.clamp(start, end);
        let rows = self.rows.iter().map(|row| {
            let mut from = row.left;
            let mut lengths = Vec::new();
            for (index, &length) in row.lengths.iter().enumerate() {
                let inside = clip(from, from + length);
                if inside > 0 && index > 0 && from == start {
                    lengths.push(0);
                }
                from += length;
                if inside > 0 {
                    lengths.push(inside);
                }
            }
            Row { left: clip(0, row.left), lengths }
        });
        Self { seq: end - start, rows: rows.collect() }
    }

    /// Whether a document other than the row's first begins at column `start`, for each row.
    ///
    /// There a call on a token alone must begin from an empty state; [`slice`](Self::slice) keeps it for pieces.
    pub fn begins_at(&self, start: usize) -> Vec<bool> {
        self.rows.iter().map(|row| document_starts(row).skip(1).any(|column| column == start)).collect()
    }

    /// For every column of a row, whether a document other than the first begins there.
    pub(crate) fn resets(&self, row: usize) -> Vec<bool> {
        let mut resets = vec![false; self.seq];
        document_starts(&self.rows[row]).skip(1).for_each(|column| resets[column] = true);
        resets
    }

    /// The columns of a row that hold tokens.
    pub(crate) fn columns(&self, row: usize) -> std::ops::Range<usize> {
        let row = &self.rows[row];
        row.left..row.left + row.tokens()
    }

    /// Tokens of each row's last document that came in this call, and whether it began in this call.
    pub(crate) fn last_documents(&self) -> impl Iterator<Item = (usize, bool)> {
        self.rows.iter().map(|row| (row.lengths.last().copied().unwrap_or(0), row.lengths.len() > 1))
    }

    /// `[batch, seq]`, the index of the document a token belongs to, where 0 is the one that goes on with the state; padding counts
    /// with its neighbour. In a piece that a new document begins, the first token has 1: to compare each with the one before
    /// is not enough, [`survival`](Self::survival) is.
    pub fn ids(&self, device: &Device) -> Tensor<2, Int> {
        Tensor::from_data(TensorData::new(self.id_table(), [self.batch(), self.seq]), device)
    }

    pub(crate) fn id_table(&self) -> Vec<i32> {
        self.table(|_, row| {
            let ids = row.lengths.iter().enumerate();
            std::iter::repeat_n(0, row.left)
                .chain(ids.flat_map(|(id, &length)| std::iter::repeat_n(id as i32, length)))
                .collect()
        })
    }

    /// `[batch, seq]`, 1 at tokens and 0 at padding.
    pub fn mask(&self, device: &Device) -> Tensor<2> {
        let mask = self.table(|_, row| {
            let tokens = std::iter::repeat_n(1.0_f32, row.tokens());
            std::iter::repeat_n(0.0, row.left).chain(tokens).chain([0.0]).take(self.seq).collect()
        });
        Tensor::from_data(TensorData::new(mask, [self.batch(), self.seq]), device)
    }

    /// `x` with 0 at padding on the right, whatever stood there; free where there is none. Its axes are the batch, others, and `seq` at `axis`.
    pub(crate) fn silenced<const D: usize>(&self, x: Tensor<D>, axis: usize) -> Tensor<D> {
        if !self.has_right_padding() {
            return x;
        }
        let mut dims = [1; D];
        (dims[0], dims[axis]) = (self.batch(), self.seq);
        let padding = self.mask(&x.device()).equal_elem(0.0).reshape(dims);
        let all = x.dims();
        x.mask_fill(padding.expand(all), 0.0)
    }

    /// `[batch, seq]`, 0 at tokens that begin a document other than a row's first, and 1 elsewhere: what the state
    /// before a token is multiplied by.
    pub fn survival(&self, device: &Device) -> Tensor<2> {
        let survives = |reset: bool| f32::from(u8::from(!reset));
        let values: Vec<f32> = (0..self.batch()).flat_map(|row| self.resets(row)).map(survives).collect();
        Tensor::from_data(TensorData::new(values, [self.batch(), self.seq]), device)
    }

    /// For every row, the position of every token within its document; `earlier` tokens of the first document of
    /// each row came in earlier calls.
    pub(crate) fn position_table(&self, earlier: &[usize]) -> Vec<usize> {
        self.table(|index, row| {
            let mut first = earlier[index];
            let mut positions = vec![0; row.left];
            for &length in &row.lengths {
                positions.extend(first..first + length);
                first = 0;
            }
            positions
        })
    }

    /// A value for every column, row after row; the last that `values` gives goes on to the end of the row.
    fn table<T: Copy + Default>(&self, values: impl Fn(usize, &Row) -> Vec<T>) -> Vec<T> {
        let mut table = Vec::with_capacity(self.batch() * self.seq);
        for (index, row) in self.rows.iter().enumerate() {
            let mut row = values(index, row);
            row.resize(self.seq, row.last().copied().unwrap_or_default());
            table.extend(row);
        }
        table
    }
}

fn document_starts(row: &Row) -> impl Iterator<Item = usize> {
    row.lengths.iter().scan(row.left, |next, &length| {
        let start = *next;
        *next += length;
        Some(start)
    })
}

impl Segments {
    /// Runs `mix` on rows moved to the left edge, and moves its output back.
    ///
    /// A mixer that calls this first knows right padding only: `mix` never sees padding on the left. Free where
    /// there is none.
    ///
    /// # Panics
    ///
    /// If there is no row or no token, or the segments are of another batch.
    pub fn aligned<R>(
        x: Tensor<3>,
        segments: Option<&Self>,
        mix: impl FnOnce(Tensor<3>, Option<&Self>) -> (Tensor<3>, R),
    ) -> (Tensor<3>, R) {
        let [batch, seq, _] = x.dims();
        expect_tokens("a mixer", [batch, seq]);
        let Some(segments) = segments else { return mix(x, None) };
        segments.check(batch, seq);
        if !segments.has_left_padding() {
            return mix(x, Some(segments));
        }
        let left: Vec<usize> = segments.rows.iter().map(|row| row.left).collect();
        let rows = segments.rows.iter().map(|row| Row { left: 0, lengths: row.lengths.clone() });
        let moved = Self { seq, rows: rows.collect() };
        let (y, rest) = mix(rotate_rows(x, &left), Some(&moved));
        let back: Vec<usize> = left.iter().map(|&left| seq - left).collect();
        (rotate_rows(y, &back), rest)
    }
}

/// Panics unless there is something to read.
pub(crate) fn expect_tokens(reader: &str, [batch, seq]: [usize; 2]) {
    assert!(batch > 0 && seq > 0, "{reader}: expected at least one row and one token, got [{batch}, {seq}]");
}

/// Row `b` of `[batch, seq, width]` rotated to the left by `by[b]` columns.
pub(crate) fn rotate_rows(x: Tensor<3>, by: &[usize]) -> Tensor<3> {
    let [batch, seq, width] = x.dims();
    let columns: Vec<i32> = (0..batch)
        .flat_map(|row| (0..seq).map(move |column| (row, column)))
        .map(|(row, column)| (row * seq + (column + by[row]) % seq) as i32)
        .collect();
    let columns = Tensor::<1, Int>::from_data(TensorData::new(columns, [batch * seq]), &x.device());
    x.reshape([batch * seq, width]).select(0, columns).reshape([batch, seq, width])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "segments: row 1 holds 9 tokens, expected at most seq (8)")]
    fn rows_must_fit() {
        let _ = Segments::right_padded(&[8, 9], 8);
    }

    #[test]
    #[should_panic(expected = "segments: expected [batch, seq] = [2, 8], got [1, 8]")]
    fn batch_must_match() {
        Segments::from_lengths(&[3, 5]).check(2, 8);
    }

    #[test]
    fn slices_keep_documents_together() {
        let segments = Segments::new(10, [(1, vec![3, 4]), (0, vec![10])]);
        assert_eq!(segments.slice(2, 6), Segments::new(4, [(0, vec![2, 2]), (0, vec![4])]));
        assert_eq!(segments.slice(8, 10), Segments::new(2, [(0, vec![]), (0, vec![2])]));
        assert_eq!(segments.slice(2, 6).begins_at(0), [false, false]);
        let from_the_second = segments.slice(4, 8);
        assert_eq!(
            [from_the_second.begins_at(0), from_the_second.slice(0, 2).begins_at(0)],
            [[true, false]; 2]
        );
        assert_eq!(from_the_second.slice(1, 3), Segments::new(2, [(0, vec![2]), (0, vec![2])]));
        assert_eq!(from_the_second.tokens(), [4, 4]);
        assert_eq!(segments.begins_at(4), [true, false]);
        assert_eq!(segments.begins_at(1), [false, false]);
    }

    #[test]
    fn tables() {
        let device = Device::default();
        let segments = Segments::new(6, [(1, vec![2, 1]), (0, vec![3, 3])]);
        let ids: Vec<i32> = segments.ids(&device).into_data().iter().collect();
        assert_eq!(ids, [0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1]);
        let mask: Vec<i32> = segments.mask(&device).int().into_data().iter().collect();
        assert_eq!(mask, [0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1]);
        assert_eq!(segments.position_table(&[7, 0]), [0, 7, 8, 0, 0, 0, 0, 1, 2, 0, 1, 2]);
    }
}
