//! Means and intervals.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// A mean and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub mean: f64,
    pub low: f64,
    pub high: f64,
    /// Values it is of: seeds. Of what was not trained here, 0.
    pub values: usize,
}

impl Estimate {
    /// Of accuracies, one for each seed, of so many strings together: the wider of Student's interval over seeds, cut to 0 … 1, and
    /// Wilson's over all their strings, for seeds may agree on a few. Of one seed it is Wilson's, which knows nothing of what
    /// another would have learnt. Where a string asks for several answers, these do not make it narrower: they are not
    /// independent.
    pub fn of(accuracies: &[f64], strings: usize) -> Self {
        let wilson = Self::wilson(mean(accuracies.iter().copied()), strings);
        if accuracies.len() < 2 {
            return wilson;
        }
        let student = Self::student(accuracies);
        let (low, high) = (student.low.max(0.0).min(wilson.low), student.high.min(1.0).max(wilson.high));
        Self { low, high, ..student }
    }

    /// Student's interval of a few values; of one it is that value.
    pub fn student(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = mean(values.iter().copied());
        if values.len() < 2 {
            return Self { mean, low: mean, high: mean, values: values.len() };
        }
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let student = StudentsT::new(0.0, 1.0, count - 1.0).expect("at least one degree of freedom");
        let half = student.inverse_cdf(0.975) * (variance / count).sqrt();
        Self { mean, low: mean - half, high: mean + half, values: values.len() }
    }

    fn wilson(share: f64, count: usize) -> Self {
        let (count, z) = (count.max(1) as f64, 1.959_963_985);
        let middle = (share + z * z / (2.0 * count)) / (1.0 + z * z / count);
        let half = z / (1.0 + z * z / count)
            * (share * (1.0 - share) / count + z * z / (4.0 * count * count)).sqrt();
        Self { mean: share, low: (middle - half).max(0.0), high: (middle + half).min(1.0), values: 1 }
    }
}

/// The arithmetic mean; 0 of nothing.
pub fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count.max(1))
}
