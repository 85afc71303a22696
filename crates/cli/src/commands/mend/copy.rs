//! `mapvar copy`

use super::aside;
use crate::{
    args::Copy,
    exit::{self, Exit, Failure},
    opening, show,
};

pub(crate) fn run(args: &Copy) -> std::result::Result<Exit, Failure> {
    let map = opening::open(&args.place, args.name.as_deref(), true)?;
    let copied = aside::create(&args.into, args.place.allow_network, |into| map.copy_to(into))?;
    if !copied.at_one_instant {
        exit::say("other processes changed it all the time: the values are of different moments");
    }
    for lost in &copied.lost {
        exit::report(lost);
    }
    if !copied.lost.is_empty() {
        exit::say(&format!(
            "{} copied; {} left out, or as unreadable in the copy",
            show::counted(copied.variables, "variable"),
            copied.lost.len()
        ));
        return Ok(Exit::Damaged);
    }
    Ok(Exit::Done)
}
