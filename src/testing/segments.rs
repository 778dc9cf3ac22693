//! Packed documents and padding: every document as if it were alone.

use burn::tensor::Tensor;

use super::outcome::Outputs;
use super::random::Random;
use super::subject::Subject;
use super::trial::Trial;
use crate::ops::Segments;

/// The layout of one call: its columns, and the left padding and the documents of every row.
#[derive(Clone, Debug)]
struct Layout {
    seq: usize,
    rows: Vec<(usize, Vec<usize>)>,
}

impl Layout {
    fn new<const N: usize>(seq: usize, rows: [(usize, &[usize]); N]) -> Self {
        Self { seq, rows: rows.map(|(left, lengths)| (left, lengths.to_vec())).into() }
    }

    /// Rows of at most `documents` documents, somewhere in `seq` columns.
    fn draw(random: &mut Random, batch: usize, documents: usize) -> Self {
        let seq = random.size(1..=20);
        let rows = (0..batch).map(|_| {
            let tokens = random.size(0..=seq);
            let mut lengths = random.lengths(tokens);
            lengths.truncate(documents);
            (random.size(0..=seq - lengths.iter().sum::<usize>()), lengths)
        });
        let rows = rows.collect();
        Self { seq, rows }
    }

    /// The first column and the length of every document of a row.
    fn documents(&self, row: usize) -> impl Iterator<Item = (usize, usize)> {
        let (left, lengths) = &self.rows[row];
        lengths.iter().scan(*left, |start, &length| {
            *start += length;
            Some((*start - length, length))
        })
    }
}

/// Calls with these layouts, one after another, are as each document alone: the first of a row goes on from
/// where the row's last document of the call before ended.
fn check<S: Subject>(trial: &mut Trial<S>, layouts: &[Layout]) {
    let batch = layouts[0].rows.len();
    let calls: Vec<Tensor<3>> = layouts.iter().map(|layout| trial.tokens(batch, layout.seq)).collect();
    let after = trial.tokens(batch, 4);
    let name = |call: usize, row: usize, start: usize| format!("call {call}, row {row}, document at {start}");

    let (mut together, mut probes, mut state) = (Outputs::default(), Outputs::default(), None);
    for (call, (layout, x)) in layouts.iter().zip(&calls).enumerate() {
        let segments = Segments::new(layout.seq, layout.rows.clone());
        let (y, left) = trial.subject.forward(x.clone(), Some(&segments), state);
        state = Some(left);
        for row in 0..batch {
            for (start, length) in layout.documents(row) {
                let document = y.clone().narrow(0, row, 1).narrow(1, start, length);
                together.push(name(call, row, start), document);
            }
        }
    }
    trial.probe(&after, state.expect("at least one call"), &mut probes);
    (0..batch).for_each(|row| together.extend(&format!("row {row}, "), &probes, row));

    let mut apart = Outputs::default();
    let mut states: Vec<Option<S::State>> = vec![None; batch];
    for (call, (layout, x)) in layouts.iter().zip(&calls).enumerate() {
        for (row, state) in states.iter_mut().enumerate() {
            for (index, (start, length)) in layout.documents(row).enumerate() {
                let before = if index == 0 { state.take() } else { None };
                let document = x.clone().narrow(0, row, 1).narrow(1, start, length);
                let (y, left) = trial.subject.forward(document, None, before);
                *state = Some(left);
                apart.push(name(call, row, start), y);
            }
        }
    }
    for (row, state) in states.into_iter().enumerate() {
        let state = state.unwrap_or_else(|| trial.subject.init_state(1, &trial.device));
        let mut probes = Outputs::default();
        trial.probe(&after.clone().narrow(0, row, 1), state, &mut probes);
        apart.extend(&format!("row {row}, "), &probes, 0);
    }

    let names: Vec<String> = (0..calls.len()).map(|call| format!("inputs of call {call}")).collect();
    let mut inputs: Vec<(&str, &Tensor<3>)> = names.iter().map(String::as_str).zip(&calls).collect();
    inputs.push(("later inputs", &after));
    let (together, apart) = (trial.outcome(&inputs, together), trial.outcome(&inputs, apart));
    let context: Vec<String> =
        layouts.iter().map(|layout| format!("{} columns of {:?}", layout.seq, layout.rows)).collect();
    trial.assert_same(&apart, &together, &context.join(", then "));
}

pub(super) fn documents<S: Subject>(trial: &mut Trial<S>) {
    let packed = Layout::new(12, [(0, &[5, 1, 6]), (0, &[12]), (0, &[1, 11])]);
    check(trial, std::slice::from_ref(&packed));
    check(trial, &[Layout::new(3, [(0, &[3]), (0, &[1, 2]), (0, &[2, 1])]), packed]);
    for _ in 0..3 {
        let layouts = [0; 3].map(|_| Layout::draw(&mut trial.random, 3, 4));
        check(trial, &layouts);
    }
    pieces(trial);
}

pub(super) fn padding<S: Subject>(trial: &mut Trial<S>) {
    let [left, right] = [[(4, 5), (0, 9), (8, 1)], [(0, 5), (0, 9), (0, 1)]].map(|rows| {
        let rows = rows.map(|(left, length)| (left, vec![length]));
        Layout { seq: 9, rows: rows.to_vec() }
    });
    let both = Layout::new(13, [(3, &[7]), (2, &[]), (0, &[13])]);
    for layouts in [vec![left.clone()], vec![right.clone()], vec![left, both.clone(), right], vec![both]] {
        check(trial, &layouts);
    }
    for _ in 0..3 {
        let layouts = [0; 3].map(|_| Layout::draw(&mut trial.random, 3, 1));
        check(trial, &layouts);
    }
}

/// A packed row in pieces, each with its slice of the segments, is the packed row.
fn pieces<S: Subject>(trial: &mut Trial<S>) {
    let segments = Segments::new(15, [(0, vec![6, 8]), (1, vec![4, 9])]);
    let (x, after) = (trial.tokens(2, 15), trial.tokens(2, 3));
    let run = |cuts: &[usize]| {
        let (mut state, mut outputs, mut pieces) = (None, Outputs::default(), Vec::new());
        for cut in cuts.windows(2) {
            let piece = segments.slice(cut[0], cut[1]);
            let (y, left) =
                trial.subject.forward(x.clone().narrow(1, cut[0], cut[1] - cut[0]), Some(&piece), state);
            pieces.push(y);
            state = Some(left);
        }
        let y = Tensor::cat(pieces, 1);
        outputs.push("row 0", y.clone().narrow(0, 0, 1).narrow(1, 0, 14));
        outputs.push("row 1", y.narrow(0, 1, 1).narrow(1, 1, 13));
        trial.probe(&after, state.expect("at least one piece"), &mut outputs);
        trial.outcome(&[("inputs", &x), ("later inputs", &after)], outputs)
    };
    let whole = run(&[0, 15]);
    // Within documents; and where one begins.
    for cuts in [vec![0, 3, 9, 15], vec![0, 1, 2, 14, 15], vec![0, 5, 6, 15]] {
        trial.assert_same(&whole, &run(&cuts), &format!("packed rows cut at {cuts:?}"));
    }
}
