//! This repository: where it and its builds lie, and with which words cargo builds the product.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// One set of features in all steps: with another one cargo would build the library again.
pub(crate) const FEATURES: &str = "--all-features";
/// What is built of the product without xtask. xtask is what runs, and the features that the others
/// give to its dependencies would make it another program, which Windows cannot put in its place.
pub(crate) const PRODUCT: [&str; 3] = ["--workspace", "--exclude", "xtask"];

pub(crate) fn root() -> &'static Path {
    // xtask lies directly in the repository.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The folder of the workspace's builds. Everything else that is built lies in folders below it.
pub(crate) fn target() -> &'static Path {
    static TARGET: OnceLock<PathBuf> = OnceLock::new();
    TARGET.get_or_init(|| match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => std::path::absolute(&folder).unwrap_or_else(|_| folder.into()),
        None => root().join("target"),
    })
}

/// The workspace of the harnesses.
pub(crate) fn harness_manifest() -> PathBuf {
    root().join("harness/Cargo.toml")
}

/// One folder for the builds of all harnesses, so that each crate is built once in each profile.
pub(crate) fn harness_target() -> PathBuf {
    target().join("harness")
}
