//! One bug at a time, chosen by the environment. `cargo xtask seeded` puts this module into its
//! scratch copies of `mapvar-os` and `mapvar-marshal`; the product does not contain it.

#![allow(dead_code, reason = "a scratch tree has it though no bug of that tree asks for all of it")]

/// Returns whether this process and its children have the bug `bug`: `MAPVAR_SEEDED` names it.
#[inline]
pub fn planted(bug: &str) -> bool {
    static PLANTED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let planted = PLANTED.get_or_init(|| std::env::var("MAPVAR_SEEDED").ok());
    planted.as_deref() == Some(bug)
}

/// Returns whether a process or thread with this number lives (Linux). The product must never ask
/// this; some bugs do.
pub fn is_number_taken(number: u32) -> bool {
    std::path::Path::new("/proc").join(number.to_string()).exists()
}
