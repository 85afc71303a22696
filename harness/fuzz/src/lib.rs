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

/// The decoders of the library above the engine; the targets pass every value that they read to
/// them.
pub(crate) const DECODER: mapvar_engine_sim::operations::Decoder =
    mapvar_engine_sim::operations::Decoder {
        is_message_pack: mapvar_harness::is_message_pack,
        decode: mapvar_harness::decodes,
    };
