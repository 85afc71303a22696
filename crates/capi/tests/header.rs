//! The committed header equals the one that cbindgen generates from the source.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::{fs, path::Path};

/// In the order of the header.
const SOURCES: [&str; 24] = [
    "base/codes",
    "base/errors",
    "base/types",
    "maps/options",
    "maps/map",
    "value/values",
    "variable/versions",
    "variable/vars",
    "variable/fields",
    "variable/shortcuts",
    "variable/atomics",
    "variable/combine",
    "variable/transactions",
    "maps/walk",
    "maps/names",
    "wait/watch",
    "wait/until",
    "wait/locks",
    "maps/presence",
    "maps/facts",
    "gem",
    "value/marshal",
    "raw/section",
    "raw/view",
];

fn generated() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in SOURCES {
        builder = builder.with_src(root.join(format!("src/{source}.rs")));
    }
    let mut text = Vec::new();
    builder.generate().unwrap().write(&mut text);
    String::from_utf8(text).unwrap().replace("\r\n", "\n")
}

#[test]
fn the_header_has_not_drifted() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/mapvar.h");
    let generated = generated();
    if std::env::var("MAPVAR_HEADER").as_deref() == Ok("write") {
        fs::write(&path, &generated).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
    assert!(
        committed == generated,
        "include/mapvar.h is not what the source says: MAPVAR_HEADER=write cargo test -p mapvar-c"
    );
}

#[test]
fn no_source_with_functions_of_c_is_left_out() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&src).unwrap().with_extension("");
            let name = name.to_str().unwrap().replace('\\', "/");
            let exports = fs::read_to_string(&path).unwrap().contains("no_mangle");
            assert!(!exports || SOURCES.contains(&name.as_str()), "SOURCES lacks {name:?}");
        }
    }
}

#[test]
fn each_function_is_in_the_header_and_says_its_own_name() {
    let header = generated();
    let mut functions = 0;
    for source in SOURCES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/{source}.rs"));
        let text = fs::read_to_string(path).unwrap();
        for rest in text.split("extern \"C\" fn ").skip(1) {
            let name = rest.split('(').next().unwrap();
            functions += 1;
            assert!(header.contains(&format!("{name}(")), "{name} is not in the header");
            let body = rest.split("extern \"C\" fn ").next().unwrap();
            if let Some(said) = body.split("run_call(\"").nth(1) {
                assert_eq!(said.split('"').next(), Some(name));
            }
        }
    }
    assert!(!header.contains("Out<") && !header.contains("Option<"), "a type was not understood");
    assert!(functions > 150, "only {functions} were found");
    for kind in mapvar::ErrorKind::ALL {
        let mut name = String::new();
        for (at, c) in kind.name().char_indices() {
            if at > 0 && c.is_uppercase() {
                name.push('_');
            }
            name.push(c.to_ascii_uppercase());
        }
        let line = format!("#define MAPVAR_{name} {}\n", kind.number());
        assert!(header.contains(&line), "{line}");
    }
}
