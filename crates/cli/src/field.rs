//! Fields of plain structs, which the command line names as VAR.FIELD.

use mapvar::{Error, ErrorKind, Kind, Map, Result, Value};

/// Returns how messages name a variable, or a field.
pub(crate) fn object(map: &Map, name: &str) -> String {
    format!("{name:?} of {map}")
}

/// Returns each way to split a name into those of a variable and of a path in it, the longest
/// variable first: names of variables may have dots, names of fields have none.
fn splits(name: &str) -> impl Iterator<Item = (&str, &str)> {
    name.rmatch_indices('.')
        .filter_map(|(at, _)| Some((name.get(..at)?, name.get(at + 1..)?)))
        .filter(|(var, path)| !var.is_empty() && !path.is_empty())
}

/// Splits the name of a field into those of its variable and of the path in it; `None` if `name` is
/// a variable, or if no part of it is a struct.
pub(crate) fn find<'a>(map: &Map, name: &'a str) -> Option<(&'a str, &'a str)> {
    if !name.contains('.') || map.contains(name).unwrap_or(true) {
        return None;
    }
    splits(name).find(|(var, _)| map.kind(var).is_ok_and(|kind| kind == Kind::Plain))
}

/// Returns why an absent variable is no field: the part of its name that is a dict or a list, which
/// have no names for their parts.
pub(crate) fn no_field(map: &Map, name: &str) -> Option<String> {
    let (var, kind) = splits(name).find_map(|(var, _)| Some((var, map.kind(var).ok()?)))?;
    matches!(kind, Kind::Dict | Kind::List)
        .then(|| format!("only structs have VAR.FIELD, and variable {var:?} is a {kind}"))
}

/// Returns the value of a variable, or of a field of a struct.
pub(crate) fn value(map: &Map, name: &str) -> Result<Value> {
    match find(map, name) {
        Some((var, path)) => map.get_field(var, path),
        None => map.get(name).map_err(|error| explained(map, name, error)),
    }
}

fn explained(map: &Map, name: &str, error: Error) -> Error {
    match no_field(map, name) {
        Some(why) if error.kind() == ErrorKind::NotFound => {
            error.detail(format!("no variable of this name; {why}: get it whole"))
        }
        _ => error,
    }
}

/// As [`value`]; `None` if there is no variable. A struct that has no such field is an error: no wait
/// gives it one.
pub(crate) fn present(map: &Map, name: &str) -> Result<Option<Value>> {
    let (var, found) = match find(map, name) {
        Some((var, path)) => (var, map.get_field(var, path)),
        None => (name, map.get(name)),
    };
    match found {
        Ok(value) => Ok(Some(value)),
        // Another process may have removed the struct meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound && !map.contains(var)? => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound && var == name => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sets a variable, or a field of a struct. With `is_typed`, the user gave the type of the value.
pub(crate) fn set(map: &Map, name: &str, value: &Value, is_typed: bool) -> Result<()> {
    match find(map, name) {
        Some((var, path)) => map.set_field(var, path, value),
        // A struct stays one, as any variable keeps its kind.
        None if map.kind(name).is_ok_and(|kind| kind == Kind::Plain) => {
            match map.set_field(name, "", value) {
                // Of a struct that cannot be read nothing is kept.
                Err(error) if is_typed && error.kind() == ErrorKind::Corrupt => {
                    map.set(name, value)
                }
                set => set,
            }
        }
        None => map.set(name, value),
    }
}

/// Returns the kind as it is stored, or that of the value of a field.
pub(crate) fn kind(map: &Map, name: &str) -> Result<Kind> {
    match find(map, name) {
        Some((var, path)) => Ok(map.get_field(var, path)?.kind()),
        None => map.kind(name).map_err(|error| explained(map, name, error)),
    }
}

/// Returns the part at `path` of a struct's value.
pub(crate) fn part<'a>(map: &Map, value: &'a Value, name: &str, path: &str) -> Result<&'a Value> {
    let part = |within: &'a Value, part: &str| match within {
        Value::Dict(pairs) => pairs
            .iter()
            .find(|(key, _)| matches!(key, Value::Str(key) if key == part))
            .map(|(_, value)| value),
        Value::List(values) => values.get(part.parse::<usize>().ok()?),
        _ => None,
    };
    path.split('.').try_fold(value, part).ok_or_else(|| {
        Error::new(ErrorKind::WrongKind, "watch variable", object(map, name))
            .detail(format!("it has no field {path:?} any more; start anew"))
    })
}
