//! The subcommands, a file each, and what they have in common: opening the map.

mod read;
mod write;
mod wait;
mod mend;

use crate::{
    args::{At, Cli, Command, Place},
    demo,
    exit::{Exit, Failure},
};
use mapvar::{Error, ErrorKind, Map, MapOptions, Scope};
use std::{ffi::OsString, process};

/// Does what was typed.
pub(crate) fn run(cli: Cli) -> Result<Exit, Failure> {
    match cli.command {
        Command::Set(args) => write::set::run(&args),
        Command::Get(args) => read::get::run(&args),
        Command::List(args) => read::list::run(&args),
        Command::Rm(args) => write::rm::run(&args),
        Command::Stat(args) => read::stat::run(&args),
        Command::Check(args) => mend::check::run(&args),
        Command::Repair(args) => mend::repair::run(&args),
        Command::Hold(args) => wait::hold::run(&args),
        Command::Watch(args) => wait::watch::run(&args),
        Command::WaitFor(args) => wait::wait_for::run(&args),
        Command::Lock(args) => wait::lock::run(&args),
        Command::Locks(args) => read::locks::run(&args),
        Command::Unlock(args) => mend::unlock::run(&args),
        Command::Who(args) => read::who::run(&args),
        Command::Demo => demo::first(),
        Command::DemoPeer(args) => demo::second(&args),
    }
}

const fn scope(global: bool) -> Scope {
    if global { Scope::Global } else { Scope::Local }
}

fn options(place: &Place, name: Option<&str>) -> MapOptions {
    options_at(place, name).timeout(place.timeout)
}

fn options_at(place: &At, name: Option<&str>) -> MapOptions {
    let mut options = Map::options().scope(scope(place.global));
    if let Some(format) = place.format {
        options = options.format(format.into());
    }
    match (&place.file, name) {
        (Some(file), _) => options.file(file).allow_network(place.allow_network),
        (None, Some(name)) => options.name(name),
        (None, None) => options,
    }
}

/// Opens a map that is there, for reading alone or for writing too. A file that has to be recovered
/// first, after a restart of the machine, is: who may only read it is told so.
fn open(place: &Place, name: Option<&str>, read_only: bool) -> Result<Map, Failure> {
    let options = options(place, name);
    let opened = match options.clone().read_only(read_only).open() {
        Err(error) if read_only && error.kind() == ErrorKind::NeedsRecovery => {
            options.open().map_err(|_| error)
        }
        opened => opened,
    };
    opened.map_err(|error| remedy(place, name, error))
}

/// Opens a map that is there, to wait for something in it: who waits says so in the map, and only
/// where it may not write looks again and again instead.
fn open_to_wait(place: &At, name: Option<&str>) -> Result<Map, Failure> {
    let options = options_at(place, name);
    let opened = match options.clone().open() {
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnly) => {
            options.read_only(true).open().map_err(|_| error)
        }
        opened => opened,
    };
    opened.map_err(|error| remedy(place, name, error))
}

/// What to do about an error in opening a map that should be there.
fn remedy(place: &At, name: Option<&str>, error: Error) -> Failure {
    let error = match name {
        _ if error.kind() != ErrorKind::NotFound => error,
        Some(name) if place.global => error.detail(format!(
            "nobody holds a map of this name; start `mapvar hold --global {name}`, or use --file \
             PATH"
        )),
        Some(name) => error.detail(format!(
            "nobody in this session holds a map of this name; start `mapvar hold {name}`, use \
             --file PATH, or --global for a service's map"
        )),
        None => error.detail("no such file; `mapvar set --file PATH VAR VALUE` makes one"),
    };
    error.into()
}

/// Runs a command to its end; answers its exit code, 128 where a signal ended it. Who calls this has
/// seen to it that Ctrl-C, which goes to the command too, does not end this process before.
fn alongside(words: &[OsString]) -> Result<u8, Failure> {
    let Some((program, arguments)) = words.split_first() else { return Ok(0) };
    let status = process::Command::new(program).args(arguments).status().map_err(|cause| {
        Error::new(ErrorKind::Io, "run", program.display().to_string()).because(cause)
    })?;
    Ok(status.code().map_or(128, |code| u8::try_from(code).unwrap_or(u8::MAX)))
}

/// How long ago, in one unit.
fn ago(since: Option<std::time::SystemTime>) -> String {
    let Some(since) = since else { return "?".into() };
    let seconds = since.elapsed().unwrap_or_default().as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `1 variable`, `2 variables`.
fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
