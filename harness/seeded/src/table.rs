//! The table, `bugs.txt`, and a check that it lists the bugs that the snippets plant.

use crate::mutants::{Mutants, collect};
use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
};

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Bug {
    pub name: String,
    /// The command, as [`crate::suite::Suite`] parses it.
    pub command: String,
    /// The output must contain one of these.
    pub sentences: Vec<Sentence>,
    /// A description of the bug.
    pub what: String,
    /// Whether the short run includes it.
    pub short: bool,
}

/// A report of an oracle, in one line of the output; `*` stands for any text.
#[derive(Clone, Debug)]
pub struct Sentence(String);

impl Sentence {
    /// Returns whether a line contains the sentence.
    pub fn is_in(&self, line: &str) -> bool {
        let mut rest = Some(line);
        for part in self.0.split('*') {
            rest = rest.and_then(|rest| rest.split_once(part)).map(|(_, after)| after);
        }
        rest.is_some()
    }

    /// Returns whether it only reports that something failed, as any other failure does too.
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

/// Reads the table; fails at an invalid line.
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

/// Returns all mismatches: a bug of the table that no snippet plants, a planted bug without a line,
/// and bugs in the sources themselves.
pub fn misfits(root: &Path, bugs: &[Bug], mutants: &Mutants) -> Vec<String> {
    let mut misfits = mutants.misfits.clone();
    let known: BTreeSet<&str> = bugs.iter().map(|bug| bug.name.as_str()).collect();
    for name in &known {
        if !mutants.names.contains_key(*name) {
            misfits.push(format!(
                "{name} is in bugs.txt and no snippet plants it; add one in harness/seeded/mutants, or remove its lines"
            ));
        }
    }
    for (name, files) in &mutants.names {
        if !known.contains(name.as_str()) {
            misfits.push(format!(
                "{name}, {files:?}: no line in bugs.txt says what catches it; add one, or remove the snippet in \
                 harness/seeded/mutants"
            ));
        }
    }
    misfits.extend(in_the_product(root));
    misfits
}

/// Returns errors for product sources that plant bugs themselves.
fn in_the_product(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join("crates")).into_iter().flatten().flatten() {
        collect(&entry.path().join("src"), "rs", &mut files);
    }
    files.sort();
    let plants = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|it| it.contains("planted("));
    let of_it = files.iter().filter(|path| plants(path)).map(|path| {
        let path = path.strip_prefix(root).unwrap_or(path).display();
        format!("{path} has `planted(`; move the bug to a snippet in harness/seeded/mutants")
    });
    of_it.collect()
}
