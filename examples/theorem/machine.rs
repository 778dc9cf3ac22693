//! The best machine of so many states, measured and exact.

use burn_sequence::Result;
use burn_sequence::tasks::{Copying, Task};
use burn_sequence::theory::ShiftRegister;
use rand::{SeedableRng, rngs::ChaCha8Rng};
use serde::{Deserialize, Serialize};

use crate::common::records::Records;
use crate::common::{cli::Options, table};

/// Letters kept, alphabet, letters of the strings.
const MACHINES: [(usize, usize, usize); 5] = [(6, 2, 6), (6, 2, 8), (6, 2, 10), (4, 4, 6), (3, 26, 4)];

/// What a machine copied.
#[derive(Clone, Serialize, Deserialize)]
struct Guessed {
    kept: usize,
    alphabet: usize,
    length: usize,
    bits: f64,
    strings: usize,
    copied: usize,
    /// The chance of a string.
    exact: f64,
}

impl Guessed {
    fn measure(kept: usize, alphabet: usize, length: usize, strings: usize) -> Self {
        let (machine, mut rng) = (ShiftRegister { kept, alphabet }, ChaCha8Rng::seed_from_u64(0));
        let task = Copying::new(length..=length).with_alphabet(alphabet as u32);
        let copied = (0..strings).filter(|_| {
            let example = task.example(length, &mut rng);
            machine.copy(&example.tokens[1..=length], &mut rng) == example.tokens[1..=length]
        });
        let copied = copied.count();
        let (bits, exact) = (machine.bits(), machine.string_accuracy(length));
        Self { kept, alphabet, length, bits, strings, copied, exact }
    }
}

/// Measures what is not in the records: seconds.
///
/// # Errors
///
/// If the records cannot be written.
pub fn guesses(options: &Options) -> Result<()> {
    let mut records = Records::<Guessed>::open(&options.out("theorem").join("machine.jsonl"))?;
    let strings = 100 * options.strings();
    for (kept, alphabet, length) in MACHINES {
        let asked = (kept, alphabet, length, strings);
        if !records
            .records
            .iter()
            .any(|found| (found.kept, found.alphabet, found.length, found.strings) == asked)
        {
            records.extend([Guessed::measure(kept, alphabet, length, strings)])?;
        }
    }
    Ok(())
}

/// Tables what was measured.
///
/// # Errors
///
/// If the records cannot be read.
pub fn show(options: &Options) -> Result<()> {
    let records = Records::<Guessed>::read(&options.out("theorem").join("machine.jsonl"))?;
    if records.is_empty() {
        return Ok(());
    }
    let head = ["letters kept", "D", "L", "bits", "strings", "measured", "exact D^(k−L)"].map(String::from);
    let mut shown = table::table(head.into_iter());
    for Guessed { kept, alphabet, length, bits, strings, copied, exact } in records {
        let row = [kept, alphabet, length].map(|number| number.to_string());
        let shares = [copied as f64 / strings as f64, exact].map(|share| format!("{share:.4}"));
        shown.add_row(row.into_iter().chain([format!("{bits:.1}"), strings.to_string()]).chain(shares));
    }
    println!("\nThe best machine of so many states\n\n{}", table::to_the_right(shown));
    Ok(())
}
