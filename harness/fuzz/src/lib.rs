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

/// The library above the engine, which the targets hand every value to that they read.
pub(crate) const DECODER: mapvar_engine_sim::operations::Decoder =
    mapvar_engine_sim::operations::Decoder {
        is_message_pack: mapvar_harness::is_message_pack,
        decode: mapvar_harness::decodes,
    };
