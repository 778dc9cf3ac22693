//! What every configuration checks.

use crate::{Error, Result};

/// No size is larger: products of three do not overflow.
const LARGEST_SIZE: usize = 1 << 20;

/// Step sizes beyond would overflow in f32.
const LARGEST_DT: f64 = 1e6;

/// Every size is at least 1, and not beyond what fits in a machine.
pub(crate) fn check_sizes(mixer: &str, sizes: &[(&str, usize)]) -> Result<()> {
    sizes.iter().try_for_each(|(name, size)| check_size(mixer, name, *size, 1))
}

/// A convolution sees the token itself and at least one before it.
pub(crate) fn check_d_conv(mixer: &str, d_conv: usize) -> Result<()> {
    check_size(mixer, "d_conv", d_conv, 2)
}

/// A size is at least so much, and not beyond what fits in a machine.
pub(crate) fn check_size(whose: &str, name: &str, size: usize, least: usize) -> Result<()> {
    let bound = match size {
        _ if size < least => format!("at least {least}"),
        _ if size > LARGEST_SIZE => format!("at most {LARGEST_SIZE}"),
        _ => return Ok(()),
    };
    Err(Error::Config(format!("{whose}: {name} must be {bound}, got {size}")))
}

/// A number that something is divided by, or that keeps a root from 0: in 32 bits, too.
pub(crate) fn check_positive(whose: &str, name: &str, value: f64) -> Result<()> {
    check_positive_and_finite(whose, name, value)?;
    if (value as f32).is_normal() {
        return Ok(());
    }
    Err(Error::Config(format!("{whose}: {name} must be neither 0 nor infinite in 32 bits, got {value:e}")))
}

/// A number that nothing is divided by, and that may be as good as 0 or infinite.
pub(crate) fn check_positive_and_finite(whose: &str, name: &str, value: f64) -> Result<()> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(Error::Config(format!("{whose}: {name} must be positive and finite, got {value}")))
}

/// Step sizes are positive, in order, and not beyond what f32 holds.
pub(crate) fn check_dt(mixer: &str, min: f64, max: f64) -> Result<()> {
    if min > 0.0 && min <= max && max <= LARGEST_DT {
        return Ok(());
    }
    let range = format!("0 < dt_min ≤ dt_max ≤ {LARGEST_DT}");
    Err(Error::Config(format!("{mixer}: {range} is needed, got dt_min {min:?}, dt_max {max:?}")))
}

/// What is wrong with a part, told as the whole's.
pub(crate) fn check_part(whose: &str, part: Result<()>) -> Result<()> {
    told(part, |problem| format!("{whose}: {problem}"))
}

/// What is wrong, in other words.
pub(crate) fn told(check: Result<()>, words: impl FnOnce(String) -> String) -> Result<()> {
    check.map_err(|error| match error {
        Error::Config(problem) => Error::Config(words(problem)),
        other => other,
    })
}

/// Panics with the error's message: where what was to be checked is misuse.
pub(crate) fn expect_valid<T>(check: Result<T>) -> T {
    check.unwrap_or_else(|error| panic!("{error}"))
}
