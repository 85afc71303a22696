//! The number of variables, without a walk where no death and no operation under way is in the way.

use crate::{
    error::{EngineError, outside},
    layout::{State, journal, live, record, turns},
    mem::{
        Load, Mem,
        Ordering::{AcqRel, Acquire},
        StoreWords as _, seat_bits,
    },
    record::read::Seen,
    store::Store,
};

/// How often a count is tried while other processes insert and remove variables.
const TRIES: usize = 256;

/// The words by which variables are counted, loaded in an order that counts each operation wholly or
/// not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    seats: [u64; turns::WORDS],
    lost: u64,
    net: u64,
    born: u64,
    transactions: u64,
}

/// What the words of the count say at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Now {
    Number(Counted),
    /// An operation that changes the number is under way, or its process died in it.
    Moving,
    /// The words may be wrong until a walk corrects them.
    Unsure,
}

impl Counted {
    pub(crate) fn number(self) -> u64 {
        self.born.wrapping_add(self.net) & turns::COUNT
    }
}

impl<M: Mem> Store<M> {
    /// Returns the number of variables, without those of reserved names and those whose owner
    /// process is gone.
    ///
    /// Its time does not depend on the map's size, but it asks the system once for each process that
    /// ever set an ephemeral value. It walks over all records while a process is stopped in an
    /// insertion, a removal or a transaction, and after one died in a removal or while it owned
    /// ephemeral values: then a count that may write corrects the number.
    pub fn count(&self) -> Result<u64, EngineError> {
        for _ in 0..TRIES {
            match self.count_at_once()? {
                Now::Number(counted) => return Ok(counted.number()),
                Now::Moving => std::hint::spin_loop(),
                Now::Unsure => break,
            }
        }
        // A reader cannot, and walks.
        let _ = self.finish_of_dead();
        match self.count_at_once()? {
            Now::Number(counted) => Ok(counted.number()),
            Now::Moving | Now::Unsure => self.recount(),
        }
    }

    /// Returns the number of variables, or `None` if an operation that changes it is under way, or
    /// the words of the count may be wrong.
    pub fn count_now(&self) -> Result<Option<u64>, EngineError> {
        Ok(self.settled_count()?.map(Counted::number))
    }

    /// As [`count_now`](Self::count_now), with what it was made of: two that are equal enclose no
    /// operation that changes the number.
    pub(crate) fn settled_count(&self) -> Result<Option<Counted>, EngineError> {
        match self.count_at_once()? {
            Now::Number(counted) => Ok(Some(counted)),
            Now::Moving | Now::Unsure => Ok(None),
        }
    }

    fn count_at_once(&self) -> Result<Now, EngineError> {
        let Some(counted) = self.counted()? else { return Ok(Now::Moving) };
        if counted.lost != 0 {
            return Ok(Now::Unsure);
        }
        if counted.seats.iter().any(|word| word & turns::TURNING != 0) {
            return Ok(Now::Moving);
        }
        let owners = counted.seats.iter().enumerate();
        let mut owners = owners.flat_map(|(word, bits)| turns::seats(word, *bits & 0xffff_ffff));
        if owners.any(|seat| !seat_bits::is_owner_alive(&self.mem, seat)) {
            return Ok(Now::Unsure);
        }
        // Again: an owner may have died before it was asked about, and its seat be another's now.
        if counted.seats.iter().any(|word| word & 0xffff_ffff != 0)
            && self.counted()? != Some(counted)
        {
            return Ok(Now::Moving);
        }
        // More are not possible; a peer may have forged the words.
        let possible = counted.number() <= self.most_records();
        Ok(if possible { Now::Number(counted) } else { Now::Unsure })
    }

    /// Loads the words of the count; `None` if they were changed meanwhile, or an insertion or a
    /// transaction is under way.
    fn counted(&self) -> Result<Option<Counted>, EngineError> {
        let turns = self.mem.words(turns::AT, turns::WORDS).ok_or_else(|| outside(turns::AT))?;
        let journal = self.mem.words(journal::AT, journal::WORDS);
        let journal = journal.ok_or_else(|| outside(journal::AT))?;
        let live = self.live()?;
        // SYNC POINT S22. The seats first and last, and with them what stands for a process without
        // a seat: a turn changes its seat's word before its publication and after its change of
        // `NET`. The journal before `BORN`: an insertion ends there after it has changed `BORN`.
        let before = marks_of_turns::<M>(turns, live);
        let inserts = journal.load(journal::OPERATION, Acquire) == journal::INSERT;
        let net = live.load(live::NET, Acquire);
        let born = live.load(live::BORN, Acquire);
        let same = marks_of_turns::<M>(turns, live) == before;
        let (seats, lost, transactions) = before;
        let settled = same && !inserts && transactions & 1 == 0;
        Ok(settled.then_some(Counted { seats, lost, net, born, transactions }))
    }

