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
    match old(map, var).map_err(|error| with_way_out(map, var, error))? {
        None | Some(Value::Nil) => Ok(fresh(text)),
        Some(old) => parse::of_kind(text, &old).map_err(|wrong| {
            let (kind, object) = (old.kind().name(), field::object(map, var));
            let is_field = field::find(map, var).is_some();
            let way_out = if is_field { "" } else { "; --type TYPE sets a value of another kind" };
            Error::new(ErrorKind::WrongKind, "set variable", object)
                .detail(format!("its kind is {kind}, and {wrong}{way_out}"))
        }),
    }
}

/// Says how to set a variable whose kind is not known, since its value cannot be read.
fn with_way_out(map: &Map, var: &str, error: Error) -> Error {
    let unreadable =
        matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::WrongKind | ErrorKind::TooLarge);
    if !unreadable || field::find(map, var).is_some() {
        return error;
    }
    let said = error.to_string();
    let head = format!("{} {}: ", error.operation(), error.object());
    let detail = said.strip_prefix(&head).unwrap_or(&said);
    let detail = format!("{detail}; --type TYPE sets a value all the same");
    error.detail(detail)
}

/// Returns the variable's value, if it exists.
pub(crate) fn old(map: &Map, var: &str) -> Result<Option<Value>> {
    match field::value(map, var) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
