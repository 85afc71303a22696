//! `mapvar unlock`

use crate::{
    args::Unlock,
    exit::{Exit, Failure},
    opening,
    show::Out,
};
use mapvar::{
    Error, ErrorKind,
    gem::{self, Unlocked},
};

pub(crate) fn run(args: &Unlock) -> Result<Exit, Failure> {
    let (name, lock) = args.words()?;
    let said = match lock {
        Some(lock) => of_a_map(args, name, lock)?,
        None => of_a_gem(args, name)?.into(),
    };
    let mut out = Out::new();
    out.line(&said)?;
    out.flush()?;
    Ok(Exit::Done)
}

fn of_a_gem(args: &Unlock, name: Option<&str>) -> Result<&'static str, Failure> {
    let whose = if args.force { gem::Unlock::Any } else { gem::Unlock::Abandoned };
    let found = opening::options(&args.place, name)
        .unlock(whose)
        .map_err(|error| opening::remedy(&args.place, name, error))?;
    Ok(match found {
        Unlocked::WasFree => "its lock was free",
        _ => "its lock is free now",
    })
}

fn of_a_map(args: &Unlock, name: Option<&str>, lock: &str) -> Result<String, Failure> {
    let map = opening::open(&args.place, name, false)?;
    let lock = map.lock(lock)?;
    if args.force {
        let held = lock.force_unlock()?;
        let owners: Vec<_> = held.iter().map(|claim| claim.holder.to_string()).collect();
        return Ok(if owners.is_empty() {
            "it was free".into()
        } else {
            format!("taken away from {}; its next owner learns of that", owners.join(", "))
        });
    }
    let claims = lock.claims()?;
    let mut held = claims.iter().filter(|claim| claim.held);
    match held.clone().find(|claim| claim.alive) {
        Some(claim) => {
            let object = format!("lock {:?} of {map}", lock.name());
            let error = Error::new(ErrorKind::TimedOut, "unlock", object);
            let error = error.detail("its holder lives; --force takes it away");
            Err(error.held_by(Some(claim.holder.clone())).into())
        }
        None => Ok(match held.next() {
            Some(claim) => {
                format!(
                    "{} is dead: the lock is free, and its next owner learns of that",
                    claim.holder
                )
            }
            None => "it was free".into(),
        }),
    }
}
