//! Names that follow a rule of the operating system's, and not ours.

use crate::{
    error::Result,
    name::{Name, Scope},
    sys,
};

impl Name {
    /// Exactly this name of the operating system, for objects that other programs made: on Windows
    /// `Local\x`, `Global\x` or a bare `x`; on Unix the name given to `shm_open`, with or without
    /// its leading slash.
    ///
    /// # Errors
    /// [`InvalidName`](crate::ErrorKind::InvalidName) where it is empty, holds a NUL, or has a slash (Unix) or
    /// backslash (Windows) in its midst.
    pub fn native(text: &str) -> Result<Self> {
        Self::native_by(text, sys::check_native_name)
    }

    /// The section of a map in the layout of Ruby's gem win32-mmap. On Windows exactly the gem's own,
    /// `x` or `Global\\x`: it is opened as native names are, whoever made it. Elsewhere, where there is
    /// no gem to meet, a name of ours beside the others.
    ///
    /// # Errors
    /// As [`Name::new`]; on Windows any name of ASCII will do that has no backslash.
    pub fn of_gem(text: &str, scope: Scope) -> Result<Self> {
        sys::gem_name(text, scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_names_are_taken_as_they_are() {
        assert_eq!(Name::native("psm_1234").unwrap().as_str(), "psm_1234");
        assert!(Name::native("").is_err());
        assert!(Name::native("a\0").is_err());
    }
}
