//! `mapvar who`

use crate::{
    args::Who,
    exit::{self, Exit, Failure},
    opening,
    show::{self, Out},
};
use mapvar::Watches;

pub(crate) fn run(args: &Who) -> Result<Exit, Failure> {
    let map = opening::open(&args.place, args.name.as_deref(), true)?;
    let mut rows = Vec::new();
    for one in map.participants()?.iter().filter(|one| !one.this) {
        let some = |what: &str, names: &[String]| match names {
            [] => String::new(),
            names => format!("{what} {}", names.join(", ")),
        };
        rows.push([
            one.holder.pid.to_string(),
            one.holder.program.clone().unwrap_or_default(),
            show::ago(one.holder.since),
            some("holds", &one.holds),
            some("waits for", &one.waits_for),
            some("owns", &one.owns),
            match &one.watches {
                None => String::new(),
                Some(Watches::Variable(name)) => format!("watches {name}"),
                Some(_) => "watches several".into(),
            },
        ]);
    }
    // The processes are listed without the locks whose queues cannot be read. Those are reported.
    let mut outcome = Exit::Done;
    for error in map.locks()?.iter().filter_map(|lock| lock.claims().err()) {
        outcome = outcome.or(exit::report(&error));
    }
    let mut out = Out::new();
    out.table(&rows)?;
    out.flush()?;
    Ok(outcome)
}
