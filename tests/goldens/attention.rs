use burn::nn::{Linear, RmsNorm};
use burn::tensor::{DType, Tensor};
use burn_sequence::layers::{Attention, AttentionConfig, QkNorm, SequenceMixer};
use burn_sequence::ops::{
    AttentionInputs, AttentionOptions, HardAlibi, HeadBias, Implementation, Position, Rope, RopePairs,
    alibi_slopes, attention, attention_reference, rms_norm,
};

use crate::golden::{Golden, dtypes};

/// What is computed from a layer's parameters.
type Form = fn(&Attention, Tensor<3>) -> Tensor<3>;

/// The layer, which takes the fused op where there is one, and the other forms of the op between its projections.
const FORMS: [Form; 3] = [
    |layer, x| layer.forward(x, None, None).0,
    |layer, x| around(layer, x, |inputs, options| attention(inputs, options, Implementation::Portable)),
    |layer, x| around(layer, x, attention_reference),
];

/// The layer's projections, norms and positions around a form of the op.
fn around(
    layer: &Attention,
    x: Tensor<3>,
    op: impl Fn(AttentionInputs, &AttentionOptions) -> Tensor<4>,
) -> Tensor<3> {
    let config = layer.config();
    let [batch, seq, _] = x.dims();
    let heads = |linear: &Linear| -> Tensor<4> {
        let y = linear.forward(x.clone());
        let heads = y.dims()[2] / config.head_dim();
        y.reshape([batch, seq, heads, config.head_dim()]).swap_dims(1, 2)
    };
    let turned = |x: Tensor<4>, norm: &Option<RmsNorm>| {
        let x = norm.iter().fold(x, |x, norm| rms_norm(x, norm.gamma.val(), norm.epsilon));
        match &config.position {
            Position::Rope(rope) => rope.rotate(x, &Vec::from_iter(0..seq)),
            _ => x,
        }
    };
    let inputs = AttentionInputs::new(
        turned(heads(&layer.q_proj), &layer.q_norm),
        turned(heads(&layer.k_proj), &layer.k_norm),
        heads(&layer.v_proj),
    );
    let bias = match &config.position {
        Position::Alibi => HeadBias::Slopes(alibi_slopes(config.n_heads)),
        Position::HardAlibi(hard) => HeadBias::Windows(hard.windows(config.n_heads)),
        _ => HeadBias::None,
    };
    let options = AttentionOptions { scale: None, soft_cap: config.soft_cap, window: config.window, bias };
    let y = op(inputs, &options).swap_dims(1, 2).reshape([batch, seq, config.n_heads * config.head_dim()]);
    layer.o_proj.forward(y)
}

/// All attention files have the same names.
fn check(name: &'static str, config: &AttentionConfig) {
    for (dtype, form) in dtypes().into_iter().flat_map(|dtype| FORMS.map(|form| (dtype, form))) {
        check_form(Golden::read(name, dtype), config, form);
    }
}

fn check_form(golden: Golden, config: &AttentionConfig, form: Form) {
    // GPT-NeoX's fused projection is also there as three, and `dense` as `o_proj`.
    golden.skip(".query_key_value.");
    golden.skip(".dense.");
    // Compared in `alibi`.
    golden.skip("slopes");
    let mut layer: Attention = config.init(&Golden::device());
    layer.q_proj = golden.linear("q_proj");
    layer.k_proj = golden.linear("k_proj");
    layer.v_proj = golden.linear("v_proj");
    layer.o_proj = golden.linear("o_proj");
    layer.q_norm = layer.q_norm.map(|norm| RmsNorm { gamma: golden.param("q_norm.weight"), ..norm });
    layer.k_norm = layer.k_norm.map(|norm| RmsNorm { gamma: golden.param("k_norm.weight"), ..norm });

    let x = golden.input("x");
    let y = form(&layer, x.clone());
    golden.check("y", y.clone());
    let gradients = golden.backward(&y, "dy");
    golden.check_gradient("grad.x", &x, &gradients);
    golden.check_linear("q_proj", &layer.q_proj, &gradients);
    golden.check_linear("k_proj", &layer.k_proj, &gradients);
    golden.check_linear("v_proj", &layer.v_proj, &gradients);
    golden.check_linear("o_proj", &layer.o_proj, &gradients);
    for (name, norm) in [("q_norm.weight", &layer.q_norm), ("k_norm.weight", &layer.k_norm)] {
        if let Some(norm) = norm {
            golden.check_param(name, &norm.gamma, &gradients);
        }
    }
    golden.finish();
}

#[test]
fn gpt_neox() {
    let rope = Rope { fraction: 0.5, ..Rope::default() };
    let config = AttentionConfig::new(24).with_n_heads(3).with_bias(true);
    check("attention_gpt_neox", &config.with_position(Position::Rope(rope)));
}

#[test]
fn llama() {
    let config = AttentionConfig::new(20).with_n_heads(4).with_n_kv_heads(Some(2)).with_head_dim(Some(6));
    check("attention_llama", &config);
}

#[test]
fn qwen3() {
    let config = AttentionConfig::new(10)
        .with_n_heads(6)
        .with_n_kv_heads(Some(3))
        .with_head_dim(Some(4))
        .with_position(Position::Rope(Rope { base: 5_000.0, ..Rope::default() }))
        .with_window(Some(5))
        .with_qk_norm(Some(QkNorm::Head));
    check("attention_qwen3", &config);
}

#[test]
fn alibi() {
    let golden = Golden::read("attention_alibi", DType::F32);
    let slopes: Vec<f64> = golden.constant::<1>("slopes").into_data().iter().collect();
    assert_eq!(alibi_slopes(4), slopes);
    let config = AttentionConfig::new(16).with_n_heads(4).with_head_dim(Some(6));
    check("attention_alibi", &config.with_position(Position::Alibi));
}

#[test]
fn hard_alibi() {
    let config = AttentionConfig::new(14).with_n_heads(4).with_head_dim(Some(6));
    let position = Position::HardAlibi(HardAlibi { windows: vec![1, 2] });
    check("attention_hard_alibi", &config.with_position(position));
}

#[test]
fn softcap() {
    let rope = Rope { base: 1_000.0, fraction: 0.5, pairs: RopePairs::Interleaved, scaling: None };
    let config = AttentionConfig::new(18)
        .with_n_heads(4)
        .with_n_kv_heads(Some(1))
        .with_head_dim(Some(8))
        .with_position(Position::Rope(rope))
        .with_soft_cap(Some(5.0));
    check("attention_softcap", &config);
}
