//! docs/SURFACE.md lists the public types and methods of the library, as its sources have them.

#![allow(clippy::expect_used, reason = "the helpers of a test fail by panicking too")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// The page's text before the list.
const HEAD: &str = "\
# The public surface of the library `mapvar`

Each type with the names of its methods, as the sources have them; rustdoc says what each does.
Start with `mapvar::first_steps`: one page has all that a beginner needs.
What is hidden from rustdoc is for the crates of this repository and for bindings, and does not count.
The modules `lock`, `section`, `check` and `gem` group what not every program needs; the types of `section` are those of `mapvar-os`.

A test keeps this list true: `MAPVAR_SURFACE=write cargo test -p xtask --test surface` writes it anew.

";

/// The types of `mapvar-engine` that the library exports.
const OF_ENGINE: [&str; 7] =
    ["Kind", "Version", "Check", "Finding", "Severity", "Cause", "Recover"];

/// The types of `mapvar-os` that the library exports.
const OF_OS: [&str; 13] = [
    "Access",
    "Error",
    "ErrorKind",
    "Holder",
    "Name",
    "Protection",
    "Section",
    "SectionFlags",
    "SectionOptions",
    "View",
    "ViewOptions",
    "Words",
    "WordsMut",
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Returns the type of an inherent `impl` that begins in this line.
fn inherent(line: &str) -> Option<&str> {
    let mut rest = line.strip_prefix("impl")?;
    if rest.starts_with('<') {
        let mut depth = 0;
        let end = rest.char_indices().find_map(|(at, c)| {
            depth += i32::from(c == '<') - i32::from(c == '>');
            (depth == 0).then_some(at)
        })?;
        rest = rest.get(end + 1..)?;
    }
    if rest.contains(" for ") {
        return None;
    }
    rest.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

fn surface() -> BTreeMap<String, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut types: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (krate, all) in [("mapvar", true), ("os", false), ("engine", false)] {
        for file in sources(&root.join(krate).join("src")) {
            let text = fs::read_to_string(&file).expect("a source");
            let (mut of, mut hidden) = (None, false);
            for line in text.lines() {
                if line.starts_with("impl") {
                    of = inherent(line)
                        .filter(|of| all || OF_OS.contains(of) || OF_ENGINE.contains(of));
                }
                let method =
                    ["    pub fn ", "    pub const fn ", "    pub unsafe fn ", "    pub async fn "]
                        .iter()
                        .find_map(|start| line.strip_prefix(start));
                if let (Some(of), Some(method), false) = (of, method, hidden) {
                    let name = method.split(['(', '<']).next().unwrap_or_default();
                    types.entry(of.to_owned()).or_default().insert(name.to_owned());
                }
                hidden = line.trim() == "#[doc(hidden)]" || (hidden && line.starts_with("    #["));
            }
        }
    }
    // A type that no page of the library exports is its own.
    let exports = ["lib.rs", "gem/mod.rs"]
        .map(|file| fs::read_to_string(root.join("mapvar/src").join(file)).expect("the exports"));
    let exports = exports.concat();
    let words: BTreeSet<&str> = exports.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    types.retain(|name, _| words.contains(name.as_str()));
    types
}

#[test]
fn the_page_lists_each_public_method() {
    let types = surface();
    let methods: usize = types.values().map(BTreeSet::len).sum();
    assert!(types.len() > 25 && methods > 150, "the sources were not understood: {types:?}");
    let mut page = HEAD.to_owned();
    let _ = writeln!(page, "{methods} methods on {} types.\n", types.len());
    page.push_str("| type | methods |\n| --- | --- |\n");
    for (name, methods) in &types {
        let methods: Vec<_> = methods.iter().map(|method| format!("`{method}`")).collect();
        let _ = writeln!(page, "| `{name}` | {} |", methods.join(" "));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/SURFACE.md");
    if std::env::var("MAPVAR_SURFACE").as_deref() == Ok("write") {
        fs::write(&path, &page).expect("write the page");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    assert!(
        committed == page,
        "docs/SURFACE.md is not what the sources say: MAPVAR_SURFACE=write cargo test -p xtask \
         --test surface"
    );
}
