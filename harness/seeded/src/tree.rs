//! The scratch tree: a copy of the files that the builds need, with all bugs in it. Nothing is
//! written outside of it.

use crate::mutants::{Mutants, ROOTS};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// The files of the repository that the builds need.
const NEEDED: [&str; 10] = [
    ".cargo",
    "Cargo.lock",
    "Cargo.toml",
    "README.md",
    "ci",
    "crates",
    "docs",
    "harness",
    "rust-toolchain.toml",
    "xtask",
];
/// The declaration of the module with `planted`.
const DECLARATION: &str = "\npub mod seeded;\n";

/// Updates the tree to the present state of the repository, with the bugs. It writes only files
/// that differ, so that cargo rebuilds only those, and removes files that the repository no longer
/// has.
pub fn lay_out(root: &Path, mutants: &Mutants, tree: &Path) -> Result<(), String> {
    let with_context = |path: &Path| {
        let path = path.display().to_string();
        move |error: io::Error| format!("scratch tree: {path}: {error}")
    };
    let mut sources = BTreeMap::new();
    for name in NEEDED {
        files(&root.join(name), Path::new(name), &mut sources)
            .map_err(with_context(&root.join(name)))?;
    }
    let mut made: BTreeMap<PathBuf, String> = mutants.files.clone();
    for crate_root in ROOTS {
        plant_module(root, Path::new(crate_root), &mut made)
            .map_err(with_context(Path::new(crate_root)))?;
    }

    let mut left = BTreeMap::new();
    for name in NEEDED {
        files(&tree.join(name), Path::new(name), &mut left).map_err(with_context(tree))?;
    }
    for (path, old) in &left {
        if !sources.contains_key(path) && !made.contains_key(path) {
            fs::remove_file(old).map_err(with_context(old))?;
        }
    }
    for (path, source) in &sources {
        if !made.contains_key(path) {
            let bytes = fs::read(source).map_err(with_context(source))?;
            let to = tree.join(path);
            write(&to, &bytes).map_err(with_context(&to))?;
            // Scripts stay executable.
            let rights = fs::metadata(source).map_err(with_context(source))?.permissions();
            fs::set_permissions(&to, rights).map_err(with_context(&to))?;
        }
    }
    for (path, text) in made {
        let to = tree.join(path);
        write(&to, text.as_bytes()).map_err(with_context(&to))?;
    }
    Ok(())
}

/// Adds the module with `planted` to the generated files of a crate.
fn plant_module(
    root: &Path,
    sources: &Path,
    made: &mut BTreeMap<PathBuf, String>,
) -> io::Result<()> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("planted.rs");
    made.insert(sources.join("seeded.rs"), fs::read_to_string(module)?);
    let library = sources.join("lib.rs");
    let lib = match made.remove(&library) {
        Some(mutated) => mutated,
        None => fs::read_to_string(root.join(&library))?,
    };
    let declared = lib.contains(DECLARATION.trim());
    made.insert(library, lib + if declared { "" } else { DECLARATION });
    Ok(())
}

fn write(to: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(to, bytes)
}

/// Collects the file `at`, or all files below it except builds and hidden ones, by their paths
/// relative to the root.
fn files(at: &Path, path: &Path, all: &mut BTreeMap<PathBuf, PathBuf>) -> io::Result<()> {
    if at.is_dir() {
        for entry in fs::read_dir(at)? {
            let name = entry?.file_name();
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                files(&at.join(&name), &path.join(&name), all)?;
            }
        }
    } else if at.exists() {
        all.insert(path.into(), at.into());
    }
    Ok(())
}
