//! Which tokens come: by greed, by chance, by row, by guessing ahead.

use burn_sequence::generation::Finish;

use super::models::{every_mixer, greedy, hot, hybrid, model, prompts, tokens, whole_pass};
use super::on_host::on_host;

#[test]
fn greedy_is_the_argmax_of_whole_passes() {
    let model = hybrid();
    for (prompt, generated) in prompts().into_iter().zip(model.generate(&prompts(), &greedy(12)).unwrap()) {
        let mut text = prompt;
        for &token in &generated.tokens {
            assert_eq!(token, argmax(&whole_pass(&model, &text)), "after {text:?}");
            text.push(token);
        }
        assert_eq!((generated.tokens.len(), generated.finish), (12, Finish::Length));
    }
}

fn argmax(logits: &[f32]) -> u32 {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap() as u32
}

#[test]
fn the_test_model_says_different_things() {
    let generated = hybrid().generate(&prompts(), &greedy(12)).unwrap();
    let kinds: std::collections::BTreeSet<u32> = tokens(&generated).concat().into_iter().collect();
    assert!(kinds.len() >= 4, "{generated:?}");
}

#[test]
fn rows_of_a_batch_are_as_alone() {
    for mixer in every_mixer() {
        let model = model([mixer.clone(), mixer.clone()]);
        let together = model.generate(&prompts(), &greedy(10)).unwrap();
        for (prompt, row) in prompts().into_iter().zip(&together) {
            let alone = model.generate(std::slice::from_ref(&prompt), &greedy(10)).unwrap();
            assert_eq!(alone[0], *row, "{mixer:?}, prompt {prompt:?}");
        }
    }
}

#[test]
fn chance_of_a_row_does_not_depend_on_the_others() {
    let model = hybrid();
    let others = |other: Vec<u32>| {
        let prompts = vec![vec![1, 2, 3], other, vec![5, 6]];
        model.generate(&prompts, &hot()).unwrap()
    };
    let (one, two) = (others(vec![4; 9]), others(vec![12]));
    assert_eq!((&one[0], &one[2]), (&two[0], &two[2]));
    assert_ne!(one[1], two[1]);
}

#[test]
fn equal_prompts_in_other_rows_go_other_ways() {
    let generated = hybrid().generate(&[vec![1, 2], vec![1, 2]], &hot().with_temperature(3.0)).unwrap();
    assert_ne!(generated[0], generated[1]);
}

#[test]
fn the_seed_decides() {
    let model = hybrid();
    let with_seed = |seed: u64| tokens(&model.generate(&prompts(), &hot().with_seed(seed)).unwrap());
    assert_eq!(with_seed(1), with_seed(1));
    assert_ne!(with_seed(1), with_seed(2));
}

#[test]
fn top_k_of_one_is_greedy() {
    let model = hybrid();
    let one = model.generate(&prompts(), &hot().with_top_k(1)).unwrap();
    assert_eq!(one, model.generate(&prompts(), &greedy(12)).unwrap());
    assert_ne!(one, model.generate(&prompts(), &hot()).unwrap());
}

#[test]
fn repetition_penalty_counts_prompt_and_output() {
    // So strong that nothing comes twice while anything new is left.
    let options = greedy(15).with_repetition_penalty(1e9);
    let model = hybrid();
    let prompt = vec![1, 2, 3, 4, 5];
    let penalised = &model.generate(std::slice::from_ref(&prompt), &options).unwrap()[0].tokens;
    let mut all = [prompt.clone(), penalised.clone()].concat();
    let len = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), len, "{penalised:?}");
    let free = &model.generate(&[prompt], &greedy(15)).unwrap()[0].tokens;
    assert_ne!(free, penalised);
}

#[test]
fn guessing_ahead_changes_nothing() {
    // Texts that repeat themselves, so that some guesses are right, and others wrong in the middle.
    let text = |period: usize| (0..24).map(|place| (place % period) as u32 + 3).collect::<Vec<u32>>();
    let prompts: Vec<Vec<u32>> = vec![text(3), text(7), vec![5], text(19)];
    for mixer in every_mixer() {
        let name = format!("{mixer:?}");
        let model = model([mixer.clone(), mixer]);
        let len = if on_host() { 20 } else { 6 };
        for options in [greedy(len), hot().with_max_tokens(len), greedy(len).with_stop_tokens([4, 9])] {
            let one_by_one = model.generate(&prompts, &options).unwrap();
            // A GPU in software takes minutes for all.
            let aheads: &[usize] = if on_host() { &[1, 3, 8, 100] } else { &[3] };
            for &ahead in aheads {
                let options = options.clone().with_speculate(ahead);
                assert_eq!(model.generate(&prompts, &options).unwrap(), one_by_one, "{name}, {ahead} ahead");
            }
        }
    }
}
