use serde::{Deserialize, Serialize};

/// What the model should say after reading the token at `position`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The last token the model has read, counted from 0.
    pub position: usize,
    /// The token it should say then.
    pub token: u32,
    /// Whether it counts in the accuracy (a letter of the answer) or only in the loss (the end marker).
    pub scored: bool,
}

/// One string of a task, with the answers in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Prompt and answer, as the model reads them.
    pub tokens: Vec<u32>,
    /// What it should say, in order of position; every position is below `tokens.len()`.
    pub targets: Vec<Target>,
}

impl Example {
    /// `prompt`, `answer`, `end`: the answer is scored, the end marker is only in the loss.
    ///
    /// The targets are next tokens: each equals the token after its position.
    ///
    /// # Panics
    ///
    /// If `prompt` is empty, so that nothing is read before the answer.
    pub fn prompted(prompt: Vec<u32>, answer: &[u32], end: u32) -> Self {
        assert!(!prompt.is_empty(), "Example::prompted: the prompt must not be empty");
        let first = prompt.len() - 1;
        let end_target = Target { position: first + answer.len(), token: end, scored: false };
        let targets = (first..)
            .zip(answer)
            .map(|(position, &token)| Target { position, token, scored: true })
            .chain([end_target])
            .collect();
        let mut tokens = prompt;
        tokens.extend_from_slice(answer);
        tokens.push(end);
        Self { tokens, targets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_and_end_are_the_targets() {
        let target = |position, token, scored| Target { position, token, scored };
        let example = Example::prompted(vec![7, 8], &[1, 2], 9);
        assert_eq!(example.tokens, [7, 8, 1, 2, 9]);
        assert_eq!(example.targets, [target(1, 1, true), target(2, 2, true), target(3, 9, false)]);
    }

    #[test]
    #[should_panic(expected = "the prompt must not be empty")]
    fn empty_prompt() {
        Example::prompted(vec![], &[1], 9);
    }
}
