//! The layers within the library: a module imports only those that stand before it in the list of
//! `lib.rs`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use std::{collections::HashMap, fs, path::Path};

#[test]
fn a_module_imports_only_those_before_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let list = fs::read_to_string(source.join("lib.rs")).unwrap();
    let modules: Vec<&str> =
        list.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';')).collect();
    assert!(modules.len() > 10, "the list was not found");
    let place: HashMap<&str, usize> = modules.iter().enumerate().map(|(at, m)| (*m, at)).collect();
    // What the root re-exports counts as the module that it comes from.
    let mut exported = HashMap::new();
    for line in list.split("pub use ").skip(1) {
        let statement = line.split(';').next().unwrap();
        let Some((module, names)) = statement.split_once("::") else { continue };
        for name in names.split(|c: char| !c.is_alphanumeric()).filter(|name| !name.is_empty()) {
            exported.entry(name).or_insert(module);
        }
    }
    for module in &modules {
        let text = fs::read_to_string(source.join(format!("{module}.rs"))).unwrap();
        let code = text.split("\n#[cfg(test)]\nmod tests").next().unwrap();
        for import in code.split("\nuse crate::").skip(1) {
            let import = import.split(';').next().unwrap();
            for word in import.split(|c: char| !(c.is_alphanumeric() || c == '_')) {
                let of = place.get(word).or_else(|| place.get(exported.get(word)?));
                if let Some(of) = of {
                    assert!(
                        *of < place[module],
                        "{module}.rs imports {word}, which stands after it"
                    );
                }
            }
        }
    }
}
