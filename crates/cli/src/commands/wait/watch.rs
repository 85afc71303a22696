//! `mapvar watch`

use crate::{
    args::Watch,
    exit::{Exit, Failure},
    opening,
    show::Out,
};
use mapvar::{Change, Error, ErrorKind};
use std::{
    env::consts::FAMILY,
    process::{Command, Stdio},
};

pub(crate) fn run(args: &Watch) -> Result<Exit, Failure> {
    let (name, vars) = args.words()?;
    let map = opening::open_to_wait(&args.at, name)?;
    let mut watch = match &args.prefix {
        Some(prefix) => map.watch_prefix(prefix)?,
        None if vars.is_empty() => map.watch_all()?,
        None => map.watch_any(vars)?,
    };
    let mut printed = 0;
    while args.count.is_none_or(|count| printed < count) {
        let change = match args.timeout {
            None => watch.wait()?,
            Some(timeout) => match watch.wait_timeout(timeout)? {
                Some(change) => change,
                None => return Ok(Exit::Kind(ErrorKind::TimedOut)),
            },
        };
        match &args.exec {
            Some(command) => execute(command, &change)?,
            None => print(args, &change)?,
        }
        printed += 1;
    }
    Ok(Exit::Done)
}

/// Prints a change and flushes it: the reader of a pipe waits for each line.
fn print(args: &Watch, change: &Change) -> Result<(), Failure> {
    let (kind, value) = shown(change)?;
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

fn execute(text: &str, change: &Change) -> Result<(), Failure> {
    let (kind, value) = shown(change)?;
    let (shell, flag) = if FAMILY == "windows" { ("cmd", "/C") } else { ("sh", "-c") };
    let mut command = Command::new(shell);
    command.arg(flag).arg(text);
    command
        // A variable of the environment cannot hold a zero byte.
        .env("MAPVAR_VAR", change.name().replace('\0', "\\0"))
        .env("MAPVAR_KIND", kind)
        .env("MAPVAR_VALUE", value.replace('\0', "\\0"))
        .env("MAPVAR_SKIPPED", change.skipped().to_string())
        .stdin(Stdio::null());
    let failed = |cause| {
        let error = Error::new(ErrorKind::Io, "run", format!("{text:?}"));
        Failure::from(error.because(cause))
    };
    // The exit code of the command does not matter.
    command.status().map_err(failed)?;
    Ok(())
}
