//! Bugs planted on purpose, one at a time, to prove that the harnesses of this repository find what
//! they are there for (`cargo xtask seeded`, docs/RELIABILITY.md). Not part of what the version number
//! promises.
//!
//! Without the feature `seeded` [`planted`] is the constant `false`: no build that anybody uses has
//! any of them. With it the environment variable `MAPVAR_SEEDED` names the one bug that this
//! process, and each that it starts, is to have.

/// Whether this process is to have the bug `bug`.
#[cfg(not(feature = "seeded"))]
#[inline]
pub const fn planted(_bug: &str) -> bool {
    false
}

/// Whether a process or thread of this number lives: what nothing in the product may ask, and some
/// planted bugs do (Linux).
pub fn is_number_taken(number: u32) -> bool {
    std::path::Path::new("/proc").join(number.to_string()).exists()
}

/// Whether this process is to have the bug `bug`.
#[cfg(feature = "seeded")]
#[inline]
pub fn planted(bug: &str) -> bool {
    static PLANTED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let planted = PLANTED.get_or_init(|| std::env::var("MAPVAR_SEEDED").ok());
    planted.as_deref() == Some(bug)
}
