//! What every actor does with a map: operations of all kinds, one after the other, without a pause.
//! Before each operation the actor's block says what it will change, and afterwards that it is
//! done.

use super::{
    shared::{Actor, word},
    value::{HUGE, LARGE, MID, PASSING, SMALL, Size},
};
use crate::region::{LIMIT, Place};
use mapvar::{Error, ErrorKind, Map, MapOptions, Var};
use mapvar_harness::Random;
use serde_bytes::{ByteBuf, Bytes};
use std::{fmt, time::Instant};

/// Variables of a single actor, as words of its block.
pub(crate) mod own {
    use super::word::OWN;
    pub(crate) const SMALL: usize = OWN;
    pub(crate) const MID: usize = OWN + 1;
    pub(crate) const LARGE: usize = OWN + 2;
    pub(crate) const HUGE: usize = OWN + 3;
    pub(crate) const WORD: usize = OWN + 4;
    pub(crate) const COUNT: usize = OWN + 5;
    pub(crate) const MARK: usize = OWN + 6;
    pub(crate) const STEPS: usize = OWN + 7;
    pub(crate) const TX: usize = OWN + 8;
    pub(crate) const PRIVATE: usize = OWN + 9;
}

/// An actor's own variables that hold bytes.
pub(crate) const BYTES: [(usize, &str, Size); 4] = [
    (own::SMALL, "small", SMALL),
    (own::MID, "mid", MID),
    (own::LARGE, "large", LARGE),
    (own::HUGE, "huge", HUGE),
];
/// Variables of an actor's own transactions. The last one exists only for an even stamp.
pub(crate) const TX: [(&str, Size); 5] =
    [("tx0", SMALL), ("tx1", SMALL), ("tx2", MID), ("tx3", LARGE), ("tx4", SMALL)];
/// Variables that all actors set.
pub(crate) const COMMON: [(&str, Size); 4] =
    [("common.small", SMALL), ("common.mid", MID), ("common.large", LARGE), ("common.huge", HUGE)];
pub(crate) const ACCOUNTS: u64 = 8;
const COMMON_PASSING: u64 = 16;

/// A violation that an actor has found.
#[derive(Debug)]
pub(crate) enum Flaw {
    Lost(String),
    Torn(String),
    Hung(String),
    Leaked(String),
    Other(String),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(what) => write!(f, "LOST: {what}"),
            Self::Torn(what) => write!(f, "TORN: {what}"),
            Self::Hung(what) => write!(f, "HUNG: {what}"),
            Self::Leaked(what) => write!(f, "LEAKED: {what}"),
            Self::Other(what) => write!(f, "WRONG: {what}"),
        }
    }
}

impl From<Error> for Flaw {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::TimedOut | ErrorKind::Contended => Self::Hung(error.to_string()),
            _ => Self::Other(error.to_string()),
        }
    }
}

/// Returns the options by which the map of an era is opened.
pub(crate) fn options(place: &Place) -> MapOptions {
    let options = place.options().timeout(LIMIT).size(4_000);
    match place {
        Place::Name(_) => options.max_size(64 << 20),
        // Wine keeps a byte for each reserved page, and without a limit 64 GiB are reserved.
        Place::File(_) if cfg!(windows) => options.max_size(256 << 20),
        Place::File(_) => options,
    }
}

/// Returns the place of a second map that only one actor uses.
pub(crate) fn private(place: &Place, actor: usize) -> Place {
    Place::of(&format!("{}.p{actor}", place.text()))
}

macro_rules! operations {
    ($($op:ident $often:literal,)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Op { $($op,)+ }
        impl Op {
            /// Each operation, and its weight among all.
            pub(crate) const ALL: &[(Self, u64)] = &[$((Self::$op, $often),)+];
            pub(crate) fn name(number: u64) -> String {
                Self::ALL.get(number as usize).map_or("?".into(), |(op, _)| format!("{op:?}"))
            }
        }
    };
}

