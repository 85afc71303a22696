//! Reads lists and dictionaries as they are typed: JSON, and the form in which `get` prints them.
//!
//! Beyond JSON, `get` prints `nil`, bytes as `0x00ff`, `NaN` and `inf`, characters as `\u{7f}`, and
//! keys that are no text.

use crate::literal;
use mapvar::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How deeply lists and dictionaries may be nested: as deeply as a map stores them.
const DEEPEST: u32 = 128;

/// Parses one value, and nothing behind it.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(DEEPEST)?;
    parser.space();
    if parser.rest().is_empty() { Ok(value) } else { Err(parser.wrong("the end")) }
}

/// Gives the parts of `value` the kinds that they had in `old`, where that loses nothing: a whole
/// number becomes a float where a float was, and text such as "0x00ff" becomes bytes where bytes were.
pub(crate) fn with_kinds_of(value: Value, old: &Value) -> Value {
    match (value, old) {
        (Value::Str(text), Value::Bytes(_)) => match literal::bytes(&text) {
            Some(bytes) if text.starts_with("0x") => Value::Bytes(bytes),
            _ => Value::Str(text),
        },
        (value @ (Value::I64(_) | Value::U64(_)), Value::F64(_)) => {
            literal::float(&value.to_string()).map_or(value, Value::F64)
        }
        (Value::List(values), Value::List(old)) => {
            // An element that is new in a list of one kind is of that kind.
            let kind = old.first().filter(|first| old.iter().all(|old| old.kind() == first.kind()));
            let old = |at| old.get(at).or(kind);
            let kept = values.into_iter().enumerate().map(|(at, value)| match old(at) {
                Some(old) => with_kinds_of(value, old),
                None => value,
            });
            Value::List(kept.collect())
        }
        (Value::Dict(pairs), Value::Dict(old)) => {
            let old: BTreeMap<String, &Value> =
                old.iter().map(|(key, value)| (format!("{key:?}"), value)).collect();
            let kept = pairs.into_iter().map(|(key, value)| match old.get(&format!("{key:?}")) {
                Some(old) => (key, with_kinds_of(value, old)),
                None => (key, value),
            });
            Value::Dict(kept.collect())
        }
        (value, _) => value,
    }
}

