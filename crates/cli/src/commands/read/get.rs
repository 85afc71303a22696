//! `mapvar get`

use crate::{
    args::Get,
    exit::{self, Exit, Failure},
    field, opening,
    show::Out,
};
use mapvar::{ErrorKind, Value};

pub(crate) fn run(args: &Get) -> Result<Exit, Failure> {
    let (name, vars) = args.words()?;
    let map = opening::open(&args.place, name, true)?;
    let mut out = Out::new();
    let mut outcome = Exit::Done;
    for var in vars {
        let value = if args.kind {
            field::kind(&map, var).map(|kind| Value::Str(kind.name().into()))
        } else {
            field::value(&map, var)
        };
        match value {
            Ok(Value::Str(text)) if args.raw => out.raw(text.as_bytes())?,
            Ok(Value::Bytes(bytes)) if args.raw => out.raw(&bytes)?,
            Ok(value) => out.line(&value.to_string())?,
            // A variable that cannot be read is reported, and the others are printed.
            Err(error) => {
                // Standard error may go to the same place: keep the order of the lines.
                out.flush()?;
                let reported = exit::report(&error);
                let absent = error.kind() == ErrorKind::NotFound;
                outcome = outcome.or(if absent { Exit::Absent } else { reported });
            }
        }
    }
    out.flush()?;
    Ok(outcome)
}
