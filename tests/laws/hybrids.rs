use burn_sequence::layers::{
    AttentionConfig, GatedDeltaNetConfig, GlaConfig, LinearAttentionConfig, LstmConfig, Mamba2Config,
    MambaConfig, MinGruConfig, MixerConfig, ParallelConfig, RetentionConfig, RgLruConfig, S4dConfig,
};
use burn_sequence::models::{
    BackboneConfig, BlockConfig, FeedForwardConfig, HiddenWidth, NormConfig, NormPlacement, Residual,
};
use burn_sequence::testing::{Law, check_hybrid_law};

const D_MODEL: usize = 16;

fn attention() -> AttentionConfig {
    AttentionConfig::new(D_MODEL).with_n_heads(2)
}

fn mamba() -> MambaConfig {
    MambaConfig::new(D_MODEL).with_d_state(4)
}

fn mamba2() -> Mamba2Config {
    Mamba2Config::new(D_MODEL).with_d_state(4).with_head_dim(16).with_chunk_size(4)
}

fn linear() -> LinearAttentionConfig {
    LinearAttentionConfig::new(D_MODEL).with_n_heads(2).with_chunk_size(4)
}

fn mlp() -> FeedForwardConfig {
    FeedForwardConfig::Mlp(HiddenWidth { d_hidden: Some(24) })
}

fn swiglu() -> FeedForwardConfig {
    FeedForwardConfig::Swiglu(HiddenWidth::default())
}

fn geglu() -> FeedForwardConfig {
    FeedForwardConfig::Geglu(HiddenWidth { d_hidden: Some(10) })
}

fn backbone() -> BackboneConfig {
    BackboneConfig::new(D_MODEL)
}

fn block(mixer: impl Into<MixerConfig>) -> BlockConfig {
    BlockConfig::new(mixer)
}

/// Side by side in two ways: branches of a mixer, and a feed-forward beside it.
fn side_by_side() -> BackboneConfig {
    let branches = vec![attention().into(), mamba2().into(), linear().into()];
    let parallel = ParallelConfig { d_model: D_MODEL, branches };
    let block = block(parallel).with_feed_forward(swiglu()).with_residual(Residual::Parallel);
    backbone().with_layer(block).with_norm(NormConfig::Layer)
}

fn shared() -> BackboneConfig {
    let attention = block(attention()).with_feed_forward(mlp());
    backbone().with_layer(attention).with_layer(block(mamba())).with_shared_layer(0).with_shared_layer(1)
}

subjects! { check_hybrid_law; BackboneConfig;
    mamba_then_attention: backbone().with_layer(block(mamba())).with_layer(block(attention()));
    window_then_mamba2_with_mlps: backbone()
        .with_layer(block(attention().with_window(Some(5))).with_feed_forward(mlp()))
        .with_layer(block(mamba2()).with_feed_forward(mlp()));
    branches_beside_swiglu: side_by_side();
    shared_weights: shared();
    linear_attention_then_lstm: backbone().with_layer(block(linear())).with_layer(block(LstmConfig::new(D_MODEL)));
    gated_delta_nets_then_attention: backbone()
        .with_layer(block(GatedDeltaNetConfig::new(D_MODEL).with_n_heads(2).with_chunk_size(4)).with_feed_forward(swiglu()))
        .with_layer(block(GatedDeltaNetConfig::new(D_MODEL).with_n_heads(2).with_expand_v(1).with_chunk_size(64)))
        .with_layer(block(attention()).with_feed_forward(swiglu()));
    norms_after: backbone()
        .with_layer(block(attention()).with_feed_forward(swiglu()).with_norm_placement(NormPlacement::After))
        .with_layer(block(MinGruConfig::new(D_MODEL)).with_norm_placement(NormPlacement::After));
    retention_between_windows: backbone()
        .with_layer(block(attention().with_window(Some(4))))
        .with_layer(block(RetentionConfig::new(D_MODEL).with_n_heads(2).with_chunk_size(4)))
        .with_layer(block(attention().with_window(Some(9))));
    griffin: backbone()
        .with_layer(block(RgLruConfig::new(D_MODEL).with_n_heads(2)).with_feed_forward(mlp()))
        .with_layer(block(RgLruConfig::new(D_MODEL).with_n_heads(4)).with_feed_forward(geglu()))
        .with_layer(block(attention().with_n_kv_heads(Some(1)).with_window(Some(5))).with_feed_forward(mlp()));
    s4d_then_min_gru: backbone()
        .with_layer(block(S4dConfig::new(D_MODEL).with_d_state(4)))
        .with_layer(block(MinGruConfig::new(D_MODEL)));
    gla_then_window: backbone()
        .with_layer(block(GlaConfig::new(D_MODEL).with_n_heads(2).with_chunk_size(16)).with_feed_forward(swiglu()))
        .with_layer(block(attention().with_window(Some(5))));
}
