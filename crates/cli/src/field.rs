//! Fields of plain structs, which the command line names as VAR.FIELD.

use mapvar::{Error, ErrorKind, Kind, Map, Result, Value};

/// Splits the name of a field into those of its variable and of the path in it; `None` if `name` is
/// a variable, or if no part of it is a struct.
pub(crate) fn find<'a>(map: &Map, name: &'a str) -> Option<(&'a str, &'a str)> {
    if !name.contains('.') || map.contains(name).unwrap_or(true) {
        return None;
    }
    // Names of variables may have dots, names of fields have none: the longest variable counts.
    name.rmatch_indices('.')
        .filter_map(|(at, _)| Some((name.get(..at)?, name.get(at + 1..)?)))
        .find(|(var, path)| {
            !var.is_empty()
                && !path.is_empty()
                && map.kind(var).is_ok_and(|kind| kind == Kind::Plain)
        })
}

/// Returns the value of a variable, or of a field of a struct.
pub(crate) fn value(map: &Map, name: &str) -> Result<Value> {
    match find(map, name) {
        Some((var, path)) => map.get_field(var, path),
        None => map.get(name),
    }
}

/// Sets a variable, or a field of a struct.
pub(crate) fn set(map: &Map, name: &str, value: &Value) -> Result<()> {
    match find(map, name) {
        Some((var, path)) => map.set_field(var, path, value),
        // A struct stays one, as any variable keeps its kind.
        None if map.kind(name).is_ok_and(|kind| kind == Kind::Plain) => {
            map.set_field(name, "", value)
        }
        None => map.set(name, value),
    }
}

/// Returns the kind as it is stored, or that of the value of a field.
pub(crate) fn kind(map: &Map, name: &str) -> Result<Kind> {
    match find(map, name) {
        Some((var, path)) => Ok(map.get_field(var, path)?.kind()),
        None => map.kind(name),
    }
}

/// Returns the part at `path` of a struct's value.
pub(crate) fn part<'a>(value: &'a Value, name: &str, path: &str) -> Result<&'a Value> {
    let part = |within: &'a Value, part: &str| match within {
        Value::Dict(pairs) => pairs
            .iter()
            .find(|(key, _)| matches!(key, Value::Str(key) if key == part))
            .map(|(_, value)| value),
        Value::List(values) => values.get(part.parse::<usize>().ok()?),
        _ => None,
    };
    path.split('.').try_fold(value, part).ok_or_else(|| {
        Error::new(ErrorKind::WrongKind, "watch variable", format!("{name:?}"))
            .detail(format!("it has no field {path:?} any more; start anew"))
    })
}
