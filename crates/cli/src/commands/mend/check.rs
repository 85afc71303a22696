//! `mapvar check`

use crate::{
    args::Check,
    exit::{Exit, Failure},
    opening,
    show::{self, Out, escaped},
};

pub(crate) fn run(args: &Check) -> Result<Exit, Failure> {
    let name = args.name.as_deref();
    let check = opening::options(&args.place, name)
        .check()
        .map_err(|error| opening::remedy(&args.place, name, error))?;
    let mut out = Out::new();
    for finding in check.findings() {
        out.line(&escaped(&finding.to_string()))?;
    }
    let counts = [
        (check.variables(), "variable"),
        (check.faults() as u64, "fault"),
        (check.notes() as u64, "note"),
    ];
    let counts = counts.map(|(number, what)| show::counted(number, what));
    out.line(&counts.join(", "))?;
    out.flush()?;
    Ok(if check.is_whole() { Exit::Done } else { Exit::Damaged })
}
