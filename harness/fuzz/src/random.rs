//! Random numbers of a seed, or those that a fuzzer's bytes say.

/// As of `mapvar-harness`, behind a script that may be empty.
#[derive(Clone, Debug)]
pub struct Random {
    numbers: mapvar_harness::Random,
    script: std::sync::Arc<[u8]>,
    at: usize,
}

impl Random {
    /// Those of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { numbers: mapvar_harness::Random::new(seed), script: [].into(), at: 0 }
    }

    /// Numbers that these bytes say, two for each, and random ones when they are used up.
    pub fn script(bytes: &[u8]) -> Self {
        Self { script: bytes.into(), ..Self::new(bytes.len() as u64) }
    }

    /// The next.
    pub fn word(&mut self) -> u64 {
        self.numbers.word()
    }

    /// One below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let Some([low, high]) = self.script.get(self.at..self.at + 2) else {
            return self.numbers.below(bound);
        };
        self.at += 2;
        (u64::from(*high) << 8 | u64::from(*low)) % bound.max(1)
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
