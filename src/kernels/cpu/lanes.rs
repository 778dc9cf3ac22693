//! Vectors as arrays: a loop over one compiles to an instruction or two.

use crate::kernels::real::Real;

/// One vector of AVX-512, two of AVX2, in f32.
pub(crate) const LANES: usize = 16;

/// One vector's worth of channels.
pub(crate) type Lanes<F> = [F; LANES];

/// At most [`LANES`] elements, and zeros.
#[inline(always)]
pub(crate) fn load<F: Real>(slice: &[F]) -> Lanes<F> {
    let mut lanes = [F::zero(); LANES];
    lanes[..slice.len()].copy_from_slice(slice);
    lanes
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

/// The product, 0 where it is negligible.
#[inline(always)]
pub(crate) fn faded<F: Real>(x: &Lanes<F>, y: &Lanes<F>) -> Lanes<F> {
    let mut product = times(x, y);
    product.iter_mut().for_each(|value| *value = value.or_nothing());
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

/// The inner product of equally long slices, in an order that depends on their length alone.
#[inline(always)]
pub(crate) fn dot<F: Real, const FMA: bool>(x: &[F], y: &[F]) -> F {
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let mut sums = times(&load(x_rest), &load(y_rest));
    for (x, y) in xs.iter().zip(ys) {
        sums = fma::<F, FMA>(x, y, &sums);
    }
    sum(&sums)
}
