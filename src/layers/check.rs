//! What every configuration checks.

use crate::{Error, Result};

/// No size is larger: products of three do not overflow.
const LARGEST_SIZE: usize = 1 << 20;

/// Step sizes beyond would overflow in f32.
const LARGEST_DT: f64 = 1e6;

/// Every size is at least 1, and not beyond what fits in a machine.
pub(super) fn check_sizes(mixer: &str, sizes: &[(&str, usize)]) -> Result<()> {
    for (name, size) in sizes {
        let bound = match *size {
            0 => "at least 1".to_string(),
            1..=LARGEST_SIZE => continue,
            _ => format!("at most {LARGEST_SIZE}"),
        };
        return Err(Error::Config(format!("{mixer}: {name} must be {bound}, got {size}")));
    }
    Ok(())
}

/// Step sizes are positive, in order, and not beyond what f32 holds.
pub(super) fn check_dt(mixer: &str, min: f64, max: f64) -> Result<()> {
    if min > 0.0 && min <= max && max <= LARGEST_DT {
        return Ok(());
    }
    let range = format!("0 < dt_min ≤ dt_max ≤ {LARGEST_DT}");
    Err(Error::Config(format!("{mixer}: {range} is needed, got dt_min {min:?}, dt_max {max:?}")))
}
