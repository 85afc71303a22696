//! The modules of every crate, and of xtask, have one order: a module uses only those that are
//! declared above it. The test reads paths (`use` lines and all others) and method calls. So it
//! also finds an `impl` block that calls a method of a later file without importing anything.
//!
//! The nodes are files. A folder's `mod.rs` may be below its children or above them, but like every
//! file it must be in no circle. The test ignores names that it cannot resolve: a method whose name
//! several files define, a lower crate, or the standard library.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of a test fail by panicking too"
)]

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

const CRATES: [&str; 8] =
    ["os", "marshal", "engine", "engine-sim", "mapvar", "cli", "capi", "bridge"];

/// Methods that the standard library has too, so that a call does not identify a file.
const OF_STD: &[&str] = &[
    "all",
    "and",
    "any",
    "as_bytes",
    "as_fd",
    "as_mut",
    "as_ptr",
    "as_ref",
    "as_slice",
    "as_str",
    "by_ref",
    "chain",
    "clear",
    "clone",
    "close",
    "cmp",
    "collect",
    "contains",
    "copied",
    "count",
    "drop",
    "entry",
    "eq",
    "extend",
    "fetch_add",
    "fetch_and",
    "fetch_or",
    "fill",
    "filter",
    "find",
    "flush",
    "fmt",
    "from",
    "get",
    "get_mut",
    "get_or_insert_with",
    "hash",
    "index",
    "insert",
    "into",
    "into_inner",
    "is_empty",
    "is_none",
    "is_some",
    "iter",
    "join",
    "keys",
    "kind",
    "last",
    "left",
    "len",
    "line",
    "lines",
    "load",
    "lock",
    "map",
    "max",
    "min",
    "name",
    "new",
    "next",
    "nth",
    "ok",
    "open",
    "parse",
    "path",
    "peek",
    "poll",
    "pop",
    "position",
    "push",
    "read",
    "remove",
    "replace",
    "reserve",
    "rev",
    "run",
    "set",
    "skip",
    "sort",
    "split",
    "start",
    "store",
    "swap",
    "sync",
    "take",
    "then",
    "to_owned",
    "to_string",
    "trim",
    "truncate",
    "try_lock",
    "unlock",
    "unwrap",
    "update",
    "values",
    "wait",
    "wait_timeout",
    "wake",
    "words",
    "write",
    "write_at",
    "read_at",
    "zip",
    "spawn",
    "size",
    "create",
    "copy_to",
    "copy_from",
    "file",
    "fence",
    "state",
    "detail",
    "version",
    "park",
    "owner",
    "at",
    "end",
    "own",
    "stop",
    "held",
    "word",
    "bytes",
    "code",
    "value",
    "text",
    "tail",
    "pid",
    "id",
    "live",
    "release",
    "of",
];

#[test]
fn a_module_uses_only_those_declared_before_it() {
    let mut wrong = Vec::new();
    // The call may also mean a method of a lower crate.
    let mut below = BTreeSet::new();
    for name in CRATES {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates").join(name).join("src");
        let mut tree = Tree::read(&root);
        let own: Vec<_> = tree.methods.keys().cloned().collect();
        tree.methods.retain(|method, _| !below.contains(method));
        below.extend(own);
        assert!(tree.files.len() > 3, "{name}: the sources were not found");
        wrong.extend(tree.faults().into_iter().map(|fault| format!("{name}: {fault}")));
    }
    // xtask is independent of the crates, and uses none of them.
    let xtask = Tree::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(xtask.files.len() > 3, "xtask: the sources were not found");
    wrong.extend(xtask.faults().into_iter().map(|fault| format!("xtask: {fault}")));
    assert!(wrong.is_empty(), "modules that go the wrong way:\n{}", wrong.join("\n"));
}

