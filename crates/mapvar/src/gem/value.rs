//! Values as Ruby's Marshal writes them: for the Ruby binding, and for programs that speak with Ruby's.

use crate::{Value, gem::marshal, gem::marshal::ParseError};
use mapvar_os::{Error, Result};

impl Value {
    /// What Ruby's `Marshal.dump` wrote, as a value: of a kind of our own where there is one, else
    /// [`Opaque`](Value::Opaque) of language 1, and so within lists and dictionaries. A Hash loses
    /// its default, and objects that are shared become copies; one that holds itself stays opaque.
    /// Nothing is executed and nothing looked up by the names in it.
    ///
    /// ```
    /// # use mapvar::Value;
    /// assert_eq!(Value::from_marshal(b"\x04\x08[\x07i\x06T")?.to_string(), "[1, true]");
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) or [`NotAMap`](crate::ErrorKind::NotAMap) for what is no
    /// Marshal of version 4.8, [`InvalidArgument`](crate::ErrorKind::InvalidArgument) where more
    /// follows it.
    pub fn from_marshal(bytes: &[u8]) -> Result<Self> {
        marshal::load(bytes).map_err(|flaw| marshal_error("read a value from", flaw))
    }

    /// The value as Ruby's `Marshal.dump` would write it.
    ///
    /// ```
    /// # use mapvar::Value;
    /// assert_eq!(Value::from(77).to_marshal()?, b"\x04\x08iR");
    /// # Ok::<(), mapvar::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a [`Pod`](Value::Pod), or an opaque value of
    /// another language, also within.
    pub fn to_marshal(&self) -> Result<Vec<u8>> {
        marshal::dump(self).map_err(|flaw| marshal_error("write a value as", flaw))
    }
}

/// The classes and modules that Ruby's `Marshal.load` would look up, and run code of, to load these
/// bytes: each name once, in the order of their bytes. Who trusts them all can have them loaded.
/// Numbers, text, Symbols, Arrays, Hashes and Regexps name none. What is safe to load by these names
/// does not overrun the loader's stack either.
///
/// ```
/// let range = b"\x04\x08o:\x0aRange\x08:\x09exclF:\x0abegini\x06:\x08endi\x07";
/// assert_eq!(mapvar::marshal_classes(range)?, ["Range"]);
/// # Ok::<(), mapvar::Error>(())
/// ```
///
/// # Errors
/// Those of [`Value::from_marshal`]; [`TooLarge`](crate::ErrorKind::TooLarge) where objects lie in each
/// other more than 500 levels deep, for which the loader's stack may not do.
pub fn marshal_classes(bytes: &[u8]) -> Result<Vec<String>> {
    let names = marshal::classes(bytes);
    names
        .map(|names| names.into_iter().collect())
        .map_err(|flaw| marshal_error("look for classes in", flaw))
}

pub(crate) fn marshal_error(operation: &'static str, flaw: ParseError) -> Error {
    Error::new(flaw.kind(), operation, "Ruby's Marshal").detail(flaw.to_string())
}
