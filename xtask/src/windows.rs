//! cargo for Windows on Linux, by mingw and Wine. The first run installs the missing parts, which
//! takes a few minutes. Later runs need a fraction of a second for this.

use crate::{
    machine,
    process::{
        Done, Stop, cargo, command, failed, read_output, run as run_program, run_within, succeeds,
    },
    repo,
};
use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// How many bits an address of a program for Windows has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bits {
    Of64,
    Of32,
}

impl Bits {
    pub(crate) fn target(self) -> &'static str {
        match self {
            Self::Of64 => "x86_64-pc-windows-gnu",
            Self::Of32 => "i686-pc-windows-gnu",
        }
    }

    fn mingw(self) -> &'static str {
        match self {
            Self::Of64 => MINGW,
            Self::Of32 => "i686-w64-mingw32",
        }
    }

    /// The packages with the linker and the libraries.
    fn packages(self) -> [&'static str; 2] {
        match self {
            Self::Of64 => ["gcc-mingw-w64-x86-64-win32", "mingw-w64-x86-64-dev"],
            Self::Of32 => ["gcc-mingw-w64-i686-win32", "mingw-w64-i686-dev"],
        }
    }
}

const MINGW: &str = "x86_64-w64-mingw32";

/// Runs `cargo xtask windows`.
pub(crate) fn run(arguments: &[String]) -> Done {
    let Some((first, rest)) = arguments.split_first() else {
        return Err(Stop::Usage("windows: say what cargo is to do, or --setup".into()));
    };
    if first == "--setup" {
        let windows = Windows::set_up(&prefix())?;
        let wine = read_output(&mut windows.wine("--version"))?;
        println!("ready: standard library by {:?}, {}", windows.library, wine.trim());
        return Ok(());
    }
    // These commands neither link nor run anything.
    let windows = if ["check", "c", "clippy", "doc"].contains(&first.as_str()) {
        Windows::without_linker()?
    } else {
        Windows::set_up(&prefix())?
    };
    let mut cargo = windows.cargo(repo::target());
    // Relative paths are relative to the caller's folder, unless that is outside the repository.
    if !std::env::current_dir().is_ok_and(|folder| folder.starts_with(repo::root())) {
        cargo.current_dir(repo::root());
    }
    if first == "clippy" && windows.library == Library::Debian {
        // rustup's clippy cannot read what Debian's compiler wrote, and another version has other
        // lints.
        eprintln!("no clippy for Windows with Debian's compiler: cargo check instead");
        cargo.arg("check").args(rest.iter().take_while(|argument| *argument != "--"));
    } else {
        cargo.args(arguments);
    }
    run_program(&mut cargo)
}

/// Returns Wine's folder, for harnesses that need none of their own.
pub(crate) fn prefix() -> PathBuf {
    std::env::var_os("WINEPREFIX").map_or_else(|| repo::target().join("wine"), PathBuf::from)
}

/// The value of `WINEDLLOVERRIDES` with which a prefix is made: no .NET, no browser, and no menu
/// entries in the user's desktop. All of them take time, and the desktop belongs to the user.
pub(crate) const LEFT_OUT: &str = "mscoree,mshtml=;winemenubuilder.exe=d";

/// Sets Wine's folder, and silences it.
pub(crate) fn in_prefix(command: &mut Command, prefix: &Path) {
    command.env("WINEPREFIX", prefix);
    if std::env::var_os("WINEDEBUG").is_none() {
        // Wine's own messages would mix with the standard error that the tests read.
        command.env("WINEDEBUG", "-all");
    }
}

/// The source of Rust's standard library for Windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    Rustup,
    /// cargo builds it from the compiler's sources, which Debian ships.
    Debian,
}

impl Library {
    /// Installs all that is needed to build programs for Windows.
    pub(crate) fn set_up(bits: Bits) -> Done<Self> {
        let library = library(bits)?;
        need_mingw(bits)?;
        Ok(library)
    }

    /// Returns cargo with the settings for Windows, without those of Wine. `target` is the folder
    /// of the builds, and `runner` runs a program.
    pub(crate) fn cargo(self, target: &Path, bits: Bits, runner: &str) -> Command {
        let mut cargo = match self {
            Self::Rustup => cargo(),
            Self::Debian => command("/usr/bin/cargo"),
        };
        if self == Self::Debian {
            cargo
                .env("RUSTC", "/usr/bin/rustc")
                .env("RUSTDOC", "/usr/bin/rustdoc")
                // Building the standard library is unstable.
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_UNSTABLE_BUILD_STD", "std,panic_unwind,test");
        }
        let name = bits.target().to_uppercase().replace('-', "_");
        cargo
            .env("CARGO_TARGET_DIR", self.folder(target))
            .env("CARGO_BUILD_TARGET", bits.target())
            .env(format!("CARGO_TARGET_{name}_LINKER"), format!("{}-gcc", bits.mingw()))
            .env(format!("CARGO_TARGET_{name}_RUNNER"), runner);
        cargo
    }

