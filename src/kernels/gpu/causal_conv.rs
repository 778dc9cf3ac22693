//! Causal depthwise convolution, with the activation that follows it.

use burn::tensor::Shape;
use burn_wgpu::CubeTensor;
use cubecl::prelude::*;

use super::chunks::{end_of, sum_parts};
use super::elementwise::{derivative, value};
use super::op::{Counts, GpuOp};
use super::{address_type, arg, at, empty, threads};
use crate::kernels::elementwise::Elementwise;

/// Tokens whose gradients for the weights one thread adds up.
const BLOCK: usize = 32;

/// Inputs `x [batch, seq, channels]`, `weight [d_conv, channels]`, `bias [channels]`, `window [batch, d_conv − 1, channels]`, and without
/// a gradient `reach [batch, seq]`: how many tokens back a token sees; output as `x`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CausalConv {
    pub(crate) activation: Option<Elementwise>,
}

/// Whether token `t` sees what is `back` tokens earlier.
#[cube]
fn sees<F: Float>(reach: &Tensor<F>, row: usize, t: usize, back: usize) -> bool {
    F::cast_from(back as u32) <= reach[row * reach.stride(0) + t * reach.stride(1)]
}

/// What is `back` tokens before `t`, in `x` or before it.
#[cube]
fn earlier<F: Float>(
    x: &Tensor<F>,
    window: &Tensor<F>,
    row: usize,
    t: usize,
    back: usize,
    channel: usize,
) -> F {
    if back <= t {
        at::<F>(x, row, t - back, channel)
    } else {
        at::<F>(window, row, window.shape(1) + t - back, channel)
    }
}

/// The sum, before the activation.
#[cube]
fn convolved<F: Float>(
    x: &Tensor<F>,
    weight: &Tensor<F>,
    bias: &Tensor<F>,
    window: &Tensor<F>,
    reach: &Tensor<F>,
    row: usize,
    t: usize,
    channel: usize,
    #[comptime] d_conv: usize,
) -> F {
    let mut sum = bias[channel * bias.stride(0)];
    #[unroll]
    for tap in 0..d_conv {
        let back = comptime!(d_conv - 1 - tap);
        if sees::<F>(reach, row, t, back) {
            sum += weight[tap * weight.stride(0) + channel * weight.stride(1)]
                * earlier::<F>(x, window, row, t, back, channel);
        }
    }
    sum
}

/// One thread for a channel of a token.
#[cube(launch, address_type = "dynamic")]
fn convolve<F: Float>(
    x: &Tensor<F>,
    weight: &Tensor<F>,
    bias: &Tensor<F>,
    window: &Tensor<F>,
    reach: &Tensor<F>,
    y: &mut Tensor<F>,
    #[comptime] d_conv: usize,
    #[comptime] activation: Option<Elementwise>,
    #[define(F)] _dtype: ElemType,
) {
    let (seq, channels) = (y.shape(1), y.shape(2));
    let here = ABSOLUTE_POS;
    if here >= y.len() {
        terminate!();
    }
    let channel = here % channels;
    let (row, t) = (here / (channels * seq), (here / channels) % seq);
    let sum = convolved::<F>(x, weight, bias, window, reach, row, t, channel, d_conv);
    if comptime!(activation.is_some()) {
        y[here] = value::<F>(sum, comptime!(activation.unwrap()));
    } else {
        y[here] = sum;
    }
}

/// One thread for a channel of a token: the gradient before the activation.
#[cube(launch, address_type = "dynamic")]
fn before_activation<F: Float>(
    x: &Tensor<F>,
    weight: &Tensor<F>,
    bias: &Tensor<F>,
    window: &Tensor<F>,
    reach: &Tensor<F>,
    grad_y: &Tensor<F>,
    grad_sum: &mut Tensor<F>,
    #[comptime] d_conv: usize,
    #[comptime] activation: Elementwise,
    #[define(F)] _dtype: ElemType,
) {
    let (seq, channels) = (grad_sum.shape(1), grad_sum.shape(2));
    let here = ABSOLUTE_POS;
    if here >= grad_sum.len() {
        terminate!();
    }
    let channel = here % channels;
    let (row, t) = (here / (channels * seq), (here / channels) % seq);
    let sum = convolved::<F>(x, weight, bias, window, reach, row, t, channel, d_conv);
    grad_sum[here] = at::<F>(grad_y, row, t, channel) * derivative::<F>(sum, activation);
}

/// One thread for a channel of a token, of those in the window too.
#[cube(launch, address_type = "dynamic")]
fn input_grads<F: Float>(
    weight: &Tensor<F>,
    reach: &Tensor<F>,
    grad_sum: &Tensor<F>,
    grad_x: &mut Tensor<F>,
    grad_window: &mut Tensor<F>,
    #[comptime] d_conv: usize,
    #[define(F)] _dtype: ElemType,
) {
    let (batch, seq, channels) = (grad_x.shape(0), grad_x.shape(1), grad_x.shape(2));
    let past = comptime!(d_conv - 1);
    let columns = seq + past;
    let here = ABSOLUTE_POS;
    if here >= batch * columns * channels {
        terminate!();
    }
    let channel = here % channels;
    let (row, column) = (here / (channels * columns), (here / channels) % columns);
    let mut grad = F::new(0.0_f32);
    #[unroll]
    for tap in 0..d_conv {
        let back = comptime!(d_conv - 1 - tap);
        // The token that is `back` later; tokens follow the window.
        if column + back >= past && column + back < columns {
            let t = column + back - past;
            if sees::<F>(reach, row, t, back) {
                grad += weight[tap * weight.stride(0) + channel * weight.stride(1)]
                    * at::<F>(grad_sum, row, t, channel);
            }
        }
    }
    if column < past {
        grad_window[(row * past + column) * channels + channel] = grad;
    } else {
        grad_x[(row * seq + column - past) * channels + channel] = grad;
    }
}

