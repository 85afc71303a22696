//! `mapvar unlock`

use crate::{
    args::Unlock,
    exit::{Exit, Failure},
    show::Out,
};
use mapvar::Unlocked;

pub(crate) fn run(args: &Unlock) -> Result<Exit, Failure> {
    let name = args.name.as_deref();
    let found = super::options(&args.place, name)
        .unlock(args.force)
        .map_err(|error| super::remedy(&args.place, name, error))?;
    let mut out = Out::new();
    out.line(match found {
        Unlocked::WasFree => "nobody held its lock",
        _ => "its lock is free now",
    })?;
    out.flush()?;
    Ok(Exit::Done)
}