    pub(crate) fn folder(self, target: &Path) -> PathBuf {
        match self {
            Self::Rustup => target.into(),
            // It is another compiler; in a common folder each would discard the other's builds.
            Self::Debian => target.join("debian-rust"),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Windows {
    library: Library,
    prefix: PathBuf,
}

impl Windows {
    /// Installs all that is needed to build programs for Windows, and to run them in Wine's folder
    /// `prefix`.
    pub(crate) fn set_up(prefix: &Path) -> Done<Self> {
        let windows = Self { library: library(Bits::Of64)?, prefix: prefix.into() };
        need_mingw(Bits::Of64)?;
        let there = || ["wine", "wineserver"].into_iter().all(machine::has);
        if !there() {
            machine::install(&["wine", "wine64"])?;
        }
        if !there() {
            return Err(Stop::Skipped("there is no wine, or no wineserver".into()));
        }
        windows.start()?;
        Ok(windows)
    }

    /// Prepares only what commands without a linker need.
    fn without_linker() -> Done<Self> {
        Ok(Self { library: library(Bits::Of64)?, prefix: prefix() })
    }

    /// Returns cargo with the settings for Windows; `target` is the folder of the builds.
    pub(crate) fn cargo(&self, target: &Path) -> Command {
        let mut cargo = self.library.cargo(target, Bits::Of64, "wine");
        self.for_wine(&mut cargo);
        cargo
    }

    /// Returns the folder of cargo's builds in this profile.
    pub(crate) fn built(&self, target: &Path, profile: &str) -> PathBuf {
        self.library.folder(target).join(Bits::Of64.target()).join(profile)
    }

    /// Returns the command that runs a program for Windows under Wine.
    pub(crate) fn wine(&self, program: impl Into<OsString>) -> Command {
        let mut wine = command("wine");
        wine.arg(program.into());
        self.for_wine(&mut wine);
        wine
    }

    /// Returns the C compiler for Windows.
    pub(crate) fn cc() -> Command {
        command(format!("{MINGW}-gcc"))
    }

    /// Returns the DLLs that a program or a DLL names.
    pub(crate) fn needed_dlls(binary: &Path) -> Done<Vec<String>> {
        let output = read_output(command(format!("{MINGW}-objdump")).arg("-p").arg(binary))?;
        let mut names: Vec<String> = output
            .lines()
            .filter_map(|line| line.trim().strip_prefix("DLL Name: "))
            .map(|name| name.trim().to_lowercase())
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Ends the server of this prefix, and all programs that run on it.
    pub(crate) fn end_server(&self) {
        let mut server = command("wineserver");
        self.for_wine(&mut server);
        succeeds(server.arg("-k"));
    }

    fn for_wine(&self, command: &mut Command) {
        in_prefix(command, &self.prefix);
    }

    /// Creates the prefix, and starts a server on it.
    fn start(&self) -> Done {
        let prefix = &self.prefix;
        fs::create_dir_all(prefix).map_err(failed(prefix.display()))?;
        // Two concurrent first runs would create one broken prefix.
        let lock = prefix.join(".mapvar-lock");
        let lock = File::create(&lock)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(failed(lock.display()))?;
        if !prefix.join(".mapvar-ready").exists() {
            self.make_prefix()?;
        }
        // A server that outlives its last program by a minute saves a new start for each test
        // binary. If one runs already, this one exits by itself.
        let mut server = command("wineserver");
        self.for_wine(&mut server);
        // The server must not hold the caller's pipes open for that minute.
        succeeds(server.arg("-p60"));
        drop(lock);
        Ok(())
    }

    fn make_prefix(&self) -> Done {
        let prefix = &self.prefix;
        eprintln!("making a Wine prefix in {}", prefix.display());
        let log = prefix.join("wineboot.log");
        let file = File::create(&log).map_err(failed(log.display()))?;
        let second = file.try_clone().map_err(failed(log.display()))?;
        let mut boot = command("wineboot");
        self.for_wine(&mut boot);
        boot.arg("-i")
            .env("WINEDLLOVERRIDES", LEFT_OUT)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(second);
        if let Err(stop) = run_within(&mut boot, Duration::from_mins(5)) {
            eprint!("{}", fs::read_to_string(&log).unwrap_or_default());
            return Err(match stop {
                Stop::Failed(what) => Stop::Skipped(what),
                stop => stop,
            });
        }
        // Rust's standard library for Windows loads a DLL that Wine 8 lacks.
        let library = prefix.join("drive_c/windows/system32/bcryptprimitives.dll");
        if !library.exists() {
            let source = repo::root().join("ci/bcryptprimitives.c");
            let mut cc = Self::cc();
            cc.args(["-O2", "-Wall", "-shared", "-o"]).arg(&library).arg(source).arg("-ladvapi32");
            run_program(&mut cc)?;
        }
        let ready = prefix.join(".mapvar-ready");
        File::create(&ready).map_err(failed(ready.display()))?;
        Ok(())
    }
}

/// Returns whether a Wine server runs on the prefix now.
pub(crate) fn has_server(prefix: &Path) -> bool {
    if !machine::has("wineserver") {
        return false;
    }
    let mut server = command("wineserver");
    // -w waits until the server is gone.
    server.arg("-w").env("WINEPREFIX", prefix).stdin(Stdio::null()).stderr(Stdio::null());
    run_within(&mut server, Duration::from_millis(200)).is_err()
}

pub(crate) fn end_server(prefix: &Path) {
    Windows { library: Library::Rustup, prefix: prefix.into() }.end_server();
}

/// Returns the name by which a program under Wine opens a path of this system.
pub(crate) fn path_in_wine(path: &Path) -> String {
    format!("Z:{}", path.to_string_lossy().replace('/', "\\"))
}

/// Installs the linker and the libraries for Windows if they are missing.
fn need_mingw(bits: Bits) -> Done {
    let linker = format!("{}-gcc", bits.mingw());
    let header = format!("/usr/{}/include/windows.h", bits.mingw());
    let missing = || {
        if !machine::has(&linker) {
            return Some(&linker);
        }
        (!Path::new(&header).exists()).then_some(&header)
    };
    if missing().is_some() {
        machine::install(&bits.packages())?;
    }
    match missing() {
        Some(missing) => Err(Stop::Skipped(format!("{missing} is not where it should be"))),
        None => Ok(()),
    }
}

fn library(bits: Bits) -> Done<Library> {
    let target = bits.target();
    if cfg!(not(target_os = "linux")) {
        return Err(Stop::Skipped("Wine and mingw are set up on Linux alone".into()));
    }
    let wanted = std::env::var("MAPVAR_WINDOWS_STD").unwrap_or_else(|_| "auto".into());
    match wanted.as_str() {
        "rustup" | "auto" if machine::add_target(target)? => Ok(Library::Rustup),
        "rustup" => Err(Stop::Skipped(format!("rustup cannot add the target {target}"))),
        "debian" => debian(),
        "auto" => {
            eprintln!(
                "rustup cannot add {target}; the library is built from Debian's sources instead"
            );
            debian()
        }
        _ => Err(Stop::Usage(format!("MAPVAR_WINDOWS_STD={wanted}: say rustup, debian or auto"))),
    }
}

fn debian() -> Done<Library> {
    if !debian_is_ready() {
        machine::install(&["rustc-web", "cargo-web", "rust-web-src"])?;
    }
    if debian_is_ready() {
        Ok(Library::Debian)
    } else {
        Err(Stop::Skipped("Debian's Rust is older than this project's rust-version".into()))
    }
}

fn debian_is_ready() -> bool {
    let there = Path::new("/usr/bin/cargo").exists()
        && Path::new("/usr/lib/rustlib/src/rust/library/Cargo.lock").exists();
    let output = read_output(command("/usr/bin/rustc").arg("--version").stderr(Stdio::null()));
    let has = output.ok().and_then(|output| version(output.split_whitespace().nth(1)?));
    there && has >= version(env!("CARGO_PKG_RUST_VERSION"))
}

/// Returns a version's first two numbers; a `rust-version` here has no more.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(version("1.95.0") >= version("1.95"));
        assert!(version("1.100.0-nightly") > version("1.95"));
        assert!(version("1.9.3") < version("1.95"));
        assert!(version("old") < version("1.95"));
    }

    #[test]
    fn paths_in_wine() {
        assert_eq!(path_in_wine(Path::new("/a/b.exe")), r"Z:\a\b.exe");
    }
}
