//! The program of a line of the table: a harness, or a test of the workspace. Both are built from
//! the scratch tree, in a target folder of their own.

use crate::places::{Places, Temporary, wine_prefix};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A program that is built once and run for several bugs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Suite {
    pub how: How,
    pub of: Of,
}

/// How it is built and run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    Native,
    /// For Windows, under Wine.
    Wine,
    /// Natively, with a second build of the same for Windows, passed to it as `--wine`.
    WithWine,
    /// Natively, with a second build of the same under `AddressSanitizer`, passed to it as
    /// `--victim`.
    Sanitized,
}

impl How {
    const ALL: [Self; 4] = [Self::Native, Self::Wine, Self::WithWine, Self::Sanitized];

    /// The word before a harness.
    fn word(self) -> &'static str {
        match self {
            Self::Native => "",
            Self::Wine => "wine",
            Self::WithWine => "with-wine",
            Self::Sanitized => "sanitized",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    /// The package `mapvar-NAME` of `harness/`.
    Harness(String),
    /// A test of the workspace: `os:contract`, or `mapvar:lib` for the tests within the crate.
    Test(String, String),
}

/// Environment variables.
pub type Settings = Vec<(String, String)>;

/// A built program.
#[derive(Clone, Debug)]
pub struct Built {
    program: PathBuf,
    /// The second build, and the option that passes it.
    second: Option<(&'static str, PathBuf)>,
    wine: bool,
    /// Wine's folder, if it is not the common one.
    prefix: Option<PathBuf>,
    /// The working directory.
    folder: PathBuf,
}

impl Suite {
    /// Splits a command of the table into its suite, the settings for it, and the arguments, which
    /// may be in quotes.
    fn parse(command: &str) -> Result<(Self, Settings, Vec<String>), String> {
        let mut words = words(command).into_iter().peekable();
        let mut settings = Settings::new();
        while let Some((name, value)) = words.peek().and_then(|word| word.split_once('=')) {
            settings.push((name.into(), value.into()));
            words.next();
        }
        let how =
            How::ALL.into_iter().find(|how| words.next_if(|word| word == how.word()).is_some());
        let how = how.unwrap_or(How::Native);
        let first = words.next().ok_or_else(|| format!("{command:?} names no harness"))?;
        let of = match first.split_once(':') {
            Some((package, test)) => Of::Test(package.into(), test.into()),
            None => Of::Harness(first),
        };
        Ok((Self { how, of }, settings, words.collect()))
    }

    pub fn name(&self) -> String {
        let how = self.how.word();
        let name = match &self.of {
            Of::Harness(name) => name.clone(),
            Of::Test(package, test) => format!("{package}:{test}"),
        };
        if how.is_empty() { name } else { format!("{how} {name}") }
    }

    /// Returns the call of cargo that builds it.
    fn cargo(&self, root: &Path, windows: bool) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        if windows {
            cargo.args(["xtask", "windows"]);
        }
        match &self.of {
            Of::Harness(name) => {
                cargo.args(["build", "--profile", profile_of(name), "--manifest-path"]);
                cargo.arg(root.join("harness/Cargo.toml"));
                cargo.args(["--package", &package_of(name)]);
            }
            Of::Test(package, test) => {
                cargo.args(["test", "--no-run", "--package", &package_of(package)]);
                if test == "lib" {
                    cargo.arg("--lib");
                } else {
                    cargo.args(["--test", test]);
                }
            }
        }
        cargo.args(["--locked", "--message-format=json-render-diagnostics"]);
        cargo.current_dir(root).stdin(Stdio::null()).stderr(Stdio::inherit());
        cargo.env("CARGO_TARGET_DIR", crate::target());
        if windows {
            // The repository's prefix, which is already set up, not one of the scratch tree.
            cargo.env("WINEPREFIX", wine_prefix());
        }
        cargo.env_remove("MAPVAR_SEEDED");
        cargo
    }

    /// Builds the program, and the second one if it needs one.
    pub fn build(&self, root: &Path) -> Result<Built, NotBuilt> {
        let wine = self.how == How::Wine;
        let program = self.program(&mut self.cargo(root, wine))?;
        // A program that mounts over Wine's folders has a prefix and a server of its own.
        let prefix = (self.how == How::WithWine).then(|| crate::target().join("wine-apart"));
        let second = match self.how {
            How::Native | How::Wine => None,
            How::Sanitized => Some(("--victim", self.victim(root)?)),
            How::WithWine => Some(("--wine", self.child_for_windows(root, prefix.as_deref())?)),
        };
        let folder = match &self.of {
            Of::Harness(_) => root.into(),
            Of::Test(package, _) => root.join("crates").join(package),
        };
        Ok(Built { program, second, wine, prefix, folder })
    }

    fn child_for_windows(&self, root: &Path, prefix: Option<&Path>) -> Result<PathBuf, NotBuilt> {
        let mut cargo = self.cargo(root, true);
        let mut server = Command::new("wineserver");
        if let Some(prefix) = prefix {
            cargo.env("WINEPREFIX", prefix);
            server.env("WINEPREFIX", prefix);
        }
        let built = self.program(&mut cargo);
        // The processes that created the prefix may still write to it.
        let _ = server.arg("-k").stdout(Stdio::null()).stderr(Stdio::null()).status();
        built
    }

