//! This repository: the paths of its sources and builds, and the arguments with which cargo builds
//! the product.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// All steps use one set of features; with another set cargo would build the library again.
pub(crate) const FEATURES: &str = "--all-features";
/// The product without xtask. xtask is the running program, and the features that the other
/// packages enable in its dependencies would rebuild it, which Windows refuses while it runs.
pub(crate) const PRODUCT: [&str; 3] = ["--workspace", "--exclude", "xtask"];

pub(crate) fn root() -> &'static Path {
    // xtask's folder is directly in the repository.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Returns the folder of the workspace's builds. Everything else that is built goes into folders
/// below it.
pub(crate) fn target() -> &'static Path {
    static TARGET: OnceLock<PathBuf> = OnceLock::new();
    TARGET.get_or_init(|| match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => std::path::absolute(&folder).unwrap_or_else(|_| folder.into()),
        None => root().join("target"),
    })
}

/// Returns the manifest of the harnesses' workspace.
pub(crate) fn harness_manifest() -> PathBuf {
    root().join("harness/Cargo.toml")
}

/// Returns the folder for the builds of all harnesses; in one folder each crate is built once per
/// profile.
pub(crate) fn harness_target() -> PathBuf {
    target().join("harness")
}