operations! {
    Open 0,
    SetSmall 8,
    SetMid 6,
    SetLarge 4,
    SetHuge 2,
    SetWord 4,
    Count 4,
    Mark 3,
    Step 4,
    Transact 6,
    Pass 12,
    Read 4,
    SetCommon 6,
    AddCommon 3,
    StepCommon 3,
    Move 5,
    PassCommon 4,
    ReadCommon 4,
    Snapshot 3,
    Flush 2,
    Walk 1,
    Private 1,
}

/// An actor that uses the map.
pub(crate) struct Worker<'a> {
    pub(crate) map: Map,
    pub(crate) actor: Actor<'a>,
    pub(crate) random: Random,
    target: Place,
    /// The number at which its stamps begin.
    base: u64,
    number: u64,
    /// How many variables come and go.
    passing: u64,
    handles: [Option<Var<ByteBuf>>; 4],
    buffer: Vec<u8>,
    read: Vec<u8>,
}

pub(crate) fn passing_name(actor: usize, number: u64) -> String {
    // Every second name is too long for its record.
    if number.is_multiple_of(2) {
        format!("{actor}.passing.{number}")
    } else {
        format!("{actor}.passing.{number}.with-a-name-that-lies-in-a-block-of-its-own")
    }
}

fn account(number: u64) -> String {
    format!("account.{number}")
}

impl<'a> Worker<'a> {
    pub(crate) fn open(
        target: &Place,
        actor: Actor<'a>,
        life: u64,
        passing: u64,
        random: Random,
    ) -> Result<Self, Flaw> {
        actor.begin(Op::Open as u64, word::NOTHING, 0);
        let map = options(target).open()?;
        actor.end();
        Ok(Self::of(map, target, actor, life, passing, random))
    }

    pub(crate) fn of(
        map: Map,
        target: &Place,
        actor: Actor<'a>,
        life: u64,
        passing: u64,
        random: Random,
    ) -> Self {
        Self {
            map,
            actor,
            random,
            target: target.clone(),
            base: (actor.number as u64 + 1) << 52 | life << 24,
            number: 0,
            passing: passing.clamp(1, word::MOST_PASSING as u64),
            handles: [const { None }; 4],
            buffer: Vec::new(),
            read: vec![0; (HUGE.1 + 1) * 8],
        }
    }

    /// Opens the map again, by another handle.
    pub(crate) fn reopen(&mut self) -> Result<(), Flaw> {
        self.handles = [const { None }; 4];
        self.actor.begin(Op::Open as u64, word::NOTHING, 0);
        self.map = options(&self.target).open()?;
        self.actor.end();
        Ok(())
    }

    fn stamp(&mut self) -> u64 {
        self.number += 1;
        self.base + self.number
    }

    fn own_name(&self, what: &str) -> String {
        format!("{}.{what}", self.actor.number)
    }

    /// Creates the variables that all actors share.
    pub(crate) fn make_common(&mut self) -> Result<(), Flaw> {
        for (name, size) in COMMON {
            let stamp = self.stamp();
            size.fill(stamp, &mut self.buffer);
            self.map.set(name, Bytes::new(&self.buffer))?;
        }
        for number in 0..ACCOUNTS {
            self.map.set(&account(number), 0_i64)?;
        }
        self.map.set("moves", 0_u64)?;
        self.map.set("steps", 0_u64)?;
        self.map.atomic_or("adds", 0_u64)?;
        Ok(())
    }

    /// Creates the actor's own variables, and clears its block.
    pub(crate) fn make_own(&mut self) -> Result<(), Flaw> {
        (0..word::PASSING + word::MOST_PASSING).for_each(|word| self.actor.put(word, 0));
        for number in 0..BYTES.len() {
            self.set_own(number, false)?;
        }
        self.map.set(&self.own_name("word"), 0_u64)?;
        self.map.set(&self.own_name("steps"), 0_u64)?;
        self.map.atomic_or(&self.own_name("count"), 0_u64)?;
        self.map.atomic_or(&self.own_name("mark"), 0_u64)?;
        self.transact()
    }

