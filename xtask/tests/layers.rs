//! The layers of the workspace. Dependencies point one way (`rustix | libc | windows-sys ->
//! mapvar-os -> mapvar-engine -> mapvar -> the leaves`, and `mapvar-marshal -> mapvar`). The sources
//! keep the borders that a manifest cannot show: which code may contain `unsafe`, and which may name
//! the operating system.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of a test fail by panicking too"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The crates that call an operating system, and (OS) the one crate that may use them.
const SYSTEM: [&str; 3] = ["rustix", "libc", "windows-sys"];
const OS: &str = "mapvar-os";
/// The engine; only the library and the engine's own simulator depend on it.
const ENGINE: &str = "mapvar-engine";
const SIM: &str = "mapvar-engine-sim";
/// The codec of Ruby's Marshal, which depends on no other crate of the workspace.
const MARSHAL: &str = "mapvar-marshal";
const LIBRARY: &str = "mapvar";
/// The macro that the library exports; nothing else depends on it.
const DERIVE: &str = "mapvar-derive";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn dependencies_point_one_way() {
    if cfg!(windows) && std::env::var_os("WINEPREFIX").is_some() {
        eprintln!("skipped: there is no cargo under Wine to ask; the same test runs on Linux");
        return;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        // --no-deps lists what the manifests declare, for every target, without resolving anything.
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo metadata starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");

    let packages = metadata["packages"].as_array().expect("a list of packages");
    let names: Vec<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    for expected in
        [OS, MARSHAL, ENGINE, SIM, DERIVE, LIBRARY, "mapvar-cli", "mapvar-c", "mapvar-bridge"]
    {
        assert!(
            names.contains(&expected),
            "{expected} is not a member of the workspace: {names:?}"
        );
    }

    let mut wrong = Vec::new();
    for package in packages {
        let from = package["name"].as_str().expect("a package has a name");
        for dependency in package["dependencies"].as_array().expect("a list of dependencies") {
            // Dependencies for tests and build scripts count as well: a test that bypasses a layer
            // is the first thing to break when the layer changes.
            let to = dependency["name"].as_str().expect("a dependency has a name");
            if let Some(rule) = broken_rule(from, to, &names) {
                wrong.push(format!("{from} -> {to}: {rule}"));
            }
        }
    }
    assert!(wrong.is_empty(), "the layers are broken:\n{}", wrong.join("\n"));
}

/// Returns the rule that a dependency of `from` on `to` would break.
fn broken_rule(from: &str, to: &str, members: &[&str]) -> Option<&'static str> {
    if SYSTEM.contains(&to) {
        // The command passes signals on to the programs that it runs, by rustix: `src/system`.
        let signals = from == "mapvar-cli" && to == "rustix";
        (from != OS && !signals).then_some("only mapvar-os speaks to the operating system")
    } else if to == OS {
        (![ENGINE, SIM, LIBRARY].contains(&from))
            .then_some("only the engine and mapvar stand on mapvar-os")
    } else if from == OS && members.contains(&to) {
        Some("mapvar-os stands on no other crate of the workspace")
    } else if from == MARSHAL && members.contains(&to) {
        Some("mapvar-marshal stands on no other crate of the workspace")
    } else if to == MARSHAL {
        (from != LIBRARY).then_some("only mapvar stands on mapvar-marshal")
    } else if to == ENGINE {
        (![SIM, LIBRARY].contains(&from)).then_some("only mapvar stands on mapvar-engine")
    } else if from == ENGINE && members.contains(&to) {
        Some("mapvar-engine stands on mapvar-os alone")
    } else if to == DERIVE {
        (from != LIBRARY).then_some("mapvar exports what mapvar-derive defines")
    } else if from == DERIVE && members.contains(&to) {
        Some("mapvar-derive stands on no other crate of the workspace")
    } else if to != LIBRARY && members.contains(&to) {
        Some("leaves never depend on each other, and nothing depends on a leaf")
    } else {
        None
    }
}

