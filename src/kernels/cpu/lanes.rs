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

/// A row as vectors, the last filled up with zeros.
#[inline(always)]
pub(crate) fn spread<F: Real>(to: &mut [Lanes<F>], row: &[F]) {
    let (full, rest) = row.as_chunks::<LANES>();
    to[..full.len()].copy_from_slice(full);
    if !rest.is_empty() {
        to[full.len()] = load(rest);
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

/// `x y`.
#[inline(always)]
pub(crate) fn times<F: Real>(x: &Lanes<F>, y: &Lanes<F>) -> Lanes<F> {
    let mut product = [F::zero(); LANES];
    for l in 0..LANES {
        product[l] = x[l] * y[l];
    }
    product
}

#[inline(always)]
pub(crate) fn plus<F: Real>(x: &Lanes<F>, y: &Lanes<F>) -> Lanes<F> {
    let mut sum = [F::zero(); LANES];
    for l in 0..LANES {
        sum[l] = x[l] + y[l];
    }
    sum
}

/// 0 where it is negligible: what decays for long stays a normal number, or goes.
#[inline(always)]
pub(crate) fn fade<F: Real>(x: &mut Lanes<F>) {
    x.iter_mut().for_each(|value| *value = value.or_nothing());
}

/// The product, 0 where it is negligible.
#[inline(always)]
pub(crate) fn faded<F: Real>(x: &Lanes<F>, y: &Lanes<F>) -> Lanes<F> {
    let mut product = times(x, y);
    fade(&mut product);
    product
}

/// `x y + z`.
#[inline(always)]
pub(crate) fn fma<F: Real, const FMA: bool>(x: &Lanes<F>, y: &Lanes<F>, z: &Lanes<F>) -> Lanes<F> {
    let mut sum = [F::zero(); LANES];
    for l in 0..LANES {
        sum[l] = F::fma::<FMA>(x[l], y[l], z[l]);
    }
    sum
}

/// `z − x y`.
#[inline(always)]
pub(crate) fn fnma<F: Real, const FMA: bool>(x: &Lanes<F>, y: &Lanes<F>, z: &Lanes<F>) -> Lanes<F> {
    let mut rest = [F::zero(); LANES];
    for l in 0..LANES {
        rest[l] = F::fma::<FMA>(-x[l], y[l], z[l]);
    }
    rest
}

/// The inner product of equally long slices, in an order that depends on their length alone. Two sums take turns, so that
/// neither waits for itself.
#[inline(always)]
pub(crate) fn dot<F: Real, const FMA: bool>(x: &[F], y: &[F]) -> F {
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let mut even = times(&load(x_rest), &load(y_rest));
    let mut odd = [F::zero(); LANES];
    let ((x_pairs, x_last), (y_pairs, y_last)) = (xs.as_chunks::<2>(), ys.as_chunks::<2>());
    for ([x_even, x_odd], [y_even, y_odd]) in x_pairs.iter().zip(y_pairs) {
        even = fma::<F, FMA>(x_even, y_even, &even);
        odd = fma::<F, FMA>(x_odd, y_odd, &odd);
    }
    if let ([x], [y]) = (x_last, y_last) {
        even = fma::<F, FMA>(x, y, &even);
    }
    sum(&plus(&even, &odd))
}