    /// Sets a value that is filled outside its record, which needs a seat for the process.
    pub(crate) fn claim_seat(&mut self) -> Result<(), Flaw> {
        self.set_own(3, false)
    }

    /// Runs operations without a pause, of all kinds or nearly only of one, until `more` returns
    /// false.
    pub(crate) fn work(
        &mut self,
        only: Option<Op>,
        mut more: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), Flaw> {
        let sum: u64 = Op::ALL.iter().map(|(_, often)| often).sum();
        while more(self) {
            let op = match only {
                // Now and then another operation, or this one would never meet other locks.
                Some(op) if !self.random.one_in(16) => op,
                _ => {
                    let mut at = self.random.below(sum);
                    let found = Op::ALL.iter().find(|(_, often)| {
                        let found = at < *often;
                        at = at.wrapping_sub(*often);
                        found
                    });
                    found.map_or(Op::SetSmall, |(op, _)| *op)
                }
            };
            self.timed(op)?;
        }
        Ok(())
    }

    fn timed(&mut self, op: Op) -> Result<(), Flaw> {
        let began = Instant::now();
        self.run(op).map_err(|flaw| match flaw {
            Flaw::Hung(what) => Flaw::Hung(format!("{op:?}: {what}")),
            Flaw::Other(what) => Flaw::Other(format!("{op:?}: {what}")),
            flaw => flaw,
        })?;
        let took = began.elapsed();
        if took.as_nanos() as u64 > self.actor.get(word::LONGEST) {
            self.actor.put(word::LONGEST, took.as_nanos() as u64);
        }
        if took > LIMIT {
            return Err(Flaw::Hung(format!("{op:?} took {took:?}")));
        }
        Ok(())
    }

    fn run(&mut self, op: Op) -> Result<(), Flaw> {
        let by_name = self.random.one_in(4);
        match op {
            Op::Open => Ok(()),
            Op::SetSmall => self.set_own(0, !by_name),
            Op::SetMid => self.set_own(1, !by_name),
            Op::SetLarge => self.set_own(2, !by_name),
            Op::SetHuge => self.set_own(3, !by_name),
            Op::SetWord => {
                let stamp = self.stamp();
                self.begin(op, own::WORD, stamp);
                self.map.set(&self.own_name("word"), stamp)?;
                self.end()
            }
            Op::Count => {
                let count = self.map.atomic::<u64>(&self.own_name("count"))?;
                let before = self.actor.get(own::COUNT);
                self.begin(op, own::COUNT, before + 1);
                let found = count.fetch_add(1)?;
                self.same("count", before, found)?;
                self.end()
            }
            Op::Mark => {
                let mark = self.map.atomic::<u64>(&self.own_name("mark"))?;
                let (before, stamp) = (self.actor.get(own::MARK), self.stamp());
                self.begin(op, own::MARK, stamp);
                let found = mark.swap(stamp)?;
                self.same("mark", before, found)?;
                self.end()
            }
            Op::Step => {
                let before = self.actor.get(own::STEPS);
                self.begin(op, own::STEPS, before + 1);
                let name = self.own_name("steps");
                let after = self.map.update(&name, |steps: Option<u64>| steps.unwrap_or(0) + 1)?;
                self.same("steps", before + 1, after)?;
                self.end()
            }
            Op::Transact => self.transact(),
            Op::Pass => self.pass(),
            Op::Read => self.read_own(),
            Op::SetCommon => {
                let (name, size) = COMMON[self.random.below(4) as usize];
                let stamp = self.stamp();
                size.fill(stamp, &mut self.buffer);
                self.begin(op, word::NOTHING, 0);
                self.map.set(name, Bytes::new(&self.buffer))?;
                self.end()
            }
            Op::AddCommon => {
                let adds = self.map.atomic::<u64>("adds")?;
                self.begin(op, word::ADDS, self.actor.get(word::ADDS) + 1);
                adds.fetch_add(1)?;
                self.end()
            }
            Op::StepCommon => {
                self.begin(op, word::STEPS, self.actor.get(word::STEPS) + 1);
                let done = self.map.update("steps", |steps: Option<u64>| steps.unwrap_or(0) + 1);
                self.end_unless_in_conflict(done.map(drop))
            }
            Op::Move => self.move_between_accounts(),
            Op::PassCommon => {
                let number = self.random.below(COMMON_PASSING);
                let name = passing_name(99, number);
                let stamp = self.stamp();
                let remove = self.random.one_in(2);
                PASSING.fill(stamp, &mut self.buffer);
                self.begin(op, word::NOTHING, 0);
                if remove {
                    self.map.remove(&name)?;
                } else {
                    self.map.set(&name, Bytes::new(&self.buffer))?;
                }
                self.end()
            }
            Op::ReadCommon => self.read_common(),
            Op::Snapshot => self.snapshots(),
            Op::Flush => {
                self.begin(op, word::NOTHING, 0);
                self.map.flush()?;
                self.end()
            }
            Op::Walk => self.walk(),
            Op::Private => self.use_private(),
        }
    }

