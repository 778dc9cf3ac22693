//! The copier by construction, its errors beside their bound.

use burn::module::Module;
use burn_sequence::Result;
use burn_sequence::evaluation::accuracy;
use burn_sequence::tasks::{Copying, Task};
use burn_sequence::theory::{HashCopier, repeat_bound};

use crate::common::{cli::Options, table};

/// Tables what it copies of strings over each of `alphabets`, with keys of `n` letters, at each of `lengths`.
pub fn copies(options: &Options, alphabets: &[usize], n: Option<usize>, lengths: &[usize]) -> Result<()> {
    let head = ["D", "n", "L", "parameters", "strings", "exact", "error", "bound L²·D⁻ⁿ"].map(String::from);
    let mut found = table::table(head.into_iter());
    for (&alphabet, &length) in alphabets.iter().flat_map(|a| lengths.iter().map(move |l| (a, l))) {
        // Says what an alphabet can be, before a key is looked for.
        HashCopier::new(alphabet, 1)?;
        let enough = || (1..).find(|&n| repeat_bound(length, alphabet, n) < 0.01).unwrap_or(1);
        let n = n.unwrap_or_else(enough);
        let copier = HashCopier::new(alphabet, n)?.init(&options.device()?);
        let task = Copying::new(1..=length.max(1)).with_alphabet(alphabet as u32);
        task.check(length)?;
        let strings = options.strings().min(1_000_000 / length.max(1)).max(1);
        let right = accuracy(&copier, &task, length, strings, 0).string;
        let exact = (right * strings as f64).round() as usize;
        eprintln!("copier: D = {alphabet}, n = {n}, L = {length}: {exact} of {strings} strings");
        let row = [alphabet, n, length, copier.num_params(), strings, exact].map(|number| number.to_string());
        let shares = [1.0 - right, repeat_bound(length, alphabet, n)].map(|share| format!("{share:.4}"));
        found.add_row(row.into_iter().chain(shares));
    }
    println!("\nThe copier by construction\n\n{}", table::to_the_right(found));
    Ok(())
}
