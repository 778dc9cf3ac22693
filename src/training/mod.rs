//! Training on a [`Task`](crate::tasks::Task): fresh examples at every step, AdamW, and a run that resumes.

mod adamw;
mod clipping;
mod config;
mod fit;
mod lock;
mod loss;
mod observer;
mod optimizer;
mod run_state;

pub use adamw::AdamW;
pub use clipping::clip_gradients;
pub use config::TrainingConfig;
pub use fit::{Outcome, fit};
pub use loss::answer_loss;
pub use observer::{CurvePoint, Observer, Silent, StepReport};
pub use optimizer::optimizer;
