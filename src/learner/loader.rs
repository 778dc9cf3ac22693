//! Rows to train on, new ones in every epoch.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::tensor::Device;

use super::TaskRows;
use crate::tasks::Batch;

/// Batches of a task whose every epoch has rows that no epoch before it had.
///
/// burn-train counts in epochs: it evaluates and writes a checkpoint after each. Of a task that draws its examples an epoch
/// then is so many rows and no more; a dataset, such as [`TaskRows`], would show the same ones again, which a model that
/// cannot do the task learns by heart.
///
/// Each [`iter`](DataLoader::iter) is the next epoch. Epoch `e` has the rows `e · rows` to `(e + 1) · rows` of the stream;
/// [`from_epoch`](Self::from_epoch) goes on where a checkpoint ends. Parts for several devices
/// ([`slice`](DataLoader::slice)) have parts of each epoch.
pub struct TaskLoader {
    rows: TaskRows,
    batch_size: usize,
    /// Of an epoch.
    part: Range<usize>,
    epoch: AtomicUsize,
}

impl TaskLoader {
    /// Batches of `batch_size` rows (the last of an epoch has what is left), `rows.rows` rows an epoch.
    ///
    /// # Panics
    ///
    /// If `batch_size` is 0.
    pub fn new(rows: TaskRows, batch_size: usize) -> Self {
        assert!(batch_size > 0, "TaskLoader: batch_size must be above 0");
        Self { part: 0..rows.rows, rows, batch_size, epoch: AtomicUsize::new(0) }
    }

    /// The same, after so many epochs.
    pub fn from_epoch(mut self, done: usize) -> Self {
        self.epoch = AtomicUsize::new(done);
        self
    }

    fn of(&self, part: Range<usize>) -> Arc<dyn DataLoader<Batch>> {
        let epoch = AtomicUsize::new(self.epoch.load(Ordering::SeqCst));
        Arc::new(Self { rows: self.rows.clone(), batch_size: self.batch_size, part, epoch })
    }
}

impl DataLoader<Batch> for TaskLoader {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Batch> + 'a> {
        let first = self.epoch.fetch_add(1, Ordering::SeqCst) * self.rows.rows;
        Box::new(Epoch { loader: self, first, left: self.part.clone() })
    }

    fn num_items(&self) -> usize {
        self.part.len()
    }

    /// A batch is plain data on the host.
    fn to_device(&self, _: &Device) -> Arc<dyn DataLoader<Batch>> {
        self.of(self.part.clone())
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<Batch>> {
        let place = |index: usize| (self.part.start + index).min(self.part.end);
        self.of(place(start)..place(end))
    }
}

struct Epoch<'a> {
    loader: &'a TaskLoader,
    /// The number of the epoch's first row.
    first: usize,
    left: Range<usize>,
}

impl Iterator for Epoch<'_> {
    type Item = Result<Batch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let TaskLoader { rows, batch_size, .. } = self.loader;
        let batch: Vec<_> =
            self.left.by_ref().take(*batch_size).map(|row| rows.draw(self.first + row)).collect();
        (!batch.is_empty()).then(|| Ok(Batch::from_rows(batch)))
    }
}

impl DataLoaderIterator<Batch> for Epoch<'_> {
    fn progress(&self) -> Progress {
        let all = self.loader.part.len();
        Progress::new(all - self.left.len(), all, Some("rows".into()))
    }
}
