//! `mapvar copy`

use crate::{
    args::Copy,
    exit::{self, Exit, Failure},
    opening,
};
use mapvar::{Map, Result};

pub(crate) fn run(args: &Copy) -> std::result::Result<Exit, Failure> {
    let map = opening::open(&args.place, args.name.as_deref(), true)?;
    let into = Map::options().file(&args.into).allow_network(args.place.allow_network);
    let into = into.create()?;
    let copied = copy(&map, into).inspect_err(|_| {
        // This command created the file, and it is incomplete. If it cannot be removed, the
        // original error is still the one to report.
        let _ = std::fs::remove_file(&args.into);
    })?;
    if !copied.at_one_instant {
        exit::say("other processes changed it all the time: the values are of different moments");
    }
    Ok(Exit::Done)
}

fn copy(map: &Map, into: Map) -> Result<mapvar::Copied> {
    let copied = map.copy_to(&into)?;
    into.close()?;
    Ok(copied)
}
