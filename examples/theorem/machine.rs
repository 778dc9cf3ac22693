//! The best machine of so many states, measured and exact.

use burn_sequence::tasks::{Copying, Task};
use burn_sequence::theory::ShiftRegister;
use rand::{SeedableRng, rngs::ChaCha8Rng};

use crate::common::{cli::Options, table};

/// Tables what it copies.
pub fn guesses(options: &Options) {
    let head = ["letters kept", "D", "L", "bits", "strings", "measured", "exact D^(k−L)"].map(String::from);
    let mut found = table::table(head.into_iter());
    let strings = 100 * options.strings();
    for (kept, alphabet, length) in [(6, 2, 6), (6, 2, 8), (6, 2, 10), (4, 4, 6), (3, 26, 4)] {
        let (machine, mut rng) = (ShiftRegister { kept, alphabet }, ChaCha8Rng::seed_from_u64(0));
        let task = Copying::new(length..=length).with_alphabet(alphabet as u32);
        let copied = (0..strings).filter(|_| {
            let example = task.example(length, &mut rng);
            machine.copy(&example.tokens[1..=length], &mut rng) == example.tokens[1..=length]
        });
        let measured = copied.count() as f64 / strings as f64;
        let shares = [measured, machine.string_accuracy(length)].map(|share| format!("{share:.4}"));
        let row = [kept, alphabet, length].map(|number| number.to_string());
        found.add_row(
            row.into_iter().chain([format!("{:.1}", machine.bits()), strings.to_string()]).chain(shares),
        );
    }
    println!("\nThe best machine of so many states\n\n{}", table::to_the_right(found));
}
