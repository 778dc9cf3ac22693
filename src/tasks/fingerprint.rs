use std::hash::Hasher;

use fnv::FnvHasher;
use rand::{SeedableRng, rngs::ChaCha8Rng};

use super::Task;

/// Tells tasks apart that have the same name and lengths and ask other things, of another alphabet or another text: a hash of
/// sixteen training examples, the same whatever compiler and machine.
///
/// ```
/// use burn_sequence::tasks::{Copying, fingerprint};
///
/// let task = Copying::new(5..=16);
/// assert_ne!(fingerprint(&task), fingerprint(&task.clone().with_alphabet(4)));
/// ```
///
/// # Panics
///
/// If there are no such examples: see [`Task::check_lengths`].
pub fn fingerprint(task: &(impl Task + ?Sized)) -> String {
    let mut hasher = FnvHasher::default();
    for seed in 0..16 {
        let example = task.training_example(&mut ChaCha8Rng::seed_from_u64(seed));
        let tokens = example.tokens.iter().map(|&token| u64::from(token));
        let targets = example
            .targets
            .iter()
            .flat_map(|target| [target.position as u64, u64::from(target.token), u64::from(target.scored)]);
        tokens.chain(targets).for_each(|number| hasher.write(&number.to_le_bytes()));
    }
    format!("{:016x}", hasher.finish())
}
