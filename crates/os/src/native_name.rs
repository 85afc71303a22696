//! Names that follow the rules of the operating system, not those of this crate.

use crate::{
    error::Result,
    name::{Name, Scope},
    sys,
};

impl Name {
    /// Creates a native name: exactly this object name of the operating system.
    ///
    /// For objects that other programs created. On Windows it is `Local\x`, `Global\x` or a bare
    /// `x`; on Unix it is the name for `shm_open`, with or without the leading slash.
    ///
    /// ```
    /// let name = mapvar_os::Name::native("psm_1234")?;
    /// assert!(name.is_native());
    /// # Ok::<(), mapvar_os::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidName`](crate::ErrorKind::InvalidName) if the name is empty, contains a NUL, or
    /// contains a slash (Unix) or backslash (Windows) after its prefix.
    #[doc(hidden)]
    pub fn native(text: &str) -> Result<Self> {
        Self::native_by(text, sys::check_native_name)
    }

    /// Creates the name of a section in the layout of Ruby's gem win32-mmap.
    ///
    /// On Windows the result is the gem's own name, `x` or `Global\\x`. Like a native name, it is
    /// opened without a check of its owner. Elsewhere the gem does not run, and the result is a
    /// scoped name with a suffix.
    ///
    /// # Errors
    /// As [`Name::new`]; on Windows any ASCII name without a backslash is valid.
    #[doc(hidden)]
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
