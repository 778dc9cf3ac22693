use burn::tensor::{DType, Tensor, TensorData};
use burn_sequence::ops::{Rope, RopePairs};

use crate::support::{assert_same, device, has_f64, outcome, uniform, wrt};

/// `x [batch, heads, seq, head_dim]` by the formula, one pair of columns after the other.
fn formula(rope: &Rope, x: Tensor<4>, positions: &[Vec<usize>]) -> Tensor<4> {
    let [batch, _, seq, head_dim] = x.dims();
    let turned = (rope.fraction * head_dim as f64) as usize;
    let column = |i: usize| x.clone().narrow(3, i, 1);
    let mut columns: Vec<Tensor<4>> = (0..head_dim).map(column).collect();
    for pair in 0..turned / 2 {
        let [i, j] = match rope.pairs {
            RopePairs::Half => [pair, pair + turned / 2],
            RopePairs::Interleaved => [2 * pair, 2 * pair + 1],
        };
        let frequency = rope.base.powf(-2.0 * pair as f64 / turned as f64);
        let table = |f: fn(f64) -> f64| {
            let values: Vec<f64> = positions.iter().flatten().map(|&p| f(p as f64 * frequency)).collect();
            Tensor::<4>::from_data(TensorData::new(values, [batch, 1, seq, 1]), (&device(), x.dtype()))
        };
        let (cos, sin) = (table(f64::cos), table(f64::sin));
        columns[i] = column(i) * cos.clone() - column(j) * sin.clone();
        columns[j] = column(i) * sin + column(j) * cos;
    }
    Tensor::cat(columns, 3)
}

fn check(rope: &Rope, dtype: DType, tolerance: f64) {
    let (batch, heads, seq, head_dim) = (2, 3, 9, 20);
    let rows: [Vec<usize>; 2] = [(4..4 + seq).collect(), (0..seq).map(|t| 3 * t).collect()];
    for positions in [vec![rows[0].clone(); 2], rows.to_vec()] {
        let given = if positions[0] == positions[1] { positions[0].clone() } else { positions.concat() };
        // As a projection leaves it, and contiguous.
        for view in [true, false] {
            let x = uniform(
                if view { [batch, seq, heads, head_dim] } else { [batch, heads, seq, head_dim] },
                -1.0,
                1.0,
                dtype,
            );
            let input = || if view { x.clone().swap_dims(1, 2) } else { x.clone() };
            let run = |name, y: Tensor<4>| outcome(name, vec![y.flatten(0, 3)], vec![("x", wrt(&x))]);
            let expected = run("formula", formula(rope, input(), &positions));
            assert_same(&expected, &run("rope", rope.rotate(input(), &given)), tolerance);
        }
    }
}

#[test]
fn rope_turns_pairs() {
    for pairs in [RopePairs::Half, RopePairs::Interleaved] {
        for fraction in [1.0, 0.5, 0.1] {
            let rope = Rope { fraction, pairs, ..Rope::default() };
            check(&rope, DType::F32, 1e-5);
            if has_f64() {
                check(&rope, DType::F64, 1e-12);
            }
        }
    }
}