#[test]
fn what_goes_the_wrong_way_is_found() {
    let tree = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned()));
        Tree::of(files.collect())
    };
    let lib = "mod low; mod high;";
    let low = "pub struct Low; impl Low { pub fn climb_down(&self) {} }";
    let faults = |low: &str, high: &str| {
        tree(&[("lib.rs", lib), ("low.rs", low), ("high.rs", high)]).faults().len()
    };
    let high = "use crate::low::Low; impl Low { pub fn fly_high(&self) { self.climb_down(); } }";
    assert_eq!(faults(low, high), 0);
    // The wrong use may be an import, a path without one, or a method of a type that both files
    // know.
    assert_ne!(faults("use crate::high::High; pub struct Low;", "pub struct High;"), 0);
    assert_ne!(faults("fn f() { crate::high::g(); }", "pub fn g() {}"), 0);
    let calls = "pub struct Low; impl Low { pub fn climb_down(&self) { self.fly_high(); } }";
    assert_ne!(faults(calls, "use crate::low::Low; impl Low { pub fn fly_high(&self) {} }"), 0);
    // It may also be a method whose name the standard library has, if the type calls it on `self`.
    let reads = "pub struct Low;\nimpl Low { pub fn climb_down(&self) { self.read(); } }";
    assert_ne!(faults(reads, "use crate::low::Low;\nimpl Low { pub fn read(&self) {} }"), 0);
    // Tests and comments do not count.
    assert_eq!(
        faults(
            "// crate::high::g()\n#[cfg(test)]\nmod tests { use crate::high::g; }",
            "pub fn g() {}"
        ),
        0
    );
    // Also within a folder, and through a name that the root re-exports.
    let nested = |inner: &str| {
        tree(&[
            ("lib.rs", "mod low; mod folder; pub use folder::two::Two;"),
            ("low.rs", inner),
            ("folder/mod.rs", "pub mod one; pub mod two;"),
            ("folder/one.rs", "pub struct One;"),
            ("folder/two.rs", "use super::one::One; pub struct Two(One);"),
        ])
        .faults()
        .len()
    };
    assert_eq!(nested("pub struct Low;"), 0);
    assert_ne!(nested("use crate::Two; pub struct Low(Two);"), 0);
}

/// A module's path: its names from the root on.
type Module = Vec<String>;

/// The sources of a crate.
struct Tree {
    /// Text of each module without comments, strings and tests.
    files: BTreeMap<Module, String>,
    /// The order in which a module declares its children.
    children: HashMap<Module, Vec<String>>,
    /// The module that a re-exported name comes from (`pub use`).
    handed_on: HashMap<(Module, String), Module>,
    /// The one file that defines a method of this name; `None` if there are several.
    methods: HashMap<String, Option<Module>>,
    /// The file that defines a method of a type, by the names of both.
    of_type: HashMap<(String, String), Module>,
}

impl Tree {
    fn read(root: &Path) -> Self {
        let mut files = Vec::new();
        read_folder(root, root, &mut files);
        Self::of(files)
    }

