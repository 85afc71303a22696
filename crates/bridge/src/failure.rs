//! Why the program ends without success.

use std::fmt;

/// An error with its exit code: 2 is wrong usage; 1 is "false", as in `status`; 11 and up are the
/// library's kinds, as in the command `mapvar`; 90 is the server.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    text: String,
}

impl Failure {
    /// A configuration or a command line that makes no sense.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { code: 2, text: text.into() }
    }

    /// The server cannot be used.
    pub(crate) fn server(text: impl Into<String>) -> Self {
        Self { code: 90, text: text.into() }
    }
}

impl From<mapvar::Error> for Failure {
    fn from(error: mapvar::Error) -> Self {
        Self { code: 10 + error.kind().number(), text: error.to_string() }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self { code: 10 + mapvar::ErrorKind::Io.number(), text: error.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
