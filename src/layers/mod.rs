//! Mixers: projections, convolutions and gates around an op, one file a paper.

mod attention;
mod by_steps;
mod conv_state;
mod delta_net;
mod gated_delta_net;
mod gla;
mod heads;
mod kv_cache;
mod linear_attention;
mod lstm;
mod mamba;
mod mamba2;
mod matrix_state;
mod min_gru;
mod mixer;
mod parallel;
mod positions;
mod retention;
mod rg_lru;
mod s4d;
mod state;

use burn::tensor::Tensor;

pub use attention::{Attention, AttentionConfig, QkNorm};
pub use by_steps::forward_by_steps;
pub use conv_state::ConvState;
pub use delta_net::{DeltaNet, DeltaNetConfig};
pub use gated_delta_net::{GatedDeltaNet, GatedDeltaNetConfig};
pub use gla::{Gla, GlaConfig};
pub use kv_cache::KvCache;
pub use linear_attention::{FeatureMap, LinearAttention, LinearAttentionConfig, Normalization};
pub use lstm::{Lstm, LstmConfig, LstmState};
pub use mamba::{Mamba, MambaConfig};
pub use mamba2::{Mamba2, Mamba2Config};
pub use matrix_state::MatrixState;
pub use min_gru::{MinGru, MinGruConfig};
pub use mixer::{BuildMixer, MixerList, SequenceMixer, StateGrowth};
pub use parallel::{Parallel, ParallelConfig, ParallelState};
pub use retention::{Retention, RetentionConfig};
pub use rg_lru::{RgLru, RgLruConfig, RgLruState};
pub use s4d::{Discretization, S4d, S4dConfig, S4dInit};
pub use state::{MixerState, StateMapper};

pub(crate) use parallel::map_each;

crate::mixers! {
    /// Every mixer of this crate; what a [`LanguageModel`](crate::models::LanguageModel) is made of by default.
    pub enum Mixer, MixerConfig, MixerMemory {
        Attention(AttentionConfig, Attention, KvCache),
        Mamba(MambaConfig, Mamba, ConvState<3>),
        Mamba2(Mamba2Config, Mamba2, ConvState<4>),
        LinearAttention(LinearAttentionConfig, LinearAttention, MatrixState),
        Retention(RetentionConfig, Retention, MatrixState),
        Gla(GlaConfig, Gla, MatrixState),
        DeltaNet(DeltaNetConfig, DeltaNet, ConvState<4>),
        GatedDeltaNet(GatedDeltaNetConfig, GatedDeltaNet, ConvState<4>),
        RgLru(RgLruConfig, RgLru, RgLruState),
        MinGru(MinGruConfig, MinGru, Tensor<2>),
        S4d(S4dConfig, S4d, Tensor<4>),
        Lstm(LstmConfig, Lstm, LstmState),
        Parallel(ParallelConfig<MixerConfig>, Parallel<Mixer>, ParallelState<MixerMemory>),
    }
}
