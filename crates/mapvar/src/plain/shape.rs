//! The layout of a plain struct: the names, types and offsets of its fields.

use mapvar_os::{Error, ErrorKind};
use std::{collections::HashSet, fmt};

/// The type of a field that is no struct and no array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum Scalar {
    /// A byte, 0 or 1.
    Bool = 1,
    /// An integer of this type; so are the following.
    I8 = 2,
    /// See [`I8`](Self::I8).
    I16 = 3,
    /// See [`I8`](Self::I8).
    I32 = 4,
    /// See [`I8`](Self::I8).
    I64 = 5,
    /// See [`I8`](Self::I8).
    U8 = 6,
    /// See [`I8`](Self::I8).
    U16 = 7,
    /// See [`I8`](Self::I8).
    U32 = 8,
    /// See [`I8`](Self::I8).
    U64 = 9,
    /// A floating-point number of 32 bits.
    F32 = 10,
    /// A floating-point number of 64 bits.
    F64 = 11,
}

impl Scalar {
    const ALL: [Self; 11] = [
        Self::Bool,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::F32,
        Self::F64,
    ];

    pub(super) fn of(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|scalar| *scalar as u8 == code)
    }

    /// Returns the size in bytes.
    #[doc(hidden)]
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }
}

/// The type of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// A number or a `bool`.
    Scalar(Scalar),
    /// So many elements of one type.
    Array(Box<Shape>, u32),
    /// Another plain struct.
    Struct(Box<Layout>),
}

impl Shape {
    /// Returns the size in bytes.
    pub fn size(&self) -> usize {
        match self {
            Self::Scalar(scalar) => scalar.size(),
            Self::Array(element, count) => element.size().saturating_mul(*count as usize),
            Self::Struct(layout) => layout.size(),
        }
    }
}

/// A field of a plain struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub(super) name: String,
    pub(super) offset: u32,
    pub(super) shape: Shape,
}

impl Field {
    #[doc(hidden)]
    pub fn new(name: &str, offset: usize, shape: Shape) -> Self {
        Self { name: name.into(), offset: u32::try_from(offset).unwrap_or(u32::MAX), shape }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the offset within the struct, in bytes.
    pub fn offset(&self) -> usize {
        self.offset as usize
    }

    /// Returns the type.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }
}

/// The layout of a plain struct, as [`Plain`](super::Plain) has it and a map describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub(super) name: String,
    pub(super) size: u32,
    pub(super) align: u32,
    pub(super) fields: Vec<Field>,
}

impl Layout {
    #[doc(hidden)]
    pub fn new(name: &str, size: usize, align: usize, fields: Vec<Field>) -> Self {
        let number = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Self { name: name.into(), size: number(size), align: number(align), fields }
    }

    /// Returns the name of the type.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the size in bytes.
    pub fn size(&self) -> usize {
        self.size as usize
    }

    /// Returns the fields, in the order of their offsets.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Finds a part by its path: names of fields and indices of elements, as in `wheels.2.speed`.
    /// Returns its offset and type.
    pub(crate) fn find(&self, path: &str) -> Result<(usize, &Shape), Flaw> {
        let unknown = |what: String| Flaw::new(ErrorKind::NotFound, what);
        let (mut offset, mut shape): (usize, Option<&Shape>) = (0, None);
        for part in path.split('.') {
            let layout = match shape {
                None => self,
                Some(Shape::Struct(layout)) => layout,
                Some(Shape::Array(element, count)) => {
                    let index = part.parse::<u32>().ok().filter(|index| index < count);
                    // One spelling for each element.
                    let index = index.filter(|index| index.to_string() == part);
                    let Some(index) = index else {
                        return Err(unknown(format!(
                            "{part:?} in {path:?} is no index of an array of {count}; the first is \
                             0"
                        )));
                    };
                    offset += element.size() * index as usize;
                    shape = Some(element);
                    continue;
                }
                Some(Shape::Scalar(scalar)) => {
                    return Err(unknown(format!(
                        "{part:?} in {path:?} is a field of a {}, which has none",
                        scalar.name()
                    )));
                }
            };
            let Some(field) = layout.fields.iter().find(|field| field.name == part) else {
                return Err(unknown(format!("no field {part:?}; it is {layout}")));
            };
            offset += field.offset();
            shape = Some(&field.shape);
        }
        let shape = shape.ok_or_else(|| unknown("no field of this name".into()))?;
        Ok((offset, shape))
    }

