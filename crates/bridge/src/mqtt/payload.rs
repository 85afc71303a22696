//! Values as payloads for readers of MQTT, who have no headers.
//!
//! Numbers, text and bytes are themselves, and the rest is JSON. Nobody reads them back into a map.

use crate::encoding;
use mapvar::Value;

/// What stands for an empty text and for no bytes: an empty payload deletes a topic.
const EMPTY: &[u8] = b"\"\"";

/// Encodes a value.
///
/// # Errors
/// The value, or a part of it, is none that JSON can hold.
pub(super) fn encode(value: &Value) -> Result<Vec<u8>, String> {
    let payload = match value {
        Value::Str(text) => text.as_bytes().to_vec(),
        Value::Bytes(bytes) | Value::Pod { bytes, .. } | Value::Opaque { bytes, .. } => {
            bytes.clone()
        }
        // JSON has no such numbers: `NaN`, `inf`, `-inf`.
        Value::F64(number) if !number.is_finite() => number.to_string().into_bytes(),
        value if encoding::is_json(value) => {
            serde_json::to_vec(value).map_err(|error| error.to_string())?
        }
        _ => return Err("it has a part that JSON cannot hold".into()),
    };
    Ok(if payload.is_empty() { EMPTY.to_vec() } else { payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_read_well() {
        for (value, payload) in [
            (Value::F64(3.5), "3.5"),
            (Value::F64(f64::NAN), "NaN"),
            (Value::F64(f64::NEG_INFINITY), "-inf"),
            (Value::I64(-7), "-7"),
            (Value::Bool(true), "true"),
            (Value::Nil, "null"),
            (Value::Str("ready".into()), "ready"),
            (Value::Str(String::new()), "\"\""),
            (Value::Bytes(Vec::new()), "\"\""),
            (Value::Bytes(b"raw".to_vec()), "raw"),
            (Value::List(vec![Value::I64(1), Value::Str("a".into())]), "[1,\"a\"]"),
            (Value::Dict(vec![(Value::Str("k".into()), Value::Nil)]), "{\"k\":null}"),
        ] {
            assert_eq!(encode(&value).unwrap(), payload.as_bytes(), "{value:?}");
        }
    }

    #[test]
    fn what_json_cannot_hold_is_refused() {
        let number_as_key = Value::Dict(vec![(Value::I64(1), Value::Nil)]);
        let bytes_within = Value::List(vec![Value::Bytes(vec![1])]);
        for value in [number_as_key, bytes_within] {
            assert!(encode(&value).is_err(), "{value:?}");
        }
    }
}
