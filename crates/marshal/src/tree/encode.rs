//! Encodes a value as `Marshal.dump` does.

use super::{
    Node, Tree,
    number::{bignum_bytes, float_text, is_fixnum},
};
use crate::{
    parse_error::ParseError,
    scan::Scan,
    write::{Copier, Writer},
};
use std::slice::Iter;

/// A part that is still to be written. The parts are kept on an explicit stack, because a value may
/// be nested to any depth.
enum Todo<'v, T> {
    Values(Iter<'v, T>),
    Pairs(Iter<'v, (T, T)>),
    One(&'v T),
}

pub(crate) fn encode<T: Tree>(value: &T) -> Result<Vec<u8>, ParseError> {
    let mut writer = Writer::new(usize::MAX);
    let mut todo = vec![Todo::One(value)];
    while let Some(next) = todo.pop() {
        match next {
            Todo::One(value) => todo.extend(put(&mut writer, value)?),
            Todo::Values(mut values) => {
                if let Some(value) = values.next() {
                    todo.extend([Todo::Values(values), Todo::One(value)]);
                }
            }
            Todo::Pairs(mut pairs) => {
                if let Some((key, value)) = pairs.next() {
                    todo.extend([Todo::Pairs(pairs), Todo::One(value), Todo::One(key)]);
                }
            }
        }
    }
    Ok(writer.done())
}

/// Writes a value. For a list or dictionary it writes only the head, and returns the elements.
fn put<'v, T: Tree>(writer: &mut Writer, value: &'v T) -> Result<Option<Todo<'v, T>>, ParseError> {
    match value.node().map_err(ParseError::Foreign)? {
        Node::Nil => writer.raw(b"0")?,
        Node::Bool(value) => writer.raw(if value { b"T" } else { b"F" })?,
        Node::I64(number) if is_fixnum(number) => {
            writer.raw(b"i")?;
            writer.long(number);
        }
        Node::I64(number) => put_bignum(writer, number.into())?,
        Node::U64(number) => match i64::try_from(number) {
            Ok(number) if is_fixnum(number) => {
                writer.raw(b"i")?;
                writer.long(number);
            }
            _ => put_bignum(writer, number.into())?,
        },
        Node::F64(number) => writer.text(b'f', float_text(number).as_bytes())?,
        Node::Str(text) => writer.string(text)?,
        Node::Bytes(bytes) => writer.text(b'"', bytes)?,
        Node::List(values) => {
            writer.next_object();
            writer.raw(b"[")?;
            writer.count(values.len())?;
            return Ok(Some(Todo::Values(values.iter())));
        }
        Node::Dict(pairs) => {
            writer.next_object();
            writer.raw(b"{")?;
            writer.count(pairs.len())?;
            return Ok(Some(Todo::Pairs(pairs.iter())));
        }
        Node::Object(bytes) => {
            Copier::new(&Scan::of_alone(bytes)?).copy_all(writer)?;
        }
    }
    Ok(None)
}

fn put_bignum(writer: &mut Writer, number: i128) -> Result<(), ParseError> {
    let (sign, bytes) = bignum_bytes(number);
    writer.next_object();
    writer.raw(&[b'l', sign])?;
    writer.count(bytes.len() / 2)?;
    writer.raw(&bytes)
}
