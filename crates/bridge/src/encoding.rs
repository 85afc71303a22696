//! Values as payloads that any client of NATS can read, and back.
//!
//! Numbers, text, lists and dictionaries are JSON. Bytes are themselves. What JSON cannot hold is
//! MessagePack. Two headers keep the kind.

use mapvar::Value;

/// The kind of the value, by its name in mapvar.
pub(crate) const KIND: &str = "Mapvar-Kind";
/// The number of a pod's type, or of an opaque value's language.
pub(crate) const TYPE: &str = "Mapvar-Type";
/// The value ends with the process that set it.
pub(crate) const EPHEMERAL: &str = "Mapvar-Ephemeral";
/// The format of the payload, where it is not JSON.
pub(crate) const CONTENT: &str = "Content-Type";
const MESSAGE_PACK: &str = "application/msgpack";

/// The deepest nesting, which is that of a map.
const DEEPEST: usize = 128;

/// A value as a message carries it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Encoded {
    pub(crate) kind: &'static str,
    pub(crate) type_id: Option<u32>,
    pub(crate) message_pack: bool,
    /// The value ends with the process that set it.
    pub(crate) ephemeral: bool,
    pub(crate) payload: Vec<u8>,
}

/// What the headers of a message say about its payload.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Labels<'a> {
    pub(crate) kind: Option<&'a str>,
    pub(crate) type_id: Option<&'a str>,
    pub(crate) content: Option<&'a str>,
}

impl Encoded {
    /// Returns the format of the payload, where it is not JSON; else an empty text.
    pub(crate) fn content(&self) -> &'static str {
        if self.message_pack { MESSAGE_PACK } else { "" }
    }

    /// Returns the headers.
    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![(KIND, self.kind.to_owned())];
        headers.extend(self.type_id.map(|number| (TYPE, number.to_string())));
        headers.extend(self.ephemeral.then(|| (EPHEMERAL, "1".to_owned())));
        headers.extend(self.message_pack.then(|| (CONTENT, MESSAGE_PACK.to_owned())));
        headers
    }
}

/// Encodes a value.
///
/// # Errors
/// The value is nested deeper than a map stores it.
pub(crate) fn encode(value: &Value) -> Result<Encoded, String> {
    let mut encoded = Encoded {
        kind: value.kind().name(),
        type_id: None,
        message_pack: false,
        ephemeral: false,
        payload: Vec::new(),
    };
    match value {
        Value::Bytes(bytes) => encoded.payload.clone_from(bytes),
        Value::Pod { type_id, bytes } => {
            encoded.type_id = Some(*type_id);
            encoded.payload.clone_from(bytes);
        }
        Value::Opaque { language, bytes } => {
            encoded.type_id = Some(*language);
            encoded.payload.clone_from(bytes);
        }
        // JSON has no such numbers, so they are text there; the kind says that they are numbers.
        Value::F64(number) if !number.is_finite() => {
            encoded.payload = format!("\"{number}\"").into_bytes();
        }
        value if fits_json(value, DEEPEST) => {
            encoded.payload = serde_json::to_vec(value).map_err(|error| error.to_string())?;
        }
        value => {
            encoded.message_pack = true;
            encoded.payload = rmp_serde::to_vec(value).map_err(|error| error.to_string())?;
        }
    }
    Ok(encoded)
}

/// Whether JSON can hold the value, and each part of it.
pub(crate) fn is_json(value: &Value) -> bool {
    fits_json(value, DEEPEST)
}

fn fits_json(value: &Value, depth: usize) -> bool {
    match value {
        Value::Nil | Value::Bool(_) | Value::I64(_) | Value::U64(_) | Value::Str(_) => true,
        Value::F64(number) => number.is_finite(),
        // serde_json reads no deeper than this.
        Value::List(_) | Value::Dict(_) if depth == 0 => false,
        Value::List(values) => values.iter().all(|value| fits_json(value, depth - 1)),
        Value::Dict(pairs) => pairs
            .iter()
            .all(|(key, value)| matches!(key, Value::Str(_)) && fits_json(value, depth - 1)),
        _ => false,
    }
}

/// Decodes a payload that somebody sent.
///
/// Its size is bounded by the server's limit; its depth here. A payload without our headers is
/// JSON if it parses, else text if it is UTF-8, else bytes.
///
/// # Errors
/// The payload is not of the kind that its headers name.
pub(crate) fn decode(payload: &[u8], labels: Labels<'_>) -> Result<Value, String> {
    let Some(kind) = labels.kind else { return Ok(guess(payload)) };
    let number = || {
        let number = labels.type_id.and_then(|number| number.parse().ok());
        number.ok_or_else(|| format!("header {TYPE} is no number"))
    };
    let value = match kind {
        "bytes" => Value::Bytes(payload.to_vec()),
        "pod" => Value::Pod { type_id: number()?, bytes: payload.to_vec() },
        "opaque" => Value::Opaque { language: number()?, bytes: payload.to_vec() },
        _ if labels.content == Some(MESSAGE_PACK) => message_pack(payload)?,
        _ => serde_json::from_slice(payload).map_err(|error| error.to_string())?,
    };
    let value = match (kind, value) {
        ("float", Value::Str(text)) => match text.parse::<f64>() {
            Ok(number) if !number.is_finite() => Value::F64(number),
            _ => return Err(format!("{text:?} is no float")),
        },
        ("float", Value::I64(number)) => {
            guess_float(number).ok_or_else(|| format!("{number} is no float"))?
        }
        (_, value) => value,
    };
    let found = value.kind().name();
    if found == kind { Ok(value) } else { Err(format!("header says {kind}, payload is {found}")) }
}

fn guess_float(number: i64) -> Option<Value> {
    number.to_string().parse().ok().map(Value::F64)
}

fn message_pack(payload: &[u8]) -> Result<Value, String> {
    let mut rest = payload;
    let mut reader = rmp_serde::Deserializer::new(&mut rest);
    reader.set_max_depth(2 * DEEPEST + 2);
    let value = serde::Deserialize::deserialize(&mut reader).map_err(|error| format!("{error}"))?;
    if rest.is_empty() { Ok(value) } else { Err("more bytes behind the value".into()) }
}

fn guess(payload: &[u8]) -> Value {
    if let Ok(value) = serde_json::from_slice(payload) {
        return value;
    }
    match std::str::from_utf8(payload) {
        Ok(text) => Value::Str(text.into()),
        Err(_) => Value::Bytes(payload.to_vec()),
    }
}

#[cfg(test)]
mod tests;
