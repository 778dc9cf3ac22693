//! Repeats in a list of layers.

/// The longest list whose every way to fold is tried: that takes time cubic in it.
const EXHAUSTIVE: usize = 256;

/// The text of a layer, and whether it needs parentheses inside something else.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layer {
    text: String,
    compound: bool,
}

impl Layer {
    pub fn simple(text: String) -> Self {
        Self { text, compound: false }
    }

    pub fn compound(text: String) -> Self {
        Self { text, compound: true }
    }

    pub fn grouped(&self) -> String {
        if self.compound { format!("({})", self.text) } else { self.text.clone() }
    }
}

/// The shortest text for these layers; of longer lists without a short period, their runs.
pub(super) fn fold(layers: &[Layer]) -> String {
    let len = layers.len();
    if len <= EXHAUSTIVE {
        return Folds::new(layers).text(0, len);
    }
    let period = (1..=len / 2).find(|p| len.is_multiple_of(*p) && layers[*p..] == layers[..len - p]);
    if let Some(period) = period {
        return repeated(len / period, period, &layers[..period], || fold(&layers[..period]));
    }
    let runs = layers.chunk_by(PartialEq::eq).map(|run| match run {
        [layer] => layer.text.clone(),
        [layer, ..] => format!("{}*{}", run.len(), layer.grouped()),
        [] => String::new(),
    });
    runs.collect::<Vec<_>>().join(", ")
}

fn repeated(count: usize, period: usize, layers: &[Layer], inner: impl Fn() -> String) -> String {
    match period {
        1 => format!("{count}*{}", layers[0].grouped()),
        _ => format!("{count}*({})", inner()),
    }
}

/// The shortest text for every stretch of a list, by dynamic programming over its length.
struct Folds<'a> {
    layers: &'a [Layer],
    /// Of the stretch `start .. end`, at `start · (len + 1) + end`: its shortest text's length, and how.
    best: Vec<(usize, Fold)>,
}

#[derive(Clone, Copy)]
enum Fold {
    /// A layer, or nothing.
    Plain,
    /// A stretch up to here, and the rest.
    Split(usize),
    /// The first so many layers, over and over.
    Repeat(usize),
}

impl<'a> Folds<'a> {
    fn new(layers: &'a [Layer]) -> Self {
        let len = layers.len();
        // alike[a · (len + 1) + b]: how many layers from a on equal those from b on.
        let mut alike = vec![0; (len + 1) * (len + 1)];
        for a in (0..len).rev() {
            for b in (a + 1..len).rev() {
                if layers[a] == layers[b] {
                    alike[a * (len + 1) + b] = 1 + alike[(a + 1) * (len + 1) + b + 1];
                }
            }
        }
        let mut folds = Self { layers, best: vec![(0, Fold::Plain); (len + 1) * (len + 1)] };
        for (start, layer) in layers.iter().enumerate() {
            folds.best[start * (len + 1) + start + 1].0 = layer.text.len();
        }
        for width in 2..=len {
            for start in 0..=len - width {
                let end = start + width;
                let splits = (start + 1..end).rev().map(|middle| {
                    (folds.len(start, middle) + 2 + folds.len(middle, end), Fold::Split(middle))
                });
                let repeats = (1..=width / 2)
                    .filter(|p| width.is_multiple_of(*p) && alike[start * (len + 1) + start + p] >= width - p)
                    .map(|p| {
                        let parentheses = if p > 1 || layers[start].compound { 2 } else { 0 };
                        let sign = (width / p).to_string().len() + 1;
                        (sign + parentheses + folds.len(start, start + p), Fold::Repeat(p))
                    });
                let best = repeats.chain(splits).min_by_key(|(length, _)| *length);
                folds.best[start * (len + 1) + end] = best.expect("a stretch can be split");
            }
        }
        folds
    }

    fn best(&self, start: usize, end: usize) -> (usize, Fold) {
        self.best[start * (self.layers.len() + 1) + end]
    }

    fn len(&self, start: usize, end: usize) -> usize {
        self.best(start, end).0
    }

    fn text(&self, start: usize, end: usize) -> String {
        match self.best(start, end).1 {
            Fold::Plain => self.layers[start..end].iter().map(|layer| layer.text.as_str()).collect(),
            Fold::Split(middle) => format!("{}, {}", self.text(start, middle), self.text(middle, end)),
            Fold::Repeat(period) => {
                let layers = &self.layers[start..start + period];
                repeated((end - start) / period, period, layers, || self.text(start, start + period))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::cursor::Cursor;
    use super::super::grammar::{Item, Mixer, pattern};
    use super::*;

    /// The layers of a tree, each a letter.
    fn letters(items: &[Item]) -> String {
        let letters = |item: &Item| match item {
            Item::Layer { mixer: Mixer::One(call), .. } => call.name.clone(),
            Item::Repeat { count, items, .. } => letters(items).repeat(*count),
            other => panic!("{other:?}"),
        };
        items.iter().map(letters).collect()
    }

    #[test]
    fn folds_are_the_shortest() {
        for (layers, expected) in [
            ("aab", "2*a, b"),
            ("abab", "2*(a, b)"),
            ("aabaab", "2*(2*a, b)"),
            ("cababab", "c, 3*(a, b)"),
            ("ababa", "2*(a, b), a"),
            ("aaaabaaaab", "2*(4*a, b)"),
            ("abacabacd", "2*(a, b, a, c), d"),
        ] {
            let texts: Vec<_> = layers.chars().map(|c| Layer::simple(c.to_string())).collect();
            assert_eq!(fold(&texts), expected);
        }
    }

    proptest! {
        #[test]
        fn folds(layers in "[ab]{1,12}|[abc]{1,40}", times in 1..6_usize) {
            let layers = layers.repeat(times);
            let texts: Vec<_> = layers.chars().map(|c| Layer::simple(c.to_string())).collect();
            let text = fold(&texts);
            prop_assert_eq!(letters(&pattern(&mut Cursor::new(&text)).unwrap()), layers);
            prop_assert!(text.len() <= 3 * texts.len() - 2);
        }
    }
}
