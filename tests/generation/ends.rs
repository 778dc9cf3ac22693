//! How generation ends: by a token, by its caller, by an error.

use std::ops::ControlFlow;

use burn_sequence::generation::{Finish, GenerateOptions, Generated};

use super::models::{greedy, hot, hybrid, prompts, tokens};

#[test]
fn stop_tokens_end_a_row_and_are_left_out() {
    let model = hybrid();
    let free = model.generate(&prompts(), &greedy(12)).unwrap();
    // The first token of row 0 from its third on that it has not said before.
    let (place, stop) = (2..12)
        .map(|place| (place, free[0].tokens[place]))
        .find(|(place, token)| !free[0].tokens[..*place].contains(token))
        .expect("the model does not repeat one token");
    let stopped = model.generate(&prompts(), &greedy(12).with_stop_tokens([stop])).unwrap();
    assert_eq!(stopped[0].tokens, free[0].tokens[..place]);
    assert_eq!(stopped[0].finish, Finish::Stop(stop));
    // The rows that go on are not disturbed by the one that has ended.
    for (stopped, free) in stopped.iter().zip(&free) {
        let len = free.tokens.iter().position(|&token| token == stop).unwrap_or(12);
        assert_eq!(stopped.tokens, free.tokens[..len]);
    }
}

#[test]
fn every_token_is_reported_in_order_and_a_break_ends_its_row() {
    let model = hybrid();
    let free = model.generate(&prompts(), &greedy(6)).unwrap();
    let mut reported = vec![Vec::new(); 3];
    let broken = model.generate_with(&prompts(), &greedy(6), |row, token| {
        reported[row].push(token);
        if row == 1 && reported[1].len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let broken = broken.unwrap();
    assert_eq!(reported, tokens(&broken));
    assert_eq!((&broken[0], &broken[2]), (&free[0], &free[2]));
    assert_eq!(broken[1], Generated { tokens: free[1].tokens[..2].to_vec(), finish: Finish::Interrupted });
}

#[test]
fn breaking_everywhere_ends_at_once() {
    let mut calls = 0;
    let generated = hybrid().generate_with(&prompts(), &greedy(1_000_000), |_, _| {
        calls += 1;
        ControlFlow::Break(())
    });
    assert!(generated.unwrap().iter().all(|row| row.tokens.len() == 1 && row.finish == Finish::Interrupted));
    assert_eq!(calls, 3);
}

#[test]
fn nothing_to_do() {
    let model = hybrid();
    assert_eq!(model.generate(&[], &greedy(5)).unwrap(), []);
    let nothing = Generated { tokens: vec![], finish: Finish::Length };
    assert_eq!(model.generate(&prompts(), &greedy(0)).unwrap(), vec![nothing; 3]);
}

#[test]
fn errors_say_where() {
    let model = hybrid();
    let problem = |prompts: &[Vec<u32>], options: GenerateOptions| {
        model.generate(prompts, &options).unwrap_err().to_string()
    };
    assert_eq!(
        problem(&[vec![1], vec![]], greedy(5)),
        "row 1: the prompt is empty, expected at least one token"
    );
    assert_eq!(
        problem(&[vec![1], vec![2], vec![3, 23]], greedy(0)),
        "row 2: token 23 at position 1 is out of range: vocab_size is 23"
    );
    assert_eq!(
        problem(&[vec![1]], hot().with_temperature(-1.0)),
        "generation: temperature must be at least 0 and finite, got -1"
    );
    assert_eq!(
        problem(&[vec![1]], greedy(5).with_stop_tokens([3, 99])),
        "generation: stop_tokens: token 99 at position 1 is out of range: vocab_size is 23"
    );
}

#[test]
fn logits_that_are_no_numbers_are_an_error() {
    let mut model = hybrid();
    model.embedding.weight = model.embedding.weight.map(|weight| weight * f32::NAN);
    let problem = model.generate(&[vec![1]], &greedy(5)).unwrap_err().to_string();
    assert_eq!(problem, "row 0: the logit of token 0 is NaN, expected a number");
}
