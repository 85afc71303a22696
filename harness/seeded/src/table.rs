//! The table, `bugs.txt`, and whether it is of the bugs that the sources have.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
};

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Bug {
    pub name: String,
    /// What is run, as [`crate::suite::Suite`] reads it.
    pub command: String,
    /// The output must have one of these.
    pub sentences: Vec<Sentence>,
    /// What the bug is.
    pub what: String,
    /// Whether the short run has it.
    pub short: bool,
}

/// What an oracle says, in one line of the output; `*` stands for whatever it has there.
#[derive(Clone, Debug)]
pub struct Sentence(String);

impl Sentence {
    /// Whether a line has it.
    pub fn is_in(&self, line: &str) -> bool {
        let mut rest = Some(line);
        for part in self.0.split('*') {
            rest = rest.and_then(|rest| rest.split_once(part)).map(|(_, after)| after);
        }
        rest.is_some()
    }

    /// Whether it says no more than that something failed, as any other failure does too.
    fn says_nothing(&self) -> bool {
        let words = self.0.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '\'');
        words.filter(|word| word.chars().any(|c| c.is_lowercase() || c.is_numeric())).count() < 2
            && !self.0.contains('_')
    }
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads the table; what is wrong with a line is an error.
pub fn read(path: &Path) -> Result<Vec<Bug>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut bugs: Vec<Bug> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let (fields, short) = match fields.as_slice() {
            [fields @ .., "short"] => (fields, true),
            fields => (fields, false),
        };
        let [name, command, sentences, what] = fields else {
            return Err(format!("line {}: name | command | sentences | what it is", number + 1));
        };
        let bug = Bug {
            name: (*name).into(),
            command: (*command).into(),
            sentences: sentences.split(" or ").map(|it| Sentence(it.trim().into())).collect(),
            what: (*what).into(),
            short,
        };
        if bug.name.is_empty() || bug.command.is_empty() || bug.what.is_empty() {
            return Err(format!("line {}: an empty field", number + 1));
        }
        if let Some(sentence) = bug.sentences.iter().find(|it| it.says_nothing()) {
            return Err(format!("line {}: {sentence} is said of any failure", number + 1));
        }
        if bugs.iter().any(|other| other.name == bug.name && other.command == bug.command) {
            return Err(format!("line {}: {} is there twice", number + 1, bug.name));
        }
        bugs.push(bug);
    }
    Ok(bugs)
}

/// What does not fit: a bug of the table that is planted nowhere, or twice; one that is planted and
/// in no line.
pub fn misfits(root: &Path, bugs: &[Bug]) -> Vec<String> {
    let planted = planted(root);
    let mut misfits = Vec::new();
    for (at, bug) in bugs.iter().enumerate() {
        // Planted once, it may be for two harnesses.
        if bugs.iter().take(at).any(|other| other.name == bug.name) {
            continue;
        }
        match planted.get(&bug.name).map(Vec::as_slice) {
            None => misfits.push(format!("{} is planted nowhere", bug.name)),
            Some([_]) => {}
            // The same mistake on two systems.
            Some(places) if of_different_systems(places) => {}
            Some(places) => misfits.push(format!("{} is planted twice: {places:?}", bug.name)),
        }
    }
    for (name, places) in &planted {
        if !bugs.iter().any(|bug| bug.name == *name) {
            misfits.push(format!("{name} has no line in bugs.txt: planted in {places:?}"));
        }
    }
    misfits
}

fn of_different_systems(places: &[PathBuf]) -> bool {
    let system = |path: &PathBuf| {
        let mut parts = path.components().skip_while(|part| part.as_os_str() != "sys").skip(1);
        parts.next().map(|part| part.as_os_str().to_owned())
    };
    let mut systems: Vec<_> = places.iter().filter_map(system).collect();
    systems.sort();
    systems.dedup();
    systems.len() == places.len()
}

/// Names of planted bugs, with the files that have them: `planted("name")`, and `Fault = "name"` in
/// the list of the engine's, if `Fault` is asked for.
fn planted(root: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in ["crates", "harness"] {
        rust_files(&root.join(folder), &mut files);
    }
    let mut planted: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let mut asked = String::new();
    for (path, text) in &files {
        // Not this file, which has the words for what it seeks.
        if path.ends_with("harness/seeded/src/table.rs") {
            continue;
        }
        let short = path.strip_prefix(root).unwrap_or(path);
        for part in text.split("planted(\"").skip(1) {
            if let Some((name, _)) = part.split_once('"') {
                let places = planted.entry(name.into()).or_default();
                // One mistake may take two lines.
                if places.last().is_none_or(|last| last != short) {
                    places.push(short.into());
                }
            }
        }
        if path.starts_with(root.join("crates")) {
            asked += text;
        }
    }
    let list = files.iter().find(|(path, _)| path.ends_with("crates/mapvar/src/mem.rs"));
    let list = list.map_or("", |(_, text)| text.as_str());
    let list = list.split("\nfaults! {").nth(1).and_then(|list| list.split("\n}").next());
    for line in list.unwrap_or_default().lines() {
        let Some((fault, name)) = line.trim().split_once(" = ") else { continue };
        let is_asked = asked
            .split(&format!("Fault::{fault}"))
            .skip(1)
            .any(|rest| !rest.starts_with(|next: char| next.is_alphanumeric()));
        if is_asked {
            let name = name.trim_matches(['"', ',']);
            planted.entry(name.into()).or_default().push("crates/mapvar/src/mem.rs".into());
        }
    }
    planted
}

fn rust_files(folder: &Path, files: &mut Vec<(PathBuf, String)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if entry.file_name() != "target" {
                rust_files(&path, files);
            }
        } else if path.extension().is_some_and(|end| end == "rs")
            && let Ok(text) = fs::read_to_string(&path)
        {
            files.push((path, text));
        }
    }
}
