//! Channels that advance together: a fixed number, so that loops over them become vector instructions.

use crate::kernels::real::Real;

/// One vector of AVX-512 in f32, two of AVX2.
pub(crate) const LANES: usize = 16;

/// A number for each of [`LANES`] channels.
pub(crate) type Lanes<F> = [F; LANES];

/// Up to [`LANES`] numbers; the channels beyond are 0.
#[inline(always)]
pub(crate) fn load<F: Real>(slice: &[F]) -> Lanes<F> {
    if let Some(lanes) = slice.first_chunk() {
        return *lanes;
    }
    let mut lanes = [F::zero(); LANES];
    lanes[..slice.len()].copy_from_slice(slice);
    lanes
}

/// The reverse of [`load`].
#[inline(always)]
pub(crate) fn store<F: Real>(lanes: &Lanes<F>, slice: &mut [F]) {
    match slice.first_chunk_mut() {
        Some(all) => *all = *lanes,
        None => slice.copy_from_slice(&lanes[..slice.len()]),
    }
}

#[inline(always)]
pub(crate) fn sum<F: Real>(lanes: &Lanes<F>) -> F {
    let mut quarter = [F::zero(); 8];
    for chunk in lanes.chunks_exact(8) {
        for (sum, &lane) in quarter.iter_mut().zip(chunk) {
            *sum += lane;
        }
    }
    ((quarter[0] + quarter[4]) + (quarter[1] + quarter[5]))
        + ((quarter[2] + quarter[6]) + (quarter[3] + quarter[7]))
}
