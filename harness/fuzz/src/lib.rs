//! mapvar under hostile bytes, lying loads, failing platforms and a peer that scribbles.

pub mod bytes;
pub mod driver;
pub mod files;
pub mod guard;
pub mod loads;
pub mod marshal;
pub mod random;
pub mod regions;
#[cfg(target_os = "linux")]
pub mod scribble;
pub mod sequences;
/// Ruby's Marshal as the library implements it, compiled from the library's sources, since the
/// library does not export it.
#[path = "../../../crates/mapvar/src/gem/marshal/mod.rs"]
#[allow(
    clippy::all,
    clippy::pedantic,
    dead_code,
    unused_imports,
    reason = "the library's own lints hold there"
)]
mod marshal_source;
/// The values that it reads and writes.
#[path = "../../../crates/mapvar/src/value/mod.rs"]
#[allow(clippy::all, clippy::pedantic, dead_code, reason = "as above")]
mod value;

use value::Value;

/// The decoders of the library above the engine; the targets pass every value that they read to
/// them.
pub(crate) const DECODER: mapvar_engine_sim::operations::Decoder =
    mapvar_engine_sim::operations::Decoder {
        is_message_pack: mapvar_harness::is_message_pack,
        decode: mapvar_harness::decodes,
    };
