//! The words that hold bits of seats, and a number that grows with each change. By the number, a
//! process that compares two loads sees also a bit that was changed and changed back.

use crate::{
    error::EngineError,
    layout::{live, seat, turns},
    mem::{
        Load as _, Mem,
        Ordering::{AcqRel, Acquire, SeqCst},
        StoreWords,
    },
};

/// How often a word is tried again after another process has changed it: more often than processes
/// share a word and threads run.
pub(crate) const TRIES: usize = 1 << 16;

/// Sets a bit of a word.
pub(crate) fn set<W: StoreWords>(words: W, word: usize, bit: u64) {
    // The number first: an exchange that is about to clear the bit then fails.
    words.fetch_add(word, turns::STEP, SeqCst);
    words.fetch_or(word, bit, SeqCst);
}

/// Clears bits of a word. They stay if other processes change the word all the time.
pub(crate) fn clear<W: StoreWords>(words: W, word: usize, bits: u64) {
    for _ in 0..TRIES {
        let found = words.load(word, Acquire);
        let without = (found & !bits).wrapping_add(turns::STEP);
        if found & bits == 0 || words.compare_exchange(word, found, without).is_ok() {
            return;
        }
    }
}

/// Clears the bits of a seat that its former process left, and notes that there were any. For a
/// process that has just taken the seat, and has cleared the token there.
pub fn lose(mem: &impl Mem, seat: usize) -> Result<(), EngineError> {
    let words = mem.words_mut(turns::AT, turns::WORDS).ok_or(EngineError::ReadOnly)?;
    let live = mem.words_mut(live::AT, live::WORDS).ok_or(EngineError::ReadOnly)?;
    let ((word, turning), (_, owning)) = (turns::turning(seat), turns::owning(seat));
    if words.load(word, Acquire) & (turning | owning) != 0 {
        // Before the bits are cleared: if this process dies in between, the next one notes it again.
        live.fetch_add(live::LOST, 1, AcqRel);
        clear(words, word, turning | owning);
    }
    Ok(())
}

/// Whether a process lives that may have set the bits of a seat. The former process of a seat is
/// gone if another one has just taken it, and has stored no token yet.
pub(crate) fn is_owner_alive(mem: &impl Mem, seat: usize) -> bool {
    let words = mem.words(seat::at(seat), seat::WORDS);
    let has_token = words.is_some_and(|words| words.load(seat::TOKEN, Acquire) != 0);
    has_token && mem.is_seat_taken(seat)
}
