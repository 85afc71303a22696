//! mapvar as a store of names.

use super::{Attach, Batch, Durable, Place, Shared, Store, User, Walk, Weighed, visit};
use crate::{Result, scratch};
use mapvar::Map;

pub struct Ours {
    pub map: Map,
    address: String,
    place: Place,
}

impl Store for Ours {
    const PEER: &'static str = "mapvar";

    fn create(label: &str, count: usize, bytes: usize, place: Place) -> Result<Self> {
        let address = match place {
            Place::Memory => scratch::name(label),
            Place::Disk => scratch::path(label, place)?.display().to_string(),
        };
        let options = match place {
            Place::Memory => Map::options().name(&address),
            Place::Disk => Map::options().file(&address),
        };
        // A number takes up to 320 bytes, and the index takes 50 more while it is doubled.
        let each = if bytes <= 8 { 400 } else { 3 * 1024 };
        let map = options.size((count * each) as u64 + (1 << 16)).create()?;
        Ok(Self { map, address, place })
    }

    fn fill<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Result<()> {
        for (name, number) in names.zip(0_u64..) {
            self.map.set(name, number)?;
        }
        Ok(())
    }

    #[inline]
    fn get(&mut self, name: &str) -> u64 {
        self.map.get::<u64>(name).expect("there")
    }

    #[inline]
    fn set(&mut self, name: &str, value: u64) {
        self.map.set(name, value).expect("there");
    }
}

impl Walk for Ours {
    fn walk(&mut self) -> u64 {
        let mut count = 0;
        let mut entries = self.map.iter();
        while let Some(entry) = entries.try_next().expect("readable") {
            visit(entry.name(), entry.get().expect("a number"));
            count += 1;
        }
        count
    }
}

impl Batch for Ours {
    fn transaction(&mut self, names: &[&str], value: u64) {
        let done = self.map.transaction(|transaction| {
            for name in names {
                transaction.set(name, value)?;
            }
            Ok(())
        });
        done.expect("committed");
    }

    fn snapshot(&mut self, names: &[&str]) -> u64 {
        let snapshot = self.map.snapshot(names).expect("taken");
        names.iter().map(|name| snapshot.get::<u64>(name).expect("there")).sum()
    }
}

impl Shared for Ours {
    type User = Map;

    fn user(&self) -> Result<Map> {
        Ok(self.map.clone())
    }
}

impl User for Map {
    #[inline]
    fn get(&mut self, name: &str) -> u64 {
        Map::get(self, name).expect("there")
    }

    #[inline]
    fn set(&mut self, name: &str, value: u64) {
        Map::set(self, name, value).expect("space");
    }
}

impl Durable for Ours {
    const PEER: &'static str = "mapvar";

    fn change(&mut self, names: &[&str], value: u64) {
        for name in names {
            self.map.set(name, value).expect("there");
        }
        self.map.flush().expect("flushed");
    }
}

impl Weighed for Ours {
    fn fill_text<'a>(&mut self, names: impl Iterator<Item = &'a str>, text: &str) -> Result<()> {
        for name in names {
            self.map.set(name, text)?;
        }
        Ok(())
    }

    /// All but what is free for further variables.
    fn bytes(&mut self) -> Result<f64> {
        let stat = self.map.stat()?;
        Ok((stat.used + stat.overhead) as f64)
    }
}

impl Attach for Ours {
    const WORD: &'static str = "mapvar";

    fn address(&self) -> String {
        assert_eq!(self.place, Place::Memory, "opened by its name");
        self.address.clone()
    }

    fn attach(address: &str, name: &str) -> Result<u64> {
        Ok(Map::open(address)?.get::<u64>(name)?)
    }
}

/// The same variables, one after the other: what a transaction and a snapshot cost beside.
pub struct Single(pub Ours);

impl Store for Single {
    const PEER: &'static str = "single sets and gets";

    fn create(label: &str, count: usize, bytes: usize, place: Place) -> Result<Self> {
        Ok(Self(Ours::create(label, count, bytes, place)?))
    }

    fn fill<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Result<()> {
        self.0.fill(names)
    }

    #[inline]
    fn get(&mut self, name: &str) -> u64 {
        self.0.get(name)
    }

    #[inline]
    fn set(&mut self, name: &str, value: u64) {
        self.0.set(name, value);
    }
}

impl Batch for Single {
    fn transaction(&mut self, names: &[&str], value: u64) {
        for name in names {
            self.0.set(name, value);
        }
    }

    fn snapshot(&mut self, names: &[&str]) -> u64 {
        names.iter().map(|name| self.0.get(name)).sum()
    }
}
