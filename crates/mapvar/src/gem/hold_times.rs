//! How long a gem's lock was held: a histogram, for the median, the 99th percentile and the
//! longest.

use std::time::Duration;

/// A histogram of hold times: eight classes for each power of two.
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

    /// Returns the upper end of the class in which this percentile lies.
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
