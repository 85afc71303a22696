//! `mapvar locks`

use crate::{
    args::Locks,
    exit::{self, Exit, Failure},
    opening,
    show::{self, Out},
};
use mapvar::lock::Claim;

pub(crate) fn run(args: &Locks) -> Result<Exit, Failure> {
    let map = opening::open(&args.place, args.name.as_deref(), true)?;
    let (mut rows, mut outcome) = (Vec::new(), Exit::Done);
    for lock in map.locks()? {
        // A lock whose queue cannot be read is reported, and the others are listed.
        let claims = match lock.claims() {
            Ok(claims) => claims,
            Err(error) => {
                outcome = outcome.or(exit::report(&error));
                continue;
            }
        };
        if claims.is_empty() {
            rows.push([lock.name(), "free", "", "", ""].map(String::from));
        }
        for claim in &claims {
            let holder = &claim.holder;
            rows.push([
                lock.name().into(),
                state(claim).into(),
                holder.pid.to_string(),
                holder.program.clone().unwrap_or_default(),
                show::ago(holder.since),
            ]);
        }
    }
    let mut out = Out::new();
    out.table(&rows)?;
    out.flush()?;
    Ok(outcome)
}

fn state(claim: &Claim) -> &'static str {
    match (claim.alive, claim.held, claim.shared) {
        (false, ..) => "gone",
        (true, true, false) => "held",
        (true, true, true) => "shared",
        (true, false, _) => "waits",
    }
}
