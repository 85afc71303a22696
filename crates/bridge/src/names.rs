//! Names of variables as keys of a bucket, and back.
//!
//! A dot separates both. Every other byte than `A-Z a-z 0-9 _ -` becomes `=XX`, and so does a dot at
//! an end or beside another dot, since a subject of NATS has no empty tokens.

use std::fmt::Write as _;

/// The longest key. NATS reads a subject within a line of 4 KiB, and ends the connection at a
/// longer one.
pub(crate) const LONGEST_KEY: usize = 3072;

/// The first token of the keys in which owners state themselves. No node may have this name.
pub(crate) const OWNER: &str = "_owner";

/// Returns the part of a key for the part of a name that follows a prefix.
pub(crate) fn escape(name: &str) -> String {
    if name.is_empty() {
        return "=".into();
    }
    let bytes = name.as_bytes();
    let mut key = String::with_capacity(bytes.len());
    for (at, &byte) in bytes.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        let after = bytes.get(at + 1);
        let separates = byte == b'.'
            && before.is_some_and(|byte| *byte != b'.')
            && after.is_some_and(|byte| *byte != b'.');
        if separates || is_plain(byte) {
            key.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(key, "={byte:02X}");
        }
    }
    key
}

/// Returns the name for a part of a key; `None` for a key that `escape` does not make.
pub(crate) fn unescape(key: &str) -> Option<String> {
    if key == "=" {
        return Some(String::new());
    }
    let mut name = Vec::with_capacity(key.len());
    let mut bytes = key.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'=' => {
                let byte = hex(bytes.next()?)? << 4 | hex(bytes.next()?)?;
                // Two keys for one name would be two variables that overwrite each other.
                if is_plain(byte) {
                    return None;
                }
                name.push(byte);
            }
            b'.' => name.push(byte),
            byte if is_plain(byte) => name.push(byte),
            _ => return None,
        }
    }
    let name = String::from_utf8(name).ok()?;
    (!name.is_empty()).then_some(name)
}

/// Whether a prefix consists of whole tokens: it is empty, or each of its tokens ends with a dot.
pub(crate) fn is_prefix(prefix: &str) -> bool {
    prefix.is_empty()
        || prefix.strip_suffix('.').is_some_and(|rest| {
            rest.split('.').all(|token| !token.is_empty() && token.bytes().all(is_plain))
        })
}

/// Whether the text can be a node: one token, and none that the bridge uses itself.
pub(crate) fn is_node(node: &str) -> bool {
    (1..=64).contains(&node.len()) && node.bytes().all(is_plain) && !node.starts_with('_')
}

/// Returns the key in which the owner of a prefix of keys states itself.
pub(crate) fn owner_key(prefix: &str) -> String {
    format!("{OWNER}.{prefix}=")
}

/// Returns the patterns of all keys that concern a reader of a prefix: its variables, the owners
/// below it, and the owners of each wider prefix. No two of them overlap, which NATS refuses.
pub(crate) fn patterns(prefix: &str) -> Vec<String> {
    let mut patterns = vec![format!("{prefix}>"), format!("{OWNER}.{prefix}>")];
    let tokens = prefix.trim_end_matches('.').match_indices('.');
    patterns.extend(tokens.filter_map(|(at, _)| Some(owner_key(prefix.get(..=at)?))));
    patterns
}

/// The variables below a prefix of names, and the keys below a prefix of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// The prefix of the names; it may have slashes.
    pub(crate) names: String,
    /// The prefix of the keys.
    pub(crate) keys: String,
    /// A slash separates the parts of a name, and a dot is a character as any other.
    pub(crate) slashes: bool,
}

impl Mapping {
    /// Returns the key of a variable; `None` for a name of another prefix, or too long a one.
    pub(crate) fn key(&self, name: &str) -> Option<String> {
        let rest = self.swapped(name.strip_prefix(&self.names)?);
        let key = format!("{}{}", self.keys, escape(&rest));
        (key.len() <= LONGEST_KEY).then_some(key)
    }

