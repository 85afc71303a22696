//! `mapvar rm`

use crate::{
    args::Rm,
    exit::{self, Exit, Failure},
    opening,
};
use mapvar::{Error, ErrorKind};

pub(crate) fn run(args: &Rm) -> Result<Exit, Failure> {
    let (name, vars) = args.words()?;
    let map = opening::open(&args.place, name, false)?;
    let mut outcome = Exit::Done;
    for var in vars {
        if !map.remove(var)? {
            let error = Error::new(ErrorKind::NotFound, "remove variable", format!("{var:?}"));
            exit::report(&error.detail("no variable of this name"));
            outcome = Exit::Absent;
        }
    }
    map.close()?;
    Ok(outcome)
}
