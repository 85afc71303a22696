//! The description of a layout, as a map stores it: docs/FORMAT.md, "Layouts".

use super::shape::{DEEPEST, Field, Flaw, LARGEST, Layout, MOST_DIMENSIONS, Scalar, Shape};
use mapvar_os::ErrorKind;
use xxhash_rust::xxh3::xxh3_64;

const VERSION: u8 = 1;
/// The code of a struct, behind those of [`Scalar`].
const STRUCT: u8 = 32;
/// The longest description, in bytes.
pub(crate) const MOST: usize = 65_535;

/// Returns the number of a description, which a value has as its type.
pub(crate) fn number(description: &[u8]) -> u32 {
    xxh3_64(description) as u32
}

/// Describes a layout.
///
/// # Errors
/// The layout has more fields, bytes or levels than a description may.
pub(crate) fn description(layout: &Layout) -> Result<Vec<u8>, Flaw> {
    let refused =
        |detail| Flaw::new(ErrorKind::InvalidArgument, format!("{detail}; use a smaller struct"));
    layout.check().map_err(|flaw| refused(flaw.detail))?;
    let mut bytes = vec![VERSION];
    write_struct(layout, &mut bytes);
    if bytes.len() > MOST {
        return Err(refused(format!("its description has {} bytes", bytes.len())));
    }
    Ok(bytes)
}

pub(super) fn write_struct(layout: &Layout, to: &mut Vec<u8>) {
    write_name(&layout.name, to);
    to.extend(layout.size.to_le_bytes());
    to.push(layout.align.trailing_zeros() as u8);
    to.extend((layout.fields.len() as u16).to_le_bytes());
    for Field { name, offset, shape } in &layout.fields {
        write_name(name, to);
        to.extend(offset.to_le_bytes());
        let mut dimensions = Vec::new();
        let mut inner = shape;
        while let Shape::Array(element, count) = inner {
            dimensions.push(*count);
            inner = element;
        }
        to.push(dimensions.len() as u8);
        for count in &dimensions {
            to.extend(count.to_le_bytes());
        }
        match inner {
            Shape::Scalar(scalar) => to.push(*scalar as u8),
            Shape::Struct(layout) => {
                to.push(STRUCT);
                write_struct(layout, to);
            }
            // The loop has left all arrays.
            Shape::Array(..) => {}
        }
    }
}

fn write_name(name: &str, to: &mut Vec<u8>) {
    // Checked before: a name has at most 255 bytes.
    to.push(name.len() as u8);
    to.extend(name.as_bytes());
}

/// Reads a description that another process may have written.
///
/// # Errors
/// `Version` for one of a later version; `Corrupt` for what describes no layout.
pub(crate) fn described(bytes: &[u8]) -> Result<Layout, Flaw> {
    if bytes.len() > MOST {
        return Err(damaged("it is too long"));
    }
    let mut from = Reader(bytes);
    match from.byte()? {
        VERSION => {}
        version => {
            return Err(Flaw::new(
                ErrorKind::Version,
                format!("its layout is described by version {version}; use a newer version"),
            ));
        }
    }
    let layout = from.layout(0)?;
    if !from.0.is_empty() {
        return Err(damaged("something follows it"));
    }
    layout.check()?;
    Ok(layout)
}

#[cold]
fn damaged(what: &str) -> Flaw {
    Flaw::new(ErrorKind::Corrupt, format!("the description of its layout is damaged: {what}"))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Flaw> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(|| damaged("it is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Flaw> {
        self.take(1)?.first().copied().ok_or_else(|| damaged("it is cut off"))
    }

    fn number(&mut self) -> Result<u32, Flaw> {
        let bytes = self.take(4)?.first_chunk().ok_or_else(|| damaged("it is cut off"))?;
        Ok(u32::from_le_bytes(*bytes))
    }

    fn name(&mut self) -> Result<String, Flaw> {
        let len = self.byte()?;
        let name = std::str::from_utf8(self.take(len.into())?);
        Ok(name.map_err(|_| damaged("a name is no UTF-8"))?.into())
    }

    fn layout(&mut self, depth: usize) -> Result<Layout, Flaw> {
        if depth >= DEEPEST {
            return Err(damaged("structs are nested too deeply"));
        }
        let (name, size, align) = (self.name()?, self.number()?, self.byte()?);
        let align = 1_u32.checked_shl(align.into()).unwrap_or(u32::MAX);
        let count = u16::from_le_bytes([self.byte()?, self.byte()?]);
        // Each takes at least eight bytes, so the description bounds the number.
        let mut fields = Vec::new();
        for _ in 0..count {
            fields.push(self.field(depth)?);
        }
        Ok(Layout { name, size, align, fields })
    }

    fn field(&mut self, depth: usize) -> Result<Field, Flaw> {
        let (name, offset) = (self.name()?, self.number()?);
        let dimensions = usize::from(self.byte()?);
        if dimensions > MOST_DIMENSIONS {
            return Err(damaged("an array has too many dimensions"));
        }
        let mut counts = Vec::new();
        for _ in 0..dimensions {
            counts.push(self.number()?);
        }
        let mut shape = match self.byte()? {
            STRUCT => Shape::Struct(Box::new(self.layout(depth + 1)?)),
            code => Shape::Scalar(Scalar::of(code).ok_or_else(|| {
                Flaw::new(
                    ErrorKind::Version,
                    format!("field {name:?} is of type {code}; use a newer version"),
                )
            })?),
        };
        for count in counts.into_iter().rev() {
            if count > LARGEST {
                return Err(damaged("an array has too many elements"));
            }
            shape = Shape::Array(Box::new(shape), count);
        }
        Ok(Field { name, offset, shape })
    }
}
