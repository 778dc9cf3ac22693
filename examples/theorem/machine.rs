//! The best machine of so many states, measured and exact.

use burn_sequence::Result;
use burn_sequence::tasks::{Copying, Task};
use burn_sequence::theory::ShiftRegister;
use rand::{SeedableRng, rngs::ChaCha8Rng};
use serde::{Deserialize, Serialize};

use crate::common::origin::Origin;
use crate::common::records::Records;
use crate::common::{cli::Options, table};
use crate::trained::{LENGTH, LETTERS};

/// Letters kept, alphabet, letters of the strings; the last ones copy what the trained ones do.
const MACHINES: [(usize, usize, usize); 10] = [
    (6, 2, 6),
    (6, 2, 8),
    (6, 2, 10),
    (4, 4, 6),
    (3, 26, 4),
    (4, LETTERS, LENGTH),
    (5, LETTERS, LENGTH),
    (6, LETTERS, LENGTH),
    (7, LETTERS, LENGTH),
    (8, LETTERS, LENGTH),
];

/// What a machine that holds `kept` letters copied.
#[derive(Clone, Serialize, Deserialize)]
struct Guessed {
    kept: usize,
    alphabet: usize,
    length: usize,
    strings: usize,
    copied: usize,
    #[serde(flatten)]
    origin: Origin,
}

impl Guessed {
    fn machine(&self) -> ShiftRegister {
        ShiftRegister { kept: self.kept, alphabet: self.alphabet }
    }

    /// The share of strings without a mistake.
    fn measured(&self) -> f64 {
        self.copied as f64 / self.strings as f64
    }

    fn measure(kept: usize, alphabet: usize, length: usize, strings: usize) -> Self {
        let (machine, mut rng) = (ShiftRegister { kept, alphabet }, ChaCha8Rng::seed_from_u64(0));
        let task = Copying::new(length..=length).with_alphabet(alphabet as u32);
        let copied = (0..strings).filter(|_| {
            let example = task.example(length, &mut rng);
            machine.copy(&example.tokens[1..=length], &mut rng) == example.tokens[1..=length]
        });
        let origin = Origin::here("Rust".into());
        Self { kept, alphabet, length, strings, copied: copied.count(), origin }
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
        let answers = |found: &Guessed| (found.kept, found.alphabet, found.length, found.strings) == asked;
        if !records.records.iter().any(answers) {
            records.extend([Guessed::measure(kept, alphabet, length, strings)])?;
        }
    }
    Ok(())
}

/// Bits, and the share copied, of the machines that were asked for strings such as the trained models'.
///
/// # Errors
///
/// If the records cannot be read.
pub fn beside_the_trained(options: &Options) -> Result<Vec<(f64, f64)>> {
    let records = Records::<Guessed>::read(&options.out("theorem").join("machine.jsonl"))?;
    let alike = records.iter().filter(|found| (found.alphabet, found.length) == (LETTERS, LENGTH));
    Ok(alike.map(|found| (found.machine().bits(), found.measured())).collect())
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
    for found in records {
        let (machine, measured) = (found.machine(), found.measured());
        let row = [found.kept, found.alphabet, found.length].map(|number| number.to_string());
        let shares = [measured, machine.string_accuracy(found.length)].map(|share| format!("{share:.4}"));
        let size = [format!("{:.1}", machine.bits()), found.strings.to_string()];
        shown.add_row(row.into_iter().chain(size).chain(shares));
    }
    println!("\nThe best machine of so many states\n\n{}", table::to_the_right(shown));
    Ok(())
}
