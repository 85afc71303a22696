//! Values in Ruby's Marshal format: for the Ruby binding, and for programs that exchange values
//! with Ruby.

use crate::Value;
use mapvar_marshal::{Node, Owned, ParseError, Tree};
use mapvar_os::{Error, ErrorKind, Result};
use std::borrow::Cow;

/// The language number of Ruby's Marshal in opaque values.
const RUBY: u32 = 1;

impl Tree for Value {
    fn node(&self) -> std::result::Result<Node<'_, Self>, Cow<'static, str>> {
        Ok(match self {
            Self::Nil => Node::Nil,
            Self::Bool(value) => Node::Bool(*value),
            Self::I64(number) => Node::I64(*number),
            Self::U64(number) => Node::U64(*number),
            Self::F64(number) => Node::F64(*number),
            Self::Str(text) => Node::Str(text),
            Self::Bytes(bytes) => Node::Bytes(bytes),
            Self::List(values) => Node::List(values),
            Self::Dict(pairs) => Node::Dict(pairs),
            Self::Opaque { language: RUBY, bytes } => Node::Object(bytes),
            Self::Opaque { language, .. } => {
                return Err(format!(
                    "opaque bytes of language {language} cannot be stored in Ruby's Marshal; \
                     store bytes instead"
                )
                .into());
            }
            Self::Pod { type_id, .. } => {
                return Err(format!(
                    "Ruby's Marshal cannot store plain bytes of type {type_id}; store bytes, or a \
                     list"
                )
                .into());
            }
        })
    }

    fn of(owned: Owned<Self>) -> Self {
        match owned {
            Owned::Nil => Self::Nil,
            Owned::Bool(value) => Self::Bool(value),
            Owned::I64(number) => Self::I64(number),
            Owned::U64(number) => Self::U64(number),
            Owned::F64(number) => Self::F64(number),
            Owned::Str(text) => Self::Str(text),
            Owned::Bytes(bytes) => Self::Bytes(bytes),
            Owned::List(values) => Self::List(values),
            Owned::Dict(pairs) => Self::Dict(pairs),
            Owned::Object(bytes) => Self::Opaque { language: RUBY, bytes },
        }
    }
}

impl Value {
    /// Decodes the output of Ruby's `Marshal.dump`.
    ///
    /// An object without a counterpart in [`Value`] becomes [`Opaque`](Value::Opaque) of language
    /// 1, also within lists and dictionaries. A Hash loses its default, shared objects become
    /// copies, and an object that contains itself stays opaque. No code of the dump runs, and no
    /// name in it is resolved.
    ///
    /// ```
    /// # use mapvar::Value;
    /// assert_eq!(Value::from_marshal(b"\x04\x08[\x07i\x06T")?.to_string(), "[1, true]");
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) or [`NotAMap`](crate::ErrorKind::NotAMap) if the
    /// bytes are not Marshal 4.8; [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if more
    /// bytes follow the value; [`TooLarge`](crate::ErrorKind::TooLarge) for 4 GiB or more, or if
    /// user-defined objects contain each other, so that a copy would be larger than the dump.
    pub fn from_marshal(bytes: &[u8]) -> Result<Self> {
        mapvar_marshal::load(bytes).map_err(|flaw| marshal_error("read a value from", &flaw))
    }

    /// Encodes the value as Ruby's `Marshal.dump` does.
    ///
    /// ```
    /// # use mapvar::Value;
    /// assert_eq!(Value::from(77).to_marshal()?, b"\x04\x08iR");
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if the value is or contains a
    /// [`Pod`](Value::Pod) or an opaque value of another language.
    pub fn to_marshal(&self) -> Result<Vec<u8>> {
        mapvar_marshal::dump(self).map_err(|flaw| marshal_error("write a value as", &flaw))
    }
}

/// Returns the names of the classes and modules that Ruby's `Marshal.load` would use for these
/// bytes.
///
/// `Marshal.load` runs code of these classes. If you trust all of them, you can load the bytes. The
/// nesting is limited too, so the loader's stack cannot overflow. Each name is returned once; the
/// names are sorted by their bytes. Numbers, text, Symbols, Arrays, Hashes and Regexps name no
/// class.
///
/// ```
/// let range = b"\x04\x08o:\x0aRange\x08:\x09exclF:\x0abegini\x06:\x08endi\x07";
/// assert_eq!(mapvar::gem::marshal_classes(range)?, ["Range"]);
/// # Ok::<(), mapvar::Error>(())
/// ```
///
/// # Errors
/// Those of [`Value::from_marshal`]; [`TooLarge`](crate::ErrorKind::TooLarge) if objects are nested
/// more than 500 levels deep, which could overflow the loader's stack.
pub fn marshal_classes(bytes: &[u8]) -> Result<Vec<String>> {
    let names = mapvar_marshal::classes(bytes);
    names
        .map(|names| names.into_iter().collect())
        .map_err(|flaw| marshal_error("find the classes of", &flaw))
}

fn marshal_error(operation: &'static str, flaw: &ParseError) -> Error {
    Error::new(kind_of(flaw), operation, "Ruby's Marshal").detail(flaw.to_string())
}

/// Returns the kind of the error that a caller sees.
pub(crate) fn kind_of(flaw: &ParseError) -> ErrorKind {
    match flaw {
        ParseError::Blank | ParseError::Version(..) | ParseError::NotAHash(_) => ErrorKind::NotAMap,
        ParseError::Trailing(_) => ErrorKind::InvalidArgument,
        ParseError::TooLarge(_)
        | ParseError::NoMemory
        | ParseError::Deep(_)
        | ParseError::Tangled => ErrorKind::TooLarge,
        ParseError::Foreign(_) => ErrorKind::Unsupported,
        // Truncated, invalid, and whatever else may be wrong with bytes.
        _ => ErrorKind::Corrupt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_goes_out_and_comes_back() {
        let values = Value::List(vec![
            Value::Nil,
            Value::Bool(true),
            Value::I64(-1),
            Value::U64(u64::MAX),
            Value::F64(1.5),
            Value::Str("é".into()),
            Value::Bytes(vec![0xff]),
            Value::Dict(vec![(Value::Str("k".into()), Value::List(Vec::new()))]),
            Value::Opaque { language: RUBY, bytes: b"\x04\x08:\x06a".to_vec() },
        ]);
        assert_eq!(Value::from_marshal(&values.to_marshal().unwrap()).unwrap(), values);
    }

    #[test]
    fn what_ruby_does_not_know_is_unsupported() {
        for (value, name) in [
            (Value::Opaque { language: 2, bytes: b"\x04\x080".to_vec() }, "language 2"),
            (Value::Pod { type_id: 9, bytes: vec![1] }, "type 9"),
        ] {
            let error = Value::List(vec![value]).to_marshal().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn each_flaw_of_bytes_has_its_kind() {
        let kind = |bytes: &[u8]| Value::from_marshal(bytes).unwrap_err().kind();
        assert_eq!(kind(b"\x04\x09T"), ErrorKind::NotAMap);
        assert_eq!(kind(b"\x04\x08["), ErrorKind::Corrupt);
        assert_eq!(kind(b"\x04\x08?"), ErrorKind::Corrupt);
        assert_eq!(kind(b"\x04\x08TT"), ErrorKind::InvalidArgument);
        let deep = [b"\x04\x08".as_slice(), &b"[\x06".repeat(500), b"0"].concat();
        assert_eq!(marshal_classes(&deep).unwrap_err().kind(), ErrorKind::TooLarge);
    }
}
