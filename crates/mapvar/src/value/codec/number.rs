//! Conversions of numbers, for values and for the elements of lists.

use super::error::Mismatch;

/// Returns the integer as a float, if the float holds it exactly.
#[inline]
#[allow(clippy::cast_precision_loss, reason = "a loss is an error")]
pub(super) fn exact_f64(number: i128) -> Result<f64, Mismatch> {
    let float = number as f64;
    // Below 2^64 in magnitude, so the cast back saturates nowhere.
    if float as i128 == number { Ok(float) } else { Err(Mismatch::range(number, "f64 exactly")) }
}

/// As [`exact_f64`], in 32 bits.
#[inline]
#[allow(clippy::cast_precision_loss, reason = "a loss is an error")]
pub(super) fn exact_f32(number: i128) -> Result<f32, Mismatch> {
    let float = number as f32;
    if float as i128 == number { Ok(float) } else { Err(Mismatch::range(number, "f32 exactly")) }
}

/// Rounds to 32 bits. A loss of precision is accepted, as in a cast; overflow is an error.
#[inline]
pub(super) fn rounded(wide: f64) -> Result<f32, Mismatch> {
    let narrow = wide as f32;
    if wide.is_finite() && !narrow.is_finite() {
        return Err(Mismatch::range(wide, "f32"));
    }
    Ok(narrow)
}
