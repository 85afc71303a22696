//! Sections of shared memory, views of them, and locks that survive the death of their owner: the
//! layer between [mapvar](https://docs.rs/mapvar) and the operating system.
//!
//! No other crate of the project calls the operating system directly. Apart from the C interface,
//! this is the only crate in which `unsafe` is allowed. Its safe functions stay safe whatever other
//! processes do to the memory. They expose a range as atomic words ([`Words`], [`WordsMut`]) or
//! copy it within bounds ([`View::read_at`], [`View::write_at`]), never as `&[u8]` or `&T`. A
//! truncated file or an unbacked page is an error of the view, not the end of the process
//! ([`faults`]).
//!
//! | type | meaning |
//! | --- | --- |
//! | [`Section`] | an object of the operating system: a file, named memory, or anonymous memory |
//! | [`View`] | a range of a section, mapped into this process |
//! | [`Words`] | a range of a view as 64-bit atomic words, for reading; [`WordsMut`] writes too |
//! | [`Seat`] | a numbered registration of a process; the kernel frees it when the process ends |
//! | [`Locks`] | acquires 32-bit lock words in a view, and recovers those of dead owners |
//!
//! ```
//! use mapvar_os::{Name, Section};
//!
//! let name = Name::new(&format!("mapvar-os-doc.{}", std::process::id()))?;
//! let ours = Section::options().name(name.clone()).size(4096).create()?;
//! let view = ours.view().map()?;
//! view.write_at(0, b"hello")?;
//!
//! // Another process opens the section by its name in the same way.
//! let theirs = Section::options().name(name).open()?;
//! let mut bytes = [0; 5];
//! theirs.view().map()?.read_at(0, &mut bytes)?;
//! assert_eq!(&bytes, b"hello");
//! # Ok::<(), mapvar_os::Error>(())
//! ```
//!
//! Each operating system has one folder in `src/sys`, and implements one contract, the trait
//! `sys::Platform`. Other targets compile against a stub that fails with
//! [`ErrorKind::Unsupported`].

// From the bottom layer to the top: a module uses only the modules before it.
mod error;
mod name;
mod options;
mod memory;
mod spec;
mod sys;
mod native_name;
pub mod machine;
mod section;

pub use error::{Error, ErrorKind, Holder, Result};
pub use memory::faults;
pub use memory::words::{Words, WordsMut};
pub use name::{Name, Scope};
pub use options::{Access, Protection, SectionFlags, SectionOptions};
pub use section::handle::{Attach, Attachment, Section};
pub use section::lock::{Grip, Locks};
pub use section::ruby::{RubyGiven, RubyHeld, RubyLock};
pub use section::seat::{Seat, Seats};
pub use section::spot::{Here, HereMut, Spot};
pub use section::view::{View, ViewOptions};
pub use spec::{Origin, Refused, SectionId, Taken};