struct Parser<'a> {
    text: &'a str,
    /// The offset of the next character.
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn wrong(&self, wanted: &str) -> String {
        match self.rest().chars().next() {
            Some(found) => format!("expected {wanted}, found {found:?} at byte {}", self.at),
            None => format!("expected {wanted}, and it ends there"),
        }
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    /// Skips the character if it is next, behind white space.
    fn skip(&mut self, wanted: char) -> bool {
        self.space();
        let is_next = self.rest().starts_with(wanted);
        self.at += if is_next { wanted.len_utf8() } else { 0 };
        is_next
    }

    fn value(&mut self, left: u32) -> Result<Value, String> {
        if self.skip('[') {
            self.list(deeper(left)?)
        } else if self.skip('{') {
            self.dict(deeper(left)?)
        } else if self.skip('"') {
            self.string().map(Value::Str)
        } else {
            self.word()
        }
    }

    fn list(&mut self, left: u32) -> Result<Value, String> {
        let mut values = Vec::new();
        if self.skip(']') {
            return Ok(Value::List(values));
        }
        loop {
            values.push(self.value(left)?);
            if self.skip(']') {
                return Ok(Value::List(values));
            }
            if !self.skip(',') {
                return Err(self.wrong("`,` or `]`"));
            }
        }
    }

    fn dict(&mut self, left: u32) -> Result<Value, String> {
        let (mut pairs, mut keys) = (Vec::new(), BTreeSet::new());
        if self.skip('}') {
            return Ok(Value::Dict(pairs));
        }
        loop {
            let key = self.value(left)?;
            if !keys.insert(format!("{key:?}")) {
                return Err(format!("the key {key} stands twice in a dict"));
            }
            if !self.skip(':') {
                return Err(self.wrong("`:`"));
            }
            pairs.push((key, self.value(left)?));
            if self.skip('}') {
                return Ok(Value::Dict(pairs));
            }
            if !self.skip(',') {
                return Err(self.wrong("`,` or `}`"));
            }
        }
    }

    /// The text behind its first quotation mark.
    fn string(&mut self) -> Result<String, String> {
        let mut text = String::new();
        loop {
            let mut chars = self.rest().chars();
            match chars.next() {
                Some('"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some('\\') => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                Some(c) if c >= ' ' => {
                    self.at += c.len_utf8();
                    text.push(c);
                }
                _ => return Err(self.wrong("`\"` at the end of a text")),
            }
        }
    }

    /// The character that an escape stands for, behind its backslash.
    fn escape(&mut self) -> Result<char, String> {
        let Some(c) = self.rest().chars().next() else { return Err(self.wrong("an escape")) };
        let plain = match c {
            '"' | '\\' | '/' | '\'' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '0' => '\0',
            'u' => return self.numbered(),
            _ => return Err(self.wrong("an escape as in JSON")),
        };
        self.at += 1;
        Ok(plain)
    }

    /// The character of `u00e9`, of a pair of surrogates, or of `u{e9}`.
    fn numbered(&mut self) -> Result<char, String> {
        let wrong = || "a text contains \\u without a character's number".to_owned();
        if let Some(rest) = self.rest().strip_prefix("u{") {
            let (digits, _) = rest.split_once('}').ok_or_else(wrong)?;
            self.at += "u{}".len() + digits.len();
            return u32::from_str_radix(digits, 16).ok().and_then(char::from_u32).ok_or_else(wrong);
        }
        let first = self.four_digits().ok_or_else(wrong)?;
        if let Some(c) = char::from_u32(first) {
            return Ok(c);
        }
        if !self.rest().starts_with('\\') {
            return Err(wrong());
        }
        self.at += 1;
        let second = self.four_digits().ok_or_else(wrong)?;
        match (first, second) {
            (0xd800..0xdc00, 0xdc00..0xe000) => {
                char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))
            }
            _ => None,
        }
        .ok_or_else(wrong)
    }

    fn four_digits(&mut self) -> Option<u32> {
        let digits = self.rest().strip_prefix('u')?.get(..4)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 5;
        u32::from_str_radix(digits, 16).ok()
    }

    /// A number, bytes, or one of the words that stand for a value.
    fn word(&mut self) -> Result<Value, String> {
        let rest = self.rest();
        let len = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.'))
            .unwrap_or(rest.len());
        let word = rest.get(..len).unwrap_or_default();
        let value = match word {
            "null" | "nil" => Some(Value::Nil),
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            "NaN" | "inf" | "-inf" => word.parse().ok().map(Value::F64),
            _ if word.starts_with("0x") => match literal::bytes(word).map(Value::Bytes) {
                None => {
                    return Err(format!(
                        "{word} is not bytes, pairs of hexadecimal digits as 0x00ff"
                    ));
                }
                bytes => bytes,
            },
            // JSON's zero has a sign, which only a float keeps.
            "-0" => Some(Value::F64(-0.0)),
            _ if !is_number(word) => {
                if word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
                    return Err(format!("{word} is no number of JSON, at byte {}", self.at));
                }
                None
            }
            _ if word.contains(['.', 'e', 'E']) => match literal::float(word).map(Value::F64) {
                None => return Err(format!("the number {word} does not fit a float of 64 bits")),
                float => float,
            },
            _ => match literal::whole(word) {
                None => return Err(format!("the number {word} does not fit 64 bits")),
                whole => whole,
            },
        };
        let value = value.ok_or_else(|| self.wrong("a value as in JSON"))?;
        self.at += len;
        Ok(value)
    }
}

fn deeper(left: u32) -> Result<u32, String> {
    left.checked_sub(1).ok_or_else(|| format!("it is nested deeper than {DEEPEST} levels"))
}

