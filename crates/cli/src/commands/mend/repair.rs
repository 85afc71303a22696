//! `mapvar repair`

use crate::{
    args::Repair,
    exit::{Exit, Failure},
    show::{self, Out, escaped},
};
use mapvar::{Map, Salvage};

pub(crate) fn run(args: &Repair) -> Result<Exit, Failure> {
    let options = |file| Map::options().file(file).allow_network(args.allow_network);
    let map = options(&args.into).create()?;
    let salvage = match salvage(&options(&args.file), map) {
        Ok(salvage) => salvage,
        Err(error) => {
            // This command created the file, and it is incomplete. If it cannot be removed, the
            // original error is still the one to report.
            let _ = std::fs::remove_file(&args.into);
            return Err(error.into());
        }
    };
    let mut out = Out::new();
    for lost in salvage.lost() {
        out.line(&escaped(&lost.to_string()))?;
    }
    let saved = show::counted(salvage.saved(), "variable");
    let older = salvage.lost().iter().filter(|lost| lost.older).count();
    let lost = salvage.lost().len() - older;
    out.line(&format!("{saved} saved, {older} of them with an older value; {lost} lost"))?;
    out.flush()?;
    Ok(if salvage.lost().is_empty() { Exit::Done } else { Exit::Damaged })
}

fn salvage(damaged: &mapvar::MapOptions, into: Map) -> mapvar::Result<Salvage> {
    let salvage = damaged.salvage(&into)?;
    into.flush()?;
    into.close()?;
    Ok(salvage)
}
