//! The bugs: each is a snippet of `mutants/CRATE/FILE.toml` that replaces some lines of a product
//! file.

use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// A file of mutants: those of one product file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// The product file, relative to the root of the repository.
    file: PathBuf,
    #[serde(default)]
    mutant: Vec<Mutant>,
}

/// The crates that get the module with `planted`: they depend on no other crate that has it.
pub const ROOTS: [&str; 2] = ["crates/os/src", "crates/marshal/src"];

/// A replacement of some lines. A bug in several places has several entries of one name. Lines that
/// several bugs share have one entry, with a name that joins theirs by ` + `.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    name: String,
    /// Text of the clean file, which occurs exactly once.
    find: String,
    replace: String,
}

/// The product with all snippets applied.
#[derive(Debug, Default)]
pub struct Mutants {
    /// The product files with all bugs in them, by their paths relative to the root.
    pub files: BTreeMap<PathBuf, String>,
    /// Each bug, and the product files that it changes.
    pub names: BTreeMap<String, BTreeSet<PathBuf>>,
    /// Mismatches, each with its mutant, the product file and the remedy.
    pub misfits: Vec<String>,
}

impl Mutants {
    /// Applies every snippet below `folder` to the product below `root`, in memory.
    pub fn read(root: &Path, folder: &Path) -> Result<Self, String> {
        let mut mutants = Self::default();
        let mut tables = Vec::new();
        collect(folder, "toml", &mut tables);
        tables.sort();
        for path in &tables {
            let shown = path.strip_prefix(root).unwrap_or(path).display().to_string();
            let text = fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
            let table: Table =
                toml::from_str(&text).map_err(|error| format!("{shown}: {error}"))?;
            mutants.add(root, &shown, table);
        }
        Ok(mutants)
    }

    fn add(&mut self, root: &Path, shown: &str, table: Table) {
        let Table { file, mutant: of_file } = table;
        let named = file.display();
        let clean = match fs::read_to_string(root.join(&file)) {
            Ok(clean) => clean,
            Err(error) => {
                let what = format!("{named}: {error}; correct `file` in {shown}");
                return self.misfits.push(what);
            }
        };
        if self.files.contains_key(&file) {
            let what = format!("{named} has two files of mutants; move those of {shown}");
            return self.misfits.push(what);
        }
        let mut misfits = Vec::new();
        let mut found = Vec::new();
        for mutant in &of_file {
            for name in mutant.name.split(" + ") {
                self.names.entry(name.into()).or_default().insert(file.clone());
            }
            let wrong = mutant.misnamed().or_else(|| match matches(&clean, &mutant.find) {
                Ok(at) => {
                    found.push((at, mutant));
                    None
                }
                Err(why) => Some(why),
            });
            if let Some(why) = wrong {
                misfits
                    .push(format!("{}, {named}: {why}; edit the snippet in {shown}", mutant.name));
            }
        }
        found.sort_by_key(|(at, _)| *at);
        for pair in found.windows(2) {
            if let [(at, one), (next, other)] = pair
                && at + one.find.len() > *next
            {
                misfits.push(format!(
                    "{} and {}, {named}: the lines that they find overlap; make one snippet of them in {shown}",
                    one.name, other.name
                ));
            }
        }
        if misfits.is_empty() {
            let text = exchange(&clean, &found) + &import(&file);
            self.files.insert(file, text);
        }
        self.misfits.append(&mut misfits);
    }
}

impl Mutant {
    /// Returns why its name is not that of the bugs in it, or `None` if it is.
    fn misnamed(&self) -> Option<String> {
        let said: BTreeSet<&str> = self.name.split(" + ").collect();
        let planted: BTreeSet<&str> = planted_in(&self.replace).collect();
        if self.find == self.replace {
            return Some("it changes nothing".into());
        }
        // Lines that only support a bug planted elsewhere need no call of `planted`.
        (!planted.is_empty() && planted != said).then(|| format!("it plants {planted:?}"))
    }
}

/// Returns the names in calls of `planted`.
pub fn planted_in(text: &str) -> impl Iterator<Item = &str> {
    text.split("planted(\"").skip(1).filter_map(|rest| rest.split('"').next())
}

/// Returns the offset of the one match.
fn matches(clean: &str, find: &str) -> Result<usize, String> {
    let mut all = clean.match_indices(find).map(|(at, _)| at);
    match (all.next(), all.count()) {
        _ if find.trim().is_empty() => Err("`find` is empty".into()),
        (None, _) => Err("the file does not have what `find` says".into()),
        (Some(at), 0) => Ok(at),
        (Some(_), more) => Err(format!("the file has what `find` says {} times", more + 1)),
    }
}

