//! What a line of the table runs: a harness, or a test of the workspace; both built with the feature
//! `seeded`, in a target folder of their own.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What is built once and run for several bugs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Suite {
    /// For Windows, under Wine.
    pub wine: bool,
    pub of: Of,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    /// The package in `harness/NAME`; `NAME/PROGRAM` where it has several.
    Harness(String),
    /// A test of the workspace: `os:contract`, or `mapvar:lib` for those within the crate.
    Test(String, String),
}

/// Environment variables.
pub type Settings = Vec<(String, String)>;

/// A program that was built.
#[derive(Clone, Debug)]
pub struct Built {
    program: PathBuf,
    /// Where it is run.
    folder: PathBuf,
}

impl Suite {
    /// Splits a command of the table in its suite, the settings for it, and the arguments, which may
    /// be in quotes.
    fn parse(command: &str) -> Result<(Self, Settings, Vec<String>), String> {
        let mut words = words(command).into_iter().peekable();
        let mut settings = Settings::new();
        while let Some((name, value)) = words.peek().and_then(|word| word.split_once('=')) {
            settings.push((name.into(), value.into()));
            words.next();
        }
        let wine = words.next_if(|word| word == "wine").is_some();
        let first = words.next().ok_or_else(|| format!("{command:?} names no harness"))?;
        let of = match first.split_once(':') {
            Some((package, test)) => Of::Test(package.into(), test.into()),
            None => Of::Harness(first),
        };
        Ok((Self { wine, of }, settings, words.collect()))
    }

    pub fn name(&self) -> String {
        let wine = if self.wine { "wine " } else { "" };
        match &self.of {
            Of::Harness(name) => format!("{wine}{name}"),
            Of::Test(package, test) => format!("{wine}{package}:{test}"),
        }
    }

    /// The call of cargo that builds it.
    fn cargo(&self, root: &Path) -> Command {
        let mut cargo = if self.wine {
            Command::new(root.join("ci/windows"))
        } else {
            Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        };
        match &self.of {
            Of::Harness(name) => {
                let (folder, program) = name.split_once('/').unwrap_or((name, ""));
                let manifest = root.join("harness").join(folder).join("Cargo.toml");
                cargo.args(["build", "--release", "--features", "seeded", "--manifest-path"]);
                cargo.arg(manifest);
                if !program.is_empty() {
                    cargo.args(["--bin", program]);
                }
            }
            Of::Test(package, test) => {
                let package = package_of(package);
                cargo.args(["test", "--no-run", "--package", &package, "--features"]);
                cargo.arg(format!("{package}/seeded"));
                if test == "lib" {
                    cargo.arg("--lib");
                } else {
                    cargo.args(["--test", test]);
                }
            }
        }
        cargo.args(["--locked", "--message-format=json-render-diagnostics"]);
        cargo.current_dir(root).stdin(Stdio::null()).stderr(Stdio::inherit());
        cargo.env_remove("MAPVAR_SEEDED");
        cargo
    }

    /// Builds it. `Err(None)`: this machine cannot, which was said.
    pub fn build(&self, root: &Path) -> Result<Built, Option<String>> {
        let name = self.name();
        let output = self.cargo(root).output().map_err(|error| Some(format!("{name}: {error}")))?;
        if output.status.code() == Some(77) && self.wine {
            return Err(None);
        }
        if !output.status.success() {
            return Err(Some(format!("{name} cannot be built")));
        }
        // The last program that cargo tells of: those of dependencies come before it.
        let program = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|told| told.get("executable")?.as_str().map(PathBuf::from))
            .next_back()
            .ok_or_else(|| Some(format!("{name} has no program")))?;
        let folder = match &self.of {
            Of::Harness(_) => root.into(),
            Of::Test(package, _) => root.join("crates").join(package),
        };
        Ok(Built { program, folder })
    }

    /// Whether a run that found no test is a mistake of the table.
    pub fn is_test(&self) -> bool {
        matches!(self.of, Of::Test(..))
    }
}

impl Built {
    pub fn command(&self, root: &Path, job: &Job) -> Command {
        let Job { suite, settings, args, .. } = job;
        let mut command = if suite.wine {
            let mut command = Command::new("wine");
            command.arg(&self.program);
            // As ci/windows has it.
            if std::env::var_os("WINEPREFIX").is_none() {
                command.env("WINEPREFIX", root.join("target/wine"));
            }
            if std::env::var_os("WINEDEBUG").is_none() {
                command.env("WINEDEBUG", "-all");
            }
            command
        } else {
            Command::new(&self.program)
        };
        command.args(args).current_dir(&self.folder).stdin(Stdio::null());
        command.env("CARGO_MANIFEST_DIR", &self.folder).env("RUST_BACKTRACE", "0");
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        command.env_remove("MAPVAR_SEEDED");
        command
    }
}

/// A command of the table.
#[derive(Clone, Debug)]
pub struct Job {
    pub command: String,
    pub suite: Suite,
    settings: Settings,
    args: Vec<String>,
}

impl Job {
    pub fn parse(command: &str) -> Result<Self, String> {
        let (suite, settings, args) = Suite::parse(command)?;
        Ok(Self { command: command.into(), suite, settings, args })
    }
}

/// The programs of some suites, and what could not be built.
#[derive(Debug, Default)]
pub struct Programs {
    pub built: BTreeMap<Suite, Built>,
    pub skipped: Vec<String>,
    pub failed: Vec<String>,
}

impl Programs {
    pub fn build(root: &Path, suites: impl IntoIterator<Item = Suite>) -> Self {
        let mut programs = Self::default();
        for suite in suites {
            if programs.built.contains_key(&suite) {
                continue;
            }
            println!("building {}", suite.name());
            match suite.build(root) {
                Ok(built) => {
                    programs.built.insert(suite, built);
                }
                Err(None) => programs.skipped.push(suite.name()),
                Err(Some(what)) => programs.failed.push(what),
            }
        }
        programs
    }
}

fn package_of(name: &str) -> String {
    if name == "mapvar" { name.into() } else { format!("mapvar-{name}") }
}

/// Words, those in double quotes whole.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in line.split('"').enumerate() {
        if number % 2 == 1 {
            words.push(part.into());
        } else {
            words.extend(part.split_whitespace().map(String::from));
        }
    }
    words
}