    /// Returns the variable of a key; `None` for a key that no bridge makes.
    pub(crate) fn name(&self, key: &str) -> Option<String> {
        let rest = unescape(key.strip_prefix(&self.keys)?)?;
        let name = format!("{}{}", self.names, self.swapped(&rest));
        // A map allows no more.
        (1..=1023).contains(&name.len()).then_some(name)
    }

    /// Returns the prefix of the variables that the owner of a prefix of keys mirrors here.
    pub(crate) fn names_of(&self, keys: &str) -> Option<String> {
        match keys.strip_prefix(&self.keys) {
            Some(rest) => Some(format!("{}{}", self.names, self.swapped(rest))),
            None => self.keys.starts_with(keys).then(|| self.names.clone()),
        }
    }

    fn swapped(&self, text: &str) -> String {
        let swap = |c| match c {
            '.' => '/',
            '/' => '.',
            c => c,
        };
        if self.slashes { text.chars().map(swap).collect() } else { text.to_owned() }
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_become_keys_that_read_well() {
        for (name, key) in [
            ("rpm", "rpm"),
            ("engine.rpm", "engine.rpm"),
            ("car/gear", "car=2Fgear"),
            (".x", "=2Ex"),
            ("a..b", "a=2E=2Eb"),
            ("x.", "x=2E"),
            ("=", "=3D"),
            ("ü", "=C3=BC"),
            ("", "="),
        ] {
            assert_eq!(escape(name), key);
            assert_eq!(unescape(key).as_deref(), Some(name));
        }
    }

    #[test]
    fn foreign_keys_are_refused() {
        for key in ["", "=4", "=41", "=zz", "=2f", "a b", "=FF", "a*", "a>"] {
            assert_eq!(unescape(key), None, "{key:?}");
        }
    }

    #[test]
    fn prefixes_are_whole_tokens() {
        assert!(is_prefix("") && is_prefix("a.") && is_prefix("a.b."));
        assert!(!is_prefix("a") && !is_prefix(".") && !is_prefix("a..") && !is_prefix("a/."));
        assert!(is_node("rig-a") && !is_node("_owner") && !is_node("a.b") && !is_node(""));
    }

    #[test]
    fn the_patterns_of_a_prefix_do_not_overlap() {
        assert_eq!(patterns("a."), ["a.>", "_owner.a.>"]);
        assert_eq!(patterns("a.b.c."), ["a.b.c.>", "_owner.a.b.c.>", "_owner.a.=", "_owner.a.b.="]);
    }

    #[test]
    fn a_mapping_stays_below_its_prefixes() {
        let mapping =
            Mapping { names: "engine/".into(), keys: "rig-a.engine.".into(), slashes: true };
        assert_eq!(mapping.key("engine/a/b.c").as_deref(), Some("rig-a.engine.a.b=2Fc"));
        assert_eq!(mapping.name("rig-a.engine.a.b=2Fc").as_deref(), Some("engine/a/b.c"));
        assert_eq!(mapping.key("body/a"), None);
        assert_eq!(mapping.name("rig-b.engine.a"), None);
        assert_eq!(mapping.key(&format!("engine/{}", "ü".repeat(1000))), None);
        assert_eq!(mapping.names_of("rig-a.").as_deref(), Some("engine/"));
        assert_eq!(mapping.names_of("rig-a.engine.fuel.").as_deref(), Some("engine/fuel/"));
        assert_eq!(mapping.names_of("rig-b."), None);
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in ".{0,40}") {
            let key = escape(&name);
            prop_assert!(!key.is_empty() && !key.starts_with('.') && !key.ends_with('.'));
            prop_assert!(!key.contains(".."));
            prop_assert_eq!(unescape(&key), Some(name));
        }

        #[test]
        fn every_key_is_refused_or_read(key in "[=.A-Fa-f0-9_>* -]{0,20}") {
            let _ = unescape(&key);
        }
    }
}
