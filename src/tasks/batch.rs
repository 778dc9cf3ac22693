use burn::tensor::{Device, Int, Tensor, TensorData};
use rand::rngs::ChaCha8Rng;

use super::{Example, Packing, Row, Target, Task};
use crate::ops::Segments;

/// Rows of tokens of one length, with their targets and documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The number of rows.
    pub batch: usize,
    /// The number of tokens in each row.
    pub seq: usize,
    /// `[batch, seq]` token ids, row-major.
    pub tokens: Vec<u32>,
    /// The targets of each row, in order of position in the row.
    pub targets: Vec<Vec<Target>>,
    /// The lengths of each row's documents. Where they sum to less than `seq`, the rest is padding.
    pub lengths: Vec<Vec<usize>>,
    /// Examples that are whole, and so have targets.
    pub examples: usize,
}

impl Batch {
    /// Draws `batch` packed rows of `context_len` tokens.
    ///
    /// # Panics
    ///
    /// If `batch` is 0, and where [`Packing::pack`] does.
    pub fn training(
        task: &(impl Task + ?Sized),
        packing: Packing,
        batch: usize,
        context_len: usize,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        Self::from_rows((0..batch).map(|_| packing.pack(task, context_len, rng)).collect())
    }

    /// One example a row, filled up with `pad` on the right to the longest.
    ///
    /// # Panics
    ///
    /// If there is no example.
    pub fn evaluation(examples: Vec<Example>, pad: u32) -> Self {
        let seq = examples.iter().map(|example| example.tokens.len()).max().unwrap_or(0);
        let row = |Example { mut tokens, targets }: Example| {
            let lengths = vec![tokens.len()];
            tokens.resize(seq, pad);
            Row { tokens, targets, lengths, examples: 1 }
        };
        Self::from_rows(examples.into_iter().map(row).collect())
    }

    /// These rows.
    ///
    /// # Panics
    ///
    /// If there is none, or if they are not of one length.
    pub fn from_rows(rows: Vec<Row>) -> Self {
        assert!(!rows.is_empty(), "Batch: at least one row");
        let (batch, seq) = (rows.len(), rows[0].tokens.len());
        if let Some(row) = rows.iter().find(|row| row.tokens.len() != seq) {
            panic!("Batch: rows of {seq} tokens and of {}", row.tokens.len());
        }
        let examples = rows.iter().map(|row| row.examples).sum();
        let mut tokens = Vec::with_capacity(batch * seq);
        let (targets, lengths) = rows
            .into_iter()
            .map(|row| {
                tokens.extend_from_slice(&row.tokens);
                (row.targets, row.lengths)
            })
            .unzip();
        Self { batch, seq, tokens, targets, lengths, examples }
    }

    /// The token ids as a tensor.
    ///
    /// # Shapes
    ///
    /// - output: `[batch, seq]`
    pub fn tokens(&self, device: &Device) -> Tensor<2, Int> {
        Tensor::from_data(TensorData::new(self.tokens.clone(), [self.batch, self.seq]), device)
    }

    /// The documents and the padding of the rows; `None` where every row is one document.
    pub fn segments(&self) -> Option<Segments> {
        let whole = self.lengths.iter().all(|lengths| lengths[..] == [self.seq]);
        (!whole).then(|| Segments::new(self.seq, self.lengths.iter().map(|lengths| (0, lengths.clone()))))
    }

    /// Where the targets are among the flattened tokens: `row * seq + position`, row after row.
    ///
    /// # Panics
    ///
    /// If `batch * seq` is beyond `i32::MAX`.
    pub fn target_positions(&self) -> Vec<i32> {
        let flat = |(row, target): (usize, &Target)| {
            i32::try_from(row * self.seq + target.position).expect("Batch: more tokens than an i32 counts")
        };
        self.rows_of_targets().map(flat).collect()
    }

    /// The tokens to say there, in the order of [`target_positions`](Self::target_positions).
    pub fn target_tokens(&self) -> Vec<u32> {
        self.rows_of_targets().map(|(_, target)| target.token).collect()
    }

    /// Whether each counts in the accuracy, in the order of [`target_positions`](Self::target_positions).
    pub fn scored(&self) -> Vec<bool> {
        self.rows_of_targets().map(|(_, target)| target.scored).collect()
    }

    fn rows_of_targets(&self) -> impl Iterator<Item = (usize, &Target)> {
        self.targets.iter().enumerate().flat_map(|(row, targets)| targets.iter().map(move |t| (row, t)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::{Copying, vocabulary};
    use rand::SeedableRng;

    fn two_examples() -> Batch {
        let example = |prompt, answer| {
            let [prompt, answer] = [prompt, answer].map(|text| vocabulary::encode(text).unwrap());
            Example::prompted(prompt, &answer, vocabulary::EOS)
        };
        Batch::evaluation(vec![example("$a|", "a"), example("$bc|", "bc")], vocabulary::PADDING)
    }

    #[test]
    fn evaluation_pads_on_the_right() {
        let batch = two_examples();
        assert_eq!((batch.batch, batch.seq), (2, 7));
        assert_eq!(vocabulary::decode(&batch.tokens).unwrap(), "$a|a.**$bc|bc.");
        assert_eq!(batch.lengths, [[5], [7]]);
    }

    #[test]
    fn targets_are_flattened_row_after_row() {
        let batch = two_examples();
        // Row 0: `|` at 2 and `a` at 3. Row 1 starts at 7: `|` at 7 + 3, then b and c.
        assert_eq!(batch.target_positions(), [2, 3, 10, 11, 12]);
        assert_eq!(batch.target_tokens(), vocabulary::encode("a.bc.").unwrap());
        assert_eq!(batch.scored(), [true, false, true, true, false]);
    }

    #[test]
    fn training_stacks_packed_rows() {
        let task = Copying::new(2..=6);
        let batch = Batch::training(&task, Packing::Segments, 3, 40, &mut ChaCha8Rng::seed_from_u64(9));
        assert_eq!((batch.batch, batch.seq, batch.tokens.len()), (3, 40, 120));
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        for row in 0..3 {
            let expected = Packing::Segments.pack(&task, 40, &mut rng);
            assert_eq!(batch.tokens[row * 40..][..40], expected.tokens);
            assert_eq!(batch.targets[row], expected.targets);
            assert_eq!(batch.lengths[row], expected.lengths);
        }
        for (position, token) in batch.target_positions().into_iter().zip(batch.target_tokens()) {
            assert_eq!(batch.tokens[position as usize + 1], token);
        }
    }

    #[test]
    fn tensor_holds_the_tokens() {
        let batch = two_examples();
        let tensor = batch.tokens(&Device::default());
        assert_eq!(tensor.dims(), [2, 7]);
        let ids: Vec<u32> = tensor.into_data().iter::<u32>().collect();
        assert_eq!(ids, batch.tokens);
    }

    #[test]
    #[should_panic(expected = "Batch: at least one row")]
    fn no_example() {
        Batch::evaluation(vec![], vocabulary::PADDING);
    }
}
