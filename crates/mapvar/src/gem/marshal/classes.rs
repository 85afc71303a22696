//! Which classes and modules a dump asks its loader for: what Ruby's `Marshal.load` would run the code
//! of, before it does.

use super::{
    parse_error::ParseError,
    scan::{HEAD, Scan},
    walk::{Step, Task},
};
use std::collections::BTreeSet;

/// How many objects may lie in each other: the loader calls itself for each level, and on Windows a
/// stack of Ruby's that is at its end ends the process (seen beyond 2,000 levels, in a thread).
const LEVELS: u32 = 500;

/// The names in a dump, each once, in order: of the classes of objects, structs, user-defined ones,
/// of subclasses of built-in ones, of the modules that objects are extended with, and of classes
/// and modules themselves. Text that is not UTF-8 is shown with replacement characters.
/// [`ParseError::Deep`] for what no loader is to be given.
pub(crate) fn classes(bytes: &[u8]) -> Result<BTreeSet<String>, ParseError> {
    let scan = Scan::of_alone(bytes)?;
    let mut names = BTreeSet::new();
    let mut walk = scan.walk(HEAD, Task::Objects(1)).counting_levels();
    while let Some(step) = walk.step()? {
        if walk.level() > LEVELS {
            return Err(ParseError::Deep(LEVELS));
        }
        if !walk.names_class() {
            continue;
        }
        let name = match step {
            Step::Symbol(begin) => scan.symbol_text(begin)?,
            Step::SymbolLink(number) => scan.symbol_text(scan.symbol(number)?)?,
            Step::Raw(from, ..) => {
                // `Ic` is its prefix's own step, so this is the letter.
                let mut reader = scan.reader(from);
                reader.byte()?;
                reader.text()?
            }
            Step::Object(_) | Step::Link(_) => continue,
        };
        names.insert(String::from_utf8_lossy(name).into_owned());
    }
    Ok(names)
}
