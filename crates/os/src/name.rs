//! Names of sections, and the object names that they map to on each system.

use crate::error::{Error, ErrorKind, Result};
use std::{fmt, str::FromStr};

/// The set of processes in which a name is visible.
///
/// ```
/// use mapvar_os::{Name, Scope};
///
/// assert_eq!(Scope::default(), Scope::Local);
/// assert_eq!(Name::global("alpha")?.scope(), Scope::Global);
/// # Ok::<(), mapvar_os::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One session on Windows (`Local\name`); all sessions of one user on Linux
    /// (`mapvar.<uid>.name` in `/dev/shm`).
    #[default]
    Local,
    /// Every session of the machine: `Global\name` on Windows, `mapvar.global.name` on Unix.
    ///
    /// Only the user that created the section can use it. On Windows the *creation* of such a
    /// section outside session 0 needs a privilege that services and administrators have.
    Global,
}

/// The name by which other processes open a section.
///
/// It consists of 1 to 120 characters of `A-Z a-z 0-9 . _ -` on every system. Names are
/// case-sensitive.
///
/// ```
/// use mapvar_os::{Name, Scope};
/// let name = Name::new("alpha")?;
/// assert_eq!(name.scope(), Scope::Local);
/// assert!(Name::new("a/b").is_err());
/// # Ok::<(), mapvar_os::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name {
    text: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Scoped(Scope),
    Native,
}

/// The maximum length of a name in characters, without the prefix that the library adds.
pub(crate) const LONGEST: usize = 120;

impl Name {
    /// Creates a name in the [`Scope::Local`] scope.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`]; the message names the rule that `text` breaks.
    pub fn new(text: &str) -> Result<Self> {
        Self::scoped(text, Scope::Local)
    }

    /// Creates a name in the [`Scope::Global`] scope.
    ///
    /// # Errors
    /// As [`Name::new`].
    pub fn global(text: &str) -> Result<Self> {
        Self::scoped(text, Scope::Global)
    }

    /// Creates a name in `scope`.
    ///
    /// # Errors
    /// As [`Name::new`].
    pub fn scoped(text: &str, scope: Scope) -> Result<Self> {
        let invalid = |detail: String| {
            Error::new(ErrorKind::InvalidName, "name section", format!("{text:?}")).detail(detail)
        };
        if text.is_empty() {
            return Err(invalid("it is empty; use 1 to 120 characters".into()));
        }
        if let Some(bad) =
            text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
        {
            return Err(invalid(format!(
                "{bad:?} is not allowed; use letters, digits, '.', '_' and '-' of ASCII"
            )));
        }
        if text.len() > LONGEST {
            return Err(invalid(format!(
                "it has {} characters; use at most {LONGEST}",
                text.len()
            )));
        }
        Ok(Self { text: text.into(), kind: Kind::Scoped(scope) })
    }

    /// Creates a native name: `text` unchanged, if it is not empty, contains no NUL, and passes
    /// `check`, the rule of the system.
    pub(crate) fn native_by(
        text: &str,
        check: impl FnOnce(&str) -> Result<(), &'static str>,
    ) -> Result<Self> {
        let invalid = |detail: &str| {
            Error::new(ErrorKind::InvalidName, "name section", format!("{text:?}")).detail(detail)
        };
        if text.is_empty() || text.contains('\0') {
            return Err(invalid("empty, or with a NUL; give the object's name"));
        }
        check(text).map_err(invalid)?;
        Ok(Self { text: text.into(), kind: Kind::Native })
    }

    /// Returns the scope of the name; [`Scope::Local`] for a native name.
    pub fn scope(&self) -> Scope {
        match self.kind {
            Kind::Scoped(scope) => scope,
            Kind::Native => Scope::Local,
        }
    }

    /// Returns the text of the name, without any prefix.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether the text is used unchanged as the name of the system's object.
    #[doc(hidden)]
    pub fn is_native(&self) -> bool {
        self.kind == Kind::Native
    }

    /// Returns the same name with `suffix` appended.
    ///
    /// One name of the user can stand for several objects, and the suffix keeps them apart: all
    /// kinds of kernel objects share one namespace on Windows. The result is not checked against
    /// the rules for names.
    #[doc(hidden)]
    #[must_use]
    pub fn with_suffix(&self, suffix: &str) -> Self {
        Self { text: format!("{}{suffix}", self.text), kind: self.kind }
    }
}

impl FromStr for Name {
    type Err = Error;

    /// As [`Name::new`].
    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl TryFrom<&str> for Name {
    type Error = Error;

    /// As [`Name::new`].
    fn try_from(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Scoped(Scope::Local) => "local",
            Kind::Scoped(Scope::Global) => "global",
            Kind::Native => "native",
        };
        write!(f, "{:?} ({kind})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_the_same_everywhere() {
        assert!(Name::new(&"a".repeat(120)).is_ok());
        for bad in ["", "a b", "a/b", "a\\b", "Local\\a", "é", "a\0b", &"a".repeat(121)] {
            let error = Name::new(bad).expect_err(bad);
            assert_eq!(error.kind(), ErrorKind::InvalidName, "{bad:?}");
        }
    }
}