    /// Builds the program with `AddressSanitizer`, in a folder of its own.
    fn victim(&self, root: &Path) -> Result<PathBuf, NotBuilt> {
        let said = |arg: &[&str]| {
            let output = Command::new("rustc").args(arg).output().ok()?;
            String::from_utf8(output.stdout).ok()
        };
        let host = said(&["-vV"]).unwrap_or_default();
        let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
        let sysroot = said(&["--print", "sysroot"]).unwrap_or_default();
        let runtime = Path::new(sysroot.trim())
            .join(format!("lib/rustlib/{host}/lib/librustc-stable_rt.asan.a"));
        if host != "x86_64-unknown-linux-gnu" || !runtime.exists() {
            return Err(NotBuilt::Skipped(format!(
                "this toolchain has no AddressSanitizer for {host:?}"
            )));
        }
        let mut cargo = self.cargo(root, false);
        cargo.args(["--target", host]).env("RUSTC_BOOTSTRAP", "1");
        cargo.env("RUSTFLAGS", "-Zsanitizer=address --cfg sanitized");
        cargo.env("CARGO_TARGET_DIR", crate::target().join("sanitized"));
        self.program(&mut cargo)
    }

    /// Runs cargo; returns the path of the built program.
    fn program(&self, cargo: &mut Command) -> Result<PathBuf, NotBuilt> {
        let name = self.name();
        let output =
            cargo.output().map_err(|error| NotBuilt::Failed(format!("{name}: {error}")))?;
        if output.status.code() == Some(77) && matches!(self.how, How::Wine | How::WithWine) {
            return Err(NotBuilt::Skipped("cargo xtask windows cannot set up Wine here".into()));
        }
        if !output.status.success() {
            return Err(NotBuilt::Failed(format!("{name} cannot be built")));
        }
        // The last program in cargo's messages: those of dependencies come before it.
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
            .next_back()
            .ok_or_else(|| NotBuilt::Failed(format!("{name} has no program")))
    }

    /// Returns whether it is a test: a test run that finds no test is a mistake of the table.
    pub fn is_test(&self) -> bool {
        matches!(self.of, Of::Test(..))
    }
}

/// The reason why there is no program.
#[derive(Debug)]
pub enum NotBuilt {
    /// This machine cannot build it, and why.
    Skipped(String),
    Failed(String),
}

impl Built {
    pub fn command(&self, job: &Job, places: &Places, temporary: &Temporary) -> Command {
        let Job { suite, settings, args, .. } = job;
        let mut command = if self.wine {
            let mut command = Command::new("wine");
            command.arg(&self.program);
            command
        } else {
            places.program(&self.program)
        };
        if matches!(suite.how, How::Wine | How::WithWine) {
            command.env("WINEPREFIX", self.prefix.clone().unwrap_or_else(wine_prefix));
            if std::env::var_os("WINEDEBUG").is_none() {
                command.env("WINEDEBUG", "-all");
            }
        }
        command.env("TMPDIR", temporary.path());
        if suite.is_test() {
            // A test that cannot run here reports that, and passes.
            command.arg("--show-output");
        }
        command.args(args).current_dir(&self.folder).stdin(Stdio::null());
        // Behind the arguments: the first of them may be a subcommand, to which this option
        // belongs.
        if let Some((option, program)) = &self.second {
            command.arg(option).arg(program);
        }
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

    /// Returns whether it runs this part of its harness; a test has only one part.
    pub fn asks_for(&self, part: &str) -> bool {
        self.suite.is_test() || self.args.iter().any(|arg| arg == part)
    }
}

/// The programs of some suites, and those that could not be built.
#[derive(Debug, Default)]
pub struct Programs {
    pub built: BTreeMap<Suite, Built>,
    /// Suites that are not available here, and why.
    pub skipped: BTreeMap<Suite, String>,
    pub failed: Vec<String>,
}

impl Programs {
    pub fn build(root: &Path, suites: impl IntoIterator<Item = Suite>) -> Self {
        let mut programs = Self::default();
        for suite in suites {
            if programs.built.contains_key(&suite) || programs.skipped.contains_key(&suite) {
                continue;
            }
            println!("building {}", suite.name());
            match suite.build(root) {
                Ok(built) => {
                    programs.built.insert(suite, built);
                }
                Err(NotBuilt::Skipped(why)) => {
                    programs.skipped.insert(suite, why);
                }
                Err(NotBuilt::Failed(what)) => programs.failed.push(what),
            }
        }
        programs
    }
}

fn package_of(name: &str) -> String {
    if name == "mapvar" { name.into() } else { format!("mapvar-{name}") }
}

/// Returns the profile of a harness: optimized with the engine's own checks, or as users build it.
fn profile_of(harness: &str) -> &'static str {
    if ["loom", "power", "disks", "fuzz"].contains(&harness) { "checked" } else { "release" }
}

/// Splits a line into words; text in double quotes is one word.
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
