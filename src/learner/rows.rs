//! Rows to train on, as datasets.

use std::sync::Arc;

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataset::{Dataset, DatasetError};
use burn::tensor::Device;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use crate::tasks::{Batch, Packing, Row, Task};

/// A text, cut into rows of `context_len` tokens; what is left after the last is not read.
#[derive(Clone, Debug)]
pub struct Windows {
    tokens: Arc<[u32]>,
    context_len: usize,
}

impl Windows {
    /// Of these tokens.
    ///
    /// # Panics
    ///
    /// If `context_len` is 0.
    pub fn new(tokens: &[u32], context_len: usize) -> Self {
        assert!(context_len > 0, "Windows: context_len must be above 0");
        Self { tokens: tokens.into(), context_len }
    }
}

impl Dataset<Row> for Windows {
    fn get(&self, index: usize) -> Result<Row, DatasetError> {
        // The token after the last is due there, and is the first of the next row.
        Ok(Row::next_tokens(&self.tokens[index * self.context_len..][..self.context_len + 1]))
    }

    fn len(&self) -> usize {
        self.tokens.len().saturating_sub(1) / self.context_len
    }
}

/// Packed rows of a task, each drawn from its own stream of a seed.
#[derive(Clone)]
pub struct TaskRows {
    /// What is asked.
    pub task: Arc<dyn Task>,
    /// How examples share a row.
    pub packing: Packing,
    /// Tokens of a row.
    pub context_len: usize,
    /// Rows there are: each epoch sees the same, but for that of a [`TaskLoader`](super::TaskLoader).
    pub rows: usize,
    /// What the rows are drawn from.
    pub seed: u64,
}

impl TaskRows {
    /// The row of this number, of which there is no end.
    pub(super) fn draw(&self, number: usize) -> Row {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(number as u64);
        self.packing.pack(&*self.task, self.context_len, &mut rng)
    }
}

impl Dataset<Row> for TaskRows {
    fn get(&self, index: usize) -> Result<Row, DatasetError> {
        assert!(index < self.rows, "TaskRows: row {index} of {}", self.rows);
        Ok(self.draw(index))
    }

    fn len(&self) -> usize {
        self.rows
    }
}

/// Rows to a batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct RowBatcher;

impl Batcher<Row, Batch> for RowBatcher {
    fn batch(&self, rows: Vec<Row>, _: &Device) -> Batch {
        Batch::from_rows(rows)
    }
}