/// One thread for a channel of a block of tokens: its parts of the gradients of `weight` and `bias`, `[blocks, d_conv · channels]`
/// and `[blocks, channels]`.
#[cube(launch, address_type = "dynamic")]
fn weight_grads<F: Float>(
    x: &Tensor<F>,
    window: &Tensor<F>,
    reach: &Tensor<F>,
    grad_sum: &Tensor<F>,
    grad_weight: &mut Tensor<F>,
    grad_bias: &mut Tensor<F>,
    #[comptime] d_conv: usize,
    #[comptime] block: usize,
    #[define(F)] _dtype: ElemType,
) {
    let (seq, channels, blocks) = (x.shape(1), x.shape(2), grad_bias.shape(0));
    let here = ABSOLUTE_POS;
    if here >= blocks * channels {
        terminate!();
    }
    let (index, channel) = (here / channels, here % channels);
    let mut of_weight = Array::<F>::new(d_conv);
    #[unroll]
    for tap in 0..d_conv {
        of_weight[tap] = F::new(0.0_f32);
    }
    let mut of_bias = F::new(0.0_f32);
    let first = index * block;
    for token in first..end_of(first, x.shape(0) * seq, block) {
        let (row, t) = (token / seq, token % seq);
        let grad = at::<F>(grad_sum, row, t, channel);
        of_bias += grad;
        #[unroll]
        for tap in 0..d_conv {
            let back = comptime!(d_conv - 1 - tap);
            if sees::<F>(reach, row, t, back) {
                of_weight[tap] += grad * earlier::<F>(x, window, row, t, back, channel);
            }
        }
    }
    grad_bias[here] = of_bias;
    #[unroll]
    for tap in 0..d_conv {
        grad_weight[(index * d_conv + tap) * channels + channel] = of_weight[tap];
    }
}

impl GpuOp for CausalConv {
    fn shapes(&self, inputs: &[&Shape]) -> Vec<Shape> {
        vec![inputs[0].clone()]
    }

    fn forward(&self, inputs: Vec<CubeTensor>) -> Vec<CubeTensor> {
        let [x, weight, bias, window, reach] = inputs.try_into().expect("five inputs");
        let (shape, d_conv) = (x.meta.shape(), weight.meta.shape()[0]);
        let y = empty(&x, shape.clone());
        let (count, dim) = threads(&x, shape.num_elements());
        convolve::launch(
            &x.client,
            count,
            dim,
            address_type(&[&x], shape.num_elements()),
            arg(&x),
            arg(&weight),
            arg(&bias),
            arg(&window),
            arg(&reach),
            arg(&y),
            d_conv,
            self.activation,
            f32::elem_type_native(),
        );
        vec![y]
    }

    fn counts(&self) -> Counts {
        Counts { outputs: 1, learnt: 4 }
    }

    fn backward(&self, tensors: Vec<CubeTensor>) -> Vec<CubeTensor> {
        let [x, weight, bias, window, reach, grad_y] = tensors.try_into().expect("six tensors");
        let shape = x.meta.shape();
        let ([batch, seq, channels], d_conv) = (shape.dims(), weight.meta.shape()[0]);
        let blocks = (batch * seq).div_ceil(BLOCK).max(1);
        let made = batch * (seq + d_conv - 1) * channels + blocks * d_conv * channels;
        let address = address_type(&[&x, &grad_y], made);
        let elem = f32::elem_type_native();

        let grad_sum = match self.activation {
            None => grad_y,
            Some(activation) => {
                let grad_sum = empty(&x, shape.clone());
                let (count, dim) = threads(&x, shape.num_elements());
                before_activation::launch(
                    &x.client,
                    count,
                    dim,
                    address,
                    arg(&x),
                    arg(&weight),
                    arg(&bias),
                    arg(&window),
                    arg(&reach),
                    arg(&grad_y),
                    arg(&grad_sum),
                    d_conv,
                    activation,
                    elem,
                );
                grad_sum
            }
        };

        let (grad_x, grad_window) = (empty(&x, shape.clone()), empty(&x, window.meta.shape().clone()));
        let (count, dim) = threads(&x, batch * (seq + d_conv - 1) * channels);
        input_grads::launch(
            &x.client,
            count,
            dim,
            address,
            arg(&weight),
            arg(&reach),
            arg(&grad_sum),
            arg(&grad_x),
            arg(&grad_window),
            d_conv,
            elem,
        );

        let of_weight = empty(&x, Shape::new([blocks, d_conv * channels]));
        let of_bias = empty(&x, Shape::new([blocks, channels]));
        let (count, dim) = threads(&x, blocks * channels);
        weight_grads::launch(
            &x.client,
            count,
            dim,
            address,
            arg(&x),
            arg(&window),
            arg(&reach),
            arg(&grad_sum),
            arg(&of_weight),
            arg(&of_bias),
            d_conv,
            BLOCK,
            elem,
        );
        let grad_weight = sum_parts(of_weight, [1, blocks], weight.meta.shape());
        let grad_bias = sum_parts(of_bias, [1, blocks], bias.meta.shape());
        vec![grad_x, grad_weight, grad_bias, grad_window]
    }
}
