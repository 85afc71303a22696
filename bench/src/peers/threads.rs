//! Hash maps that the threads of a process share: DashMap, and std's behind its `RwLock`.

use super::{Place, Shared, Store, User};
use crate::{Result, machine};
use dashmap::DashMap;
use foldhash::fast::RandomState;
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

/// DashMap.
#[derive(Clone)]
pub struct Dash(Arc<DashMap<String, u64, RandomState>>);

impl Store for Dash {
    const PEER: &'static str = "DashMap";

    fn create(_: &str, count: usize, _: usize, _: Place) -> Result<Self> {
        // DashMap's own rule, which would see the one core of this thread.
        let shards = (machine::cores() * 4).next_power_of_two();
        let hasher = RandomState::default();
        let map = DashMap::with_capacity_and_hasher_and_shard_amount(count, hasher, shards);
        Ok(Self(Arc::new(map)))
    }

    fn fill<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Result<()> {
        for (name, number) in names.zip(0..) {
            self.0.insert(name.to_owned(), number);
        }
        Ok(())
    }

    #[inline]
    fn get(&mut self, name: &str) -> u64 {
        *self.0.get(name).expect("there")
    }

    #[inline]
    fn set(&mut self, name: &str, value: u64) {
        *self.0.get_mut(name).expect("there") = value;
    }
}

impl Shared for Dash {
    type User = Self;

    fn user(&self) -> Result<Self> {
        Ok(self.clone())
    }
}

impl User for Dash {
    #[inline]
    fn get(&mut self, name: &str) -> u64 {
        Store::get(self, name)
    }

    #[inline]
    fn set(&mut self, name: &str, value: u64) {
        Store::set(self, name, value);
    }
}

/// std's map behind its lock.
#[derive(Clone)]
pub struct Locked(Arc<RwLock<HashMap<String, u64, RandomState>>>);

impl Store for Locked {
    const PEER: &'static str = "RwLock<HashMap>";

    fn create(_: &str, count: usize, _: usize, _: Place) -> Result<Self> {
        let map = HashMap::with_capacity_and_hasher(count, RandomState::default());
        Ok(Self(Arc::new(RwLock::new(map))))
    }

    fn fill<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Result<()> {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        map.extend(names.map(str::to_owned).zip(0..));
        Ok(())
    }

    #[inline]
    fn get(&mut self, name: &str) -> u64 {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        *map.get(name).expect("there")
    }

    #[inline]
    fn set(&mut self, name: &str, value: u64) {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *map.get_mut(name).expect("there") = value;
    }
}

impl Shared for Locked {
    type User = Self;

    fn user(&self) -> Result<Self> {
        Ok(self.clone())
    }
}

impl User for Locked {
    #[inline]
    fn get(&mut self, name: &str) -> u64 {
        Store::get(self, name)
    }

    #[inline]
    fn set(&mut self, name: &str, value: u64) {
        Store::set(self, name, value);
    }
}
