//! A stand-in for the codec of Marshal, until that is merged: a Hash of Strings to nil, booleans,
//! Fixnums and Strings, and nothing else.

#![allow(clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "a stand-in")]

use crate::value::Value;
use std::collections::BTreeMap;

#[derive(Debug)]
pub(crate) struct Flaw(&'static str);

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

#[derive(Debug)]
pub(crate) struct Dump {
    values: BTreeMap<String, Value>,
}

struct Input<'a> {
    rest: &'a [u8],
    symbols: usize,
}

const SHORT: Flaw = Flaw("it is cut off");

impl Input<'_> {
    fn byte(&mut self) -> Result<u8, Flaw> {
        let (first, rest) = self.rest.split_first().ok_or(SHORT)?;
        self.rest = rest;
        Ok(*first)
    }

    fn bytes(&mut self, len: usize) -> Result<Vec<u8>, Flaw> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(SHORT)?;
        self.rest = rest;
        Ok(bytes.to_vec())
    }

    fn number(&mut self) -> Result<i64, Flaw> {
        let first = self.byte()?.cast_signed();
        match first {
            0 => Ok(0),
            1..=4 | -4..=-1 => {
                let mut number: i64 = if first < 0 { -1 } else { 0 };
                for at in 0..first.unsigned_abs() {
                    number &= !(0xff << (8 * at));
                    number |= i64::from(self.byte()?) << (8 * at);
                }
                Ok(number)
            }
            5.. => Ok(i64::from(first) - 5),
            _ => Ok(i64::from(first) + 5),
        }
    }

    fn len(&mut self) -> Result<usize, Flaw> {
        usize::try_from(self.number()?).map_err(|_| Flaw("a length below 0"))
    }

    fn string(&mut self) -> Result<String, Flaw> {
        let len = self.len()?;
        let bytes = self.bytes(len)?;
        if self.number()? != 1 {
            return Err(Flaw("more than an encoding"));
        }
        match self.byte()? {
            b':' => {
                self.symbols += 1;
                let len = self.len()?;
                self.bytes(len)?;
            }
            b';' => drop(self.number()?),
            _ => return Err(Flaw("no symbol")),
        }
        self.byte()?;
        String::from_utf8(bytes).map_err(|_| Flaw("no UTF-8"))
    }

    fn value(&mut self) -> Result<Value, Flaw> {
        Ok(match self.byte()? {
            b'0' => Value::Nil,
            b'T' => Value::Bool(true),
            b'F' => Value::Bool(false),
            b'i' => Value::I64(self.number()?),
            b'I' if self.byte()? == b'"' => Value::Str(self.string()?),
            _ => return Err(Flaw("a kind of value that the stand-in does not know")),
        })
    }
}

impl Dump {
    pub(crate) fn new() -> Self {
        Self { values: BTreeMap::new() }
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Flaw> {
        let rest = bytes.strip_prefix(&[4, 8, b'{']).ok_or(Flaw("no Hash"))?;
        let mut input = Input { rest, symbols: 0 };
        let mut dump = Self::new();
        for _ in 0..input.len()? {
            let Value::Str(name) = input.value()? else { return Err(Flaw("no String")) };
            dump.values.insert(name, input.value()?);
        }
        Ok(dump)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![4, 8, b'{'];
        let mut linked = false;
        number(&mut bytes, self.values.len() as i64);
        for (name, value) in &self.values {
            put(&mut bytes, &Value::Str(name.clone()), &mut linked);
            put(&mut bytes, value, &mut linked);
        }
        bytes
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    pub(crate) fn value(&self, name: &str) -> Option<Value> {
        self.values.get(name).cloned()
    }

    pub(crate) fn set(&mut self, name: &str, value: &Value) -> Result<(), Flaw> {
        match value {
            Value::Nil | Value::Bool(_) | Value::I64(_) | Value::Str(_) => {
                self.values.insert(name.into(), value.clone());
                Ok(())
            }
            _ => Err(Flaw("a kind of value that the stand-in does not know")),
        }
    }

    pub(crate) fn remove(&mut self, name: &str) -> bool {
        self.values.remove(name).is_some()
    }

    pub(crate) fn dump_of(&self, name: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        put(&mut bytes, self.values.get(name)?, &mut false);
        Some(bytes)
    }

    pub(crate) fn set_dump(&mut self, name: &str, bytes: &[u8]) -> Result<(), Flaw> {
        let value = Input { rest: bytes, symbols: 0 }.value()?;
        self.set(name, &value)
    }
}

fn number(bytes: &mut Vec<u8>, number: i64) {
    match number {
        0 => bytes.push(0),
        1..=122 => bytes.push((number + 5) as u8),
        -123..=-1 => bytes.push(((number - 5) as i8).cast_unsigned()),
        _ => {
            bytes.push(if number < 0 { (-4_i8).cast_unsigned() } else { 4 });
            bytes.extend((number as i32).to_le_bytes());
        }
    }
}

fn put(bytes: &mut Vec<u8>, value: &Value, linked: &mut bool) {
    match value {
        Value::Bool(true) => bytes.push(b'T'),
        Value::Bool(false) => bytes.push(b'F'),
        Value::I64(value) => {
            bytes.push(b'i');
            number(bytes, *value);
        }
        Value::Str(text) => {
            bytes.extend(b"I\"");
            number(bytes, text.len() as i64);
            bytes.extend(text.as_bytes());
            bytes.extend(if *linked { &b"\x06;\x00T"[..] } else { &b"\x06:\x06ET"[..] });
            *linked = true;
        }
        _ => bytes.push(b'0'),
    }
}
