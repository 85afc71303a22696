//! Opens the map that the command line names, and explains the remedy if there is none.

use crate::{
    args::{At, MapArgs},
    exit::{self, Failure},
    show, system,
};
use mapvar::{Error, ErrorKind, Map, MapOptions, Recover, Scope};
use std::time::Duration;

pub(crate) const fn scope(global: bool) -> Scope {
    if global { Scope::Global } else { Scope::Local }
}

pub(crate) fn options(place: &MapArgs, name: Option<&str>) -> MapOptions {
    options_at(place, name).timeout(place.timeout)
}

pub(crate) fn options_at(place: &At, name: Option<&str>) -> MapOptions {
    let mut options =
        Map::options().scope(scope(place.global)).wait(place.wait.unwrap_or_default());
    if let Some(format) = place.format {
        options = options.format(format.into());
    }
    match (&place.file, name) {
        (Some(file), _) => {
            let recover =
                if place.accept_loss { Recover::AcceptLoss } else { Recover::AfterRestart };
            options
                .file(file)
                .allow_network(place.allow_network)
                .recover(recover)
                .take_over(place.take_over)
        }
        (None, Some(name)) => options.name(name),
        (None, None) => options,
    }
}

/// Opens an existing map, read-only or for writing.
///
/// Read-only, a file that needs recovery stays as it is: the map is then a copy in memory, as the
/// last flush left the file.
pub(crate) fn open(place: &MapArgs, name: Option<&str>, read_only: bool) -> Result<Map, Failure> {
    let opened = options(place, name).read_only(read_only).open();
    let map = opened.map(noted).map_err(|error| remedy(place, name, error))?;
    if !read_only {
        warn_of_writers(place);
    }
    Ok(map)
}

/// Warns of a file of another user that others may write to: they can change what this user sets,
/// or damage the map.
pub(crate) fn warn_of_writers(place: &At) {
    let Some(file) = &place.file else { return };
    if let Some(owner) = system::foreign_and_open_to_others(file) {
        crate::exit::say(&format!(
            "warning: map file \"{}\" belongs to user {owner}, and other users may write to it; \
             trust nothing in it, and set nothing secret",
            file.display()
        ));
    }
}

/// Opens an existing map to wait for a change in it. A waiter marks the variable in the map. A
/// process that may not write polls instead; so does one in another pid namespace than the map's
/// users, or without `/proc`. Neither recovers a file.
pub(crate) fn open_to_wait(place: &At, name: Option<&str>) -> Result<Map, Failure> {
    let options = options_at(place, name).recover(Recover::Never);
    let opened = match options.clone().open() {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnly | ErrorKind::Unsupported
            ) =>
        {
            options.read_only(true).open().map_err(|_| error)
        }
        opened => opened,
    };
    opened.map(noted).map_err(|error| remedy(place, name, error))
}

/// Reports what opening the map lost, on standard error and by the exit code.
pub(crate) fn noted(map: Map) -> Map {
    let Some(recovery) = map.recovery().filter(mapvar::Recovery::lost_anything) else { return map };
    let mut said = Vec::new();
    if recovery.torn {
        said.push("it is a torn copy of a file in use".to_owned());
    } else if recovery.damaged {
        said.push("the disk lost what a flush had written".to_owned());
    }
    if recovery.lost > 0 {
        said.push(format!("{} of the last flush are lost or old", counted(recovery.lost)));
    }
    if recovery.rolled_back > 0 {
        let changed = counted(recovery.rolled_back);
        said.push(format!("{changed} had changed after it, and the change is lost"));
    }
    exit::note_loss(&format!(
        "the file was recovered as its last flush left it: {}; `mapvar repair` on a copy that no \
         process has opened for writing saves the newest values",
        said.join("; ")
    ));
    map
}

fn counted(variables: u64) -> String {
    show::counted(variables, "variable")
}

fn is_global(place: &At, name: &str) -> bool {
    let options = options_at(place, Some(name)).wait(Duration::ZERO);
    options.scope(Scope::Global).read_only(true).open().is_ok()
}

fn is_of_the_gem(place: &At, name: &str) -> bool {
    let options = options_at(place, Some(name)).wait(Duration::ZERO);
    options.format(mapvar::Format::Marshal).read_only(true).open().is_ok()
}

/// Adds the remedy to an error in opening an existing map.
pub(crate) fn remedy(place: &At, name: Option<&str>, error: Error) -> Failure {
    let error = match name {
        _ if error.kind() != ErrorKind::NotFound => error,
        Some(name) if place.global => error.detail(format!(
            "no process holds a map of this name; start `mapvar hold --global {name}`, or use \
             --file PATH"
        )),
        // Not advised where it would not help: a global name of another user is refused.
        Some(name) if is_global(place, name) => error.detail(
            "no process of this session holds a map of this name, but there is a global one; use \
             --global",
        ),
        Some(name) if place.format.is_none() && is_of_the_gem(place, name) => error.detail(
            "no map of mapvar has this name, but a section has it that may be of Ruby's gem; use \
             --format marshal",
        ),
        Some(name) => error.detail(format!(
            "no process of this session holds a map of this name; start `mapvar hold {name}`, or \
             use --file PATH"
        )),
        None => error.detail("no such file; `mapvar set --file PATH VAR VALUE` makes one"),
    };
    error.into()
}
