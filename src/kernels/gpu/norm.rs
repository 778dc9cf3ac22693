//! Normalisation of rows: one cube for a row, whose threads add up together.

use burn::tensor::Shape;
use burn_wgpu::{CubeDim, CubeTensor};
use cubecl::prelude::*;
use cubecl::{CubeCount, calculate_cube_count_elemwise};

use super::chunks::{end_of, sum_parts};
use super::op::{Counts, GpuOp};
use super::{address_type, arg, empty, threads};

/// Threads of a cube: a power of two, not above what every GPU has.
const UNITS: usize = 64;

/// Rows whose gradients for the weights one thread adds up.
const BLOCK: usize = 64;

/// Inputs `x [rows, width]`, `gamma [groups · width]`, of which row `r` has group `r mod groups`, and where rows are centred `beta`
/// as `gamma`; output as `x`; kept are every row's mean (0 where rows are not centred) and the reciprocal of its root, `[rows, 2]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Norm {
    pub(crate) centred: bool,
    pub(crate) epsilon: f64,
}

/// The sum of what every thread of a cube has.
#[cube]
fn sum_of_cube<F: Float>(part: F, #[comptime] units: usize) -> F {
    let mut parts = Shared::<[F]>::new_slice(units);
    let unit = UNIT_POS as usize;
    // Whoever reads an earlier sum has read it.
    sync_cube();
    parts[unit] = part;
    sync_cube();
    #[unroll]
    for step in 0..comptime!(units.ilog2() as usize) {
        let half = comptime!(units >> (step + 1));
        if unit < half {
            parts[unit] = parts[unit] + parts[unit + half];
        }
        sync_cube();
    }
    parts[0]
}

