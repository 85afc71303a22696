//! `mapvar watch`

use crate::{
    args::Watch,
    exit::{self, Exit, Failure},
    field, opening,
    show::Out,
    system::LONGEST_VARIABLE,
};
use mapvar::{Change, Error, ErrorKind, Map, Value};
use std::{
    env::consts::FAMILY,
    io,
    process::{Command, ExitStatus, Stdio},
};

pub(crate) fn run(args: &Watch) -> Result<Exit, Failure> {
    let (name, vars) = args.words()?;
    let map = opening::open_to_wait(&args.at, name)?;
    let mut fields = Fields::of(&map, vars);
    let mut watch = match &args.prefix {
        Some(prefix) => map.watch_prefix(prefix)?,
        None if vars.is_empty() => map.watch_all()?,
        None => map.watch_any(vars.iter().map(|var| {
            fields.0.iter().find(|field| field.name == *var).map_or(&**var, |field| field.var)
        }))?,
    };
    // After the watch has begun, so that no change is missed.
    match fields.read(&map) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            exit::report(&error);
            return Ok(Exit::Absent);
        }
        read => read?,
    }
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
        // The variable itself may have been asked for, and several of its fields.
        let asked = vars.is_empty() || vars.iter().any(|var| *var == change.name());
        let whole = asked.then(|| (change.name(), shown(&change)));
        let parts = fields.0.iter_mut().filter(|field| field.var == change.name());
        let parts =
            parts.filter_map(|field| Some((field.name, field.changed(&map, &change).transpose()?)));
        for (name, shown) in whole.into_iter().chain(parts) {
            match (shown, &args.exec) {
                (Ok(shown), Some(command)) => execute(command, &change, name, shown)?,
                (Ok(shown), None) => print(args, &change, name, shown)?,
                // A value that cannot be read is reported, and the changes of the others follow.
                (Err(error), _) => outcome = outcome.or(exit::report(&error)),
            }
            printed += 1;
            if args.count.is_some_and(|count| printed >= count) {
                break;
            }
        }
    }
    Ok(outcome)
}

/// The fields of structs that are watched.
struct Fields<'a>(Vec<Field<'a>>);

/// A field: as it was named, its variable, its path in that, and the value that it had last.
struct Field<'a> {
    name: &'a str,
    var: &'a str,
    path: &'a str,
    last: Option<Value>,
}

impl<'a> Fields<'a> {
    fn of(map: &Map, vars: &'a [String]) -> Self {
        let field = |name: &'a String| {
            let (var, path) = field::find(map, name)?;
            Some(Field { name, var, path, last: None })
        };
        Self(vars.iter().filter_map(field).collect())
    }

    /// Reads the values that the fields have now.
    ///
    /// # Errors
    /// A struct does not have the field, so no change of it would ever come.
    fn read(&mut self, map: &Map) -> mapvar::Result<()> {
        for field in &mut self.0 {
            field.last = match map.get_field(field.var, field.path) {
                Err(error) if error.kind() == ErrorKind::NotFound && map.contains(field.var)? => {
                    return Err(error);
                }
                // A value that cannot be read is reported once it changes.
                read => read.ok(),
            };
        }
        Ok(())
    }
}

impl Field<'_> {
    /// Returns kind and value of the field, if the change is one of it.
    fn changed(&mut self, map: &Map, change: &Change) -> mapvar::Result<Option<(String, String)>> {
        let value = change.find::<Value>()?;
        let part = value.as_ref().map(|value| field::part(map, value, self.var, self.path));
        let part = part.transpose()?;
        // As printed: a NaN is unequal to itself.
        if part.map(Value::to_string) == self.last.as_ref().map(Value::to_string) {
            return Ok(None);
        }
        self.last = part.cloned();
        Ok(Some(match part {
            Some(part) => (part.kind().name().into(), part.to_string()),
            None => ("removed".into(), String::new()),
        }))
    }
}

/// Prints a change and flushes it: the reader of a pipe waits for each line.
fn print(
    args: &Watch,
    change: &Change,
    name: &str,
    (kind, value): (String, String),
) -> Result<(), Failure> {
    let mut out = Out::new();
    let name = name.to_owned();
    if args.skipped {
        out.table(&[[name, kind, change.skipped().to_string(), value]])?;
    } else {
        out.table(&[[name, kind, value]])?;
    }
    out.flush()?;
    Ok(())
}

fn shown(change: &Change) -> mapvar::Result<(String, String)> {
    let Some(value) = change.find::<Value>()? else { return Ok(("removed".into(), String::new())) };
    // A struct's value is a dictionary.
    let kind = change.kind()?.unwrap_or(value.kind());
    Ok((kind.name().into(), value.to_string()))
}

fn execute(
    text: &str,
    change: &Change,
    name: &str,
    (kind, value): (String, String),
) -> Result<(), Failure> {
    let (shell, flag) = if FAMILY == "windows" { ("cmd", "/C") } else { ("sh", "-c") };
    // A variable of the environment cannot hold a zero byte.
    let whole = |text: &str| text.replace('\0', "\\0");
    let value = whole(&value);
    let run = |value: Option<&str>| {
        let mut command = Command::new(shell);
        command
            .arg(flag)
            .arg(text)
            .env("MAPVAR_VAR", whole(name))
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
                name,
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