    /// Counts the variables by a walk, and corrects the words of the count if no operation changed
    /// them meanwhile.
    #[cold]
    fn recount(&self) -> Result<u64, EngineError> {
        let before = self.counted()?;
        // A process that lives ends its turn by itself.
        let dead = before.map(|counted| self.bits_of_dead(&counted));
        let (mut number, mut expired, mut trouble) = (0, false, None);
        self.each_record(|handle| {
            match self.read(handle, |_| ()) {
                // A variable whose value is damaged exists.
                Ok(Seen::Value(..)) | Err(EngineError::Corrupt(..)) => {
                    number += u64::from(self.is_counted(handle.at));
                }
                Ok(Seen::Absent) => {
                    // The value counts as absent already, and its removal is still to come.
                    let line = self.mem.words(handle.at, record::LINE);
                    let state = line.map_or(0, |line| line.load(record::STATE, Acquire));
                    expired |= !State(state).removed();
                }
                Ok(Seen::Stale) => {}
                Err(met) => trouble = Some(met),
            }
            trouble.is_none()
        })?;
        if let Some(met) = trouble {
            return Err(met);
        }
        if let (Some(before), Some(Some(dead)), false) = (before, dead, expired)
            && self.turns().is_some()
        {
            // It is as good without the correction: the next count walks again.
            let _ = self.correct(&before, &dead, number);
        }
        Ok(number)
    }

    /// Returns the bits of the words of seats whose processes are gone; `None` if a living process
    /// is in a turn.
    fn bits_of_dead(&self, counted: &Counted) -> Option<[u64; turns::WORDS]> {
        let mut dead = [0; turns::WORDS];
        for (word, (dead, bits)) in dead.iter_mut().zip(counted.seats).enumerate() {
            for seat in turns::seats(word, bits & 0xffff_ffff) {
                let ((_, turning), (_, owning)) = (turns::turning(seat), turns::owning(seat));
                if !seat_bits::is_owner_alive(&self.mem, seat) {
                    *dead |= bits & (turning | owning);
                } else if bits & turning != 0 {
                    return None;
                }
            }
        }
        Some(dead)
    }

    /// Makes the words say `number`, if they still are what they were before the walk.
    fn correct(
        &self,
        before: &Counted,
        dead: &[u64; turns::WORDS],
        number: u64,
    ) -> Result<(), EngineError> {
        // No insertion is under way, and no other process corrects.
        let _held = self.lock_structure_now()?;
        let (live, words) = (self.live_mut()?, self.turns().ok_or(EngineError::ReadOnly)?);
        // A seat that was free before the walk may be another process's, whose values the walk has
        // then taken for those of the dead.
        if self.counted()? != Some(*before) || self.bits_of_dead(before) != Some(*dead) {
            return Ok(());
        }
        // A turn that begins from here on changes `NET` before this exchange, which then fails, or
        // after it.
        let net = before.net.wrapping_add(turns::COUNT + 1) & !turns::COUNT
            | number.wrapping_sub(before.born) & turns::COUNT;
        if live.compare_exchange(live::NET, before.net, net).is_err() {
            return Ok(());
        }
        let unknown = before.lost & turns::UNKNOWN;
        if live.compare_exchange(live::LOST, before.lost, unknown).is_err() {
            return Ok(());
        }
        for (word, (bits, dead)) in before.seats.iter().zip(dead).enumerate() {
            if *dead != 0 {
                let without = (bits & !dead).wrapping_add(turns::STEP);
                // It fails if another process has taken one of the seats: that one notes the loss.
                let _ = words.compare_exchange(word, *bits, without);
            }
        }
        // The release of the structure lock publishes all of it.
        self.mem.fence(AcqRel);
        Ok(())
    }
}

/// Returns the words of the seats, how many were lost, and the counter of transactions.
fn marks_of_turns<M: Mem>(
    turns: M::Words<'_>,
    live: M::Words<'_>,
) -> ([u64; turns::WORDS], u64, u64) {
    (
        std::array::from_fn(|word| turns.load(word, Acquire)),
        live.load(live::LOST, Acquire),
        live.load(live::TSEQ, Acquire),
    )
}