/// Whether the text is a number in the grammar of JSON.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (number, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent
            .is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Str(text.into())
    }

    #[test]
    fn json_is_read() {
        for (typed, value) in [
            ("null", Value::Nil),
            (" true ", Value::Bool(true)),
            ("5", Value::I64(5)),
            ("-5", Value::I64(-5)),
            ("18446744073709551615", Value::U64(u64::MAX)),
            ("5.0", Value::F64(5.0)),
            ("-0", Value::F64(-0.0)),
            ("1e3", Value::F64(1000.0)),
            ("2.5E-1", Value::F64(0.25)),
            (r#""""#, text("")),
            (r#""a\n\"\\\/\u00e9\ud83d\ude00 \t""#, text("a\n\"\\/é😀 \t")),
            ("[]", Value::List(vec![])),
            (
                "[1, [2.5],null]",
                Value::List(vec![Value::I64(1), Value::List(vec![Value::F64(2.5)]), Value::Nil]),
            ),
            ("{}", Value::Dict(vec![])),
            (
                "{\"a\":1,\r\n\t\"b\" : []}",
                Value::Dict(vec![(text("a"), Value::I64(1)), (text("b"), Value::List(vec![]))]),
            ),
        ] {
            assert_eq!(parse(typed), Ok(value), "{typed:?}");
        }
    }

    #[test]
    fn what_get_prints_is_read() {
        let nested = Value::Dict(vec![
            (Value::I64(-1), Value::Nil),
            (Value::Bool(true), Value::Bytes(vec![0, 255])),
            (text("e"), Value::Bytes(vec![])),
            (text("\u{7f}'\0\u{301}\u{1b}"), text("ü\u{200b}\"\\\r")),
            (Value::F64(-0.0), Value::F64(f64::NEG_INFINITY)),
            (text("f"), Value::List([1e300, 1e-7, 0.1, 5.0].map(Value::F64).to_vec())),
            (Value::List(vec![]), Value::Dict(vec![])),
        ]);
        assert_eq!(parse(&nested.to_string()), Ok(nested));
        assert!(matches!(parse("[NaN]"), Ok(Value::List(list)) if list.first().is_some_and(
            |nan| matches!(nan, Value::F64(nan) if nan.is_nan())
        )));
    }

    #[test]
    fn all_else_is_refused() {
        for bad in [
            "",
            " ",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[1 2]",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":1,\"a\":2}",
            "]",
            "1 2",
            "[1]]",
            "\"a",
            "\"a\nb\"",
            r#""\x""#,
            r#""\"#,
            r#""\u12""#,
            r#""\u+123""#,
            r#""\ud800""#,
            r#""\ud800\u0041""#,
            r#""\udc00""#,
            r#""\u{110000}""#,
            r#""\u{41""#,
            "hello",
            "tru",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "1e999",
            "1e-400",
            "--1",
            "0xf",
            "0xfg",
            "18446744073709551616",
            "-9223372036854775809",
            "9007199254740993.0e400",
            "infinity",
            "'a'",
            "é",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}: {:?}", parse(bad));
        }
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(&nested(128)).is_ok());
        assert!(parse(&nested(129)).is_err());
        assert!(parse(&"[".repeat(1_000_000)).is_err());
        assert!(parse(&"{\"a\":".repeat(1_000_000)).is_err());
    }

    #[test]
    fn a_wrong_number_is_named() {
        for (typed, part) in [
            ("[1e400]", "the number 1e400 does not fit a float"),
            ("[1e-400]", "the number 1e-400 does not fit a float"),
            ("[1, 01]", "01 is no number of JSON, at byte 4"),
            ("[1.]", "1. is no number"),
            ("-", "- is no number"),
            ("0xf", "0xf is not bytes"),
        ] {
            let error = parse(typed).expect_err(typed);
            assert!(error.contains(part), "{typed}: {error}");
        }
        assert!(parse("hello").expect_err("no JSON").contains("expected a value"));
    }

    #[test]
    fn kinds_are_kept_where_nothing_is_lost() {
        let kept = |new: &str, old: &str| {
            with_kinds_of(parse(new).expect("new"), &parse(old).expect("old")).to_string()
        };
        assert_eq!(
            kept(r#"{"b":2,"a":1,"c":3}"#, r#"{"a":0.5,"b":7}"#),
            r#"{"b": 2, "a": 1.0, "c": 3}"#
        );
        assert_eq!(kept("[1,2,3]", "[0.5]"), "[1.0, 2.0, 3.0]");
        assert_eq!(kept("[1,2,3]", "[0.5,1]"), "[1.0, 2, 3]");
        assert_eq!(kept("[1]", "[]"), "[1]");
        assert_eq!(kept(r#"["0x00FF","ff","0xf"]"#, "[0x]"), r#"[0x00ff, "ff", "0xf"]"#);
        assert_eq!(kept("[9007199254740993]", "[0.5]"), "[9007199254740993]");
        assert_eq!(
            kept(r#"{"a":{"b":[{"c":1}]}}"#, r#"{"a":{"b":[{"c":1.5}]}}"#),
            r#"{"a": {"b": [{"c": 1.0}]}}"#
        );
        assert_eq!(kept(r#"{"a":"x"}"#, r#"{"a":1.5}"#), r#"{"a": "x"}"#);
    }
}
