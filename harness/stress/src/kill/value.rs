//! Values that show whether they are whole: one stamp repeated, which also determines how often.

use mapvar_harness::random::mix;

/// The least and the most words of a value of this kind.
#[derive(Clone, Copy)]
pub(crate) struct Size(pub(crate) usize, pub(crate) usize);

/// Within a record.
pub(crate) const SMALL: Size = Size(1, 12);
/// Within a record or in an extent.
pub(crate) const MID: Size = Size(1, 200);
/// In an extent that is written in place, or in a run.
pub(crate) const LARGE: Size = Size(250, 4_000);
/// In a run that is never written in place.
pub(crate) const HUGE: Size = Size(8_200, 16_000);
pub(crate) const PASSING: Size = Size(1, 400);

impl Size {
    fn words(self, stamp: u64) -> usize {
        self.0 + mix(stamp) as usize % (self.1 - self.0 + 1)
    }

    pub(crate) fn fill(self, stamp: u64, into: &mut Vec<u8>) {
        let words = self.words(stamp);
        into.resize(words * 8, 0);
        for word in into.as_chunks_mut::<8>().0 {
            *word = stamp.to_le_bytes();
        }
    }

    /// Returns the stamp; `None` if the bytes are not a whole value.
    pub(crate) fn stamp_of(self, bytes: &[u8]) -> Option<u64> {
        let (words, rest) = bytes.as_chunks::<8>();
        let first = words.first()?;
        let stamp = u64::from_le_bytes(*first);
        let whole = rest.is_empty()
            && words.len() == self.words(stamp)
            && words.iter().all(|word| word == first);
        whole.then_some(stamp)
    }
}
