//! `mapvar watch`

use crate::{
    args::Watch,
    exit::{self, Exit, Failure},
    opening,
    show::Out,
    system::LONGEST_VARIABLE,
};
use mapvar::{Change, Error, ErrorKind};
use std::{
    env::consts::FAMILY,
    io,
    process::{Command, ExitStatus, Stdio},
};

pub(crate) fn run(args: &Watch) -> Result<Exit, Failure> {
    let (name, vars) = args.words()?;
    let map = opening::open_to_wait(&args.at, name)?;
    let mut watch = match &args.prefix {
        Some(prefix) => map.watch_prefix(prefix)?,
        None if vars.is_empty() => map.watch_all()?,
        None => map.watch_any(vars)?,
    };
    let (mut printed, mut outcome) = (0, Exit::Done);
    while args.count.is_none_or(|count| printed < count) {
        let next = match args.timeout {
            None => watch.recv().map(Some),
            Some(timeout) => watch.recv_timeout(timeout),
        };
        let change = match next {
            Ok(Some(change)) => change,
            Ok(None) => return Ok(outcome.or(Exit::Kind(ErrorKind::TimedOut))),
            // An error of one variable comes once, and the watch goes on.
            Err(error) if error.operation() == "watch variable" => {
                outcome = outcome.or(exit::report(&error));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        match (shown(&change), &args.exec) {
            (Ok(shown), Some(command)) => execute(command, &change, shown)?,
            (Ok(shown), None) => print(args, &change, shown)?,
            // A value that cannot be read is reported, and the changes of the others follow.
            (Err(error), _) => outcome = outcome.or(exit::report(&error)),
        }
        printed += 1;
    }
    Ok(outcome)
}

/// Prints a change and flushes it: the reader of a pipe waits for each line.
fn print(args: &Watch, change: &Change, (kind, value): (String, String)) -> Result<(), Failure> {
    let mut out = Out::new();
    let name = change.name().to_owned();
    if args.skipped {
        out.table(&[[name, kind, change.skipped().to_string(), value]])?;
    } else {
        out.table(&[[name, kind, value]])?;
    }
    out.flush()?;
    Ok(())
}

fn shown(change: &Change) -> mapvar::Result<(String, String)> {
    let Some(value) = change.value()? else { return Ok(("removed".into(), String::new())) };
    Ok((value.kind().name().into(), value.to_string()))
}

fn execute(text: &str, change: &Change, (kind, value): (String, String)) -> Result<(), Failure> {
    let (shell, flag) = if FAMILY == "windows" { ("cmd", "/C") } else { ("sh", "-c") };
    // A variable of the environment cannot hold a zero byte.
    let whole = |text: &str| text.replace('\0', "\\0");
    let value = whole(&value);
    let run = |value: Option<&str>| {
        let mut command = Command::new(shell);
        command
            .arg(flag)
            .arg(text)
            .env("MAPVAR_VAR", whole(change.name()))
            .env("MAPVAR_KIND", &kind)
            .env("MAPVAR_SKIPPED", change.skipped().to_string())
            .stdin(Stdio::null());
        match value {
            Some(value) => command.env("MAPVAR_VALUE", value),
            // That of this process's own environment would be another value.
            None => command.env_remove("MAPVAR_VALUE"),
        };
        command.status()
    };
    let ran = if LONGEST_VARIABLE.is_some_and(|most| value.len() > most) {
        Err(io::ErrorKind::ArgumentListTooLong.into())
    } else {
        run(Some(&value))
    };
    let ran = match ran {
        // The limits of the system are for all of the environment, so trying is the only way.
        Err(error) if error.kind() == io::ErrorKind::ArgumentListTooLong => {
            exit::say(&format!(
                "value of variable {:?} has {} bytes, too many for the environment of {text:?}: \
                 MAPVAR_VALUE is left out; read it with `mapvar get`",
                change.name(),
                value.len()
            ));
            run(None)
        }
        ran => ran,
    };
    // The exit code of the command does not matter.
    let _: ExitStatus = ran.map_err(|cause| {
        let error = Error::new(ErrorKind::Io, "run", format!("{text:?}"));
        Failure::from(error.because(cause))
    })?;
    Ok(())
}
