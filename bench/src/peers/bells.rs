//! Ways to wake another process, one file each.

mod futex;
mod streamed;
mod watched;

pub use {futex::Futex, streamed::Streamed, watched::Watched};
