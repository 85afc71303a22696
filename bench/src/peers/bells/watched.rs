//! mapvar's watch.

use crate::{Result, peers::Bell, scratch};
use mapvar::{Map, Watch};

/// Two variables of a map; each side watches its own.
pub struct Watched {
    address: String,
    sides: Vec<(mapvar::Var<u32>, Watch)>,
}

impl Watched {
    fn open(map: &Map, address: String) -> Result<Self> {
        let side = |name| -> Result<_> { Ok((map.var_or(name, 0_u32)?, map.watch(name)?)) };
        let sides = vec![side("parent")?, side("child")?];
        Ok(Self { address, sides })
    }

    #[inline]
    fn ring(&self, side: usize, turn: u32) {
        self.sides[side].0.set(turn).expect("there");
    }

    #[inline]
    fn wait(&mut self, side: usize, turn: u32) {
        while self.sides[side].1.recv().and_then(|change| change.get::<u32>()).expect("there")
            != turn
        {}
    }
}

impl Bell for Watched {
    const PEER: &'static str = "mapvar";
    const WORD: &'static str = "mapvar";

    fn create(label: &str) -> Result<Self> {
        let address = scratch::name(label);
        let map = Map::options().name(&address).size(1 << 16).create()?;
        Self::open(&map, address)
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    fn attach(address: &str) -> Result<Self> {
        Self::open(&Map::open(address)?, address.to_owned())
    }

    #[inline]
    fn ring_and_wait(&mut self, turn: u32) {
        self.ring(1, turn);
        self.wait(0, turn);
    }

    #[inline]
    fn wait_and_ring(&mut self, turn: u32) {
        self.wait(1, turn);
        self.ring(0, turn);
    }
}
