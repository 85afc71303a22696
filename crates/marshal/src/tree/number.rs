//! Numbers in Ruby's Marshal: Floats in decimal digits, Bignums in pairs of bytes.

use super::Owned;

/// Formats a number with the fewest digits that identify it, as Ruby's `w_float` does.
pub(crate) fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "nan".into();
    }
    let sign = if number.is_sign_negative() { "-" } else { "" };
    if number.is_infinite() {
        return format!("{sign}inf");
    }
    if number == 0.0 {
        return format!("{sign}0");
    }
    // d.ddde±x
    let shown = format!("{:e}", number.abs());
    let (digits, exponent) = shown.split_once('e').unwrap_or((shown.as_str(), "0"));
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // The number of digits before the point.
    let point = exponent + 1;
    let (first, rest) = digits.split_at_checked(1).unwrap_or((digits.as_str(), ""));
    if point < -3 || i32::try_from(digits.len()).is_ok_and(|len| point > len) {
        let dot = if rest.is_empty() { "" } else { "." };
        format!("{sign}{first}{dot}{rest}e{exponent}")
    } else if let Ok(before) = usize::try_from(point)
        && before > 0
    {
        let (whole, rest) = digits.split_at_checked(before).unwrap_or((digits.as_str(), ""));
        let dot = if rest.is_empty() { "" } else { "." };
        format!("{sign}{whole}{dot}{rest}")
    } else {
        format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize))
    }
}

/// Parses a Float. Returns `None` for text that Ruby does not write.
pub(crate) fn float_of(text: &[u8]) -> Option<f64> {
    match text {
        b"nan" => Some(f64::NAN),
        b"inf" => Some(f64::INFINITY),
        b"-inf" => Some(f64::NEG_INFINITY),
        // 17 digits take at most 24 bytes. Only these characters mean the same to Ruby and to Rust.
        _ if text.len() <= 64
            && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e')) =>
        {
            std::str::from_utf8(text).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// Whether the number is a Fixnum of Marshal: 31 bits on every machine.
pub(crate) fn is_fixnum(number: i64) -> bool {
    (-(1 << 30)..1 << 30).contains(&number)
}

/// Returns the sign, and the pairs of bytes in little-endian order.
pub(crate) fn bignum_bytes(number: i128) -> (u8, Vec<u8>) {
    let mut bytes = number.unsigned_abs().to_le_bytes().to_vec();
    while bytes.len() > 2 && bytes.ends_with(&[0, 0]) {
        bytes.truncate(bytes.len() - 2);
    }
    (if number < 0 { b'-' } else { b'+' }, bytes)
}

/// Decodes a Bignum. Returns `None` if it fits neither 64-bit type.
pub(crate) fn bignum_of<T>(sign: u8, bytes: &[u8]) -> Option<Owned<T>> {
    let len = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let magnitude = (len <= 8).then(|| {
        bytes.iter().take(len).rev().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte))
    })?;
    let number = if sign == b'-' { -i128::from(magnitude) } else { i128::from(magnitude) };
    match i64::try_from(number) {
        Ok(number) => Some(Owned::I64(number)),
        Err(_) => u64::try_from(number).ok().map(Owned::U64),
    }
}
