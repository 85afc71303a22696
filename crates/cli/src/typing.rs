//! The value that a text on the command line is for a variable.

use crate::{field, parse};
use mapvar::{Error, ErrorKind, Map, Result, Value};

/// Returns the value in the variable's kind. `fresh` makes the value of a variable that is absent or
/// nil, and so has no kind to keep.
pub(crate) fn value(
    map: &Map,
    var: &str,
    text: &str,
    fresh: impl FnOnce(&str) -> Value,
) -> Result<Value> {
    match old(map, var)? {
        None | Some(Value::Nil) => Ok(fresh(text)),
        Some(old) => parse::of_kind(text, &old).map_err(|wrong| {
            let kind = old.kind().name();
            Error::new(ErrorKind::WrongKind, "set", format!("variable {var:?}")).detail(format!(
                "its kind is {kind}, and {wrong}; --type TYPE sets a value of another kind"
            ))
        }),
    }
}

/// Returns the variable's value, if it exists.
pub(crate) fn old(map: &Map, var: &str) -> Result<Option<Value>> {
    match field::value(map, var) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
