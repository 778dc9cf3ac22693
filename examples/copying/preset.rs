//! Sizes of models and strings: a laptop's, and the paper's.

use std::ops::RangeInclusive;

use clap::ValueEnum;

use crate::common::models::Contender;

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Preset {
    /// 0.4 million parameters, trained up to 16 letters, tested up to 320.
    Laptop,
    /// About 150 million parameters (the LSTM 34), trained up to 50 letters, tested up to 1000: for a GPU. The paper's depths,
    /// widths, heads and lengths, and the wide Mamba of arXiv 2508.19029; norms are RMS and attention has no biases; batch,
    /// steps and rates are as the flags say.
    Paper,
}

impl Preset {
    /// Of the experiment, and of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Laptop => "copying",
            Self::Paper => "copying-paper",
        }
    }

    pub fn contenders(self) -> Vec<Contender> {
        Contender::list(match self {
            Self::Laptop => &COPIERS,
            Self::Paper => &PAPER,
        })
    }

    /// Lengths of strings in training.
    pub fn trained(self) -> RangeInclusive<usize> {
        match self {
            Self::Laptop => 5..=16,
            Self::Paper => 5..=50,
        }
    }

    /// Lengths of strings asked for, and with `--quick`.
    pub fn tested(self) -> [&'static [usize]; 2] {
        match self {
            Self::Laptop => [&[16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 320], &[16, 24, 32, 64]],
            Self::Paper => [&[50, 75, 100, 150, 200, 300, 400, 600, 800, 1000], &[50, 100, 200]],
        }
    }

    /// Tokens of a training row.
    pub fn context_len(self) -> usize {
        match self {
            Self::Laptop => 96,
            Self::Paper => 512,
        }
    }
}

/// About 0.4 million parameters each.
const COPIERS: [(&str, &str, usize); 10] = [
    ("transformer-hard-alibi", "2*(attention(position=hard_alibi(windows=[1, 2, 3, 4, 5, 6])) + mlp)", 128),
    ("transformer-rope", "2*(attention(position=rope(fraction=0.25)) + mlp)", 128),
    ("transformer-nope", "2*(attention(position=nope) + mlp)", 128),
    ("transformer-alibi", "2*(attention(position=alibi) + mlp)", 128),
    ("mamba", "4*mamba", 120),
    // As large: what is width worth? arXiv 2508.19029.
    ("mamba-wide", "2*mamba", 172),
    ("mamba2", "4*mamba2(head_dim=60)", 120),
    ("linear-attention", "2*(linear_attention + mlp)", 128),
    ("lstm", "3*lstm", 128),
    (
        "hybrid",
        "attention(position=hard_alibi(windows=[1, 2, 3, 4, 5, 6])) + mlp, \
         attention(position=hard_alibi(windows=[1, 2, 3, 4, 5, 6])), mamba2",
        128,
    ),
];

const PAPER: [(&str, &str, usize); 7] = [
    ("transformer-hard-alibi", "12*(attention(n_heads=16, position=hard_alibi) & mlp)", 1024),
    ("transformer-rope", "12*(attention(n_heads=16, position=rope(fraction=0.25)) & mlp)", 1024),
    ("transformer-nope", "12*(attention(n_heads=16, position=nope) & mlp)", 1024),
    ("transformer-alibi", "12*(attention(n_heads=16, position=alibi) & mlp)", 1024),
    ("mamba", "24*mamba(d_state=32)", 1024),
    // arXiv 2508.19029: it copies where the deep one hardly does.
    ("mamba-wide", "12*mamba(d_state=32)", 1408),
    ("lstm", "4*lstm", 1024),
];
