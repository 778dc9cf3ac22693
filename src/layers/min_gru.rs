//! minGRU: a GRU whose gates do not look at its state, and that therefore is a scan.

use burn::config::Config;
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, assert_shape};

use super::mixer::{BuildMixer, SequenceMixer, StateGrowth};
use crate::Result;
use crate::check::{check_sizes, expect_valid};
use crate::ops::{
    DiagonalScanInputs, Gates, Implementation, Segments, apply_linear, diagonal_scan, output_dtype,
};

/// Configuration of [`MinGru`].
#[derive(Config, Debug, PartialEq)]
pub struct MinGruConfig {
    /// Width of the model.
    pub d_model: usize,
    /// `d_inner = expand · d_model`: width of the state.
    #[config(default = 1)]
    pub expand: usize,
}

/// minGRU.
///
/// ```text
/// z = σ(x W_z + b_z)        h̃ = g(x W_h + b_h)        g(v) = v + ½ for v ≥ 0, else σ(v)
/// h_t = (1 − z_t) ⊙ h_{t-1} + z_t ⊙ h̃_t        output = h, or h W_o + b_o where expand > 1
/// ```
///
/// The state is constant: `h`, a tensor `[batch, d_inner]`.
///
/// Parameters start uniform within `± fan_in^(−1/2)`.
///
/// # Source
///
/// arXiv 2410.01201, section 3.1 and appendix B.2.1.
#[derive(Module, Debug)]
pub struct MinGru {
    /// `[d_model, d_inner]`.
    pub z_proj: Linear,
    /// `[d_model, d_inner]`.
    pub h_proj: Linear,
    /// `[d_inner, d_model]`; `None` where `expand` is 1.
    pub out_proj: Option<Linear>,
    #[module(skip)]
    config: MinGruConfig,
}

impl MinGruConfig {
    /// `expand · d_model`.
    pub fn d_inner(&self) -> usize {
        self.expand * self.d_model
    }

    /// Builds the layer.
    ///
    /// # Panics
    ///
    /// With the message of [`check`](BuildMixer::check).
    pub fn init(&self, device: &Device) -> MinGru {
        expect_valid(self.check());
        let (d_model, d_inner) = (self.d_model, self.d_inner());
        let linear = |from: usize, to: usize| LinearConfig::new(from, to).init(device);
        MinGru {
            z_proj: linear(d_model, d_inner),
            h_proj: linear(d_model, d_inner),
            out_proj: (self.expand > 1).then(|| linear(d_inner, d_model)),
            config: self.clone(),
        }
    }
}

impl BuildMixer for MinGruConfig {
    type Mixer = MinGru;

    fn for_width(d_model: usize) -> Self {
        Self::new(d_model)
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn check(&self) -> Result<()> {
        check_sizes("min_gru", &[("d_model", self.d_model), ("expand", self.expand)])
    }

    fn build(&self, device: &Device) -> MinGru {
        self.init(device)
    }
}

impl MinGru {
    /// What this layer was built from.
    pub fn config(&self) -> &MinGruConfig {
        &self.config
    }

    fn mix(&self, x: Tensor<3>, segments: Option<&Segments>, state: Tensor<2>) -> (Tensor<3>, Tensor<2>) {
        let gates =
            Gates::MinGru { z: apply_linear(&self.z_proj, x.clone()), h: apply_linear(&self.h_proj, x) };
        let inputs = DiagonalScanInputs { gates, state, segments: segments.cloned() };
        let (h, state) = diagonal_scan(inputs, Implementation::Auto);
        let y = match &self.out_proj {
            Some(out_proj) => apply_linear(out_proj, h),
            None => h,
        };
        (y, state)
    }
}

impl SequenceMixer for MinGru {
    type State = Tensor<2>;

    fn init_state(&self, batch: usize, device: &Device) -> Tensor<2> {
        Tensor::zeros([batch, self.config.d_inner()], (device, output_dtype(&self.z_proj)))
    }

    fn forward(
        &self,
        x: Tensor<3>,
        segments: Option<&Segments>,
        state: Option<Tensor<2>>,
    ) -> (Tensor<3>, Tensor<2>) {
        let [batch, _, _] = x.dims();
        assert_shape!(x, [_, _, self.config.d_model]);
        let state = state.unwrap_or_else(|| self.init_state(batch, &x.device()));
        assert_shape!(state, [batch, self.config.d_inner()]);
        Segments::aligned(x, segments, |x, segments| self.mix(x, segments, state))
    }

    fn state_growth(&self) -> StateGrowth {
        StateGrowth::Constant
    }
}
