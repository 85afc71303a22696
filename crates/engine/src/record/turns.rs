//! Turns: what removals, and values for removed variables, add to the count of variables. A death in
//! a turn leaves a bit by which the next count learns of it.

use crate::{
    error::EngineError,
    layout::{PARTICIPANT_SLOTS, live, record, turns},
    mem::{
        Load, Mem,
        Ordering::{AcqRel, Acquire, Relaxed, SeqCst},
        StoreWords as _, seat_bits,
    },
    store::Store,
};

impl<M: Mem> Store<M> {
    pub(crate) fn turns(&self) -> Option<M::WordsMut<'_>> {
        self.mem.mapped_words_mut(turns::AT, turns::WORDS)
    }

    /// Called before a publication that removes a variable, or that gives a removed one a value.
    #[cold]
    #[inline(never)]
    pub(crate) fn begin_turn(&self) {
        let Some(words) = self.turns() else { return };
        self.turning.fetch_add(1, SeqCst);
        if let Some(seat) = self.own_seat() {
            let (word, bit) = turns::turning(seat);
            // SYNC POINT S22. Before the publication. It changes the word also where another thread
            // of this process has set the bit, which that thread could be about to clear.
            seat_bits::set(words, word, bit);
        } else {
            self.lose_count();
        }
    }

    /// Called after that publication. The caller still holds the record's lock, or its mark.
    #[cold]
    #[inline(never)]
    pub(crate) fn end_turn(&self, at: u64, removing: bool) {
        let Some(words) = self.turns() else { return };
        if self.is_counted(at)
            && let Some(live) = self.mem.mapped_words_mut(live::AT, live::WORDS)
        {
            // Modulo 2^40: what a removal carries beyond has no meaning.
            let change = if removing { turns::COUNT } else { 1 };
            live.fetch_add(live::NET, change, AcqRel);
        }
        self.turning.fetch_sub(1, SeqCst);
        let Some(seat) = self.own_seat() else { return };
        let (word, bit) = turns::turning(seat);
        for _ in 0..seat_bits::TRIES {
            let found = words.load(word, Acquire);
            // In this order. A thread that begins a turn counts itself, and then changes the word.
            if self.turning.load(SeqCst) != 0 || found & bit == 0 {
                return;
            }
            // Carries what other threads of this process have added: a reader that finds the bit
            // cleared finds their changes too.
            if let Some(live) = self.mem.mapped_words_mut(live::AT, live::WORDS) {
                live.fetch_add(live::NET, 0, AcqRel);
            }
            // SYNC POINT S22. After the change of the count.
            let without = (found & !bit).wrapping_add(turns::STEP);
            if words.compare_exchange(word, found, without).is_ok() {
                return;
            }
        }
    }

    /// Notes that the process with this token sets an ephemeral value. Called before the
    /// publication.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_owner(&self, token: u64) {
        let Some(words) = self.turns() else { return };
        let (word, bit) = turns::owning((token >> 56) as usize);
        if words.load(word, Acquire) & bit == 0 {
            seat_bits::set(words, word, bit);
        }
    }

    /// Makes each later count a walk.
    fn lose_count(&self) {
        if let Some(live) = self.mem.mapped_words_mut(live::AT, live::WORDS) {
            live.fetch_or(live::LOST, turns::UNKNOWN, AcqRel);
        }
    }

    /// Notes that this process owns no ephemeral value any more.
    pub(crate) fn note_no_owner(&self) {
        if let (Some(words), Some(seat)) = (self.turns(), self.own_seat()) {
            let (word, bit) = turns::owning(seat);
            seat_bits::clear(words, word, bit);
        }
    }

    /// Whether the variable of the record at `at` counts: it has a name of a user.
    pub(crate) fn is_counted(&self, at: u64) -> bool {
        // A reserved name begins with a zero byte.
        let line = self.mem.words(at, record::LINE);
        line.is_some_and(|line| line.load(record::NAME, Relaxed) & 0xff != 0)
    }

    fn own_seat(&self) -> Option<usize> {
        self.mem.seat_taken().filter(|seat| *seat < PARTICIPANT_SLOTS)
    }

    /// Notes that the processes that had the seats before are gone. For a process that is alone in
    /// the region.
    pub(crate) fn lose_seats(&self) -> Result<(), EngineError> {
        (0..PARTICIPANT_SLOTS).try_for_each(|seat| seat_bits::lose(&self.mem, seat))
    }
}
