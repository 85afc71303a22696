//! This machine: which programs it has, and how missing ones are installed.

use crate::{
    process::{Done, Stop, cargo, command, read_output, run, run_within, succeeds},
    repo,
};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

/// Returns a command that starts this program, to run one of its commands in a separate process.
pub(crate) fn itself() -> Command {
    static PATH: OnceLock<Option<PathBuf>> = OnceLock::new();
    // Read only once, because a build may replace the file while this program runs.
    let path = PATH.get_or_init(|| std::env::current_exe().ok());
    let mut itself = command(path.as_deref().unwrap_or(Path::new("xtask")));
    itself.current_dir(repo::root());
    itself
}

/// Returns whether this is CI, where required steps must not be skipped.
pub(crate) fn is_ci() -> bool {
    let is = |name: &str, value: &str| std::env::var_os(name).is_some_and(|it| it == value);
    is("CI", "true") || is("MAPVAR_CI", "1")
}

pub(crate) fn has(program: &str) -> bool {
    find(program).is_some()
}

pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let file = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(&file)).find(|path| path.is_file())
}

/// Installs Debian packages if the program is missing.
pub(crate) fn need(program: &str, packages: &[&str]) -> Done {
    if has(program) {
        return Ok(());
    }
    install(packages)?;
    if has(program) {
        Ok(())
    } else {
        Err(Stop::Skipped(format!(
            "there is no {program} after {} was installed",
            packages.join(" ")
        )))
    }
}

pub(crate) fn install(packages: &[&str]) -> Done {
    if cfg!(not(target_os = "linux")) {
        return Err(Stop::Skipped(format!("install by hand: {}", packages.join(" "))));
    }
    run(command(repo::root().join("ci/apt")).args(packages))
}

/// Returns the compiler's name for this machine.
pub(crate) fn host() -> Done<String> {
    let output = read_output(command("rustc").arg("-vV"))?;
    Ok(output.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default().to_owned())
}

pub(crate) fn sysroot() -> Done<PathBuf> {
    Ok(read_output(command("rustc").args(["--print", "sysroot"]))?.trim().into())
}

/// Returns whether the target's standard library is installed or can be added.
pub(crate) fn add_target(target: &str) -> Done<bool> {
    // A check for the folder is cheaper than rustup, which may use the network.
    if sysroot()?.join("lib/rustlib").join(target).join("lib").is_dir() {
        return Ok(true);
    }
    if !has("rustup") {
        return Ok(false);
    }
    let mut rustup = command("rustup");
    rustup.args(["target", "add", target]);
    match run_within(&mut rustup, Duration::from_mins(5)) {
        Ok(()) => Ok(true),
        Err(Stop::Failed(_) | Stop::Skipped(_)) => Ok(false),
        Err(stop) => Err(stop),
    }
}

pub(crate) fn has_nextest() -> bool {
    succeeds(cargo().args(["nextest", "--version"]).current_dir(repo::root()))
}

/// Reads a duration such as "90s", "15m" or a number of seconds from an environment variable.
pub(crate) fn limit(variable: &str, default: Duration) -> Done<Duration> {
    let Ok(text) = std::env::var(variable) else { return Ok(default) };
    read_duration(&text).ok_or_else(|| Stop::Usage(format!("{variable}={text}: say 90s or 15m")))
}

fn read_duration(text: &str) -> Option<Duration> {
    let (number, unit) = match text.strip_suffix('m') {
        Some(number) => (number, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    Some(Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(unit)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(read_duration("15m"), Some(Duration::from_mins(15)));
        assert_eq!(read_duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(read_duration("7"), Some(Duration::from_secs(7)));
        assert_eq!(read_duration("soon"), None);
    }
}
