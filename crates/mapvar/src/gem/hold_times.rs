//! How long a gem's lock was held: the last times, for their median and the longest.

use std::time::Duration;

/// How much is copied where the length of the payload is not known yet.
pub(crate) const FIRST: usize = 16 << 10;

/// Erases that are kept for `clobbered`.
pub(crate) const KEPT: usize = 1024;

/// How long the lock was held: counts, in classes an eighth apart.
pub(crate) struct Times {
    counts: [u64; 64 * 8],
    pub(crate) count: u64,
    pub(crate) longest: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { counts: [0; 64 * 8], count: 0, longest: Duration::ZERO }
    }
}

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(8);
        let power = nanos.ilog2();
        let class = power as usize * 8 + (nanos >> (power - 3) & 7) as usize;
        if let Some(count) = self.counts.get_mut(class) {
            *count += 1;
        }
        self.count += 1;
        self.longest = self.longest.max(time);
    }

    /// The upper end of the class in which that many of 100 end.
    pub(crate) fn below(&self, percent: u64) -> Duration {
        let mut left = (self.count * percent).div_ceil(100);
        for (class, count) in self.counts.iter().enumerate() {
            if left <= *count && left > 0 {
                let (power, eighth) = (class / 8, class % 8);
                let end = (9 + eighth as u128) << power >> 3;
                return Duration::from_nanos(u64::try_from(end).unwrap_or(u64::MAX))
                    .min(self.longest);
            }
            left -= count;
        }
        self.longest
    }
}
