//! AdamW, one pass over memory.

use burn::optim::{AdamWConfig, AdamWState, LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};

#[cfg(any(feature = "flex", feature = "ndarray"))]
use crate::kernels::{
    cpu::adamw::AdamWStep,
    host::{self, HostInput},
};

/// Adam with decoupled weight decay:
///
/// ```text
/// m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
/// x ← (1 − η λ) x − η (m / (1 − β₁ⁿ)) / (√(v / (1 − β₂ⁿ)) + ε)
/// ```
///
/// with the learning rate η, at step n. Burn's [`AdamW`](burn::optim::AdamW), with the same state and the same saved
/// form; on flex and ndarray its update is one pass over memory by all threads, on GPUs one launch.
///
/// ```
/// use burn::optim::ModuleOptimizer;
/// use burn_sequence::training::AdamW;
///
/// let optimizer = ModuleOptimizer::from(AdamW::new(0.1));
/// ```
///
/// # Source
///
/// arXiv 1711.05101, algorithm 2.
#[derive(Clone)]
pub struct AdamW {
    betas: [f32; 2],
    epsilon: f32,
    weight_decay: f32,
    plain: burn::optim::AdamW,
}

impl AdamW {
    /// With this weight decay, and β₁ = 0.9, β₂ = 0.999, ε = 1e-8.
    pub fn new(weight_decay: f64) -> Self {
        let (betas, epsilon, weight_decay) = ([0.9, 0.999], 1e-8, weight_decay as f32);
        let config = AdamWConfig::new().with_beta_1(betas[0]).with_beta_2(betas[1]);
        let plain = config.with_epsilon(epsilon).with_weight_decay(weight_decay).build();
        Self { betas, epsilon, weight_decay, plain }
    }
}

impl Optimizer for AdamW {
    type State<const D: usize> = AdamWState<D>;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<AdamWState<D>>,
    ) -> (Tensor<D>, Option<AdamWState<D>>) {
        #[cfg(any(feature = "flex", feature = "ndarray"))]
        if let Some(state) = state.as_ref().filter(|_| crate::kernels::Implementation::Auto.is_fused(&tensor))
        {
            let (tensor, state) = self.fused(learning_rate, tensor, grad, &state.momentum);
            return (tensor, Some(state));
        }
        #[cfg(feature = "_gpu")]
        if let Some(state) =
            state.as_ref().filter(|_| crate::kernels::Implementation::Auto.is_fused_on_gpu(&tensor))
        {
            let (tensor, state) = self.fused_on_gpu(learning_rate, tensor, grad, &state.momentum);
            return (tensor, Some(state));
        }
        self.plain.step(learning_rate, tensor, grad, state)
    }

    fn to_device<const D: usize>(state: AdamWState<D>, device: &Device) -> AdamWState<D> {
        burn::optim::AdamW::to_device(state, device)
    }
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
impl AdamW {
    fn fused<const D: usize>(
        &self,
        learning_rate: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        momentum: &burn::optim::AdaptiveMomentumState<D>,
    ) -> (Tensor<D>, AdamWState<D>) {
        let (dims, time) = (tensor.dims(), momentum.time + 1);
        let op = AdamWStep {
            betas: self.betas.map(f64::from),
            corrections: self.betas.map(|beta| 1.0 - f64::from(beta).powi(time as i32)),
            epsilon: self.epsilon.into(),
            learning_rate,
            weight_decay: self.weight_decay.into(),
        };
        let moments = [&momentum.moment_1, &momentum.moment_2].map(|moment| moment.clone().into());
        let [tensor, first, second] =
            update(op, [tensor.into(), grad.into()].into_iter().chain(moments).collect())
                .map(|output| output.reshape(dims));
        let momentum = burn::optim::AdaptiveMomentumState::new(time, first, second);
        (tensor, AdamWState::new(momentum))
    }
}

#[cfg(feature = "_gpu")]
impl AdamW {
    fn fused_on_gpu<const D: usize>(
        &self,
        learning_rate: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        momentum: &burn::optim::AdaptiveMomentumState<D>,
    ) -> (Tensor<D>, AdamWState<D>) {
        use crate::kernels::gpu::{adamw::AdamWStep, op};
        let time = momentum.time + 1;
        let op = AdamWStep {
            betas: self.betas,
            scales: self.betas.map(|beta| (1.0 - f64::from(beta).powi(time as i32)).recip() as f32),
            epsilon: self.epsilon,
            learning_rate: learning_rate as f32,
            kept: (1.0 - learning_rate * f64::from(self.weight_decay)) as f32,
        };
        let inputs = [tensor, grad, momentum.moment_1.clone(), momentum.moment_2.clone()];
        let outputs = op::run(op, inputs.into_iter().map(Tensor::into_dispatch).collect());
        let [tensor, first, second] = outputs.map(Tensor::from_dispatch);
        (tensor, AdamWState::new(burn::optim::AdaptiveMomentumState::new(time, first, second)))
    }
}

// Not generic: compiled here, and not again in every crate that trains.
#[cfg(any(feature = "flex", feature = "ndarray"))]
fn update(op: AdamWStep, inputs: Vec<HostInput>) -> [Tensor<1>; 3] {
    host::run(op, inputs)
}
