//! mapvar's handles.

use super::Cell;
use crate::Result;
use mapvar::{Atomic, Map, Plain, PlainVar, Var};

const PEER: &str = "mapvar";

impl Cell for Atomic<u64> {
    const PEER: &'static str = PEER;
    type Value = u64;

    #[inline]
    fn get(&self) -> u64 {
        self.load().expect("there")
    }

    #[inline]
    fn set(&self, value: &u64) {
        self.store(*value).expect("there");
    }
}

impl Cell for Var<u64> {
    const PEER: &'static str = PEER;
    type Value = u64;

    #[inline]
    fn get(&self) -> u64 {
        Var::get(self).expect("there")
    }

    #[inline]
    fn set(&self, value: &u64) {
        Var::set(self, *value).expect("there");
    }
}

impl Cell for Var<Vec<u8>> {
    const PEER: &'static str = PEER;
    type Value = [u8; 64];

    #[inline]
    fn get(&self) -> [u8; 64] {
        let mut into = [0; 64];
        self.get_into(&mut into);
        into
    }

    #[inline]
    fn get_into(&self, into: &mut [u8; 64]) {
        self.read_bytes(into).expect("there");
    }

    #[inline]
    fn set(&self, value: &[u8; 64]) {
        self.write_bytes(value).expect("there");
    }
}

/// A plain struct of 320 bytes.
#[derive(Plain, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Packet {
    words: [u64; 40],
}

impl Cell for PlainVar<Packet> {
    const PEER: &'static str = PEER;
    type Value = [u64; 40];

    #[inline]
    fn get(&self) -> [u64; 40] {
        PlainVar::get(self).expect("there").words
    }

    #[inline]
    fn set(&self, value: &[u64; 40]) {
        PlainVar::set(self, Packet { words: *value }).expect("there");
    }
}

/// Returns a variable of 320 bytes in this map.
pub fn packet(map: &Map) -> Result<PlainVar<Packet>> {
    let variable = map.plain::<Packet>("packet")?;
    variable.set(Packet { words: [7; 40] })?;
    Ok(variable)
}
