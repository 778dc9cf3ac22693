//! Causal depthwise convolution: every channel a weighted sum of its last few inputs.

use burn::tensor::{Int, Tensor, TensorData, assert_shape};

use super::Segments;
use super::linear::split;
use super::segments::expect_tokens;
use crate::kernels::Implementation;

/// Convolves every channel of `x [batch, seq, channels]` with its own `d_conv` taps:
///
/// ```text
/// y_t = Σ_{i<d_conv} weight_i ⊙ x_{t − (d_conv − 1) + i} + bias
/// ```
///
/// `weight [d_conv, channels]`, `bias [channels]`; `window [batch, d_conv − 1, channels]` holds the inputs before
/// `x`, the oldest first. Returns `y` as `x`, and the window after the last token. Inputs of another document
/// count as 0; padding is on the right only.
///
/// The portable form is `d_conv` shifted multiply-adds, which beats a grouped convolution on every backend, in
/// training by far.
///
/// # Panics
///
/// If the shapes do not agree, there is no row or no token, or `d_conv` is below 2.
pub fn causal_conv(
    x: Tensor<3>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    window: Tensor<3>,
    segments: Option<&Segments>,
    implementation: Implementation,
) -> (Tensor<3>, Tensor<3>) {
    check(&x, &weight, bias.as_ref(), &window, segments);
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if implementation.is_fused(&x) {
        let [_, _, channels] = x.dims();
        let ([y], window) = fused(x, weight, bias, window, segments, (None, [channels]));
        return (y, window);
    }
    #[cfg(feature = "_gpu")]
    if implementation.is_fused_on_gpu(&x) {
        return on_gpu(x, weight, bias, window, segments, None);
    }
    let _ = implementation;
    portable(x, weight, bias, window, segments)
}

/// [`silu`](super::silu) of [`causal_conv`], its channels cut into pieces of these widths: what stands in front of most
/// recurrences, in one pass where it is fused.
///
/// # Panics
///
/// As [`causal_conv`], and if the widths do not add up to the channels.
pub fn causal_conv_silu<const N: usize>(
    x: Tensor<3>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    window: Tensor<3>,
    segments: Option<&Segments>,
    widths: [usize; N],
    implementation: Implementation,
) -> ([Tensor<3>; N], Tensor<3>) {
    check(&x, &weight, bias.as_ref(), &window, segments);
    let ([_, _, channels], sum) = (x.dims(), widths.iter().sum::<usize>());
    assert!(
        sum == channels,
        "causal_conv: the widths {widths:?} add up to {sum}, expected {channels} channels"
    );
    #[cfg(any(feature = "flex", feature = "ndarray"))]
    if implementation.is_fused(&x) {
        use crate::kernels::elementwise::Elementwise;
        return fused(x, weight, bias, window, segments, (Some(Elementwise::Silu), widths));
    }
    #[cfg(feature = "_gpu")]
    if implementation.is_fused_on_gpu(&x) {
        use crate::kernels::elementwise::Elementwise;
        let (y, window) = on_gpu(x, weight, bias, window, segments, Some(Elementwise::Silu));
        return (split(y, widths), window);
    }
    let _ = implementation;
    let (y, window) = portable(x, weight, bias, window, segments);
    (split(super::silu(y), widths), window)
}

