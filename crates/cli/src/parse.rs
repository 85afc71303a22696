//! Parses sizes, times and values of the command line.

use crate::{
    json,
    literal::{bytes, float, whole},
};
use clap::ValueEnum;
use mapvar::Value;
use std::time::Duration;

/// The values of `--type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Type {
    Str,
    Int,
    Float,
    Bool,
    Nil,
    Bytes,
    /// A value in JSON: a list, a dictionary, or a single value
    Json,
}

/// Returns the value of `text` for a variable that does not exist yet, if no type is given. A number
/// counts as one only in a form in which it would be printed: 007, +49 and 1.10 stay text, because
/// they may be no numbers.
pub(crate) fn guess(text: &str) -> Value {
    let printed = |value: f64| [format!("{value:?}"), format!("{value:e}")];
    if let Some(value) = whole(text).filter(|value| value.to_string() == text) {
        value
    } else if let Ok(value) = text.parse::<bool>() {
        Value::Bool(value)
    } else if let Ok(value) = text.parse::<f64>()
        && value.is_finite()
        && text.contains(['.', 'e', 'E'])
        && printed(value).contains(&text.replace('E', "e"))
    {
        Value::F64(value)
    } else {
        Value::Str(text.into())
    }
}

/// Parses `text` as a value of this type.
pub(crate) fn typed(text: &str, as_type: Type) -> Result<Value, String> {
    let value = match as_type {
        Type::Str => Some(Value::Str(text.into())),
        Type::Int => whole(text),
        Type::Float => float(text).map(Value::F64),
        Type::Bool => text.parse().ok().map(Value::Bool),
        Type::Nil => (text == "nil" || text.is_empty()).then_some(Value::Nil),
        Type::Bytes => bytes(text).map(Value::Bytes),
        Type::Json => {
            return json::parse(text).map_err(|wrong| format!("VALUE is not JSON: {wrong}"));
        }
    };
    let wanted = match as_type {
        Type::Str => "text",
        Type::Int => "a whole number from -2^63 to 2^64 - 1",
        Type::Float => "a number as 1.5, -2e9, inf or nan that a float of 64 bits holds",
        Type::Bool => "true or false",
        Type::Nil => "nil; leave it out",
        Type::Bytes => "pairs of hexadecimal digits, as 0x00ff",
        Type::Json => "JSON",
    };
    value.ok_or_else(|| format!("{text:?} is not {wanted}"))
}

/// Parses `text` as a value of the kind that `old` has. A nil has no kind to keep.
pub(crate) fn of_kind(text: &str, old: &Value) -> Result<Value, String> {
    match old {
        Value::Nil => Ok(guess(text)),
        Value::Bool(_) => typed(text, Type::Bool),
        Value::I64(_) | Value::U64(_) => typed(text, Type::Int),
        Value::F64(_) => typed(text, Type::Float),
        Value::Str(_) => typed(text, Type::Str),
        Value::Bytes(_) => typed(text, Type::Bytes),
        Value::List(_) | Value::Dict(_) => {
            let value = typed(text, Type::Json)?;
            if value.kind() == old.kind() {
                Ok(json::with_kinds_of(value, old))
            } else {
                Err(format!("VALUE is {} in JSON", value.kind().name()))
            }
        }
        _ => Err("its values cannot be typed".into()),
    }
}

/// Parses a size, such as 65536, 64KiB or 1MB.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    const WANTED: &str = "say a number of bytes, or one with KiB, MiB, GiB, TiB (of 1024) or kB, \
                          MB, GB, TB (of 1000)";
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let factor = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(WANTED.into()),
    };
    let number = number.parse::<u64>().map_err(|_| WANTED)?;
    number.checked_mul(factor).ok_or_else(|| "more than 2^64 bytes".into())
}

