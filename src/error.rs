//! What can go wrong with files, configurations, patterns, tokens and runs.
//!
//! Misuse of shapes panics, as everywhere in Burn; everything that comes from outside the program
//! (a file, a command line, a tokenizer, a pattern) is an [`Error`] that says what to do.

use std::path::PathBuf;

use crate::checkpoint::CheckpointProblem;

/// The crate's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file was read but does not hold what it should.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// A published model cannot be loaded.
    #[error("{}: {problem}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: CheckpointProblem,
    },
    /// A hybrid pattern does not follow the notation.
    #[error("pattern, character {position}: {problem}")]
    Pattern {
        /// The character, counted from 1.
        position: usize,
        /// What was found there and what was expected.
        problem: String,
    },
    /// A configuration that no model or run can have.
    #[error("{0}")]
    Config(String),
    /// A token outside the vocabulary, or a sequence the call cannot take.
    #[error("{0}")]
    Tokens(String),
    /// The loss of a training run, or its gradient, is not finite any more.
    #[error(
        "step {step}: loss ({loss}) or gradient are not finite any more; begin anew, in another folder, with a lower \
         learning rate (here {learning_rate:e}) or a smaller clip_norm"
    )]
    NonFinite {
        /// The step, counted from 0.
        step: usize,
        /// The loss; finite if only the gradient is not.
        loss: f64,
        /// The learning rate at that step.
        learning_rate: f64,
    },
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn file(path: impl Into<PathBuf>, problem: impl std::fmt::Display) -> Self {
        Self::File { path: path.into(), problem: problem.to_string() }
    }
}