fn check(
    x: &Tensor<3>,
    weight: &Tensor<2>,
    bias: Option<&Tensor<1>>,
    window: &Tensor<3>,
    segments: Option<&Segments>,
) {
    let [batch, seq, channels] = x.dims();
    expect_tokens("causal_conv", [batch, seq]);
    let [d_conv, _] = weight.dims();
    assert!(d_conv >= 2, "causal_conv: d_conv must be at least 2, got {d_conv}");
    if let Some(bias) = bias {
        assert_shape!(bias, [channels]);
    }
    assert_shape!(weight, [d_conv, channels]);
    assert_shape!(window, [batch, d_conv - 1, channels]);
    if let Some(segments) = segments {
        segments.check(batch, seq);
    }
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
fn fused<const N: usize>(
    x: Tensor<3>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    window: Tensor<3>,
    segments: Option<&Segments>,
    (activation, widths): (Option<crate::kernels::elementwise::Elementwise>, [usize; N]),
) -> ([Tensor<3>; N], Tensor<3>) {
    use crate::kernels::{cpu, host};
    let [batch, seq, channels] = x.dims();
    let past = window.dims();
    let bias = bias.unwrap_or_else(|| Tensor::zeros([channels], (&x.device(), x.dtype())));
    let op = cpu::causal_conv::CausalConv { segments: segments.cloned(), activation, widths: widths.into() };
    let inputs = vec![x.into(), weight.into(), bias.into(), window.into()];
    let mut outputs = host::run_all(op, inputs).into_iter();
    let mut next = || outputs.next().expect("a piece for each width, and the last window");
    (widths.map(|width| next().reshape([batch, seq, width])), next().reshape(past))
}

#[cfg(feature = "_gpu")]
fn on_gpu(
    x: Tensor<3>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    window: Tensor<3>,
    segments: Option<&Segments>,
    activation: Option<crate::kernels::elementwise::Elementwise>,
) -> (Tensor<3>, Tensor<3>) {
    use crate::kernels::gpu::{causal_conv::CausalConv, op};
    let ([batch, seq, channels], [d_conv, _]) = (x.dims(), weight.dims());
    let (past, device) = (d_conv - 1, x.device());
    let bias = bias.unwrap_or_else(|| Tensor::zeros([channels], (&device, x.dtype())));
    let reach = match segments.filter(|segments| segments.has_resets()) {
        Some(segments) => {
            let since: Vec<f32> = since_resets(segments).map(|since| since.unwrap_or(past) as f32).collect();
            Tensor::<2>::from_data(TensorData::new(since, [batch, seq]), (&device, x.dtype()))
        }
        None => Tensor::<2>::full([1, 1], past as f32, (&device, x.dtype())).expand([batch, seq]),
    };
    let after = match segments {
        None if seq >= past => x.clone().narrow(1, seq - past, past),
        _ => window_after(Tensor::cat(vec![window.clone(), x.clone()], 1), past, segments),
    };
    let [x, window] = [x, window].map(Tensor::into_dispatch);
    let inputs = vec![x, weight.into_dispatch(), bias.into_dispatch(), window, reach.into_dispatch()];
    let [y] = op::run(CausalConv { activation }, inputs);
    (Tensor::from_dispatch(y), after)
}

fn portable(
    x: Tensor<3>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    window: Tensor<3>,
    segments: Option<&Segments>,
) -> (Tensor<3>, Tensor<3>) {
    let [batch, seq, _] = x.dims();
    let [d_conv, _] = weight.dims();
    let past = d_conv - 1;
    let device = x.device();
    let inputs = Tensor::cat(vec![window, x], 1);
    let mut y = bias.map(|bias| bias.unsqueeze());
    for tap in 0..d_conv {
        let mut shifted = inputs.clone().narrow(1, tap, seq);
        if let Some(segments) = segments.filter(|segments| segments.has_resets()) {
            let inside = taps_inside(segments, past - tap);
            let inside = Tensor::<3>::from_data(TensorData::new(inside, [batch, seq, 1]), &device);
            shifted = shifted.clone() * inside.cast(shifted.dtype());
        }
        let term = shifted * weight.clone().narrow(0, tap, 1).unsqueeze();
        y = Some(match y {
            Some(y) => y + term,
            None => term,
        });
    }
    (y.expect("d_conv is at least 1"), window_after(inputs, past, segments))
}

/// `[batch, seq]`, 1 where the input `back` columns earlier belongs to the same document.
fn taps_inside(segments: &Segments, back: usize) -> Vec<f32> {
    since_resets(segments).map(|since| f32::from(u8::from(since.is_none_or(|since| since >= back)))).collect()
}

/// `[batch, seq]`, how many tokens of its document precede a token, if the document begins here.
fn since_resets(segments: &Segments) -> impl Iterator<Item = Option<usize>> {
    (0..segments.batch()).flat_map(|row| {
        let mut since_reset = None;
        segments.resets(row).into_iter().map(move |reset| {
            since_reset = if reset { Some(0) } else { since_reset.map(|since: usize| since + 1) };
            since_reset
        })
    })
}

/// The window after the last token, of `inputs` (the window before, then the row).
fn window_after(inputs: Tensor<3>, past: usize, segments: Option<&Segments>) -> Tensor<3> {
    let [_, columns, _] = inputs.dims();
    match segments {
        None => inputs.narrow(1, columns - past, past),
        Some(segments) => last_window(inputs, past, segments),
    }
}

/// The last `past` inputs of each row's last document, of `inputs` (the earlier window, then the row).
fn last_window(inputs: Tensor<3>, past: usize, segments: &Segments) -> Tensor<3> {
    if !(segments.has_right_padding() || segments.has_resets()) {
        let seq = segments.seq();
        return inputs.narrow(1, seq, past);
    }
    let [batch, columns, channels] = inputs.dims();
    let mut index = Vec::with_capacity(batch * past);
    let mut inside = Vec::with_capacity(batch * past);
    for (row, (tokens, (last, began))) in
        segments.tokens().into_iter().zip(segments.last_documents()).enumerate()
    {
        for column in 0..past {
            index.push((row * columns + tokens + column) as i32);
            inside.push(f32::from(u8::from(!began || past - column <= last)));
        }
    }
    let device = inputs.device();
    let index = Tensor::<1, Int>::from_data(TensorData::new(index, [batch * past]), &device);
    let inside =
        Tensor::<3>::from_data(TensorData::new(inside, [batch, past, 1]), &device).cast(inputs.dtype());
    inputs.reshape([batch * columns, channels]).select(0, index).reshape([batch, past, channels]) * inside
}

/// The convolution of one token: `x [batch, channels]`, and `window` and result as in [`causal_conv`].
///
/// # Panics
///
/// If the shapes do not agree, or there is no row.
pub fn causal_conv_step(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    window: Tensor<3>,
) -> (Tensor<2>, Tensor<3>) {
    let (y, window) = causal_conv(x.unsqueeze_dim(1), weight, bias, window, None, Implementation::Auto);
    (y.squeeze_dim(1), window)
}