/// Parses a time, such as 500ms, 5s, 1.5s or 2min.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const WANTED: &str = "say it with its unit, ms, s, min or h: 500ms, 1.5s";
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let seconds = match unit.trim_start() {
        "ms" => 0.001,
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(WANTED.into()),
    };
    let number = number.parse::<f64>().map_err(|_| WANTED)?;
    let longest = Duration::from_hours(24 * 365);
    Duration::try_from_secs_f64(number * seconds)
        .ok()
        .filter(|time| *time <= longest)
        .ok_or_else(|| "longer than a year".into())
}

/// Parses `VAR=VALUE`.
pub(crate) fn assignment(text: &str) -> Result<(String, String), String> {
    let (var, value) = text.split_once('=').ok_or("say VAR=VALUE, as foo=hello")?;
    Ok((var.into(), value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Str(text.into())
    }

    #[test]
    fn guesses() {
        for (typed, value) in [
            ("77", Value::I64(77)),
            ("-77", Value::I64(-77)),
            ("0", Value::I64(0)),
            ("9223372036854775807", Value::I64(i64::MAX)),
            ("-9223372036854775808", Value::I64(i64::MIN)),
            ("9223372036854775808", Value::U64(1 << 63)),
            ("18446744073709551615", Value::U64(u64::MAX)),
            ("18446744073709551616", text("18446744073709551616")),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("True", text("True")),
            ("1.5", Value::F64(1.5)),
            ("-1.5", Value::F64(-1.5)),
            ("2.0", Value::F64(2.0)),
            ("-0.0", Value::F64(-0.0)),
            ("2e9", Value::F64(2e9)),
            ("2000000000.0", Value::F64(2e9)),
            ("2E-9", Value::F64(2e-9)),
            ("1.7976931348623157e308", Value::F64(f64::MAX)),
            (".5", text(".5")),
            ("1.", text("1.")),
            ("1.10", text("1.10")),
            ("-1.50", text("-1.50")),
            ("01.5", text("01.5")),
            ("+1.5", text("+1.5")),
            ("1e+5", text("1e+5")),
            ("3.14159265358979323846", text("3.14159265358979323846")),
            ("1e999", text("1e999")),
            ("", text("")),
            ("-", text("-")),
            (".", text(".")),
            ("e", text("e")),
            ("1.2.3", text("1.2.3")),
            ("007", text("007")),
            ("+49", text("+49")),
            ("-0", text("-0")),
            ("inf", text("inf")),
            ("nan", text("nan")),
            ("nil", text("nil")),
            ("0x10", text("0x10")),
            ("hello", text("hello")),
            ("1 000", text("1 000")),
        ] {
            assert_eq!(guess(typed), value, "{typed:?}");
        }
    }

    #[test]
    fn types() {
        for (typed_in, as_type, value) in [
            ("77", Type::Str, text("77")),
            ("007", Type::Int, Value::I64(7)),
            ("7", Type::Float, Value::F64(7.0)),
            ("1.10", Type::Float, Value::F64(1.1)),
            (".5", Type::Float, Value::F64(0.5)),
            ("0e-400", Type::Float, Value::F64(0.0)),
            ("-0.00", Type::Float, Value::F64(-0.0)),
            ("5e-324", Type::Float, Value::F64(5e-324)),
            ("inf", Type::Float, Value::F64(f64::INFINITY)),
            ("-inf", Type::Float, Value::F64(f64::NEG_INFINITY)),
            ("9007199254740992", Type::Float, Value::F64(9_007_199_254_740_992.0)),
            ("[1.10]", Type::Json, Value::List(vec![Value::F64(1.1)])),
            ("\"a\"", Type::Json, text("a")),
            ("true", Type::Bool, Value::Bool(true)),
            ("nil", Type::Nil, Value::Nil),
            ("0x00fF", Type::Bytes, Value::Bytes(vec![0, 255])),
            ("00ff", Type::Bytes, Value::Bytes(vec![0, 255])),
            ("", Type::Bytes, Value::Bytes(vec![])),
            ("0x", Type::Bytes, Value::Bytes(vec![])),
        ] {
            assert_eq!(typed(typed_in, as_type), Ok(value), "{typed_in:?} as {as_type:?}");
        }
        for (typed_in, as_type) in [
            ("x", Type::Int),
            ("1.5", Type::Int),
            ("18446744073709551616", Type::Int),
            ("x", Type::Float),
            ("1e999", Type::Float),
            ("4.9e-325", Type::Float),
            ("-1e-400", Type::Float),
            ("9007199254740993", Type::Float),
            ("1", Type::Bool),
            ("{", Type::Json),
            ("hello", Type::Json),
            ("x", Type::Nil),
            ("0xf", Type::Bytes),
            ("fg", Type::Bytes),
            ("+f", Type::Bytes),
            ("\u{e9}1", Type::Bytes),
        ] {
            assert!(typed(typed_in, as_type).is_err(), "{typed_in:?} as {as_type:?}");
        }
    }

    #[test]
    fn kinds_are_kept() {
        let (list, dict) = (|| Value::List(vec![]), || Value::Dict(vec![]));
        let pod = Value::Pod { type_id: 1, bytes: vec![] };
        for (typed, old, value) in [
            ("5", Value::F64(1.5), Some(Value::F64(5.0))),
            ("1.10", Value::F64(1.5), Some(Value::F64(1.1))),
            ("fast", Value::F64(1.5), None),
            ("5", text("x"), Some(text("5"))),
            ("true", text("x"), Some(text("true"))),
            ("007", Value::I64(1), Some(Value::I64(7))),
            ("-7", Value::U64(u64::MAX), Some(Value::I64(-7))),
            ("5.0", Value::I64(1), None),
            ("1", Value::Bool(true), None),
            ("false", Value::Bool(true), Some(Value::Bool(false))),
            ("00ff", Value::Bytes(vec![]), Some(Value::Bytes(vec![0, 255]))),
            ("hello", Value::Bytes(vec![]), None),
            ("5", Value::Nil, Some(Value::I64(5))),
            ("[1]", list(), Some(Value::List(vec![Value::I64(1)]))),
            ("{}", list(), None),
            ("[]", dict(), None),
            ("hello", dict(), None),
            ("00", pod, None),
        ] {
            assert_eq!(of_kind(typed, &old).ok(), value, "{typed:?} for {old:?}");
        }
    }

    #[test]
    fn sizes() {
        for (typed, bytes) in [
            ("0", 0),
            ("2000", 2000),
            ("2000B", 2000),
            ("64KiB", 65536),
            ("64kib", 65536),
            ("64 KiB", 65536),
            ("64kB", 64000),
            ("1MiB", 1 << 20),
            ("1MB", 1_000_000),
            ("1GiB", 1 << 30),
            ("1GB", 1_000_000_000),
            ("2TiB", 2 << 40),
            ("2TB", 2_000_000_000_000),
        ] {
            assert_eq!(size(typed), Ok(bytes), "{typed:?}");
        }
        for bad in ["", "KiB", "-1", "1.5KiB", "64K", "64 furlongs", "0x40", "18446744073709551616"]
        {
            assert!(size(bad).is_err(), "{bad:?}");
        }
        assert!(size("99999999TiB").is_err());
    }

    #[test]
    fn times() {
        for (typed, millis) in [
            ("500ms", 500),
            ("5s", 5000),
            ("1.5s", 1500),
            ("2min", 120_000),
            ("1h", 3_600_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(typed), Ok(Duration::from_millis(millis)), "{typed:?}");
        }
        for bad in ["", "5", "s", "-5s", "5 weeks", "1.2.3s", "999999999999h"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn assignments() {
        assert_eq!(assignment("foo=hello"), Ok(("foo".into(), "hello".into())));
        assert_eq!(assignment("foo=a=b"), Ok(("foo".into(), "a=b".into())));
        assert_eq!(assignment("foo="), Ok(("foo".into(), String::new())));
        assert!(assignment("foo").is_err());
    }
}
