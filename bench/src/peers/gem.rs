//! The way of the gem win32-mmap, by mapvar's own code for its layout: one `Hash` of all variables
//! in Ruby's Marshal format, read whole by each get, and read and written whole by each set, under
//! one lock.

use super::{Place, Store};
use crate::{Result, scratch};
use mapvar::{Format, Map};

pub struct Gem(Map);

impl Store for Gem {
    const PEER: &'static str = "gem's way";

    fn create(label: &str, count: usize, bytes: usize, _: Place) -> Result<Self> {
        let size = (count * (64 + bytes)) as u64 + 4096;
        let options = Map::options().name(scratch::name(label)).format(Format::Marshal);
        Ok(Self(options.size(size).create()?))
    }

    fn fill<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Result<()> {
        for (name, number) in names.zip(0_u64..) {
            self.0.set(name, number)?;
        }
        Ok(())
    }

    #[inline]
    fn get(&mut self, name: &str) -> u64 {
        self.0.get::<u64>(name).expect("there")
    }

    #[inline]
    fn set(&mut self, name: &str, value: u64) {
        self.0.set(name, value).expect("there");
    }
}
