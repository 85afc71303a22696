//! xorshift64*: small and seeded.

/// Random numbers of a seed.
#[derive(Clone, Debug)]
pub struct Random(u64, Option<(std::sync::Arc<[u8]>, usize)>);

impl Random {
    /// Those of `seed`.
    pub fn new(seed: u64) -> Self {
        // Mixed, so that neighbouring seeds have nothing in common.
        let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((x ^ x >> 31) | 1, None)
    }

    /// Numbers that these bytes say, two for each, and random ones when they are used up.
    pub fn script(bytes: &[u8]) -> Self {
        let Self(seed, _) = Self::new(bytes.len() as u64);
        Self(seed, Some((bytes.into(), 0)))
    }

    /// The next.
    pub fn word(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// One below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if let Some((bytes, at)) = &mut self.1
            && let Some([low, high]) = bytes.get(*at..*at + 2)
        {
            *at += 2;
            return (u64::from(*high) << 8 | u64::from(*low)) % bound.max(1);
        }
        (self.word() >> 16) % bound.max(1)
    }

    /// Whether a chance of one in `count` comes true.
    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// One of these.
    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}