    /// Describes the first difference from `other`.
    pub(crate) fn difference(&self, other: &Self) -> String {
        if self.name != other.name {
            return format!("the names are {:?} and {:?}", self.name, other.name);
        }
        for (one, two) in self.fields.iter().zip(&other.fields) {
            if one == two {
                continue;
            }
            if let (Shape::Struct(inner), Shape::Struct(others)) = (&one.shape, &two.shape)
                && (&one.name, one.offset) == (&two.name, two.offset)
            {
                return format!("in field {:?} {}", one.name, inner.difference(others));
            }
            let of = |field: &Field| {
                format!("{:?} of type {} at byte {}", field.name, field.shape, field.offset)
            };
            return format!("one has field {}, the other {}", of(one), of(two));
        }
        format!(
            "one has {} fields and {} bytes, the other {} and {}",
            self.fields.len(),
            self.size,
            other.fields.len(),
            other.size
        )
    }

    /// Checks all that a description can say wrongly.
    pub(super) fn check(&self) -> Result<(), Flaw> {
        self.check_within(0, &mut 0)
    }

    fn check_within(&self, depth: usize, count: &mut usize) -> Result<(), Flaw> {
        let wrong =
            |what: String| Flaw::new(ErrorKind::Corrupt, format!("layout {:?}: {what}", self.name));
        if depth >= DEEPEST {
            return Err(wrong(format!("structs are nested deeper than {DEEPEST} levels")));
        }
        if !is_name(&self.name) {
            return Err(wrong("the name is not one of a struct".into()));
        }
        if self.size == 0 || self.size > LARGEST {
            return Err(wrong(format!("{} bytes are not 1 to {LARGEST}", self.size)));
        }
        if !self.align.is_power_of_two() || self.align > LARGEST {
            return Err(wrong(format!("an alignment of {} is none", self.align)));
        }
        *count += self.fields.len();
        if self.fields.is_empty() || *count > MOST_FIELDS {
            return Err(wrong(format!("it has not 1 to {MOST_FIELDS} fields")));
        }
        let mut end = 0;
        let mut names = HashSet::new();
        for Field { name, offset, shape } in &self.fields {
            if !is_name(name) || name.contains('.') {
                return Err(wrong(format!("{name:?} is no name of a field")));
            }
            if !names.insert(name) {
                return Err(wrong(format!("it has field {name:?} twice")));
            }
            if (*offset as usize) < end {
                return Err(wrong(format!("field {name:?} overlaps the one before")));
            }
            let mut inner = shape;
            let mut dimensions = 0;
            while let Shape::Array(element, count) = inner {
                dimensions += 1;
                if *count == 0 || dimensions > MOST_DIMENSIONS {
                    return Err(wrong(format!(
                        "array {name:?} has no elements, or more than {MOST_DIMENSIONS} dimensions"
                    )));
                }
                inner = element;
            }
            if let Shape::Struct(layout) = inner {
                layout.check_within(depth + 1, count)?;
            }
            end = (*offset as usize).saturating_add(shape.size());
            if end > self.size as usize {
                return Err(wrong(format!("field {name:?} ends beyond the {} bytes", self.size)));
            }
        }
        Ok(())
    }
}

/// The most levels of structs within structs.
pub(super) const DEEPEST: usize = 16;
/// The most dimensions of an array.
pub(super) const MOST_DIMENSIONS: usize = 8;
/// The most fields, those of nested structs included.
pub(super) const MOST_FIELDS: usize = 4096;
/// The largest struct, in bytes.
pub(super) const LARGEST: u32 = 1 << 20;

fn is_name(name: &str) -> bool {
    (1..=255).contains(&name.len()) && !name.contains(char::is_control)
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(scalar) => f.write_str(scalar.name()),
            Self::Array(element, count) => write!(f, "[{element}; {count}]"),
            Self::Struct(layout) => write!(f, "{layout}"),
        }
    }
}

/// As the struct is written in Rust.
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {{ ", self.name)?;
        for (at, field) in self.fields.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            // A message with all fields of a large struct would hide what it is about.
            if at == 16 {
                write!(f, "{comma}and {} more", self.fields.len() - at)?;
                break;
            }
            write!(f, "{comma}{}: {}", field.name, field.shape)?;
        }
        f.write_str(" }")
    }
}

/// Why a layout or a value of it is of no use. It can be kept, where an [`Error`] cannot be cloned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) kind: ErrorKind,
    pub(crate) detail: String,
}

impl Flaw {
    #[cold]
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// Whether no version of this library can use it. What a later version wrote is no damage, nor
    /// is what is too long for a dictionary.
    pub(crate) fn is_damage(&self) -> bool {
        self.kind == ErrorKind::Corrupt
    }
}

impl From<Flaw> for Error {
    fn from(flaw: Flaw) -> Self {
        Error::new(flaw.kind, "decode a value", "").detail(flaw.detail)
    }
}
