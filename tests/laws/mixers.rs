use burn_sequence::layers::{
    AttentionConfig, BuildMixer, DeltaNetConfig, Discretization, FeatureMap, GatedDeltaNetConfig, GlaConfig,
    LinearAttentionConfig, LstmConfig, Mamba2Config, MambaConfig, MinGruConfig, MixerConfig, Normalization,
    ParallelConfig, QkNorm, RetentionConfig, RgLruConfig, S4dConfig, S4dInit,
};
use burn_sequence::ops::{HardAlibi, Position, Rope, RopePairs};
use burn_sequence::testing::{Law, check_law};

const D_MODEL: usize = 16;

fn attention() -> AttentionConfig {
    AttentionConfig::new(D_MODEL).with_n_heads(4)
}

fn grouped() -> AttentionConfig {
    let rope = Rope { fraction: 0.5, pairs: RopePairs::Interleaved, ..Rope::default() };
    attention()
        .with_n_kv_heads(Some(2))
        .with_head_dim(Some(8))
        .with_position(Position::Rope(rope))
        .with_qk_norm(Some(QkNorm::Head))
        .with_soft_cap(Some(5.0))
}

fn hard_alibi() -> AttentionConfig {
    attention().with_position(Position::HardAlibi(HardAlibi { windows: vec![1, 3] })).with_bias(true)
}

fn mamba2() -> Mamba2Config {
    Mamba2Config::new(D_MODEL).with_d_state(6).with_head_dim(8).with_chunk_size(4)
}

fn linear(feature_map: FeatureMap, normalization: Normalization) -> LinearAttentionConfig {
    LinearAttentionConfig::new(D_MODEL)
        .with_n_heads(2)
        .with_key_dim(Some(4))
        .with_feature_map(feature_map)
        .with_normalization(normalization)
        .with_chunk_size(5)
}

fn delta_net() -> DeltaNetConfig {
    DeltaNetConfig::new(D_MODEL).with_n_heads(2).with_chunk_size(5)
}

fn gated_delta_net() -> GatedDeltaNetConfig {
    GatedDeltaNetConfig::new(D_MODEL).with_n_heads(2).with_head_dim(Some(4)).with_chunk_size(4)
}

fn s4d_inv_bilinear() -> S4dConfig {
    S4dConfig::new(D_MODEL)
        .with_d_state(6)
        .with_init(S4dInit::Inv)
        .with_discretization(Discretization::Bilinear)
}

/// Decays from all but 1 down to e⁻¹⁵ and less.
fn gla_short() -> GlaConfig {
    GlaConfig::new(D_MODEL)
        .with_n_heads(2)
        .with_key_dim(Some(5))
        .with_value_dim(Some(6))
        .with_gate_rank(3)
        .with_gate_normalizer(0.05)
        .with_chunk_size(20)
        .with_norm_epsilon(1e-4)
}

fn parallel() -> ParallelConfig<MixerConfig> {
    ParallelConfig {
        d_model: D_MODEL,
        branches: vec![attention().with_window(Some(6)).into(), mamba2().into()],
    }
}

subjects! { check_law; MixerConfig;
    attention_rope: attention();
    attention_grouped_partial_rope_norm_cap: grouped();
    attention_norm_of_all_heads: attention().with_n_kv_heads(Some(2)).with_qk_norm(Some(QkNorm::Whole));
    attention_multi_query_nope: attention().with_n_kv_heads(Some(1)).with_position(Position::Nope);
    attention_alibi_window: attention().with_position(Position::Alibi).with_window(Some(7));
    attention_hard_alibi_bias: hard_alibi();
    attention_rope_window: attention().with_window(Some(3));
    attention_nope_window_of_two: attention().with_window(Some(2)).with_position(Position::Nope);
    mamba: MambaConfig::new(D_MODEL);
    mamba_small: MambaConfig::new(D_MODEL).with_d_conv(2).with_d_state(5).with_dt_rank(Some(3)).with_expand(1);
    mamba2_default: Mamba2Config::for_width(D_MODEL);
    mamba2_groups: mamba2().with_n_groups(2).with_d_conv(2);
    linear_elu: linear(FeatureMap::Elu, Normalization::Sum);
    linear_relu: linear(FeatureMap::Relu, Normalization::Sum);
    linear_identity: linear(FeatureMap::Identity, Normalization::None);
    linear_taylor: linear(FeatureMap::Taylor, Normalization::Sum);
    retention: RetentionConfig::new(D_MODEL).with_n_heads(4).with_chunk_size(4);
    gla_default: GlaConfig::new(D_MODEL);
    gla_short_memory: gla_short();
    delta_net: delta_net();
    delta_net_negative_gate_grouped: delta_net()
        .with_n_v_heads(Some(4))
        .with_head_dim(Some(3))
        .with_allow_negative_eigenvalues(true)
        .with_output_gate(true)
        .with_d_conv(2);
    gated_delta_net: gated_delta_net();
    gated_delta_net_negative_grouped: gated_delta_net()
        .with_n_v_heads(Some(4))
        .with_expand_v(1)
        .with_allow_negative_eigenvalues(true)
        .with_d_conv(3);
    rg_lru: RgLruConfig::new(D_MODEL);
    rg_lru_wide: RgLruConfig::new(D_MODEL).with_d_rnn(Some(21)).with_n_heads(3).with_d_conv(2).with_gelu_tanh(true);
    min_gru: MinGruConfig::new(D_MODEL);
    min_gru_expanded: MinGruConfig::new(D_MODEL).with_expand(2);
    s4d: S4dConfig::new(D_MODEL);
    s4d_inv_bilinear: s4d_inv_bilinear();
    lstm: LstmConfig::new(D_MODEL);
    parallel_attention_mamba2: parallel();
}
