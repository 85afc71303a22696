//! Opens the map that the command line names, and explains the remedy if there is none.

use crate::{
    args::{At, MapArgs},
    exit::Failure,
    system,
};
use mapvar::{Error, ErrorKind, Map, MapOptions, Scope};

pub(crate) const fn scope(global: bool) -> Scope {
    if global { Scope::Global } else { Scope::Local }
}

pub(crate) fn options(place: &MapArgs, name: Option<&str>) -> MapOptions {
    options_at(place, name).timeout(place.timeout)
}

pub(crate) fn options_at(place: &At, name: Option<&str>) -> MapOptions {
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

/// Opens an existing map, read-only or for writing.
///
/// A file that needs recovery after a restart of the machine is recovered first. That needs the
/// right to write: without it, the error of the read-only open is returned.
pub(crate) fn open(place: &MapArgs, name: Option<&str>, read_only: bool) -> Result<Map, Failure> {
    let options = options(place, name);
    let opened = match options.clone().read_only(read_only).open() {
        Err(error) if read_only && error.kind() == ErrorKind::NeedsRecovery => {
            options.open().map_err(|_| error)
        }
        opened => opened,
    };
    let map = opened.map_err(|error| remedy(place, name, error))?;
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
/// users, or without `/proc`.
pub(crate) fn open_to_wait(place: &At, name: Option<&str>) -> Result<Map, Failure> {
    let options = options_at(place, name);
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
    opened.map_err(|error| remedy(place, name, error))
}

fn is_global(place: &At, name: &str) -> bool {
    options_at(place, Some(name)).scope(Scope::Global).read_only(true).open().is_ok()
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
        Some(name) => error.detail(format!(
            "no process of this session holds a map of this name; start `mapvar hold {name}`, or \
             use --file PATH"
        )),
        None => error.detail("no such file; `mapvar set --file PATH VAR VALUE` makes one"),
    };
    error.into()
}