    fn begin(&self, op: Op, of: usize, stamp: u64) {
        self.actor.begin(op as u64, of, stamp);
    }

    #[allow(clippy::unnecessary_wraps, reason = "the last word of each operation")]
    fn end(&self) -> Result<(), Flaw> {
        self.actor.end();
        Ok(())
    }

    /// Ends an operation; one that failed with a conflict did nothing, and is canceled.
    fn end_unless_in_conflict(&self, done: mapvar::Result<()>) -> Result<(), Flaw> {
        match done {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                self.actor.cancel();
                Ok(())
            }
            done => {
                done?;
                self.end()
            }
        }
    }

    fn same(&self, what: &str, expected: u64, found: u64) -> Result<(), Flaw> {
        if expected == found {
            return Ok(());
        }
        let what = self.own_name(what);
        Err(Flaw::Lost(format!("{what} should be {expected:#x}, and is {found:#x}")))
    }

    fn set_own(&mut self, number: usize, by_handle: bool) -> Result<(), Flaw> {
        let (of, what, size) = BYTES[number];
        let stamp = self.stamp();
        size.fill(stamp, &mut self.buffer);
        let name = self.own_name(what);
        if by_handle && self.handles[number].is_none() {
            self.handles[number] = Some(self.map.var(&name)?);
        }
        self.actor.begin(Op::SetSmall as u64 + number as u64, of, stamp);
        match &self.handles[number] {
            Some(var) if by_handle => var.write_bytes(&self.buffer)?,
            _ => self.map.set(&name, Bytes::new(&self.buffer))?,
        }
        self.end()
    }

    /// Sets all variables of its transactions to the same stamp, or none.
    fn transact(&mut self) -> Result<(), Flaw> {
        let stamp = self.stamp();
        let before = self.actor.get(own::TX);
        let reads_first = self.random.one_in(3) && before != 0;
        let mut values = Vec::with_capacity(TX.len());
        for (what, size) in TX {
            size.fill(stamp, &mut self.buffer);
            values.push((self.own_name(what), self.buffer.clone()));
        }
        self.begin(Op::Transact, own::TX, stamp);
        let mut seen = None;
        let done = self.map.transaction(|tx| {
            for (number, (name, value)) in values.iter().enumerate() {
                if reads_first && number < 2 {
                    seen = Some((number, tx.get::<ByteBuf>(name)?.into_vec()));
                }
                if number + 1 < TX.len() || stamp.is_multiple_of(2) {
                    tx.set(name, Bytes::new(value))?;
                } else {
                    tx.remove(name)?;
                }
            }
            Ok(())
        });
        if let Some((number, bytes)) = seen {
            let found = self.whole(TX[number].0, TX[number].1, &bytes)?;
            self.same(TX[number].0, before, found)?;
        }
        self.end_unless_in_conflict(done)
    }

    /// Sets or removes one of the variables that come and go.
    fn pass(&mut self) -> Result<(), Flaw> {
        let number = self.random.below(self.passing);
        let of = word::PASSING + number as usize;
        let name = passing_name(self.actor.number, number);
        let there = self.actor.get(of) != 0;
        if there && !self.random.one_in(3) {
            self.begin(Op::Pass, of, 0);
            if !self.map.remove(&name)? {
                return Err(Flaw::Lost(format!("{name} was not there to be removed")));
            }
        } else {
            let stamp = self.stamp();
            PASSING.fill(stamp, &mut self.buffer);
            self.begin(Op::Pass, of, stamp);
            self.map.set(&name, Bytes::new(&self.buffer))?;
        }
        self.end()
    }

    fn read_own(&mut self) -> Result<(), Flaw> {
        let number = self.random.below(BYTES.len() as u64 + 2) as usize;
        self.begin(Op::Read, word::NOTHING, 0);
        if let Some((of, what, size)) = BYTES.get(number).copied() {
            let name = self.own_name(what);
            let found = self.read(&name, size)?;
            let acknowledged = self.actor.get(of);
            self.same(what, acknowledged, found.unwrap_or(0))?;
        } else if number == BYTES.len() {
            // Once a transaction has returned, every read sees what it has set.
            let (what, size) = TX[0];
            let found = self.read(&self.own_name(what), size)?;
            self.same(what, self.actor.get(own::TX), found.unwrap_or(0))?;
        } else {
            let number = self.random.below(self.passing);
            let name = passing_name(self.actor.number, number);
            let found = self.read(&name, PASSING)?;
            let acknowledged = self.actor.get(word::PASSING + number as usize);
            if found.unwrap_or(0) != acknowledged {
                return Err(Flaw::Lost(format!("{name}: {acknowledged:#x}, found {found:x?}")));
            }
        }
        self.end()
    }

    /// Returns the stamp of a variable's value; `None` if there is no such variable.
    pub(crate) fn read(&mut self, name: &str, size: Size) -> Result<Option<u64>, Flaw> {
        let found = match self.map.var::<ByteBuf>(name) {
            Ok(var) => var.read_bytes(&mut self.read),
            Err(error) => Err(error),
        };
        let len = match found {
            Ok(len) => len.min(self.read.len()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        self.actor.add(word::READS, 1);
        match size.stamp_of(&self.read[..len]) {
            Some(stamp) => Ok(Some(stamp)),
            None => Err(torn(name, &self.read[..len])),
        }
    }

    fn whole(&self, what: &str, size: Size, bytes: &[u8]) -> Result<u64, Flaw> {
        size.stamp_of(bytes).ok_or_else(|| torn(&self.own_name(what), bytes))
    }

    fn read_common(&mut self) -> Result<(), Flaw> {
        let number = self.random.below(COMMON.len() as u64 + 2) as usize;
        self.begin(Op::ReadCommon, word::NOTHING, 0);
        if let Some((name, size)) = COMMON.get(number) {
            if self.read(name, *size)?.is_none() {
                return Err(Flaw::Lost(format!("{name} is not there")));
            }
        } else {
            let name = passing_name(99, self.random.below(COMMON_PASSING));
            self.read(&name, PASSING)?;
        }
        self.end()
    }

    /// Reads common variables; it needs no right to write.
    pub(crate) fn only_read(&mut self) -> Result<(), Flaw> {
        self.timed(Op::ReadCommon)
    }

    fn move_between_accounts(&mut self) -> Result<(), Flaw> {
        let from = self.random.below(ACCOUNTS);
        let to = (from + 1 + self.random.below(ACCOUNTS - 1)) % ACCOUNTS;
        let amount = 1 + self.random.below(100).cast_signed();
        let [from, to] = [from, to].map(account);
        self.begin(Op::Move, word::MOVES, self.actor.get(word::MOVES) + 1);
        let done = self.map.transaction(|tx| {
            let (left, right): (i64, i64) = (tx.get(&from)?, tx.get(&to)?);
            let moves: u64 = tx.get("moves")?;
            tx.set(&from, left - amount)?;
            tx.set(&to, right + amount)?;
            tx.set("moves", moves + 1)
        });
        self.end_unless_in_conflict(done)
    }

    fn snapshots(&mut self) -> Result<(), Flaw> {
        self.begin(Op::Snapshot, word::NOTHING, 0);
        if self.random.one_in(2) {
            let sum = self.sum()?;
            if sum != 0 {
                return Err(Flaw::Torn(format!("the accounts have {sum}")));
            }
        } else {
            let found = self.transacted()?;
            self.same("tx", self.actor.get(own::TX), found)?;
        }
        self.end()
    }

    /// Returns the sum of all accounts.
    pub(crate) fn sum(&self) -> Result<i64, Flaw> {
        let names: Vec<_> = (0..ACCOUNTS).map(account).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let snapshot = self.map.snapshot(&names)?;
        let amounts: mapvar::Result<Vec<i64>> =
            names.iter().map(|name| snapshot.get(name)).collect();
        Ok(amounts?.iter().sum())
    }

    /// Returns the stamp that all variables of its transactions have.
    fn transacted(&self) -> Result<u64, Flaw> {
        self.transacted_of(self.actor.number)
    }

    /// Returns the same for any actor's variables.
    pub(crate) fn transacted_of(&self, actor: usize) -> Result<u64, Flaw> {
        let names = TX.map(|(what, _)| format!("{actor}.{what}"));
        let snapshot = self.map.snapshot(names.each_ref().map(String::as_str))?;
        let mut stamps = [None; TX.len()];
        for ((name, (what, size)), stamp) in names.iter().zip(TX).zip(&mut stamps) {
            if let Some(bytes) = snapshot.find::<ByteBuf>(name)? {
                *stamp = Some(self.whole(what, size, &bytes)?);
            }
        }
        let first = stamps[0].unwrap_or(0);
        let last = first.is_multiple_of(2).then_some(first);
        if stamps[..4].iter().any(|stamp| *stamp != Some(first)) || stamps[4] != last {
            return Err(Flaw::Torn(format!("half a transaction of {names:?}: {stamps:x?}")));
        }
        Ok(first)
    }

    /// Visits some of the variables by iteration.
    fn walk(&mut self) -> Result<(), Flaw> {
        self.begin(Op::Walk, word::NOTHING, 0);
        let most = 1 + self.random.below(20) as usize;
        for entry in self.map.iter().take(most) {
            let _ = entry?.name().len();
        }
        self.end()
    }

    /// Opens or creates a map of its own, sets a variable and closes the map. A file keeps the
    /// variable.
    fn use_private(&mut self) -> Result<(), Flaw> {
        let stamp = self.stamp();
        let target = private(&self.target, self.actor.number);
        let of = if target.is_file() { own::PRIVATE } else { word::NOTHING };
        SMALL.fill(stamp, &mut self.buffer);
        self.begin(Op::Private, of, stamp);
        let map = options(&target).open_or_create()?;
        map.set("private", Bytes::new(&self.buffer))?;
        drop(map);
        self.end()
    }
}

fn torn(name: &str, bytes: &[u8]) -> Flaw {
    let mut runs: Vec<(u64, usize)> = Vec::new();
    for word in bytes.as_chunks::<8>().0 {
        let word = u64::from_le_bytes(*word);
        match runs.last_mut() {
            Some((last, count)) if *last == word => *count += 1,
            _ => runs.push((word, 1)),
        }
    }
    runs.truncate(8);
    Flaw::Torn(format!("{name}, {} bytes: {runs:x?} (word, how often)", bytes.len()))
}