#[test]
fn the_rules_find_what_they_forbid() {
    let members = [OS, MARSHAL, ENGINE, SIM, DERIVE, LIBRARY, "mapvar-cli", "mapvar-c"];
    let broken = |from, to| broken_rule(from, to, &members).is_some();
    for system in SYSTEM {
        assert!(!broken(OS, system));
        assert!(broken(LIBRARY, system) && broken("mapvar-c", system));
        assert_eq!(broken("mapvar-cli", system), system != "rustix");
    }
    assert!(
        !broken(LIBRARY, OS) && !broken("mapvar-cli", LIBRARY) && !broken("mapvar-cli", "clap")
    );
    assert!(!broken(ENGINE, OS) && !broken(LIBRARY, ENGINE) && !broken(SIM, ENGINE));
    assert!(!broken(LIBRARY, MARSHAL) && broken("mapvar-cli", MARSHAL) && broken(ENGINE, MARSHAL));
    assert!(broken(MARSHAL, OS) && broken(MARSHAL, LIBRARY) && broken(MARSHAL, "libc"));
    assert!(!broken(LIBRARY, DERIVE) && broken("mapvar-cli", DERIVE) && broken(DERIVE, LIBRARY));
    assert!(broken("mapvar-cli", OS) && broken(OS, LIBRARY) && broken(OS, ENGINE));
    assert!(broken("mapvar-cli", ENGINE) && broken(ENGINE, LIBRARY) && broken(LIBRARY, SIM));
    assert!(broken("mapvar-cli", "mapvar-c") && broken(LIBRARY, "mapvar-cli"));
}

#[test]
fn unsafe_stays_in_mapvar_os() {
    for file in [
        "crates/marshal/src/lib.rs",
        "crates/engine/src/lib.rs",
        "crates/engine-sim/src/lib.rs",
        "crates/derive/src/lib.rs",
        "crates/mapvar/src/lib.rs",
        "crates/cli/src/main.rs",
        "crates/bridge/src/lib.rs",
        "crates/bridge/src/main.rs",
    ] {
        let code = code_of(&root().join(file));
        assert!(code.contains("#![forbid(unsafe_code)]"), "{file}: no #![forbid(unsafe_code)]");
    }
}

#[test]
fn the_os_is_named_in_its_folders() {
    let border = root().join("crates/os/src/sys");
    let of_the_command = root().join("crates/cli/src/system");
    let mut wrong = Vec::new();
    let mut seen_below_the_border = 0;
    for krate in
        ["os", "marshal", "engine", "engine-sim", "derive", "mapvar", "cli", "capi", "bridge"]
    {
        for file in sources(&root().join("crates").join(krate).join("src")) {
            let found = os_conditions(&code_of(&file));
            if file.starts_with(&border) {
                seen_below_the_border += found.len();
            } else if !file.starts_with(&of_the_command) {
                wrong.extend(found.iter().map(|c| format!("{}: {c}", file.display())));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "the OS is named outside crates/os/src/sys and crates/cli/src/system:\n{}",
        wrong.join("\n")
    );
    assert!(seen_below_the_border > 0, "the search finds nothing where there must be something");
}

#[test]
fn the_search_finds_conditions_however_they_are_written() {
    let found = |code: &str| !os_conditions(&without_comments(code)).is_empty();
    for name in
        ["unix", "windows", "not(windows)", "target_os = \"linux\"", "target_family = \"x\""]
    {
        assert!(found(&format!("#[cfg({name})]")), "{name}");
        assert!(found(&format!("#![cfg_attr(all(test, {name}), path = \"x\")]")), "{name}");
        assert!(found(&format!("if cfg!(any(\n    {name},\n)) {{}}")), "{name}");
        assert!(!found(&format!("/// As `#[cfg({name})]` does.")), "{name}");
    }
    for innocent in ["#[cfg(test)]\nfn windows() {}", "#[cfg(loom)]", "let cfg = (unix, windows);"]
    {
        assert!(!found(innocent), "{innocent}");
    }
}

/// Returns every Rust file below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("an entry of a folder").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

fn code_of(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    without_comments(&text)
}

/// Removes comments, which may name what code may not. (It also cuts a `//` in a string, which
/// hides nothing here.)
fn without_comments(text: &str) -> String {
    text.lines().map(|l| l.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// Returns the `cfg(...)`, `cfg!(...)` and `cfg_attr(...)` that test for the operating system.
fn os_conditions(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for opener in ["cfg(", "cfg!(", "cfg_attr("] {
        for (at, _) in code.match_indices(opener) {
            let condition = balanced(&code[at..]);
            let mut words = condition.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            if words.any(|w| ["unix", "windows", "target_os", "target_family"].contains(&w)) {
                found.push(condition.split_whitespace().collect::<Vec<_>>().join(" "));
            }
        }
    }
    found
}

/// Returns the text up to the bracket that closes its first one.
fn balanced(text: &str) -> &str {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => {
                depth -= 1;
                if depth == 0 {
                    return &text[..=at];
                }
            }
            _ => {}
        }
    }
    text
}