    fn of(sources: Vec<(PathBuf, String)>) -> Self {
        let mut tree = Self {
            files: BTreeMap::new(),
            children: HashMap::new(),
            handed_on: HashMap::new(),
            methods: HashMap::new(),
            of_type: HashMap::new(),
        };
        for (path, text) in sources {
            let mut module: Module = path
                .with_extension("")
                .iter()
                .map(|part| part.to_string_lossy().into_owned())
                .collect();
            if module.iter().any(|part| part == "tests") {
                continue;
            }
            if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
                module.pop();
            }
            let code = code_of(&text);
            tree.children.insert(module.clone(), declared(&code));
            tree.files.insert(module, code);
        }
        for (module, code) in &tree.files {
            for method in methods_of(&without_trait_impls(code)) {
                let of = tree.methods.entry(method).or_insert_with(|| Some(module.clone()));
                if of.as_ref() != Some(module) {
                    *of = None;
                }
            }
        }
        for (module, code) in &tree.files {
            for (of, block) in impls_of(code) {
                for method in methods_of(block) {
                    tree.of_type.insert((of.clone(), method), module.clone());
                }
            }
        }
        let mut handed_on = HashMap::new();
        for (module, code) in &tree.files {
            for (public, path) in uses_of(code) {
                let Some(name) = path.last().cloned().filter(|_| public) else { continue };
                if let Some(of) = tree.resolve(module, &path) {
                    handed_on.insert((module.clone(), name), of);
                }
            }
        }
        tree.handed_on = handed_on;
        tree
    }

    /// Returns the file that a path leads to, as seen from `module`.
    fn resolve(&self, module: &Module, path: &[String]) -> Option<Module> {
        let mut at = match path.first()?.as_str() {
            "crate" => Module::new(),
            "self" => module.clone(),
            "super" => module[..module.len().checked_sub(1)?].to_vec(),
            first if self.children.get(module)?.iter().any(|child| child == first) => {
                let mut at = module.clone();
                at.push(first.into());
                at
            }
            _ => return None,
        };
        for (number, part) in path.iter().enumerate().skip(1) {
            if part == "super" {
                at.pop()?;
                continue;
            }
            let mut next = at.clone();
            next.push(part.clone());
            if self.files.contains_key(&next) {
                at = next;
            } else if let Some(of) = self.handed_on.get(&(at.clone(), part.clone())) {
                return Some(of.clone());
            } else {
                let _ = number;
                break;
            }
        }
        Some(at)
    }

    /// Returns which files each file uses, and by which word.
    fn edges(&self) -> BTreeMap<Module, BTreeMap<Module, String>> {
        let mut edges: BTreeMap<Module, BTreeMap<Module, String>> = BTreeMap::new();
        for (module, code) in &self.files {
            let mut add = |to: Option<Module>, by: String| {
                if let Some(to) = to.filter(|to| to != module && !to.is_empty()) {
                    edges.entry(module.clone()).or_default().entry(to).or_insert(by);
                }
            };
            for (public, path) in uses_of(code) {
                // A re-export is not a use.
                let hands_on = public && self.is_above(module, &path);
                if !hands_on {
                    add(self.resolve(module, &path), path.join("::"));
                }
            }
            for path in paths_of(code) {
                add(self.resolve(module, &path), path.join("::"));
            }
            if module.is_empty() {
                continue;
            }
            // A call on `self` means the type's own method, even if other types have one of that
            // name.
            for (of, block) in impls_of(code) {
                for method in calls_of(block, true) {
                    let file = self.of_type.get(&(of.clone(), method.clone()));
                    add(file.cloned(), format!("self.{method}()"));
                }
            }
            for method in calls_of(code, false) {
                if !OF_STD.contains(&method.as_str())
                    && let Some(Some(of)) = self.methods.get(&method)
                {
                    add(Some(of.clone()), format!(".{method}()"));
                }
            }
        }
        edges
    }

    /// Returns whether the path leads into the module's own children.
    fn is_above(&self, module: &Module, path: &[String]) -> bool {
        self.resolve(module, path)
            .is_some_and(|to| to.len() > module.len() && to.starts_with(module))
    }

    fn faults(&self) -> Vec<String> {
        let edges = self.edges();
        let mut faults = Vec::new();
        for (from, tos) in &edges {
            for (to, by) in tos {
                if !self.may(from, to) {
                    faults.push(format!("{} uses {} ({by})", from.join("/"), to.join("/")));
                }
            }
        }
        for circle in circles(&edges) {
            let within = |name: &Module| circle.contains(&name.join("/"));
            let arrows = edges.iter().filter(|(from, _)| within(from)).flat_map(|(from, tos)| {
                let inner = tos.iter().filter(|(to, _)| within(to));
                inner.map(|(to, by)| format!("{} -> {} ({by})", from.join("/"), to.join("/")))
            });
            faults.push(format!("a circle: {}", arrows.collect::<Vec<_>>().join(", ")));
        }
        faults
    }

    /// Returns whether the order of declarations lets `from` use `to`.
    fn may(&self, from: &Module, to: &Module) -> bool {
        let same = from.iter().zip(to).take_while(|(one, other)| one == other).count();
        let (Some(mine), Some(theirs)) = (from.get(same), to.get(same)) else {
            // A folder's own file and one within it have no order, but they must not form a circle.
            return true;
        };
        let order = &self.children[&from[..same]];
        let place = |name: &String| order.iter().position(|child| child == name);
        match (place(mine), place(theirs)) {
            (Some(mine), Some(theirs)) => theirs < mine,
            // One of several alternatives for the same module (`path = "..."`).
            _ => true,
        }
    }
}

