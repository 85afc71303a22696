//! Reads a plain value by its layout alone, as MessagePack: a dictionary of its fields.

use super::shape::{Field, Flaw, Layout, Scalar, Shape};
use super::typed::part;
use mapvar_engine::value::{Data, Kind, OwnedValue};
use mapvar_os::ErrorKind;
use rmp::encode;

/// The longest dictionary that a value is turned into: names are repeated for each element of an
/// array.
const MOST: usize = 64 << 20;

/// Returns the dictionary of the fields.
pub(crate) fn dict(layout: &Layout, bytes: &[u8]) -> Result<OwnedValue, Flaw> {
    if bytes.len() != layout.size() {
        return Err(Flaw::new(
            ErrorKind::Corrupt,
            format!(
                "it has {} bytes, and its layout {:?} has {}",
                bytes.len(),
                layout.name,
                layout.size
            ),
        ));
    }
    let packed = packed(&|to| pack_struct(layout, bytes, to), space_of_struct(layout))?;
    Ok(OwnedValue { kind: Kind::Dict as u8, type_id: 0, data: Data::Bytes(packed) })
}

/// Returns the MessagePack of a part of a value, of which these are the bytes.
pub(crate) fn part_of(shape: &Shape, bytes: &[u8]) -> Result<Vec<u8>, Flaw> {
    packed(&|to| pack(shape, bytes, to), space(shape))
}

fn packed(
    pack: &dyn Fn(&mut Vec<u8>) -> Result<(), Invalid>,
    space: usize,
) -> Result<Vec<u8>, Flaw> {
    let mut to = Vec::new();
    if space > MOST || to.try_reserve_exact(space).is_err() {
        return Err(Flaw::new(
            ErrorKind::TooLarge,
            format!("as a dictionary it has up to {space} bytes; read its fields one by one"),
        ));
    }
    pack(&mut to).map_err(|Invalid { path, byte }| {
        Flaw::new(
            ErrorKind::Corrupt,
            format!("its field {path:?}, a bool, is {byte}, neither 0 nor 1"),
        )
    })?;
    Ok(to)
}

/// A `bool` that is none: its path and its byte.
struct Invalid {
    path: String,
    byte: u8,
}

impl Invalid {
    fn within(self, part: &str) -> Self {
        let path = if self.path.is_empty() { part.into() } else { format!("{part}.{}", self.path) };
        Self { path, ..self }
    }
}

/// How many bytes [`pack`] writes at most.
fn space(shape: &Shape) -> usize {
    match shape {
        Shape::Scalar(_) => 9,
        Shape::Array(element, count) => space(element).saturating_mul(*count as usize) + 5,
        Shape::Struct(layout) => space_of_struct(layout),
    }
}

fn space_of_struct(layout: &Layout) -> usize {
    let space = |field: &Field| space(&field.shape).saturating_add(field.name.len() + 5);
    layout.fields.iter().map(space).fold(5, usize::saturating_add)
}

fn pack(shape: &Shape, bytes: &[u8], to: &mut Vec<u8>) -> Result<(), Invalid> {
    match shape {
        Shape::Scalar(scalar) => pack_scalar(*scalar, bytes, to)?,
        Shape::Array(element, count) => {
            let _ = encode::write_array_len(to, *count);
            let size = element.size();
            for at in 0..*count as usize {
                pack(element, part(bytes, at * size, size), to)
                    .map_err(|invalid| invalid.within(&at.to_string()))?;
            }
        }
        Shape::Struct(layout) => pack_struct(layout, bytes, to)?,
    }
    Ok(())
}

fn pack_struct(layout: &Layout, bytes: &[u8], to: &mut Vec<u8>) -> Result<(), Invalid> {
    // Writing to a `Vec` does not fail; a layout has at most 4,096 fields.
    let _ = encode::write_map_len(to, layout.fields.len() as u32);
    for Field { name, offset, shape } in &layout.fields {
        let _ = encode::write_str(to, name);
        pack(shape, part(bytes, *offset as usize, shape.size()), to)
            .map_err(|invalid| invalid.within(name))?;
    }
    Ok(())
}

fn pack_scalar(scalar: Scalar, bytes: &[u8], to: &mut Vec<u8>) -> Result<(), Invalid> {
    let mut word = [0; 8];
    for (to, from) in word.iter_mut().zip(bytes) {
        *to = *from;
    }
    let word = u64::from_le_bytes(word);
    let signed = |bits: u32| (word << (64 - bits)).cast_signed() >> (64 - bits);
    match scalar {
        Scalar::Bool => match word {
            0 | 1 => drop(encode::write_bool(to, word == 1)),
            other => return Err(Invalid { path: String::new(), byte: other as u8 }),
        },
        Scalar::I8 => drop(encode::write_sint(to, signed(8))),
        Scalar::I16 => drop(encode::write_sint(to, signed(16))),
        Scalar::I32 => drop(encode::write_sint(to, signed(32))),
        Scalar::I64 => drop(encode::write_sint(to, signed(64))),
        Scalar::U8 | Scalar::U16 | Scalar::U32 | Scalar::U64 => {
            drop(encode::write_uint(to, word));
        }
        Scalar::F32 => drop(encode::write_f32(to, f32::from_bits(word as u32))),
        Scalar::F64 => drop(encode::write_f64(to, f64::from_bits(word))),
    }
    Ok(())
}
