//! `mapvar set`

use crate::{
    args::{self, Set},
    exit::{Exit, Failure},
    opening,
    parse::{self, Type},
};
use mapvar::{Error, ErrorKind, Value};
use std::io::{self, Read};

pub(crate) fn run(args: &Set) -> Result<Exit, Failure> {
    let (name, var, text) = args.words()?;
    let value = match (text, args.as_type()) {
        ("-", as_type) => from_stdin(var, as_type)?,
        (text, None) => parse::guess(text),
        (text, Some(as_type)) => typed(text, as_type)?,
    };
    let map = if args.place.file.is_some() {
        let mut options = opening::options(&args.place, name);
        if let Some(size) = args.size {
            options = options.size(size);
        }
        if let Some(most) = args.max_size {
            options = options.max_size(most);
        }
        // The call creates an absent file, so `NotFound` means that its folder is absent.
        let map =
            options.open_or_create().map(opening::noted).map_err(|error| match error.kind() {
                ErrorKind::NotFound => error.detail("no such folder; make it first"),
                _ => error,
            })?;
        opening::warn_of_writers(&args.place);
        map
    } else {
        opening::open(&args.place, name, false)?
    };
    map.set_value(var, &value)?;
    map.close()?;
    Ok(Exit::Done)
}

fn typed(text: &str, as_type: Type) -> Result<Value, clap::Error> {
    let wrong = |message| args::wrong("set", clap::error::ErrorKind::ValueValidation, message);
    parse::typed(text, as_type).map_err(wrong)
}

/// The most bytes that are read from standard input: endless input ends with an error.
const MOST: u64 = 8 << 30;

/// Reads the value from standard input.
fn from_stdin(var: &str, as_type: Option<Type>) -> Result<Value, Failure> {
    let mut bytes = Vec::new();
    let error = |kind| Error::new(kind, "read standard input for variable", format!("{var:?}"));
    io::stdin()
        .lock()
        .take(MOST + 1)
        .read_to_end(&mut bytes)
        .map_err(|cause| error(ErrorKind::Io).because(cause))?;
    if bytes.len() as u64 > MOST {
        return Err(error(ErrorKind::TooLarge)
            .detail(format!("more than {MOST} bytes; split it"))
            .into());
    }
    if as_type == Some(Type::Bytes) {
        return Ok(Value::Bytes(bytes));
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        error(ErrorKind::InvalidArgument).detail("it is not UTF-8; use --bytes to keep it as it is")
    })?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    Ok(typed(text, as_type.unwrap_or(Type::Str))?)
}
