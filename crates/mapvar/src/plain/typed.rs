//! Structs that are stored by their fields, as their program has them.

use super::shape::{Layout, Scalar, Shape};

/// A struct of numbers, `bool`s, arrays and other plain structs, which a map stores as its bytes.
///
/// `#[derive(mapvar::Plain)]` (feature `derive`) implements it for a struct with named fields and
/// `#[repr(C)]`. The offsets are those of C on a machine of 64 bits, on every machine, and the bytes
/// are little-endian. The space between fields is stored as zeros.
///
/// [`Map::plain`](crate::Map::plain) returns a handle to a variable of such a type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no plain struct",
    note = "write `#[derive(mapvar::Plain)]` and `#[repr(C)]` before it"
)]
pub trait Plain: Sized {
    /// The size of a stored value in bytes.
    const SIZE: usize;
    /// The alignment, as C has it.
    const ALIGN: usize;
    /// The bytes of a stored value: an array of [`SIZE`](Self::SIZE) bytes.
    type Bytes: AsRef<[u8]> + AsMut<[u8]>;

    /// Returns bytes of zeros.
    fn zeroed() -> Self::Bytes;
    /// Returns the layout.
    fn layout() -> Layout;
    /// Writes the fields. Bytes between them stay as they are.
    fn write(&self, to: &mut [u8]);
    /// Whether each `bool` is 0 or 1.
    fn is_valid(from: &[u8]) -> bool;
    /// Reads the fields.
    fn read(from: &[u8]) -> Self;
}

/// The type of a field of a [`Plain`] struct: an integer of 8 to 64 bits, `f32`, `f64`, `bool`, an
/// array of such, or a plain struct.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of a plain struct",
    label = "no plain type",
    note = "a field is an integer of 8 to 64 bits, f32, f64, bool, an array of these, or a struct \
            that derives `mapvar::Plain`; `usize` and `isize` have another size on other machines"
)]
pub trait PlainField: Sized {
    /// The size in bytes.
    const SIZE: usize;
    /// The alignment, as C has it.
    const ALIGN: usize;

    /// Returns the type.
    fn shape() -> Shape;
    /// Writes the value.
    fn write(&self, to: &mut [u8]);
    /// Whether each `bool` is 0 or 1.
    fn is_valid(from: &[u8]) -> bool;
    /// Reads the value.
    fn read(from: &[u8]) -> Self;
}

macro_rules! numbers {
    ($($type:ty => $scalar:ident,)*) => {$(
        impl PlainField for $type {
            const SIZE: usize = size_of::<$type>();
            // Not `align_of`, which is smaller for 64 bits on some machines of 32.
            const ALIGN: usize = size_of::<$type>();

            fn shape() -> Shape {
                Shape::Scalar(Scalar::$scalar)
            }

            #[inline]
            fn write(&self, to: &mut [u8]) {
                if let Some(to) = to.first_chunk_mut() {
                    *to = self.to_le_bytes();
                }
            }

            #[inline]
            fn is_valid(_: &[u8]) -> bool {
                true
            }

            #[inline]
            fn read(from: &[u8]) -> Self {
                from.first_chunk().map_or_else(Self::default, |from| Self::from_le_bytes(*from))
            }
        }
    )*};
}

numbers! {
    i8 => I8, i16 => I16, i32 => I32, i64 => I64,
    u8 => U8, u16 => U16, u32 => U32, u64 => U64,
    f32 => F32, f64 => F64,
}

impl PlainField for bool {
    const SIZE: usize = 1;
    const ALIGN: usize = 1;

    fn shape() -> Shape {
        Shape::Scalar(Scalar::Bool)
    }

    #[inline]
    fn write(&self, to: &mut [u8]) {
        PlainField::write(&u8::from(*self), to);
    }

    #[inline]
    fn is_valid(from: &[u8]) -> bool {
        <u8 as PlainField>::read(from) <= 1
    }

    #[inline]
    fn read(from: &[u8]) -> Self {
        <u8 as PlainField>::read(from) == 1
    }
}

impl<F: PlainField, const N: usize> PlainField for [F; N] {
    const SIZE: usize = F::SIZE * N;
    const ALIGN: usize = F::ALIGN;

    fn shape() -> Shape {
        Shape::Array(Box::new(F::shape()), u32::try_from(N).unwrap_or(u32::MAX))
    }

    #[inline]
    fn write(&self, to: &mut [u8]) {
        for (value, to) in self.iter().zip(to.chunks_exact_mut(F::SIZE)) {
            value.write(to);
        }
    }

    #[inline]
    fn is_valid(from: &[u8]) -> bool {
        from.chunks_exact(F::SIZE).all(F::is_valid)
    }

    #[inline]
    fn read(from: &[u8]) -> Self {
        std::array::from_fn(|at| F::read(part(from, at * F::SIZE, F::SIZE)))
    }
}

impl<T: Plain> PlainField for T {
    const SIZE: usize = <T as Plain>::SIZE;
    const ALIGN: usize = <T as Plain>::ALIGN;

    fn shape() -> Shape {
        Shape::Struct(Box::new(T::layout()))
    }

    #[inline]
    fn write(&self, to: &mut [u8]) {
        Plain::write(self, to);
    }

    #[inline]
    fn is_valid(from: &[u8]) -> bool {
        <T as Plain>::is_valid(from)
    }

    #[inline]
    fn read(from: &[u8]) -> Self {
        <T as Plain>::read(from)
    }
}

/// The bytes of a field; with a constant place in an array the compiler removes the check.
#[doc(hidden)]
#[inline]
pub fn part(from: &[u8], at: usize, len: usize) -> &[u8] {
    from.get(at..at + len).unwrap_or(&[])
}

/// As [`part`], to write.
#[doc(hidden)]
#[inline]
pub fn part_mut(to: &mut [u8], at: usize, len: usize) -> &mut [u8] {
    to.get_mut(at..at + len).unwrap_or(&mut [])
}

/// Returns the next multiple of an alignment.
#[doc(hidden)]
pub const fn aligned(at: usize, align: usize) -> usize {
    at.next_multiple_of(align)
}

/// Returns the larger number.
#[doc(hidden)]
pub const fn larger(one: usize, two: usize) -> usize {
    if one > two { one } else { two }
}
