//! A state in 128 bits. Two states with the same would be taken for one: with ten million of them
//! that has a chance of less than 1 in 10^24.

use crate::world::World;
use std::hash::{BuildHasher, Hash, Hasher};

pub fn fingerprint(world: &World) -> u128 {
    let mut hasher =
        Wide { lanes: [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f], word: 0, bytes: 0 };
    world.hash(&mut hasher);
    hasher.mix();
    u128::from(hasher.lanes[0]) << 64 | u128::from(hasher.lanes[1])
}

struct Wide {
    lanes: [u64; 2],
    word: u64,
    bytes: u32,
}

impl Wide {
    fn mix(&mut self) {
        let [low, high] = &mut self.lanes;
        *low = (*low ^ self.word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        *low ^= *low >> 32;
        *high = (high.rotate_left(23) ^ self.word).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        *high ^= *high >> 29;
        (self.word, self.bytes) = (0, 0);
    }
}

impl Hasher for Wide {
    fn finish(&self) -> u64 {
        self.lanes[0]
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u8(*byte);
        }
    }

    #[inline]
    fn write_u8(&mut self, byte: u8) {
        self.word = self.word << 8 | u64::from(byte);
        self.bytes += 1;
        if self.bytes == 8 {
            self.mix();
        }
    }

    // Which variant of an enum; of none there are more than 256.
    #[inline]
    fn write_isize(&mut self, variant: isize) {
        self.write_u8(variant.to_le_bytes()[0]);
    }

    // The length of an array, which is always the same.
    #[inline]
    fn write_usize(&mut self, _: usize) {}
}

/// A fingerprint needs no hashing.
#[derive(Clone, Copy, Default)]
pub struct ByFingerprint(u64);

impl Hasher for ByFingerprint {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = fingerprint as u64;
    }
}

impl BuildHasher for ByFingerprint {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}
