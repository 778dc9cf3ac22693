//! A step of training, as `fit` does it: loss, gradients, clipping, AdamW.

use std::time::{Duration, Instant};

use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Tensor, TensorData};
use burn_sequence::models::LanguageModel;
use burn_sequence::tasks::{Batch, Target};
use burn_sequence::training::{AdamW, answer_loss, clip_gradients};

use crate::arrays::{Arrays, array};
use crate::drain::drain;
use crate::parameters::Collect;
use crate::{Variant, Workload};

/// Steps after which the losses must still agree: optimiser and clipping are the other side's.
const CHECKED_STEPS: usize = 3;

/// A model that learns to say every token of `batch` after those before it.
pub struct TrainingWorkload {
    model: Option<LanguageModel>,
    optimizer: ModuleOptimizer,
    batch: Batch,
}

impl TrainingWorkload {
    /// `tokens [batch, seq]`.
    pub fn new(model: LanguageModel, tokens: &TensorData) -> Self {
        let [batch, seq] = tokens.shape().to_vec()[..] else { panic!("tokens are [batch, seq]") };
        let tokens: Vec<u32> = tokens.iter::<f32>().map(|token| token as u32).collect();
        let targets = tokens.chunks_exact(seq).map(|row| {
            let after = row.iter().skip(1).enumerate();
            after.map(|(position, &token)| Target { position, token, scored: true }).collect()
        });
        let (targets, lengths) = (targets.collect(), vec![vec![seq]; batch]);
        // PyTorch's defaults.
        Self {
            model: Some(model.train()),
            optimizer: AdamW::new(0.01).into(),
            batch: Batch { batch, seq, tokens, targets, lengths, examples: batch },
        }
    }

    fn gradients(&self) -> (Tensor<1>, GradientsParams) {
        let model = self.model.as_ref().expect("a model between steps");
        let (loss, _) = answer_loss(model, &self.batch);
        let gradients = GradientsParams::from_grads(loss.backward(), model);
        (loss, gradients)
    }

    fn step(&mut self) -> Tensor<1> {
        let (loss, mut gradients) = self.gradients();
        let model = self.model.take().expect("a model between steps");
        clip_gradients(&model, &mut gradients, 1.0);
        let model = self.optimizer.step(1e-3, model, gradients);
        drain(&model.embedding.weight.val());
        self.model = Some(model);
        loss
    }
}

impl Workload for TrainingWorkload {
    fn results(&mut self) -> Arrays {
        let (loss, gradients) = self.gradients();
        let mut collect = Collect::new(&gradients);
        self.model.as_ref().expect("a model between steps").visit(&mut collect);
        let mut results = collect.arrays;
        results.insert("loss".into(), array(&loss));
        for _ in 0..CHECKED_STEPS {
            self.step();
        }
        results.insert("loss after three steps".into(), array(&self.gradients().0));
        results
    }

    fn run(&mut self, variant: Variant) -> Duration {
        assert!(matches!(variant, Variant::Train), "{variant:?} is not training");
        let began = Instant::now();
        self.step();
        began.elapsed()
    }
}