/// Returns the groups of files in which each file reaches all others.
fn circles(edges: &BTreeMap<Module, BTreeMap<Module, String>>) -> Vec<Vec<String>> {
    let reach = |from: &Module| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(next) = open.pop() {
            for to in edges.get(&next).into_iter().flat_map(BTreeMap::keys) {
                if seen.insert(to.clone()) {
                    open.push(to.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<Module, BTreeSet<Module>> =
        edges.keys().map(|from| (from.clone(), reach(from))).collect();
    let mut groups = BTreeSet::new();
    for (module, seen) in &reached {
        if seen.contains(module) {
            let back = |other: &&Module| reached.get(*other).is_some_and(|it| it.contains(module));
            groups.insert(seen.iter().filter(back).map(|it| it.join("/")).collect::<Vec<_>>());
        }
    }
    groups.into_iter().collect()
}

fn read_folder(root: &Path, folder: &Path, files: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("an entry of a folder").path();
        if path.is_dir() {
            read_folder(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source can be read");
            files.push((path.strip_prefix(root).expect("within").into(), text));
        }
    }
}

/// Returns the text without comments, without the content of strings, and only up to its tests.
fn code_of(text: &str) -> String {
    let text = text.split("\n#[cfg(test)]").next().unwrap_or_default();
    let mut code = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '/' if chars.peek() == Some(&'/') => {
                while chars.peek().is_some_and(|next| *next != '\n') {
                    chars.next();
                }
            }
            '"' => {
                while let Some(next) = chars.next() {
                    match next {
                        '\\' => drop(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
                code.push_str("\"\"");
            }
            '\'' if chars.clone().nth(1) == Some('\'') => {
                chars.next();
                chars.next();
            }
            _ => code.push(c),
        }
    }
    code
}

fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + code[at..].find(is_word)?;
        let len = code[start..].find(|c| !is_word(c)).unwrap_or(code.len() - start);
        at = start + len;
        Some((start, &code[start..at]))
    })
}

/// Returns the modules that a file declares, in order.
fn declared(code: &str) -> Vec<String> {
    let all: Vec<_> = words(code).collect();
    all.windows(2)
        .filter(|pair| pair[0].1 == "mod" && code[pair[1].0 + pair[1].1.len()..].starts_with(';'))
        .map(|pair| pair[1].1.to_owned())
        .collect()
}

/// Returns the methods that a file defines: functions with a receiver.
fn methods_of(code: &str) -> Vec<String> {
    let all: Vec<_> = words(code).collect();
    let receiver = |rest: &str| {
        let Some((_, rest)) = rest.split_once('(') else { return false };
        let first = rest.split([',', ')']).next().unwrap_or_default();
        words(first).any(|(_, word)| word == "self")
    };
    all.windows(2)
        .filter(|pair| pair[0].1 == "fn" && receiver(&code[pair[1].0..]))
        .map(|pair| pair[1].1.to_owned())
        .collect()
}

/// Returns the methods that are called, on any value or only on `self`.
fn calls_of(code: &str, of_self: bool) -> BTreeSet<String> {
    words(code)
        .filter(|(at, word)| {
            let called = code[at + word.len()..].starts_with(['(', ':']);
            let before = code[..*at].trim_end().strip_suffix('.');
            let receiver = |it: &str| it.trim_end().ends_with("self");
            called && before.is_some_and(|before| !of_self || receiver(before))
        })
        .map(|(_, word)| word.to_owned())
        .collect()
}

/// Returns the code without trait implementations, whose methods belong to the trait.
fn without_trait_impls(code: &str) -> String {
    let mut rest = code.to_owned();
    for (_, block) in impls_of(code) {
        let before = code[..block.as_ptr() as usize - code.as_ptr() as usize].trim_end();
        let head = before.rsplit("\nimpl").next().unwrap_or_default();
        if head.contains(" for ") {
            rest = rest.replacen(block, "", 1);
        }
    }
    rest
}

/// Returns the `impl` blocks, each with the name of its type.
fn impls_of(code: &str) -> Vec<(String, &str)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("\nimpl") {
        let Some(open) = code[at..].find('{').map(|open| at + open) else { continue };
        let head = &code[at + 5..open];
        // Without parameters, and without a trait.
        let mut level = 0_i32;
        let plain: String = head
            .chars()
            .filter(|c| {
                level += i32::from(*c == '<') - i32::from(*c == '>');
                level == 0 && *c != '>'
            })
            .collect();
        let of = plain.split(" for ").last().unwrap_or_default();
        let Some((_, name)) = words(of).next() else { continue };
        let mut depth = 0_i32;
        let close = code[open..].char_indices().find(|(_, c)| {
            depth += i32::from(*c == '{') - i32::from(*c == '}');
            depth == 0
        });
        if let Some((len, _)) = close {
            found.push((name.to_owned(), &code[open..open + len]));
        }
    }
    found
}

/// Returns the paths of `use` lines, split up; and whether they are public.
fn uses_of(code: &str) -> Vec<(bool, Vec<String>)> {
    let mut found = Vec::new();
    for (at, word) in words(code) {
        let statement = &code[at + word.len()..];
        if word != "use" || !statement.starts_with(' ') {
            continue;
        }
        let before = code[..at].trim_end();
        let line = before.rsplit(['\n', ';', '{', '}']).next().unwrap_or_default();
        let public = line.contains("pub");
        let tree = statement.split(';').next().unwrap_or_default();
        take_apart(&mut Vec::new(), tree, &mut |path| found.push((public, path)));
    }
    found
}

fn take_apart(before: &mut Vec<String>, tree: &str, found: &mut impl FnMut(Vec<String>)) {
    let tree = tree.trim();
    let (path, group) = match tree.find('{') {
        Some(at) => (&tree[..at], Some(&tree[at + 1..tree.rfind('}').unwrap_or(tree.len())])),
        None => (tree, None),
    };
    let path = path.split(" as ").next().unwrap_or_default();
    let parts: Vec<String> =
        path.split("::").map(str::trim).filter(|it| !it.is_empty()).map(String::from).collect();
    let depth = before.len();
    before.extend(parts);
    match group {
        None => {
            if before.last().is_some_and(|last| last == "self") && before.len() > 1 {
                before.pop();
            }
            found(before.clone());
        }
        Some(group) => {
            let (mut level, mut from) = (0, 0);
            for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
                match c {
                    '{' => level += 1,
                    '}' => level -= 1,
                    ',' if level == 0 => {
                        if !group[from..at].trim().is_empty() {
                            take_apart(before, &group[from..at], found);
                        }
                        from = at + 1;
                    }
                    _ => {}
                }
            }
        }
    }
    before.truncate(depth);
}

/// Returns the paths in the code that begin with `crate`, `super`, `self` or a child's name.
fn paths_of(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, word) in words(code) {
        let first = !code[..at].ends_with(':') && code[at + word.len()..].starts_with("::");
        let rooted = ["crate", "super", "self"].contains(&word);
        // A path that begins with a child's name is a use of it, unless it is part of a `use` line.
        if !first || !rooted && is_within_use(&code[..at]) {
            continue;
        }
        let path: String = code[at..]
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':')
            .collect();
        // `uses_of` splits up a group.
        if !path.ends_with(':') {
            found.push(path.split("::").filter(|it| !it.is_empty()).map(String::from).collect());
        }
    }
    found
}

/// Returns whether the text that follows `before` belongs to a `use` line.
fn is_within_use(before: &str) -> bool {
    let start = before.rfind([';', '{', '}']).map_or(0, |at| at + 1);
    let opened = before[..start].strip_suffix('{').unwrap_or_default().trim_end();
    opened.ends_with("::")
        || opened.ends_with(" use")
        || before[start..].split_whitespace().any(|word| word == "use")
}
