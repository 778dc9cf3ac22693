//! Mixers: projections, convolutions and gates around an op, one file a paper.

mod attention;
mod by_steps;
mod gla;
mod heads;
mod kv_cache;
mod linear_attention;
mod lstm;
mod mamba;
mod mamba2;
mod matrix_state;
mod mixer;
mod parallel;
mod positions;
mod retention;
mod state;

pub use attention::{Attention, AttentionConfig};
pub use by_steps::forward_by_steps;
pub use gla::{Gla, GlaConfig};
pub use kv_cache::KvCache;
pub use linear_attention::{FeatureMap, LinearAttention, LinearAttentionConfig, Normalization};
pub use lstm::{Lstm, LstmConfig, LstmState};
pub use mamba::{Mamba, MambaConfig, MambaState};
pub use mamba2::{Mamba2, Mamba2Config, Mamba2State};
pub use matrix_state::MatrixState;
pub use mixer::{BuildMixer, MixerList, SequenceMixer, StateGrowth};
pub use parallel::{Parallel, ParallelConfig, ParallelState};
pub use retention::{Retention, RetentionConfig};
pub use state::{MixerState, StateMapper};

pub(crate) use parallel::map_each;

crate::mixers! {
    /// Every mixer of this crate; what a [`LanguageModel`](crate::models::LanguageModel) is made of by default.
    pub enum Mixer, MixerConfig, MixerMemory {
        Attention(AttentionConfig, Attention, KvCache),
        Mamba(MambaConfig, Mamba, MambaState),
        Mamba2(Mamba2Config, Mamba2, Mamba2State),
        LinearAttention(LinearAttentionConfig, LinearAttention, MatrixState),
        Retention(RetentionConfig, Retention, MatrixState),
        Gla(GlaConfig, Gla, MatrixState),
        Lstm(LstmConfig, Lstm, LstmState),
        Parallel(ParallelConfig<MixerConfig>, Parallel<Mixer>, ParallelState<MixerMemory>),
    }
}
