//! The copier by construction, its errors beside their bound.

use std::cmp::Reverse;
use std::time::Instant;

use burn::module::Module;
use burn_sequence::Result;
use burn_sequence::evaluation::accuracy_of_each;
use burn_sequence::tasks::{Copying, Task};
use burn_sequence::theory::{HashCopier, repeat_bound, repeats};
use serde::{Deserialize, Serialize};

use crate::common::chart::{Chart, Scale, Series};
use crate::common::cli::Options;
use crate::common::origin::{self, Origin};
use crate::common::records::Records;
use crate::common::statistics::Estimate;
use crate::common::{plots, progress, table};

/// What is asked of a copier: strings of `length` letters out of an alphabet, with keys of `n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    length: usize,
    alphabet: usize,
    n: usize,
    strings: usize,
}

/// The answer.
#[derive(Clone, Serialize, Deserialize)]
struct Copied {
    #[serde(flatten)]
    question: Question,
    params: usize,
    exact: usize,
    /// Strings with a mistake in which no key occurs twice: by the theorem, none.
    unexplained: usize,
    #[serde(default)]
    seconds: f64,
    #[serde(flatten)]
    origin: Origin,
}

impl Question {
    fn bound(&self) -> f64 {
        repeat_bound(self.length, self.alphabet, self.n)
    }

    fn task(&self) -> Result<Copying> {
        let task = Copying::new(1..=self.length.max(1)).with_alphabet(self.alphabet as u32);
        task.check(self.length)?;
        Ok(task)
    }

    fn answer(self, options: &Options) -> Result<Copied> {
        let (device, began) = (options.device()?, Instant::now());
        let copier = HashCopier::new(self.alphabet, self.n)?.init(&device);
        let (mut exact, mut unexplained) = (0, 0);
        accuracy_of_each(&copier, &self.task()?, self.length, self.strings, 0, |example, right| {
            exact += usize::from(right);
            unexplained += usize::from(!right && !repeats(&example.tokens[1..=self.length], self.n));
        });
        let (params, seconds) = (copier.num_params(), began.elapsed().as_secs_f64());
        let origin = Origin::here(origin::called(&device));
        Ok(Copied { question: self, params, exact, unexplained, seconds, origin })
    }
}

impl Copied {
    /// The share of strings with a mistake.
    fn error(&self) -> f64 {
        1.0 - self.exact as f64 / self.question.strings as f64
    }
}

/// What to ask: of strings over each of `alphabets`, at each of `lengths`, with keys of `n` letters; or of the fewest with a chance
/// below 0.01 of a repeat, and at the least of the lengths of all that are shorter.
///
/// # Errors
///
/// If there is no such copier, or there are no such strings.
pub fn questions(
    options: &Options,
    alphabets: &[usize],
    n: Option<usize>,
    lengths: &[usize],
) -> Result<Vec<Question>> {
    let mut questions = Vec::new();
    let least = lengths.iter().min().copied();
    for (&length, &alphabet) in lengths.iter().flat_map(|l| alphabets.iter().map(move |a| (l, a))) {
        // Says what an alphabet can be, before a key is looked for.
        HashCopier::new(alphabet, 1)?;
        let enough = || (1..).find(|&n| repeat_bound(length, alphabet, n) < 0.01).unwrap_or(1);
        let longest = n.unwrap_or_else(enough);
        HashCopier::new(alphabet, longest)?;
        let strings = options.strings().min(1_000_000 / length.max(1)).max(1);
        let question = Question { length, alphabet, n: longest, strings };
        question.task()?;
        let shortest = if n.is_none() && Some(length) == least { 1 } else { longest };
        questions.extend((shortest..=longest).map(|n| Question { n, ..question }));
    }
    Ok(questions)
}

/// Asks what is not in the records.
///
/// # Errors
///
/// If the records cannot be read or written.
pub fn ask(options: &Options, questions: Vec<Question>) -> Result<()> {
    let mut answers = Records::<Copied>::open(&options.out("theorem").join("copier.jsonl"))?;
    let count = questions.len();
    for (index, question) in questions.into_iter().enumerate() {
        if answers.records.iter().any(|answer| answer.question == question) {
            continue;
        }
        if progress::interrupted() {
            break;
        }
        let answer = question.answer(options)?;
        let Question { length, alphabet, n, strings } = question;
        println!(
            "copier, question {} of {count}: D = {alphabet}, n = {n}, L = {length}: {} of {strings} strings ({:.0} s)",
            index + 1,
            answer.exact,
            answer.seconds
        );
        answers.extend([answer])?;
    }
    Ok(())
}

/// Tables and draws what was answered.
///
/// # Errors
///
/// If the records cannot be read, or the figure not be written.
pub fn show(options: &Options) -> Result<()> {
    let folder = options.out("theorem");
    let mut answers = Records::<Copied>::read(&folder.join("copier.jsonl"))?;
    // Of answers to one question that with most strings.
    let asked = |Question { length, alphabet, n, .. }: Question| (length, alphabet, n);
    answers.sort_by_key(|answer| (asked(answer.question), Reverse(answer.question.strings)));
    answers.dedup_by_key(|answer| asked(answer.question));
    let Some(shortest) = answers.first().map(|answer| answer.question.length) else { return Ok(()) };
    let head =
        ["D", "L", "n", "parameters", "strings", "exact", "wrong, no key twice", "error", "bound L²·D⁻ⁿ"]
            .map(String::from);
    let mut found = table::table(head.into_iter());
    let key = |answer: &Copied| (answer.question.length, answer.question.alphabet);
    // The figure shows the other keys of the shortest strings.
    let rows = answers.chunk_by(|a, b| key(a) == key(b)).flat_map(|answers| {
        match answers[0].question.length == shortest {
            true => &answers[answers.len() - 1..],
            false => answers,
        }
    });
    for answer in rows {
        let Question { length, alphabet, n, strings } = answer.question;
        let row = [alphabet, length, n, answer.params, strings, answer.exact, answer.unexplained];
        let shares = [answer.error(), answer.question.bound()].map(|share| format!("{share:.4}"));
        found.add_row(row.iter().map(usize::to_string).chain(shares));
    }
    println!("\nThe copier by construction\n\n{}", table::to_the_right(found));

    let asked: Vec<&Copied> = answers.iter().filter(|answer| answer.question.length == shortest).collect();
    let series =
        asked.chunk_by(|a, b| key(a) == key(b)).enumerate().map(|(index, answers)| by_key(index, answers));
    let chart = Chart {
        title: &format!("The copier by construction, {shortest} letters"),
        labels: ["letters of a key (n)", "strings with a mistake (points, 95 %), bound L²·D⁻ⁿ (lines)"],
        scales: [Scale::Linear(None), Scale::Linear(Some((0.0, 1.02)))],
        side_by_side: false,
    };
    chart.draw(&folder.join("copier.svg"), &series.collect::<Vec<_>>())
}

/// The errors of strings over one alphabet, and their bound.
fn by_key(index: usize, answers: &[&Copied]) -> Series {
    let place = |answer: &Copied| answer.question.n as f64;
    let interval = |answer: &Copied| {
        let Estimate { low, high, .. } = Estimate::of(&[answer.error()], answer.question.strings);
        (place(answer), low, high)
    };
    Series {
        name: format!("D = {}", answers[0].question.alphabet),
        look: plots::look(index),
        line: answers.iter().map(|answer| (place(answer), answer.question.bound())).collect(),
        dots: answers.iter().map(|answer| (place(answer), answer.error())).collect(),
        intervals: answers.iter().map(|answer| interval(answer)).collect(),
    }
}