#[cube(launch, address_type = "dynamic")]
fn normalise<F: Float>(
    x: &Tensor<F>,
    gamma: &Tensor<F>,
    beta: &Tensor<F>,
    y: &mut Tensor<F>,
    stats: &mut Tensor<F>,
    epsilon: f32,
    #[comptime] centred: bool,
    #[comptime] units: usize,
    #[define(F)] _dtype: ElemType,
) {
    let (rows, width) = (y.shape(0), y.shape(1));
    let row = CUBE_POS;
    if row >= rows {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let (start, step) = (row * x.stride(0), x.stride(1));
    let group = (row % (gamma.len() / width)) * width;
    let size = F::cast_from(width as u32);
    let mut mean = F::new(0.0_f32);
    if centred {
        let mut sum = F::new(0.0_f32);
        for i in range_stepped(unit, width, units) {
            sum += x[start + i * step];
        }
        mean = sum_of_cube::<F>(sum, units) / size;
    }
    let mut squares = F::new(0.0_f32);
    for i in range_stepped(unit, width, units) {
        let centred = x[start + i * step] - mean;
        squares += centred * centred;
    }
    let variance = sum_of_cube::<F>(squares, units) / size;
    let scale = F::new(1.0_f32) / (variance + F::cast_from(epsilon)).sqrt();
    for i in range_stepped(unit, width, units) {
        let mut normed = (x[start + i * step] - mean) * scale * gamma[(group + i) * gamma.stride(0)];
        if centred {
            normed += beta[(group + i) * beta.stride(0)];
        }
        y[row * width + i] = normed;
    }
    if unit == 0 {
        stats[row * 2] = mean;
        stats[row * 2 + 1] = scale;
    }
}

/// With `n` the normalised row and `g = dy ⊙ gamma`: `dx = scale (g − mean(g) − n mean(g ⊙ n))`, `mean(g)` only where centred.
#[cube(launch, address_type = "dynamic")]
fn row_grads<F: Float>(
    x: &Tensor<F>,
    gamma: &Tensor<F>,
    stats: &Tensor<F>,
    grad_y: &Tensor<F>,
    grad_x: &mut Tensor<F>,
    #[comptime] centred: bool,
    #[comptime] units: usize,
    #[define(F)] _dtype: ElemType,
) {
    let (rows, width) = (grad_x.shape(0), grad_x.shape(1));
    let row = CUBE_POS;
    if row >= rows {
        terminate!();
    }
    let unit = UNIT_POS as usize;
    let (start, step) = (row * x.stride(0), x.stride(1));
    let (grad_start, grad_step) = (row * grad_y.stride(0), grad_y.stride(1));
    let group = (row % (gamma.len() / width)) * width;
    let size = F::cast_from(width as u32);
    let (mean, scale) = (stats[row * 2], stats[row * 2 + 1]);
    let mut sum = F::new(0.0_f32);
    let mut along = F::new(0.0_f32);
    for i in range_stepped(unit, width, units) {
        let grad = grad_y[grad_start + i * grad_step] * gamma[(group + i) * gamma.stride(0)];
        sum += grad;
        along += grad * (x[start + i * step] - mean) * scale;
    }
    let along = sum_of_cube::<F>(along, units) / size;
    let mut level = F::new(0.0_f32);
    if centred {
        level = sum_of_cube::<F>(sum, units) / size;
    }
    for i in range_stepped(unit, width, units) {
        let grad = grad_y[grad_start + i * grad_step] * gamma[(group + i) * gamma.stride(0)];
        let normed = (x[start + i * step] - mean) * scale;
        grad_x[row * width + i] = scale * (grad - level - normed * along);
    }
}

/// One thread for an entry of `gamma` and a block of the rows that have it: their parts of its gradient and of that of `beta`,
/// `[blocks, groups · width]`.
#[cube(launch, address_type = "dynamic")]
fn weight_grads<F: Float>(
    x: &Tensor<F>,
    stats: &Tensor<F>,
    grad_y: &Tensor<F>,
    grad_gamma: &mut Tensor<F>,
    grad_beta: &mut Tensor<F>,
    #[comptime] centred: bool,
    #[comptime] block: usize,
    #[define(F)] _dtype: ElemType,
) {
    let (rows, width) = (x.shape(0), x.shape(1));
    let (blocks, entries) = (grad_gamma.shape(0), grad_gamma.shape(1));
    let here = ABSOLUTE_POS;
    if here >= blocks * entries {
        terminate!();
    }
    let groups = entries / width;
    let (group, i) = ((here % entries) / width, here % width);
    let first = (here / entries) * block;
    let mut of_gamma = F::new(0.0_f32);
    let mut of_beta = F::new(0.0_f32);
    for index in first..end_of(first, rows / groups, block) {
        let row = index * groups + group;
        let grad = grad_y[row * grad_y.stride(0) + i * grad_y.stride(1)];
        of_gamma += grad * (x[row * x.stride(0) + i * x.stride(1)] - stats[row * 2]) * stats[row * 2 + 1];
        of_beta += grad;
    }
    grad_gamma[here] = of_gamma;
    if centred {
        grad_beta[here] = of_beta;
    }
}

/// A cube for every row, or a few more.
fn cubes(like: &CubeTensor, rows: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new_1d(UNITS as u32);
    (calculate_cube_count_elemwise(&like.client, rows * UNITS, dim), dim)
}

impl GpuOp for Norm {
    fn shapes(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![inputs[0].clone(), Shape::new([inputs[0][0], 2])]
    }

    fn forward(&self, inputs: Vec<CubeTensor>) -> Vec<CubeTensor> {
        let (x, gamma) = (&inputs[0], &inputs[1]);
        let beta = inputs.get(2).unwrap_or(gamma);
        let shape = x.meta.shape();
        let (y, stats) = (empty(x, shape.clone()), empty(x, Shape::new([shape[0], 2])));
        let (count, dim) = cubes(x, shape[0]);
        normalise::launch(
            &x.client,
            count,
            dim,
            address_type(&[x], shape.num_elements()),
            arg(x),
            arg(gamma),
            arg(beta),
            arg(&y),
            arg(&stats),
            self.epsilon as f32,
            self.centred,
            UNITS,
            f32::elem_type_native(),
        );
        vec![y, stats]
    }

    fn counts(&self) -> Counts {
        Counts { outputs: 1, learnt: if self.centred { 3 } else { 2 } }
    }

    fn backward(&self, tensors: Vec<CubeTensor>) -> Vec<CubeTensor> {
        let (x, gamma) = (&tensors[0], &tensors[1]);
        let [stats, grad_y] = &tensors[tensors.len() - 2..] else { unreachable!("a slice of two") };
        let (shape, entries) = (x.meta.shape(), gamma.meta.shape());
        let (address, elem) = (address_type(&[x, grad_y], shape.num_elements()), f32::elem_type_native());
        let grad_x = empty(x, shape.clone());
        let (count, dim) = cubes(x, shape[0]);
        row_grads::launch(
            &x.client,
            count,
            dim,
            address,
            arg(x),
            arg(gamma),
            arg(stats),
            arg(grad_y),
            arg(&grad_x),
            self.centred,
            UNITS,
            elem,
        );
        let blocks = (shape.num_elements() / entries[0]).div_ceil(BLOCK).max(1);
        let parts = || empty(x, Shape::new([blocks, entries[0]]));
        let of_gamma = parts();
        // A kernel may not write to one buffer by two names, and does not write to this one.
        let of_beta = if self.centred { parts() } else { empty(x, Shape::new([1, 1])) };
        let (count, dim) = threads(x, blocks * entries[0]);
        weight_grads::launch(
            &x.client,
            count,
            dim,
            address,
            arg(x),
            arg(stats),
            arg(grad_y),
            arg(&of_gamma),
            arg(&of_beta),
            self.centred,
            BLOCK,
            elem,
        );
        let sum = |parts| sum_parts(parts, [1, blocks], entries);
        let mut grads = vec![grad_x, sum(of_gamma)];
        if self.centred {
            grads.push(sum(of_beta));
        }
        grads
    }
}
