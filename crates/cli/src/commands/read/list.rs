//! `mapvar list`

use crate::{
    args::List,
    exit::{self, Exit, Failure},
    opening,
    show::Out,
};

pub(crate) fn run(args: &List) -> Result<Exit, Failure> {
    let map = opening::open(&args.place, args.name.as_deref(), true)?;
    let mut outcome = Exit::Done;
    let mut rows = Vec::new();
    // An entry that cannot be read is reported, and the others are listed.
    for entry in &map {
        let row = entry.and_then(|entry| {
            let value = if args.names { String::new() } else { entry.value()?.to_string() };
            let kind = if args.names { "" } else { entry.kind()?.name() };
            Ok([entry.name().into(), kind.into(), value])
        });
        match row {
            Ok(row) => rows.push(row),
            Err(error) => outcome = outcome.or(exit::report(&error)),
        }
    }
    rows.sort_unstable();
    let mut out = Out::new();
    if args.names {
        for [name, ..] in &rows {
            out.line(name)?;
        }
    } else {
        out.table(&rows)?;
    }
    out.flush()?;
    Ok(outcome)
}
