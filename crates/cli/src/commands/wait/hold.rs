//! `mapvar hold`

use super::{alongside, signals::Signals};
use crate::{
    args::Hold,
    exit::{self, Exit, Failure},
    field, opening, parse, typing,
};
use mapvar::{Error, ErrorKind, Map, Origin};

pub(crate) fn run(args: &Hold) -> Result<Exit, Failure> {
    // Before the map is created, so that Ctrl-C never leaves one behind. A command gets it too:
    // then the command decides when to end.
    let signals =
        if args.command.is_empty() { Signals::catch()? } else { Signals::catch_for_command()? };

    let options = Map::options()
        .name(&args.name)
        .format(args.format.into())
        .scope(opening::scope(args.global))
        .size(args.size)
        .max_size(args.max_size)
        .timeout(args.timeout);
    let map = if args.join {
        options.open_or_create()?
    } else {
        options.create().map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => error
                .detail("a map of this name exists already; use it, or hold it too with --join"),
            _ => error,
        })?
    };
    for (var, text) in &args.vars {
        field::set(&map, var, &typing::value(&map, var, text, parse::guess)?, false)?;
    }
    for (var, text) in &args.ephemeral {
        if field::find(&map, var).is_some() {
            let object = field::object(&map, var);
            let error = Error::new(ErrorKind::InvalidArgument, "set variable", object);
            return Err(error
                .detail("it is a field of a struct, which cannot end alone; use --var")
                .into());
        }
        map.set_ephemeral(var, &typing::value(&map, var, text, parse::guess)?)?;
    }

    if !args.command.is_empty() {
        let ended = alongside::run(&args.command, &signals, &map)?;
        return Ok(ended.and(map.close()).exit());
    }
    let (name, pid) = (&args.name, std::process::id());
    // A section of the gem that contains raw bytes has no facts to tell.
    let size = map.stat().map(|stat| format!(" of {} bytes", stat.size)).unwrap_or_default();
    exit::say(&match map.origin() {
        Origin::Opened => {
            format!("holding map {name:?}{size} too, in process {pid}; Ctrl-C ends it")
        }
        Origin::Created => {
            format!("holding map {name:?}{size} in process {pid}; Ctrl-C ends it")
        }
    });
    // A map that no process can find is not held.
    while !signals.wait_up_to(alongside::CHECK) {
        map.check_name()?;
    }
    map.close()?;
    Ok(Exit::Done)
}
