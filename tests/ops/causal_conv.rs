use burn::tensor::{DType, Tensor};
use burn_sequence::ops::{Implementation, Segments, causal_conv, causal_conv_silu, causal_conv_step, silu};
use proptest::prelude::*;

use crate::support::{Outcome, assert_same, has_f64, outcome, uniform, wrt};

struct Inputs {
    x: Tensor<3>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    window: Tensor<3>,
}

impl Inputs {
    fn new([batch, seq, channels, d_conv]: [usize; 4], dtype: DType) -> Self {
        Self {
            x: uniform([batch, seq, channels], -1.0, 1.0, dtype),
            weight: uniform([d_conv, channels], -1.0, 1.0, dtype),
            bias: uniform([channels], -1.0, 1.0, dtype),
            window: uniform([batch, d_conv - 1, channels], -1.0, 1.0, dtype),
        }
    }

    fn run(&self, name: &'static str, form: impl Fn(&Self) -> (Tensor<3>, Tensor<3>)) -> Outcome {
        let (y, window) = form(self);
        let inputs = vec![
            ("x", wrt(&self.x)),
            ("weight", wrt(&self.weight)),
            ("bias", wrt(&self.bias)),
            ("window", wrt(&self.window)),
        ];
        outcome(name, vec![y.flatten(0, 2), window.flatten(0, 2)], inputs)
    }

    fn whole(&self, segments: Option<&Segments>, implementation: Implementation) -> (Tensor<3>, Tensor<3>) {
        let Self { x, weight, bias, window } = self;
        causal_conv(x.clone(), weight.clone(), Some(bias.clone()), window.clone(), segments, implementation)
    }

    /// Token by token; a document that begins finds a window of zeros.
    fn by_steps(&self, segments: Option<&Segments>) -> (Tensor<3>, Tensor<3>) {
        let [batch, seq, _] = self.x.dims();
        let mut window = self.window.clone();
        let mut outputs = Vec::new();
        for t in 0..seq {
            if let Some(segments) = segments.filter(|_| t > 0) {
                let keep: Vec<f64> =
                    segments.begins_at(t).into_iter().map(|begins| f64::from(u8::from(!begins))).collect();
                let keep = Tensor::<1>::from_data(&keep[..], (&self.x.device(), self.x.dtype()));
                window = window * keep.reshape([batch, 1, 1]);
            }
            let x = self.x.clone().narrow(1, t, 1).squeeze_dim(1);
            let (y, next) = causal_conv_step(x, self.weight.clone(), Some(self.bias.clone()), window);
            window = next;
            outputs.push(y.unsqueeze_dim(1));
        }
        (Tensor::cat(outputs, 1), window)
    }

    fn check(&self, segments: Option<&Segments>, tolerance: f64) {
        let steps = self.run("steps", |inputs| inputs.by_steps(segments));
        for implementation in [Implementation::Portable, Implementation::Auto] {
            let whole = self.run("whole", |inputs| inputs.whole(segments, implementation));
            assert_same(&steps, &whole, tolerance);
        }
    }
}

fn leaf(x: Tensor<3>) -> Tensor<3> {
    x.detach().require_grad()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn forms_agree(batch in 1_usize..4, seq in 1_usize..20, channels in 1_usize..40, d_conv in 2_usize..6) {
        Inputs::new([batch, seq, channels, d_conv], DType::F32).check(None, 1e-5);
    }

    #[test]
    fn forms_agree_on_documents(lengths in prop::collection::vec(1_usize..6, 1..5), d_conv in 2_usize..6) {
        let seq = lengths.iter().sum();
        let segments = Segments::new(seq, [(0, lengths), (0, vec![seq])]);
        Inputs::new([2, seq, 3, d_conv], DType::F32).check(Some(&segments), 1e-5);
    }

    #[test]
    fn padding_leaves_no_trace(seq in 1_usize..9, padding in 1_usize..5, d_conv in 2_usize..6) {
        let short = Inputs::new([1, seq, 3, d_conv], DType::F32);
        let more = uniform([1, padding, 3], -1.0, 1.0, DType::F32);
        let long = Inputs { x: leaf(Tensor::cat(vec![short.x.clone(), more], 1)), ..short };
        let short = Inputs { x: leaf(long.x.clone().narrow(1, 0, seq)), weight: long.weight.clone(), bias: long.bias.clone(), window: long.window.clone() };
        let segments = Segments::right_padded(&[seq], seq + padding);
        for implementation in [Implementation::Portable, Implementation::Auto] {
            let expected = short.run("short", |inputs| inputs.whole(None, implementation));
            let cut = |inputs: &Inputs| {
                let (y, window) = inputs.whole(Some(&segments), implementation);
                (y.narrow(1, 0, seq), window)
            };
            let mut actual = long.run("padded", cut);
            for (name, values) in &mut actual.arrays {
                if name == "gradient of x" {
                    let rest = values.split_off(seq * 3);
                    assert!(rest.iter().all(|&gradient| gradient == 0.0));
                }
            }
            assert_same(&expected, &actual, 1e-5);
        }
    }
}

#[test]
fn forms_agree_in_f64() {
    if has_f64() {
        Inputs::new([2, 17, 5, 4], DType::F64).check(None, 1e-13);
    }
}

/// Long and wide enough that several tasks share a row.
#[test]
fn forms_agree_where_tasks_meet() {
    let segments = Segments::new(50, [(0, vec![15, 2, 16, 17]), (0, vec![33, 9])]);
    let inputs = Inputs::new([2, 50, 1100, 4], DType::F32);
    let run =
        |name, segments: Option<&Segments>, form| inputs.run(name, |inputs| inputs.whole(segments, form));
    for segments in [None, Some(&segments)] {
        let portable = run("portable", segments, Implementation::Portable);
        assert_same(&portable, &run("fused", segments, Implementation::Auto), 1e-5);
    }
}

#[test]
fn silu_in_pieces() {
    for ([batch, seq, channels], widths) in [([2, 9, 6], [1, 3, 2]), ([1, 40, 900], [500, 300, 100])] {
        let inputs = Inputs::new([batch, seq, channels, 4], DType::F32);
        let segments = Segments::new(seq, (0..batch).map(|_| (0, vec![seq / 2, seq - seq / 2])));
        for segments in [None, Some(&segments)] {
            let expected = inputs.run("separately", |inputs| {
                let (y, window) = inputs.whole(segments, Implementation::Portable);
                (silu(y), window)
            });
            for implementation in [Implementation::Auto, Implementation::Portable] {
                let actual = inputs.run("at once", |Inputs { x, weight, bias, window }| {
                    let (x, weight, bias) = (x.clone(), weight.clone(), Some(bias.clone()));
                    let (pieces, window) =
                        causal_conv_silu(x, weight, bias, window.clone(), segments, widths, implementation);
                    (Tensor::cat(pieces.into(), 2), window)
                });
                assert_same(&expected, &actual, 2e-5);
            }
        }
    }
}

#[test]
#[should_panic(expected = "the widths [1, 1] add up to 2, expected 3 channels")]
fn widths_must_add_up() {
    let Inputs { x, weight, window, .. } = Inputs::new([1, 2, 3, 2], DType::F32);
    causal_conv_silu(x, weight, None, window, None, [1, 1], Implementation::Auto);
}
