use std::fmt;
use std::str::FromStr;

use rand::rngs::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Target, Task};
use crate::{Error, Result};

/// How training examples share a row.
///
/// Both lay examples end to end until the row is full, and cut the last. From the same seed both give the
/// same tokens and targets; they differ in what the row says of its documents.
///
/// ```text
/// $zup|zup.$gzp|gzp.$kpm|k        context_len = 24
/// Paper     lengths = [24]        one document: state and attention run across the seams
/// Segments  lengths = [9, 9, 6]   state and attention start anew at each `$`
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Packing {
    /// As in [arXiv 2402.01032](https://arxiv.org/abs/2402.01032): nothing is reset at the seams, so a
    /// recurrent model must learn to forget.
    Paper,
    /// Every example is a document of its own.
    Segments,
}

/// A row of tokens: examples end to end in training, one and its padding in evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `[context_len]` token ids.
    pub tokens: Vec<u32>,
    /// The targets of the examples that are whole, in order of position in the row.
    pub targets: Vec<Target>,
    /// The lengths of the row's documents, in order; what they leave of the tokens is padding.
    pub lengths: Vec<usize>,
    /// Examples that are whole, and so have targets.
    pub examples: usize,
}

impl Row {
    /// A row of plain text: after every token the next is due. The last token is only due.
    ///
    /// # Panics
    ///
    /// If there are fewer than 2 tokens.
    pub fn next_tokens(tokens: &[u32]) -> Self {
        assert!(tokens.len() > 1, "Row::next_tokens: at least 2 tokens, not {}", tokens.len());
        let (_, due) = tokens.split_first().expect("not empty");
        let target = |(position, &token)| Target { position, token, scored: true };
        Self {
            tokens: tokens[..due.len()].to_vec(),
            targets: due.iter().enumerate().map(target).collect(),
            lengths: vec![due.len()],
            examples: 1,
        }
    }
}

impl Packing {
    /// Draws training examples end to end into a row of exactly `context_len` tokens.
    ///
    /// The last example is cut where the row ends, and then has no targets.
    ///
    /// # Panics
    ///
    /// If `context_len` is 0, or if an example is drawn that is empty or longer than `context_len`: it
    /// would never be trained on.
    pub fn pack(self, task: &(impl Task + ?Sized), context_len: usize, rng: &mut ChaCha8Rng) -> Row {
        assert!(context_len > 0, "packing: context_len must be above 0");
        let mut row =
            Row { tokens: Vec::with_capacity(context_len), targets: vec![], lengths: vec![], examples: 0 };
        while row.tokens.len() < context_len {
            let example = task.training_example(rng);
            let length = example.tokens.len();
            assert!(
                (1..=context_len).contains(&length),
                "packing: an example of {} has {length} tokens; context_len is {context_len}",
                task.name()
            );
            let start = row.tokens.len();
            let kept = length.min(context_len - start);
            if kept == length {
                let shifted = |target: Target| Target { position: start + target.position, ..target };
                row.targets.extend(example.targets.into_iter().map(shifted));
                row.examples += 1;
            }
            row.tokens.extend_from_slice(&example.tokens[..kept]);
            row.lengths.push(kept);
        }
        if self == Self::Paper {
            row.lengths = vec![context_len];
        }
        row
    }
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Paper => "paper",
            Self::Segments => "segments",
        })
    }
}

impl FromStr for Packing {
    type Err = Error;

    /// Reads `paper` or `segments`; anything else is an [`Error::Config`].
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "paper" => Ok(Self::Paper),
            "segments" => Ok(Self::Segments),
            _ => Err(Error::Config(format!("packing {text:?}: expected \"paper\" or \"segments\""))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::{Copying, vocabulary};
    use rand::SeedableRng;

    fn row(packing: Packing, lengths: std::ops::RangeInclusive<usize>, context_len: usize, seed: u64) -> Row {
        packing.pack(&Copying::new(lengths), context_len, &mut ChaCha8Rng::seed_from_u64(seed))
    }

    #[test]
    fn drawn_row() {
        // Two whole examples of 9 tokens, then 6 tokens of a third.
        let row = row(Packing::Segments, 3..=3, 24, 12);
        assert_eq!(vocabulary::decode(&row.tokens).unwrap(), "$zup|zup.$gzp|gzp.$kpm|k");
        assert_eq!(row.lengths, [9, 9, 6]);
        let positions: Vec<usize> = row.targets.iter().map(|target| target.position).collect();
        assert_eq!(positions, [4, 5, 6, 7, 13, 14, 15, 16]);
    }

    #[test]
    fn an_example_that_just_fits_keeps_its_targets() {
        let row = row(Packing::Segments, 3..=3, 18, 7);
        assert_eq!(row.lengths, [9, 9]);
        assert_eq!(row.targets.len(), 8);
    }

    #[test]
    fn rows_are_full_and_only_whole_examples_have_targets() {
        for seed in 0..200 {
            let row = row(Packing::Segments, 2..=9, 50, seed);
            assert_eq!(row.tokens.len(), 50);
            assert_eq!(row.lengths.iter().sum::<usize>(), 50);
            let mut targets = row.targets.as_slice();
            let mut start = 0;
            for &length in &row.lengths {
                let document = &row.tokens[start..start + length];
                assert_eq!(document[0], vocabulary::BOS);
                let whole = document.last() == Some(&vocabulary::EOS);
                // `$x|x.` of `length` tokens: the copy and the end marker.
                let count = if whole { (length - 3) / 2 + 1 } else { 0 };
                let (own, others) = targets.split_at(count);
                assert!(own.iter().all(|t| (start..start + length).contains(&t.position)));
                assert!(own.iter().all(|t| row.tokens[t.position + 1] == t.token));
                targets = others;
                start += length;
            }
            assert_eq!(targets, []);
        }
    }

    #[test]
    fn paper_and_segments_differ_in_lengths_only() {
        let (paper, segments) = (row(Packing::Paper, 2..=9, 50, 1), row(Packing::Segments, 2..=9, 50, 1));
        assert_eq!(paper.lengths, [50]);
        assert!(segments.lengths.len() > 1);
        assert_eq!((paper.tokens, paper.targets), (segments.tokens, segments.targets));
    }

    #[test]
    #[should_panic(expected = "packing: an example of copying has 23 tokens; context_len is 22")]
    fn longer_than_the_row() {
        row(Packing::Paper, 10..=10, 22, 0);
    }

    #[test]
    fn text_round_trip() {
        for packing in [Packing::Paper, Packing::Segments] {
            assert_eq!(packing.to_string().parse::<Packing>().unwrap(), packing);
            assert_eq!(serde_json::to_value(packing).unwrap(), packing.to_string());
        }
        let error = "Paper".parse::<Packing>().unwrap_err();
        assert!(matches!(error, Error::Config(_)));
        assert_eq!(error.to_string(), r#"packing "Paper": expected "paper" or "segments""#);
    }
}
