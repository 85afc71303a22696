//! The order of an owner's puts, which each message carries.

use std::{fmt, str::FromStr};

/// The place of a put among all puts of an owner: its session, and the number within that.
///
/// The engine orders messages as they arrive. A put that a broken connection delayed can arrive
/// after a newer one; the stamp tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Stamp {
    pub(crate) session: u64,
    pub(crate) count: u64,
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.session, self.count)
    }
}

impl FromStr for Stamp {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (session, count) = text.split_once('.').ok_or(())?;
        let number = |text: &str| text.parse().map_err(|_| ());
        Ok(Self { session: number(session)?, count: number(count)? })
    }
}
