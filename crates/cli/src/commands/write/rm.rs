//! `mapvar rm`

use crate::{
    args::Rm,
    exit::{self, Exit, Failure},
    field, opening,
};
use mapvar::{Error, ErrorKind};

pub(crate) fn run(args: &Rm) -> Result<Exit, Failure> {
    let (name, vars) = args.words()?;
    let map = opening::open(&args.place, name, false)?;
    let mut outcome = Exit::Done;
    for var in vars {
        if !map.remove(var)? {
            let error =
                Error::new(ErrorKind::NotFound, "remove variable", field::object(&map, var));
            exit::report(&error.detail(match field::find(&map, var) {
                Some((of, _)) => format!(
                    "it is a field of the struct {of:?}, which cannot be removed alone; remove {of:?}"
                ),
                None => "no variable of this name".into(),
            }));
            outcome = Exit::Absent;
        }
    }
    map.close()?;
    Ok(outcome)
}