fn exchange(clean: &str, found: &[(usize, &Mutant)]) -> String {
    let (mut text, mut copied) = (String::new(), 0);
    for (at, mutant) in found {
        text += clean.get(copied..*at).unwrap_or_default();
        text += &mutant.replace;
        copied = at + mutant.find.len();
    }
    text + clean.get(copied..).unwrap_or_default()
}

/// Returns the line that imports the function `planted` into a file.
fn import(file: &Path) -> String {
    let own = ROOTS.iter().any(|root| file.starts_with(root));
    let of = if own { "crate" } else { "mapvar_os" };
    format!("\n#[allow(unused_imports, reason = \"scratch\")]\nuse {of}::seeded::planted;\n")
}

/// Collects the files below a folder that have this extension, except builds.
pub fn collect(folder: &Path, extension: &str, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if entry.file_name() != "target" {
                collect(&path, extension, files);
            }
        } else if path.extension().is_some_and(|end| end == extension) {
            files.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: &str = "let one = 1;\nlet two = 2;\nlet two_more = 2;\n";

    /// Applies these mutants to [`CLEAN`]; each is a name, the text to find and its replacement.
    fn read(mutants: &[[&str; 3]]) -> Mutants {
        let dir = std::env::temp_dir().join(format!(
            "mapvar-mutants.{}.{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        let folder = dir.join("harness/seeded/mutants/mapvar");
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(dir.join("crates/mapvar/src")).unwrap();
        fs::write(dir.join("crates/mapvar/src/x.rs"), CLEAN).unwrap();
        let entries = mutants.iter().map(|[name, find, replace]| {
            let quote = "'''";
            format!(
                "\n[[mutant]]\nname = \"{name}\"\nfind = {quote}\n{find}{quote}\n\
                 replace = {quote}\n{replace}{quote}\n"
            )
        });
        let text =
            String::from("file = \"crates/mapvar/src/x.rs\"\n") + &entries.collect::<String>();
        fs::write(folder.join("x.toml"), text).unwrap();
        let mutants = Mutants::read(&dir, &folder);
        fs::remove_dir_all(&dir).unwrap();
        mutants.unwrap()
    }

    #[test]
    fn all_bugs_of_a_file_are_planted_at_once() {
        let mutants = read(&[
            ["two-wrong", "two = 2", "two = if planted(\"two-wrong\") { 3 } else { 2 }"],
            ["one-wrong", "one = 1", "one = if planted(\"one-wrong\") { 2 } else { 1 }"],
        ]);
        assert_eq!(mutants.misfits, [""; 0]);
        assert_eq!(mutants.names.len(), 2);
        let text = mutants.files.values().next().unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "let one = if planted(\"one-wrong\") { 2 } else { 1 };");
        assert_eq!(lines[1], "let two = if planted(\"two-wrong\") { 3 } else { 2 };");
        assert_eq!(lines[2], "let two_more = 2;");
        assert_eq!(lines.last().unwrap(), &"use mapvar_os::seeded::planted;");
    }

    #[test]
    fn a_snippet_that_does_not_fit_is_named_with_its_product_file() {
        for (mutants, said) in [
            (&[["gone", "let three", "planted(\"gone\")"]][..], "does not have what `find` says"),
            (&[["twice", "let two", "planted(\"twice\")"]], "has what `find` says 2 times"),
            (&[["named", "let one", "planted(\"other\")"]], "it plants {\"other\"}"),
            (&[["idle", "let one", "let one"]], "it changes nothing"),
            (
                &[
                    ["over", "one = 1;\nlet", "planted(\"over\")"],
                    ["lap", "let two =", "planted(\"lap\")"],
                ],
                "overlap",
            ),
        ] {
            let read = read(mutants);
            let [misfit] = read.misfits.as_slice() else { panic!("{:?}", read.misfits) };
            assert!(misfit.contains(said), "{misfit}");
            assert!(misfit.contains(mutants[0][0]), "{misfit}");
            assert!(misfit.contains("crates/mapvar/src/x.rs"), "{misfit}");
            assert!(misfit.contains("harness/seeded/mutants/mapvar/x.toml"), "{misfit}");
            assert!(read.files.is_empty());
        }
    }
}
