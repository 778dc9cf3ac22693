//! What the chunked forms of recurrences with one decay for a head and a token share.

use burn::tensor::{Bool, Device, Int, Tensor};

use super::Segments;

/// e⁻⁴⁰ is nothing beside 1 in any float type; larger sums would drown the decays of the tokens that follow.
const LEAST_LOG_DECAY: f64 = -40.0;

/// How much of the state before a chunk, and of what each of its tokens writes, is left where it is read.
///
/// `None`: all of it.
pub(super) struct ChunkDecays {
    /// `[1 or batch, 1, len, len]`: nothing passes from later tokens, nor between documents.
    apart: Tensor<4, Bool>,
    /// From token `j` to token `i`, `[batch, heads, len, len]`.
    within: Option<Tensor<4>>,
    /// From the state before to each token, `[batch, heads, len, 1]`.
    pub(super) from_state: Option<Tensor<4>>,
    /// From each token to the end, `[batch, heads, len, 1]`.
    pub(super) to_end: Option<Tensor<4>>,
    /// From the state before to the state after, `[batch, heads, 1, 1]`.
    pub(super) through: Option<Tensor<4>>,
}

impl ChunkDecays {
    /// Of the tokens `start..start + len`; `like` gives the device and dtype.
    pub(super) fn new(
        log_decay: Option<&Tensor<3>>,
        ids: Option<&Tensor<2, Int>>,
        [start, len]: [usize; 2],
        like: &Tensor<4>,
    ) -> Self {
        let future = Tensor::<2, Bool>::tril_mask([len, len], 0, &like.device()).unsqueeze::<4>();
        let mut decays = Self { apart: future, within: None, from_state: None, to_end: None, through: None };
        let ids = ids.map(|ids| {
            // The document that the state belongs to (before the first token, document 0), and those of the chunk's tokens.
            let at =
                |start: usize, len: usize| ids.clone().narrow(1, start, len).unsqueeze_dims::<4>(&[1, 3]);
            let before = if start == 0 { at(0, 1).zeros_like() } else { at(start - 1, 1) };
            (before, at(start, len))
        });
        if let Some((_, ids)) = &ids {
            decays.apart = decays.apart.bool_or(ids.clone().not_equal(ids.clone().swap_dims(2, 3)));
        }
        if let Some(log_decay) = log_decay {
            let log_decay = log_decay.clone().narrow(2, start, len).clamp_min(LEAST_LOG_DECAY);
            let sums = cumulative(log_decay.clone()).unsqueeze_dim::<4>(3);
            let between = between(log_decay);
            let to_end = between.clone().narrow(2, len - 1, 1).swap_dims(2, 3);
            decays.within = Some(between.mask_fill(decays.apart.clone(), f32::NEG_INFINITY).exp());
            decays.to_end = Some(to_end.exp());
            decays.through = Some(sums.clone().narrow(2, len - 1, 1).exp());
            decays.from_state = Some(sums.exp());
        }
        if let Some((before, ids)) = ids {
            let dtype = like.dtype();
            let end = ids.clone().narrow(2, len - 1, 1);
            times(&mut decays.from_state, ids.clone().equal(before.clone()).float().cast(dtype));
            times(&mut decays.to_end, ids.equal(end.clone()).float().cast(dtype));
            times(&mut decays.through, end.equal(before).float().cast(dtype));
        }
        decays
    }

    /// Scores of queries (rows) and keys (columns), each times what is left of the key's token at the query's.
    pub(super) fn weigh(&self, scores: Tensor<4>) -> Tensor<4> {
        match &self.within {
            Some(within) => scores * within.clone(),
            None => scores.mask_fill(self.apart.clone(), 0.0),
        }
    }
}

/// `x`, times a factor if there is one.
pub(super) fn scaled(x: Tensor<4>, by: Option<Tensor<4>>) -> Tensor<4> {
    match by {
        Some(by) => x * by,
        None => x,
    }
}

fn times(factor: &mut Option<Tensor<4>>, by: Tensor<4>) {
    *factor = Some(match factor.take() {
        Some(factor) => factor * by,
        None => by,
    });
}

/// `x [.., len]` summed after token `j` up to token `i`, `[.., len, len]`: added up on their own, since the difference of
/// two sums would drown what is small between them.
fn between(x: Tensor<3>) -> Tensor<4> {
    let [_, _, len] = x.dims();
    let ones = Tensor::<2>::ones([len, len], (&x.device(), x.dtype()));
    let up_to = x.unsqueeze_dim::<4>(2) * ones.clone().tril(0).unsqueeze();
    up_to.matmul(ones.tril(-1).unsqueeze())
}

/// Inclusive sums over the last axis, as a product with a triangle: a `cumsum` reads quadratically on GPUs.
fn cumulative(x: Tensor<3>) -> Tensor<3> {
    let [_, _, len] = x.dims();
    let triangle = Tensor::<2>::ones([len, len], (&x.device(), x.dtype())).triu(0);
    x.matmul(triangle.unsqueeze())
}

/// `[batch, seq]`, the document of every token, where there is more than one.
pub(super) fn documents(segments: Option<&Segments>, device: &Device) -> Option<Tensor<2, Int>> {
    segments.filter(|segments| segments.has_resets()).map(|segments| segments.ids(device))
}

/// Queries or keys `[batch, groups, seq, key_dim]`, repeated for every head.
pub(super) fn for_every_head(x: Tensor<4>, heads: usize) -> Tensor<4> {
    let [batch, groups, seq, key_dim] = x.dims();
    if groups == heads {
        return x;
    }
    let each = x.unsqueeze_dim::<5>(2).expand([batch, groups, heads / groups, seq, key_dim]);
    each.reshape([batch, heads, seq, key_dim])
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
pub(super) mod fused {
    use super::*;
    use crate::kernels::{cpu::chunks::Chunks, host::HostInput};

    pub(in crate::ops) fn chunks(chunk_size: usize, segments: Option<Segments>) -> Chunks {
        let documents = segments.filter(Segments::has_resets).map(|segments| segments.id_table().into());
        Chunks { chunk_size, least: LEAST_LOG_DECAY, documents }
    }

    /// `[batch, heads, seq, ..]` to `[batch, seq, heads, ..]`, as projections leave it: where the caller swapped
    /// axes, nothing is copied.
    pub(in crate::ops) fn tokens_first<const D: usize>(x: Tensor<D>) -> HostInput {
        x.swap_dims(1, 2).into()
    }

    /// `o` and the last state, out of the flat outputs of a kernel.
    pub(in crate::ops) fn outputs(
        [o, state]: [Tensor<1>; 2],
        [batch, heads, seq, value_dim]: [usize; 4],
        key_dim: usize,
    ) -> (Tensor<4>, Tensor<4>) {
        let o = o.reshape([batch, seq, heads, value_dim]).swap_dims(1, 2);
        (o, state.reshape([batch, heads, key_dim, value_dim]))
    }
}
