//! The operating system's side of [mapvar](https://docs.rs/mapvar): sections, views of
//! them, and locks that survive the death of their holder.
//!
//! This is the only crate of the project that talks to the operating system and the only one in
//! which `unsafe` is allowed. What it hands upward is safe whatever other processes do to the
//! memory: a range of it is seen as atomic words ([`Words`], [`WordsMut`]) or copied in and out
//! within bounds ([`View::read_at`], [`View::write_at`]), never as `&[u8]` or `&T`. Memory that goes
//! away under its users is an error and not the end of the process ([`faults`]).
//!
//! | noun | is |
//! | --- | --- |
//! | [`Section`] | the system's object: a file, a named piece of page-file memory, or an anonymous one |
//! | [`View`] | a range of a section, mapped into this process |
//! | [`Words`] | a range of a view as 64-bit atomic words, for reading; [`WordsMut`] for writing too |
//! | [`Seat`] | a process's place among those who use a section, free when it is gone |
//! | [`Locks`] | takes 32-bit lock words in a view, and takes them over from the dead |
//!
//! ```
//! use mapvar_os::{Name, Section};
//!
//! let name = Name::new(&format!("mapvar-os-doc.{}", std::process::id()))?;
//! let ours = Section::options().name(name.clone()).size(4096).create()?;
//! let view = ours.view().map()?;
//! view.write_at(0, b"hello")?;
//!
//! // Another process would do the same.
//! let theirs = Section::options().name(name).open()?;
//! let mut bytes = [0; 5];
//! theirs.view().map()?.read_at(0, &mut bytes)?;
//! assert_eq!(&bytes, b"hello");
//! # Ok::<(), mapvar_os::Error>(())
//! ```
//!
//! Where the code for an operating system lives: `src/sys`, one folder each, chosen in one place
//! and held to one contract, the trait `sys::Platform`. Other targets compile against a stub that
//! answers [`ErrorKind::Unsupported`].

// From the bottom to the top: a module uses only those before it.
mod error;
mod name;
mod options;
mod memory;
mod spec;
mod sys;
mod native_name;
/// Facts about this machine and process.
pub mod machine;
mod section;

pub use error::{Error, ErrorKind, Holder, Result};
pub use memory::faults;
pub use memory::words::{Words, WordsMut};
pub use name::{Name, Scope};
pub use options::{Access, Protection, SectionFlags, SectionOptions};
pub use section::handle::{Attachment, Section};
pub use section::lock::Locks;
pub use section::ruby::{RubyGiven, RubyHeld, RubyLock};
pub use section::seat::Seat;
pub use section::view::{View, ViewOptions};
pub use spec::{Origin, Refused, SectionId, Taken};
