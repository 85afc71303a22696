//! Lists the classes and modules that a dump names. Ruby's `Marshal.load` would run their code.

use super::{
    parse_error::ParseError,
    scan::{HEAD, Scan},
    walk::{Step, Task},
};
use std::collections::BTreeSet;

/// The deepest nesting of objects. Ruby's loader recurses for each level, and on Windows a stack
/// overflow ends the process (seen beyond 2,000 levels, in a thread).
const LEVELS: u32 = 500;

/// Returns the names in a dump, sorted and without duplicates.
///
/// These are the classes of objects, structs and user-defined objects, subclasses of built-in
/// classes, modules that extend objects, and classes and modules themselves. Names that are not
/// UTF-8 get replacement characters. Numbers, text, Symbols, Arrays, Hashes and Regexps name no
/// class.
///
/// `Marshal.load` runs code of these classes. If you trust all of them, you can let Ruby load the
/// bytes.
///
/// # Errors
/// What is wrong with the bytes; [`ParseError::Deep`] if objects are nested more than 500 levels
/// deep, which could overflow the loader's stack.
pub fn classes(bytes: &[u8]) -> Result<BTreeSet<String>, ParseError> {
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
                // The walk returns a prefix `I` as a step of its own, so this byte is the type
                // letter.
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
