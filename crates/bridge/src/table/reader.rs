//! The reader's table: which messages become values of the map, and which variables go.

use super::stamp::Stamp;
use std::collections::BTreeMap;

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Set,
    Remove,
    /// The map has it already, or has a newer one.
    Old,
    /// A limit of the prefix would be exceeded.
    Refused,
}

/// What is known of a variable.
#[derive(Debug, Default)]
struct Seen {
    seq: u64,
    stamp: Option<Stamp>,
    /// The generation in which it was told last.
    told: u64,
    bytes: u64,
    present: bool,
    /// It ends when its owner does.
    ephemeral: bool,
}

/// The limits of a prefix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) vars: usize,
    pub(crate) bytes: u64,
}

/// The table of one prefix that another bridge owns.
#[derive(Debug)]
pub(crate) struct Reader {
    generation: u64,
    live: bool,
    entries: BTreeMap<String, Seen>,
    /// Prefixes whose owners have put all that they have.
    whole: Vec<String>,
    present: usize,
    bytes: u64,
    limits: Limits,
}

impl Reader {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            generation: 0,
            live: false,
            entries: BTreeMap::new(),
            whole: Vec::new(),
            present: 0,
            bytes: 0,
            limits,
        }
    }

    /// The map has a variable, from an earlier run of the bridge.
    pub(crate) fn found(&mut self, name: String) {
        let seen = self.entries.entry(name).or_default();
        if !seen.present {
            seen.present = true;
            self.present += 1;
        }
    }

    /// Begins with a new feed, which tells all that the engine holds. What was applied stays known,
    /// so that an older put that was delayed is recognized.
    pub(crate) fn begin(&mut self) {
        self.generation += 1;
        self.live = false;
        self.whole.clear();
        for seen in self.entries.values_mut() {
            // A server that lost its store counts from one again.
            seen.seq = 0;
        }
    }

    /// The value that was told last of this variable ends with its owner, or does not.
    pub(crate) fn set_ephemeral(&mut self, name: &str, ephemeral: bool) {
        if let Some(seen) = self.entries.get_mut(name) {
            seen.ephemeral = ephemeral;
        }
    }

    /// The owner of a prefix no longer lives. Returns the variables to remove.
    pub(crate) fn lapsed(&mut self, prefix: &str) -> Vec<String> {
        self.take(|name, seen| seen.ephemeral && name.starts_with(prefix))
    }

    /// Returns what to do with a message: a value of so many bytes, or a deletion.
    pub(crate) fn told(
        &mut self,
        name: &str,
        seq: u64,
        by: Option<Stamp>,
        bytes: Option<u64>,
    ) -> Verdict {
        let new = !self.entries.contains_key(name);
        if new && self.entries.len() >= self.limits.vars.saturating_mul(2) {
            // The stamps of removed variables, which only serve to recognize puts that were delayed.
            self.entries.retain(|_, seen| seen.present);
        }
        if new && (bytes.is_none() || self.is_full(bytes.unwrap_or(0))) {
            return if bytes.is_none() { Verdict::Old } else { Verdict::Refused };
        }
        let room = self.limits.bytes.saturating_sub(self.bytes);
        let full = self.present >= self.limits.vars;
        let seen = self.entries.entry(name.to_owned()).or_default();
        // A put that was delayed comes after a newer one.
        let delayed = by.is_some() && by < seen.stamp;
        // After a delayed deletion the engine has nothing of the variable. If the owner has it, a put
        // follows; if not, the owner has nothing to delete, and its next statement removes it here.
        seen.told = if delayed && bytes.is_none() { 0 } else { self.generation };
        if seq <= seen.seq || delayed {
            return Verdict::Old;
        }
        let grows = bytes.unwrap_or(0).saturating_sub(seen.bytes);
        if grows > room || (bytes.is_some() && !seen.present && full) {
            return Verdict::Refused;
        }
        (seen.seq, seen.stamp) = (seq, by.or(seen.stamp));
        self.bytes = self.bytes - seen.bytes + bytes.unwrap_or(0);
        seen.bytes = bytes.unwrap_or(0);
        match (std::mem::replace(&mut seen.present, bytes.is_some()), bytes.is_some()) {
            (false, true) => self.present += 1,
            (true, false) => self.present -= 1,
            _ => {}
        }
        if bytes.is_some() { Verdict::Set } else { Verdict::Remove }
    }

    /// The feed has told all that the engine holds. Returns the variables to remove.
    pub(crate) fn loaded(&mut self) -> Vec<String> {
        self.live = true;
        let whole = std::mem::take(&mut self.whole);
        whole.iter().flat_map(|prefix| self.sweep(prefix)).collect()
    }

    /// The owner of a prefix has put all that it has. Returns the variables to remove: those that
    /// were not told. Without this, an empty server would empty the map.
    pub(crate) fn whole(&mut self, prefix: &str) -> Vec<String> {
        if self.live {
            return self.sweep(prefix);
        }
        self.whole.push(prefix.to_owned());
        Vec::new()
    }

    /// The owner of a prefix states its session. Returns whether the feed has to begin anew: the
    /// owner counts from a lower number than before, so what it put was taken for old.
    pub(crate) fn session(&mut self, prefix: &str, session: u64) -> bool {
        let mut lower = false;
        for (_, seen) in self.entries.iter_mut().filter(|(name, _)| name.starts_with(prefix)) {
            if seen.stamp.is_some_and(|stamp| stamp.session > session) {
                seen.stamp = None;
                lower = true;
            }
        }
        lower
    }

    /// Returns how many variables of the map belong to the prefix.
    pub(crate) fn len(&self) -> usize {
        self.present
    }

    fn is_full(&self, more: u64) -> bool {
        self.present >= self.limits.vars || self.bytes.saturating_add(more) > self.limits.bytes
    }

    fn sweep(&mut self, prefix: &str) -> Vec<String> {
        let generation = self.generation;
        self.take(|name, seen| seen.told != generation && name.starts_with(prefix))
    }

    /// Counts variables as removed, and returns them.
    fn take(&mut self, is_gone: impl Fn(&str, &Seen) -> bool) -> Vec<String> {
        let mut removed = Vec::new();
        for (name, seen) in &mut self.entries {
            if seen.present && is_gone(name, seen) {
                self.present -= 1;
                self.bytes -= seen.bytes;
                (seen.present, seen.bytes) = (false, 0);
                removed.push(name.clone());
            }
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ephemeral_variables_end_with_their_owner_and_come_back_with_it() {
        let mut reader = Reader::new(Limits { vars: 10, bytes: 100 });
        let stamp = |count| Some(Stamp { session: 1, count });
        reader.begin();
        for (count, name) in [(1, "a.x"), (2, "a.y"), (3, "b.x")] {
            assert_eq!(reader.told(name, count, stamp(count), Some(8)), Verdict::Set);
            reader.set_ephemeral(name, name != "a.y");
        }
        reader.loaded();
        assert_eq!(reader.lapsed("a."), ["a.x"]);
        assert_eq!(reader.lapsed("a."), [""; 0]);
        assert_eq!(reader.len(), 2);
        // The same feed does not tell it again; the next one does.
        reader.begin();
        assert_eq!(reader.told("a.x", 1, stamp(1), Some(8)), Verdict::Set);
        // It is ephemeral no more.
        assert_eq!(reader.told("b.x", 4, stamp(4), Some(8)), Verdict::Set);
        reader.set_ephemeral("b.x", false);
        assert_eq!(reader.lapsed("b."), [""; 0]);
    }
}
