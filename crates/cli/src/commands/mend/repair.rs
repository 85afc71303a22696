//! `mapvar repair`

use super::aside;
use crate::{
    args::Repair,
    exit::{Exit, Failure},
    show::{self, Out, escaped},
};
use mapvar::Map;

pub(crate) fn run(args: &Repair) -> Result<Exit, Failure> {
    let damaged = Map::options().file(&args.file).allow_network(args.allow_network);
    let salvage = aside::create(&args.into, args.allow_network, |into| damaged.salvage(into))?;
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
