//! `mapvar-bridge status`

use super::setting::print;
use crate::{args::Status, encoding, failure::Failure, report};
use mapvar::Value;
use std::fmt::Write as _;

/// Prints the link-state variables of a map. Returns whether there is one, and all are live.
pub(super) fn run(args: &Status) -> Result<bool, Failure> {
    let map = args.place().options().open()?;
    let (mut text, mut any, mut all_live) = (String::new(), false, true);
    for name in map.names().prefix(&report::prefix()).sorted()? {
        // The bridge may have ended meanwhile.
        let Some(state) = map.find::<Value>(&name)? else { continue };
        any = true;
        all_live &= field(&state, "live") == Some(&Value::Bool(true));
        if args.json {
            let encoded = encoding::encode(&state).map_err(Failure::usage)?;
            text.push_str(&String::from_utf8_lossy(&encoded.payload));
            text.push('\n');
        } else {
            describe(&mut text, &state);
        }
    }
    print(&text)?;
    Ok(any && all_live)
}

fn describe(text: &mut String, state: &Value) {
    let shown = |value: Option<&Value>| value.map(ToString::to_string).unwrap_or_default();
    let node = shown(field(state, "node"));
    let Some(Value::List(mirrors)) = field(state, "mirrors") else { return };
    for mirror in mirrors {
        // Writing to a string cannot fail.
        let _ = write!(text, "{node}");
        for name in ["direction", "keys", "state", "variables", "sent", "received", "refused"] {
            let _ = write!(text, "\t{}", shown(field(mirror, name)));
            if matches!(name, "variables" | "sent" | "received" | "refused") {
                let _ = write!(text, " {name}");
            }
        }
        let error = shown(field(mirror, "error"));
        if field(mirror, "state") != Some(&Value::Str("live".into())) && !error.is_empty() {
            let _ = write!(text, "\t{}", error.escape_debug());
        }
        text.push('\n');
    }
}

fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let Value::Dict(pairs) = value else { return None };
    let is = |key: &Value| matches!(key, Value::Str(key) if key == name);
    pairs.iter().find(|(key, _)| is(key)).map(|(_, value)| value)
}
