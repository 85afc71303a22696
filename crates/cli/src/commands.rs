//! The subcommands, a file each, and what they have in common: opening the map.

mod check;
mod get;
mod hold;
mod list;
mod repair;
mod rm;
mod set;
mod stat;
mod unlock;

use crate::{
    args::{Cli, Command, Place},
    demo,
    exit::{Exit, Failure},
};
use mapvar::{Error, ErrorKind, Map, MapOptions, Scope};

/// Does what was typed.
pub(crate) fn run(cli: Cli) -> Result<Exit, Failure> {
    match cli.command {
        Command::Set(args) => set::run(&args),
        Command::Get(args) => get::run(&args),
        Command::List(args) => list::run(&args),
        Command::Rm(args) => rm::run(&args),
        Command::Stat(args) => stat::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Repair(args) => repair::run(&args),
        Command::Hold(args) => hold::run(&args),
        Command::Unlock(args) => unlock::run(&args),
        Command::Demo => demo::first(),
        Command::DemoPeer(args) => demo::second(&args),
    }
}

const fn scope(global: bool) -> Scope {
    if global { Scope::Global } else { Scope::Local }
}

fn options(place: &Place, name: Option<&str>) -> MapOptions {
    let mut options = Map::options().timeout(place.timeout).scope(scope(place.global));
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

/// What to do about an error in opening a map that should be there.
fn remedy(place: &Place, name: Option<&str>, error: Error) -> Failure {
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

/// `1 variable`, `2 variables`.
fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
