//! The ring of changes, for those who wait for many variables.

use crate::{
    error::{EngineError, outside},
    layout::{live, ring},
    mem::{Load, Mem, Ordering::Acquire},
    store::Store,
};

/// An entry of the ring: a record that was made, or that changed while a thread waited for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedRecord {
    /// Offset of the record. It may hold another variable by now.
    pub at: u64,
    /// Whether it was made.
    pub born: bool,
}

impl<M: Mem> Store<M> {
    /// Returns the number of the ring's next entry. What happened before is to be looked at after
    /// this call.
    pub fn changes_head(&self) -> Result<u64, EngineError> {
        // SYNC POINT S19.
        Ok(self.live()?.load(live::CHANGES, Acquire))
    }

    /// Hands out the entries from number `from` up to `head`, in their order, until one is missing;
    /// returns whether none was. A peer may have forged any of them.
    pub fn changes(
        &self,
        from: u64,
        head: u64,
        mut each: impl FnMut(ChangedRecord),
    ) -> Result<bool, EngineError> {
        if head.checked_sub(from).is_none_or(|count| count > ring::WORDS as u64) {
            return Ok(false);
        }
        let words = self.mem.words(ring::AT, ring::WORDS).ok_or_else(|| outside(ring::AT))?;
        for number in (from..head).take(ring::WORDS) {
            // A writer that has taken the number stores its entry in a moment.
            let mut word = words.load(ring::place(number), Acquire);
            for _ in 1..M::ATTEMPTS {
                if ring::is(word, number) {
                    break;
                }
                std::hint::spin_loop();
                word = words.load(ring::place(number), Acquire);
            }
            if !ring::is(word, number) {
                return Ok(false);
            }
            each(ChangedRecord { at: ring::record(word), born: word & ring::BORN != 0 });
        }
        Ok(true)
    }
}
