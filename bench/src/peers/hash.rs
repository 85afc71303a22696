//! std's hash map, with two hashers.

use super::{Place, Store, Walk, Weighed, visit};
use crate::Result;
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

/// What the C library has given out: the hash maps' memory, and all else of this process.
fn allocated() -> f64 {
    // SAFETY: the call reads the allocator's own counters.
    #[allow(unsafe_code, reason = "the C library's interface")]
    let info = unsafe { libc::mallinfo2() };
    (info.uordblks + info.hblkhd) as f64
}

/// A hasher, and the name of std's map with it.
pub trait Hasher: BuildHasher + Default + 'static {
    const PEER: &'static str;
}

impl Hasher for RandomState {
    const PEER: &'static str = "std HashMap";
}

impl Hasher for foldhash::fast::RandomState {
    const PEER: &'static str = "foldhash HashMap";
}

pub struct Hashed<S> {
    before: f64,
    numbers: HashMap<String, u64, S>,
    texts: HashMap<String, String, S>,
}

pub type Std = Hashed<RandomState>;
pub type Foldhash = Hashed<foldhash::fast::RandomState>;

impl<S: Hasher> Store for Hashed<S> {
    const PEER: &'static str = S::PEER;

    fn create(_: &str, count: usize, bytes: usize, _: Place) -> Result<Self> {
        let before = allocated();
        let (numbers, texts) = if bytes <= 8 { (count, 0) } else { (0, count) };
        Ok(Self {
            before,
            numbers: HashMap::with_capacity_and_hasher(numbers, S::default()),
            texts: HashMap::with_capacity_and_hasher(texts, S::default()),
        })
    }

    fn fill<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Result<()> {
        self.numbers.extend(names.map(str::to_owned).zip(0..));
        Ok(())
    }

    #[inline]
    fn get(&mut self, name: &str) -> u64 {
        *self.numbers.get(name).expect("there")
    }

    #[inline]
    fn set(&mut self, name: &str, value: u64) {
        *self.numbers.get_mut(name).expect("there") = value;
    }
}

impl<S: Hasher> Walk for Hashed<S> {
    fn walk(&mut self) -> u64 {
        for (name, value) in &self.numbers {
            visit(name, *value);
        }
        self.numbers.len() as u64
    }
}

impl<S: Hasher> Weighed for Hashed<S> {
    fn fill_text<'a>(&mut self, names: impl Iterator<Item = &'a str>, text: &str) -> Result<()> {
        self.texts.extend(names.map(|name| (name.to_owned(), text.to_owned())));
        Ok(())
    }

    fn bytes(&mut self) -> Result<f64> {
        Ok(allocated() - self.before)
    }
}
