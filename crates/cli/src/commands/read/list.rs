//! `mapvar list`

use crate::{
    args::List,
    exit::{self, Exit, Failure},
    opening,
    show::Out,
};

pub(crate) fn run(args: &List) -> Result<Exit, Failure> {
    let map = opening::open(&args.place, args.name.as_deref(), true)?;
    let mut out = Out::new();
    let outcome = if args.names {
        let names = map.names().prefix(&args.prefix);
        let (names, outcome) = sorted(names);
        for name in &names {
            out.line(name)?;
        }
        outcome
    } else {
        let rows = map.iter().prefix(&args.prefix).map(|entry| {
            let entry = entry?;
            Ok([
                entry.name().into(),
                entry.kind()?.name().into(),
                entry.get::<mapvar::Value>()?.to_string(),
            ])
        });
        let (rows, outcome) = sorted(rows);
        out.table(&rows)?;
        outcome
    };
    out.flush()?;
    Ok(outcome)
}

/// Sorts what could be read, and reports each error.
fn sorted<T: Ord>(found: impl Iterator<Item = mapvar::Result<T>>) -> (Vec<T>, Exit) {
    let (mut all, mut outcome) = (Vec::new(), Exit::Done);
    for found in found {
        match found {
            Ok(found) => all.push(found),
            Err(error) => outcome = outcome.or(exit::report(&error)),
        }
    }
    all.sort_unstable();
    (all, outcome)
}
