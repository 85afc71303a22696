//! Values in Ruby's Marshal format: for the Ruby binding, and for programs that exchange values
//! with Ruby.

use crate::{Value, gem::marshal, gem::marshal::ParseError};
use mapvar_os::{Error, Result};

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
        marshal::load(bytes).map_err(|flaw| marshal_error("read a value from", flaw))
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
        marshal::dump(self).map_err(|flaw| marshal_error("write a value as", flaw))
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
    let names = marshal::classes(bytes);
    names
        .map(|names| names.into_iter().collect())
        .map_err(|flaw| marshal_error("find the classes of", flaw))
}

pub(crate) fn marshal_error(operation: &'static str, flaw: ParseError) -> Error {
    Error::new(flaw.kind(), operation, "Ruby's Marshal").detail(flaw.to_string())
}
