//! Writes a part of a plain value by its type alone.

use super::shape::{Field, Layout, Scalar, Shape};
use super::typed::{PlainField, part_mut};
use crate::{Value, value::codec};
use mapvar_engine::value::{OwnedValue, Raw};
use mapvar_os::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;

/// Writes `value` as a `shape`. A value that would not read back equal is refused, but for a float
/// that is rounded to 32 bits.
pub(crate) fn fill(shape: &Shape, value: &Value, to: &mut [u8]) -> Result<()> {
    match shape {
        Shape::Scalar(scalar) => fill_scalar(*scalar, value, to),
        Shape::Array(element, count) => {
            let Value::List(values) = value else { return Err(mismatch("a list", value)) };
            if values.len() != *count as usize {
                let detail = format!("{} elements for an array of {count}", values.len());
                return Err(refused(detail));
            }
            let size = element.size();
            for (at, value) in values.iter().enumerate() {
                fill(element, value, part_mut(to, at * size, size))?;
            }
            Ok(())
        }
        Shape::Struct(layout) => fill_struct(layout, value, to),
    }
}

/// Writes a dictionary of all fields as a struct.
pub(crate) fn fill_struct(layout: &Layout, value: &Value, to: &mut [u8]) -> Result<()> {
    let Value::Dict(pairs) = value else { return Err(mismatch("a dict", value)) };
    if pairs.len() != layout.fields.len() {
        let detail = format!("{} fields given; it is {layout}", pairs.len());
        return Err(refused(detail));
    }
    for Field { name, offset, shape } in &layout.fields {
        let is_it = |key: &Value| matches!(key, Value::Str(key) if key == name);
        let given = pairs.iter().find(|(key, _)| is_it(key));
        let Some((_, value)) = given else {
            return Err(refused(format!("field {name:?} is missing; it is {layout}")));
        };
        fill(shape, value, part_mut(to, *offset as usize, shape.size()))?;
    }
    Ok(())
}

fn fill_scalar(scalar: Scalar, value: &Value, to: &mut [u8]) -> Result<()> {
    match scalar {
        Scalar::Bool => fill_as::<bool>(value, to),
        Scalar::I8 => fill_as::<i8>(value, to),
        Scalar::I16 => fill_as::<i16>(value, to),
        Scalar::I32 => fill_as::<i32>(value, to),
        Scalar::I64 => fill_as::<i64>(value, to),
        Scalar::U8 => fill_as::<u8>(value, to),
        Scalar::U16 => fill_as::<u16>(value, to),
        Scalar::U32 => fill_as::<u32>(value, to),
        Scalar::U64 => fill_as::<u64>(value, to),
        Scalar::F32 => fill_as::<f32>(value, to),
        Scalar::F64 => fill_as::<f64>(value, to),
    }
}

/// Converts as `get` does.
fn fill_as<T: PlainField + DeserializeOwned>(value: &Value, to: &mut [u8]) -> Result<()> {
    let captured = codec::encode(value, &mut |raw: &Raw<'_>| OwnedValue::of(raw))?;
    codec::decode_for_field::<T>(captured)?.write(to);
    Ok(())
}

#[cold]
fn mismatch(wanted: &str, value: &Value) -> Error {
    Error::new(ErrorKind::WrongKind, "", "")
        .detail(format!("expected {wanted}, found {}", value.kind()))
}

#[cold]
fn refused(detail: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, "", "").detail(detail)
}
