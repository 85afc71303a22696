//! `mapvar set`

use crate::{
    args::{self, Set},
    exit::{self, Exit, Failure},
    field, opening,
    parse::{self, Type},
    typing,
};
use mapvar::{Error, ErrorKind, Map, Value};
use std::io::{self, Read};

pub(crate) fn run(args: &Set) -> Result<Exit, Failure> {
    let (name, var, text) = args.words()?;
    // Before the map is opened, so that wrong usage creates no map.
    let input = match (text, args.as_type()) {
        ("-", as_type) => from_stdin(var, as_type)?,
        (text, Some(as_type)) => Input::Value(typed(text, as_type)?),
        (text, None) => Input::Argument(text),
    };
    let opened = match input {
        // Only a variable that has bytes already can have them.
        Input::Bytes(_) => {
            opening::open(&args.place, name, false).map_err(|failure| match failure {
                Failure::Map(error) if error.kind() == ErrorKind::NotFound => not_text(var).into(),
                failure => failure,
            })
        }
        _ if args.place.file.is_some() => open_or_create(args, name),
        _ => opening::open(&args.place, name, false),
    };
    let map = opened?;
    let value = match input {
        Input::Value(value) => value,
        Input::Argument(text) => typing::value(&map, var, text, parse::guess)?,
        Input::Bytes(bytes) => match typing::old(&map, var)? {
            Some(Value::Bytes(_)) => Value::Bytes(bytes),
            _ => return Err(not_text(var).into()),
        },
        Input::Text(text) => match typing::old(&map, var)? {
            Some(Value::Bytes(_)) => Value::Bytes(text.into_bytes()),
            _ => typing::value(&map, var, line(&text), |text| Value::Str(text.into()))?,
        },
    };
    let is_new = var.contains('.') && !map.contains(var)?;
    field::set(&map, var, &value, args.as_type().is_some())?;
    // The user may have meant a part of a dict.
    if is_new && let Some(why) = field::no_field(&map, var) {
        exit::say(&format!("variable {var:?} is new: {why}"));
    }
    map.close()?;
    Ok(Exit::Done)
}

/// What the command got for a value.
enum Input<'a> {
    /// A value whose type was given.
    Value(Value),
    Argument(&'a str),
    /// All of standard input.
    Text(String),
    /// All of standard input, which is not UTF-8.
    Bytes(Vec<u8>),
}

fn open_or_create(args: &Set, name: Option<&str>) -> Result<Map, Failure> {
    let mut options = opening::options(&args.place, name);
    if let Some(size) = args.size {
        options = options.size(size);
    }
    if let Some(most) = args.max_size {
        options = options.max_size(most);
    }
    // The call creates an absent file, so `NotFound` means that its folder is absent.
    let map = options.open_or_create().map(opening::noted).map_err(|error| match error.kind() {
        ErrorKind::NotFound => error.detail("no such folder; make it first"),
        _ => error,
    })?;
    opening::warn_of_writers(&args.place);
    Ok(map)
}

fn typed(text: &str, as_type: Type) -> Result<Value, clap::Error> {
    let wrong = |message| args::wrong("set", clap::error::ErrorKind::ValueValidation, message);
    parse::typed(text, as_type).map_err(wrong)
}

/// The most bytes that are read from standard input: endless input ends with an error.
const MOST: u64 = 8 << 30;

/// Reads the value from standard input.
fn from_stdin(var: &str, as_type: Option<Type>) -> Result<Input<'static>, Failure> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(MOST + 1)
        .read_to_end(&mut bytes)
        .map_err(|cause| input_error(var, ErrorKind::Io).because(cause))?;
    if bytes.len() as u64 > MOST {
        let detail = format!("more than {MOST} bytes; split it");
        return Err(input_error(var, ErrorKind::TooLarge).detail(detail).into());
    }
    if as_type == Some(Type::Bytes) {
        return Ok(Input::Value(Value::Bytes(bytes)));
    }
    match (String::from_utf8(bytes), as_type) {
        (Ok(text), Some(as_type)) => Ok(Input::Value(typed(line(&text), as_type)?)),
        (Ok(text), None) => Ok(Input::Text(text)),
        (Err(_), Some(_)) => Err(not_text(var).into()),
        (Err(error), None) => Ok(Input::Bytes(error.into_bytes())),
    }
}

/// Returns the text without its last newline.
fn line(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

fn input_error(var: &str, kind: ErrorKind) -> Error {
    Error::new(kind, "read standard input for variable", format!("{var:?}"))
}

fn not_text(var: &str) -> Error {
    input_error(var, ErrorKind::InvalidArgument)
        .detail("it is not UTF-8; use --bytes to keep it as it is")
}
