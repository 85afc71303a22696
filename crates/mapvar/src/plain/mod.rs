//! Plain structs: their layouts, how a layout is described in a map, and how the fields of a value
//! are read and written by a layout alone.
//!
//! ```
//! # #[cfg(feature = "derive")] {
//! # let name = format!("doc-plain.{}", std::process::id());
//! # let map = mapvar::Map::options().name(&name).create()?;
//! #[derive(mapvar::Plain, Clone, Copy, Debug, PartialEq)]
//! #[repr(C)]
//! struct Car {
//!     rpm: f32,
//!     gear: i8,
//!     wheels: [f32; 4],
//! }
//!
//! let car = map.plain::<Car>("car")?;
//! car.set(Car { rpm: 900.0, gear: 1, wheels: [0.0; 4] })?;
//! assert_eq!(car.get()?.gear, 1);
//! assert_eq!(car.field::<f32>("rpm")?.get()?, 900.0);
//! // Every program reads the fields by their names, without the type.
//! assert_eq!(map.get_field("car", "gear")?, mapvar::Value::from(1));
//! # }
//! # Ok::<(), mapvar::Error>(())
//! ```

mod shape;
mod wire;
mod typed;
mod dict;
mod fill;
mod captured;
mod published;

pub(crate) use captured::{Captured, other};
pub(crate) use dict::{dict, part_of};
pub(crate) use fill::{fill, fill_struct};
pub(crate) use published::{Found, Layouts, PREFIX, description_of, name_of};
pub(crate) use shape::Flaw;
pub(crate) use wire::{description, number};

pub use shape::{Field, Layout, Scalar, Shape};
pub use typed::{Plain, PlainField};
#[doc(hidden)]
pub use typed::{aligned, larger, part, part_mut};

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by a panic")]
mod tests;
