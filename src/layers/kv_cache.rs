//! The state of attention: the keys and values of the tokens that can still be seen.

use burn::tensor::{Tensor, assert_shape, s};

use super::state::{MixerState, StateMapper};

/// Keys and values, preallocated and grown by doubling; under a window, a ring buffer.
///
/// Columns are aligned at the newest token: column `len − 1` in order of age is the last token of every row.
/// Rows may have seen different numbers of tokens.
#[derive(Clone, Debug)]
pub struct KvCache {
    /// `[batch, n_kv_heads, capacity, head_dim]`; rotated already where attention is rotary.
    keys: Tensor<4>,
    values: Tensor<4>,
    /// Columns in use.
    len: usize,
    /// The column of the oldest token.
    oldest: usize,
    /// Columns that are ever needed.
    window: Option<usize>,
    /// Tokens of its current document that each row has seen.
    seen: Vec<usize>,
}

/// Columns that a fresh cache has room for.
const FIRST_CAPACITY: usize = 32;

impl KvCache {
    /// An empty cache of `[batch, n_kv_heads, head_dim]`, for all tokens or the last `window`, at least 1; `options` are
    /// the device, or `(&device, dtype)`.
    pub fn new(
        [batch, n_kv_heads, head_dim]: [usize; 3],
        window: Option<usize>,
        options: impl Into<burn::tensor::TensorCreationOptions> + Clone,
    ) -> Self {
        let capacity = window.unwrap_or(FIRST_CAPACITY).min(FIRST_CAPACITY);
        let empty = Tensor::zeros([batch, n_kv_heads, capacity, head_dim], options);
        Self { keys: empty.clone(), values: empty, len: 0, oldest: 0, window, seen: vec![0; batch] }
    }

    /// A cache that holds these columns, in order of age: the last that a row has seen and the window needs.
    ///
    /// Older columns are padding or of earlier documents in every row; they would count as memory.
    pub(crate) fn of(keys: Tensor<4>, values: Tensor<4>, window: Option<usize>, seen: Vec<usize>) -> Self {
        let [_, _, columns, _] = keys.dims();
        let longest = seen.iter().copied().max().unwrap_or(0);
        let len = window.unwrap_or(columns).min(columns).min(longest);
        let room = len.max(1);
        let last = |x: Tensor<4>| if room < columns { x.narrow(2, columns - room, room) } else { x };
        Self { keys: last(keys), values: last(values), len, oldest: 0, window, seen }
    }

    /// Rows.
    pub fn batch(&self) -> usize {
        self.seen.len()
    }

    /// Columns in use.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no token has been seen.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Tokens of its current document that each row has seen: the position of its next token.
    pub fn seen(&self) -> &[usize] {
        &self.seen
    }

    /// Whether the columns are there that the window needs; not where a file was damaged, or is of another window.
    fn fits_together(&self) -> bool {
        let columns = |x: &Tensor<4>| x.dims()[2];
        let (room, len) = (columns(&self.keys), self.len);
        let longest = self.seen.iter().copied().max().unwrap_or(0);
        columns(&self.values) == room
            && len <= room
            && len >= longest.min(self.window.unwrap_or(longest))
            && self.window.is_none_or(|window| len <= window)
            && (self.oldest == 0 || (self.oldest < len && self.window == Some(len)))
    }

    /// Panics unless this is a cache for such heads.
    pub(crate) fn check(&self, [batch, n_kv_heads, head_dim]: [usize; 3], window: Option<usize>) {
        let keys = &self.keys;
        assert_shape!(keys, [batch, n_kv_heads, _, head_dim]);
        assert_eq!(self.window, window, "attention: the state is of attention with another window");
    }

    /// Columns in use, in the order they lie in, and the column of the oldest.
    pub(crate) fn columns(&self) -> (Tensor<4>, Tensor<4>, usize) {
        let used = |x: &Tensor<4>| x.clone().narrow(2, 0, self.len);
        (used(&self.keys), used(&self.values), self.oldest)
    }

    /// Columns in use, in order of age.
    pub(crate) fn in_order(&self) -> Option<(Tensor<4>, Tensor<4>)> {
        if self.is_empty() {
            return None;
        }
        let (keys, values, oldest) = self.columns();
        let turn = |x: Tensor<4>| x.roll_dim(-(oldest as isize), 2);
        Some((turn(keys), turn(values)))
    }

    /// Adds one token: `[batch, n_kv_heads, 1, head_dim]`.
    pub(crate) fn push(mut self, key: Tensor<4>, value: Tensor<4>) -> Self {
        let [_, _, capacity, _] = self.keys.dims();
        let column = if self.window == Some(self.len) {
            let column = self.oldest;
            self.oldest = (self.oldest + 1) % self.len;
            column
        } else {
            if self.len == capacity {
                let more = capacity.max(FIRST_CAPACITY).min(self.window.unwrap_or(usize::MAX) - self.len);
                self.keys = grow(self.keys, more);
                self.values = grow(self.values, more);
            }
            self.len += 1;
            self.len - 1
        };
        let place = s![.., .., column..column + 1];
        self.keys = self.keys.slice_assign(place, key);
        self.values = self.values.slice_assign(place, value);
        self.seen.iter_mut().for_each(|seen| *seen += 1);
        self
    }
}

fn grow(x: Tensor<4>, by: usize) -> Tensor<4> {
    let [batch, heads, _, head_dim] = x.dims();
    let more = Tensor::zeros([batch, heads, by, head_dim], (&x.device(), x.dtype()));
    Tensor::cat(vec![x, more], 2)
}

impl MixerState for KvCache {
    fn map<M: StateMapper>(mut self, mapper: &mut M) -> Self {
        self.seen = mapper.counts("seen", self.seen);
        let [len, oldest] =
            mapper.counts("columns", vec![self.len, self.oldest]).try_into().expect("two counts");
        let used = |x: Tensor<4>| if self.len > 0 { x.narrow(2, 0, self.len) } else { x };
        if len > 0 {
            self.keys = mapper.growing("keys", used(self.keys), 2);
            self.values = mapper.growing("values", used(self.values), 2);
        } else {
            self.keys = mapper.reserved(self.keys);
            self.values = mapper.reserved(self.values);
        }
        (self.len, self.oldest) = (len, oldest);
        if !self.fits_together() {
            mapper.reject("keys, values and columns of the cache do not fit together");
        }
        self
    }
}
