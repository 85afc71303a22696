//! Names of sections, and what they become on each system.

use crate::error::{Error, ErrorKind, Result};
use std::fmt;

/// Who can see a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Programs of this user in this session: `Local\name` on Windows, `mapvar.<uid>.name` in
    /// `/dev/shm` on Linux (one user's programs in all his sessions).
    #[default]
    Local,
    /// Every session of the machine: `Global\name` on Windows, where *creating* a section there
    /// from outside session 0 takes a privilege that services and administrators have;
    /// `mapvar.global.name` on Unix. Permissions stay the owner's.
    Global,
}

/// The name of a section, for other processes to open.
///
/// 1 to 120 characters of `A-Z a-z 0-9 . _ -`, the same rule on every system; case counts.
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

/// The longest name, in characters, without what the library adds to it.
pub(crate) const LONGEST: usize = 120;

impl Name {
    /// A name in the [`Scope::Local`] scope.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] says which rule it breaks.
    pub fn new(text: &str) -> Result<Self> {
        Self::scoped(text, Scope::Local)
    }

    /// A name in the [`Scope::Global`] scope.
    ///
    /// # Errors
    /// As [`Name::new`].
    pub fn global(text: &str) -> Result<Self> {
        Self::scoped(text, Scope::Global)
    }

    /// A name in `scope`.
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

    /// A native name: `text` as it is, if it is neither empty nor with a NUL and `check`, the rule
    /// of the system, has nothing against it.
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

    /// Who can see it. A native name counts as [`Scope::Local`].
    pub fn scope(&self) -> Scope {
        match self.kind {
            Kind::Scoped(scope) => scope,
            Kind::Native => Scope::Local,
        }
    }

    /// The text that it was made of.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is exactly an object's name on this system.
    pub fn is_native(&self) -> bool {
        self.kind == Kind::Native
    }

    /// The same name with `suffix` behind it, by which objects of different purposes that one name
    /// of the user's stands for are told apart: all kinds of kernel objects share one namespace on
    /// Windows.
    #[must_use]
    pub fn with_suffix(&self, suffix: &str) -> Self {
        Self { text: format!("{}{suffix}", self.text), kind: self.kind }
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
