//! Stands in for `gem.rs` in a build without the feature `gem`.

use crate::{
    gem::map::Gem,
    gem::map::Spec,
    map::options::{MapOptions, Want},
    report::Format,
};
use mapvar_os::{Error, ErrorKind, Result};

#[allow(clippy::unnecessary_wraps, clippy::unused_self, reason = "as in `gem.rs`")]
impl MapOptions {
    pub(super) fn gem_section(&self) -> Option<(Spec, bool)> {
        None
    }

    pub(crate) fn open_gem_if_it_is_one(&self) -> Result<Option<Gem>> {
        match self.format {
            Some(Format::Marshal) => self.obtain_gem(Want::Open).map(Some),
            _ => Ok(None),
        }
    }

    pub(super) fn obtain_gem(&self, _want: Want) -> Result<Gem> {
        Err(Error::new(ErrorKind::Unsupported, "open", self.object()).detail(
            "this program was built without maps of Ruby's gem; enable the cargo feature `gem` of \
             mapvar",
        ))
    }

    pub(super) fn refuse_settings_of_a_gem(&self) -> Result<()> {
        Ok(())
    }
}
