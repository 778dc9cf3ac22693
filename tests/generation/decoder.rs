//! Token by token, by hand.

use burn::module::Module;
use burn::tensor::Tensor;
use burn_sequence::generation::{Decoder, Sampler};

use super::models::{every_mixer, hot, hybrid, model, read, whole_pass};

#[test]
fn a_decoder_gives_the_logits_of_whole_passes() {
    let model = hybrid();
    let mut decoder = Decoder::new(&model);
    let close = |actual: Tensor<2>, text: &[u32]| {
        for (actual, expected) in read(actual).into_iter().zip(whole_pass(&model, text)) {
            assert!((actual - expected).abs() < 1e-3, "after {text:?}: {actual}, expected {expected}");
        }
    };
    close(decoder.prefill(&[vec![1, 2, 3]]).unwrap(), &[1, 2, 3]);
    close(decoder.next(&[4]).unwrap(), &[1, 2, 3, 4]);
    close(decoder.prefill(&[vec![5, 6]]).unwrap(), &[1, 2, 3, 4, 5, 6]);
    close(decoder.next(&[7]).unwrap(), &[1, 2, 3, 4, 5, 6, 7]);
    // Without a prompt, and from a state that someone kept.
    let mut fresh = Decoder::new(&model);
    close(fresh.next(&[9]).unwrap(), &[9]);
    let mut resumed = Decoder::from_state(&model, fresh.state.unwrap());
    close(resumed.next(&[8]).unwrap(), &[9, 8]);
}

#[test]
fn forks_do_not_see_each_other() {
    for mixer in every_mixer() {
        let model = model([mixer.clone()]);
        let mut trunk = Decoder::new(&model);
        trunk.prefill(&[vec![1, 2, 3, 4, 5]]).unwrap();
        trunk.next(&[6]).unwrap();
        let go_on = |decoder: &mut Decoder, tokens: &[u32]| -> Vec<Vec<f32>> {
            tokens.iter().map(|&token| read(decoder.next(&[token]).unwrap())).collect()
        };
        let expected = go_on(&mut trunk.clone(), &[7, 8, 9]);
        // In turns, so that a shared buffer would show.
        let (mut left, mut right) = (trunk.clone(), trunk.clone());
        let mut found = Vec::new();
        for token in [7, 8, 9] {
            found.extend(go_on(&mut left, &[token]));
            go_on(&mut right, &[token + 10]);
        }
        assert_eq!(found, expected, "{mixer:?}");
        assert_ne!(go_on(&mut right, &[10]), go_on(&mut left, &[10]), "{mixer:?}");
    }
}

#[test]
fn a_loop_of_ones_own_is_generate() {
    let model = hybrid().valid();
    let options = hot().with_seed(3);
    let mut text = vec![1, 2, 3];
    let mut decoder = Decoder::new(&model);
    let mut sampler = Sampler::new(&options, 0).unwrap();
    let mut logits = decoder.prefill(std::slice::from_ref(&text)).unwrap();
    for _ in 0..options.max_tokens {
        let token = sampler.sample(&read(logits), &text).unwrap();
        text.push(token);
        logits = decoder.next(&[token]).unwrap();
    }
    assert_eq!(model.generate(&[vec![1, 2, 3]], &options).unwrap()[0].tokens, text[3..]);
}

#[test]
fn errors_of_a_decoder_name_the_row() {
    let model = hybrid();
    let mut decoder = Decoder::new(&model);
    let problem = decoder.next(&[1, 40]).unwrap_err().to_string();
    assert_eq!(problem, "row 1: token 40 is out of range: vocab_size is 23");
    let problem = decoder.prefill(&[vec![]]).unwrap_err().to_string();
    assert_eq!(problem, "row 0: the prompt is empty, expected at least one token");
}
