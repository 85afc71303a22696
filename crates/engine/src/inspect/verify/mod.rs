//! Checking whether a region is whole: each part is compared with every other part that refers to
//! it. Writes nothing. In a region that other processes change meanwhile, a finding counts only if
//! it is the same in repeated passes.

mod pass;
mod space;
mod variables;
mod names;

use self::pass::{Pass, Suspicion};
use crate::{
    durable::recover::in_time,
    error::EngineError,
    inspect::{
        IsMessagePack,
        findings::{Check, Finding},
    },
    layout::{self, journal, kind, live},
    mem::Mem,
    store::Store,
    variable::count::Counted,
};
use mapvar_os::{Error, ErrorKind, machine};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

/// How many passes must agree before a finding counts.
const PASSES: u32 = 4;

impl<'a, M: Mem> Pass<'a, M> {
    /// Leaves out the rest once `late` returns true.
    fn run(
        store: &'a Store<M>,
        sound: bool,
        is_message_pack: IsMessagePack,
        late: &dyn Fn() -> bool,
    ) -> Self {
        let mut pass = Self {
            store,
            sound,
            is_message_pack,
            chunks: 0,
            found: Vec::new(),
            faults: 0,
            notes: 0,
            variables: 0,
            names: HashMap::new(),
            ids: HashMap::new(),
            blocks: HashMap::new(),
            extents: HashMap::new(),
            journal: [0; journal::NEW + 1],
        };
        let counted = store.settled_count().ok().flatten();
        pass.live();
        pass.journals();
        pass.table(late);
        pass.each_described(late, |pass, number, is_filled| {
            if let Ok((kind::RECORDS, class)) = store.chunk_kind(number)
                && class < layout::RECORD_CLASSES.len()
                && is_filled
            {
                pass.records(number, class);
            }
        });
        pass.index(late);
        pass.owned(late);
        if let Some(said) = counted.map(Counted::number)
            && said != pass.variables
            // The damage of a variable would be told twice.
            && pass.faults == 0
            && !late()
            && store.settled_count().ok().flatten() == counted
        {
            let what = format!("{said} variables are counted, and {} are there", pass.variables);
            let at = live::AT + live::BORN as u64 * 8;
            pass.fault(at, what, [said, pass.variables, 0]);
        }
        pass
    }
}

impl<M: Mem> Store<M> {
    /// As [`check`](Self::check), but one pass counts: no other process changes the region.
    pub fn check_once(&self, sound: bool, is_message_pack: IsMessagePack) -> Check {
        let pass = Pass::run(self, sound, is_message_pack, &|| false);
        let left_out: Vec<_> = pass.left_out().collect();
        let findings = pass.found.into_iter().map(|found| found.finding).chain(left_out).collect();
        Check::new(findings, pass.variables)
    }

    /// Returns whether the region contradicts itself nowhere. No other process may change it
    /// meanwhile.
    ///
    /// # Errors
    /// [`TimedOut`](mapvar_os::ErrorKind::TimedOut) once `late` returns true.
    pub fn is_whole(
        &self,
        is_message_pack: IsMessagePack,
        late: &dyn Fn() -> bool,
    ) -> Result<bool, EngineError> {
        let pass = Pass::run(self, true, is_message_pack, late);
        in_time(late)?;
        Ok(pass.faults == 0)
    }

    /// Checks the whole region, and adds the `known` findings. If the header is not `sound`, the
    /// seed of the names' hash is unknown, and no name is looked up.
    ///
    /// # Errors
    /// [`TimedOut`](mapvar_os::ErrorKind::TimedOut) once `late` returns true.
    pub fn check(
        &self,
        known: &[Finding],
        sound: bool,
        is_message_pack: IsMessagePack,
        late: &dyn Fn() -> bool,
    ) -> Result<Check, EngineError> {
        let mut pass = Pass::run(self, sound, is_message_pack, late);
        let mut found = std::mem::take(&mut pass.found);
        for round in 0..PASSES {
            if found.is_empty() || late() {
                break;
            }
            machine::nap(Duration::from_millis(2) * (1 << round));
            pass = Pass::run(self, sound, is_message_pack, late);
            let again: HashSet<&Suspicion> = pass.found.iter().collect();
            found.retain(|found| again.contains(found));
        }
        if late() {
            return Err(EngineError::Explained(Error::new(ErrorKind::TimedOut, "", "").detail(
                "it takes longer than it may; give it a longer time (`recovery_timeout`, \
                 `--timeout`), as the size of its data asks for",
            )));
        }
        let mut findings: Vec<_> = found.into_iter().map(|found| found.finding).collect();
        if !findings.is_empty() {
            findings.extend(pass.left_out());
        }
        findings.extend_from_slice(known);
        findings.sort_by(|one, other| (one.at, &one.what).cmp(&(other.at, &other.what)));
        Ok(Check::new(findings, pass.variables))
    }
}
