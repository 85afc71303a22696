//! Random numbers from a seed, or from the bytes of a fuzzer.

/// The generator of `mapvar-harness`, behind a script that may be empty.
#[derive(Clone, Debug)]
pub struct Random {
    numbers: mapvar_harness::Random,
    script: std::sync::Arc<[u8]>,
    at: usize,
}

impl Random {
    /// Returns the generator of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { numbers: mapvar_harness::Random::new(seed), script: [].into(), at: 0 }
    }

    /// Returns a generator that reads each number from two of these bytes, and is random once they
    /// are used up.
    pub fn script(bytes: &[u8]) -> Self {
        Self { script: bytes.into(), ..Self::new(bytes.len() as u64) }
    }

    /// Returns the next number.
    pub fn word(&mut self) -> u64 {
        self.numbers.word()
    }

    /// Returns a number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let Some([low, high]) = self.script.get(self.at..self.at + 2) else {
            return self.numbers.below(bound);
        };
        self.at += 2;
        (u64::from(*high) << 8 | u64::from(*low)) % bound.max(1)
    }

    /// Returns true with a chance of one in `count`.
    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// Returns one of these.
    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}
