//! Reads single numbers and bytes.

use mapvar::Value;

/// Parses a float. A number that no float holds, because it is too large, too small, or a whole number
/// with too many digits, is none; other decimals are rounded.
pub(crate) fn float(text: &str) -> Option<f64> {
    let value = text.parse::<f64>().ok()?;
    let is_digits = text.contains(|c: char| c.is_ascii_digit());
    #[allow(clippy::cast_possible_truncation, reason = "a value that differs is refused")]
    let held = text
        .parse::<i128>()
        .map_or(value.is_finite() || !is_digits, |whole| value as i128 == whole);
    // What rounds to zero is no zero.
    let digits = text.split(['e', 'E']).next().unwrap_or_default();
    let vanished = value == 0.0 && digits.contains(|c: char| matches!(c, '1'..='9'));
    (held && !vanished).then_some(value)
}

pub(crate) fn whole(text: &str) -> Option<Value> {
    let signed = text.parse::<i64>().map(Value::I64);
    signed.or_else(|_| text.parse::<u64>().map(Value::U64)).ok()
}

pub(crate) fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let digits: Vec<u8> =
        digits.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    Some(pairs.map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}
