//! The right to change the identity of a file, among openers by mounts that share no locks.
//!
//! Openers by one mount exclude each other by the system's locks. Of two that come by different
//! mounts each believes that it is alone. A word of the region decides between them: its owner
//! recovers the file, or makes it belong to its mount, and clears the word. A process that dies
//! meanwhile leaves the word, so it names the process.

use mapvar_engine::{
    error::EngineError,
    header::Identity,
    layout::identity::{self, CLAIM},
    mem::{
        Mem,
        Ordering::{Acquire, SeqCst},
        Private,
        mapped::Mapped,
    },
    store::Store,
};
use mapvar_os::{Error, ErrorKind, Result, machine};

/// The parts of the word: process, boot, pid namespace and device, of the last three as many bits
/// as fit. Linux has process ids of 22 bits at most. Elsewhere there is no second mount.
const PID: u64 = (1 << 22) - 1;
const BOOT: u64 = 0xff << 22;
const NAMESPACE: u64 = 0xff << 30;
const DEVICE: u64 = !0 << 38;

/// The claims that this process has at the moment: the process id in a claim does not tell its
/// threads apart. Words and no mutex, which a child after `fork` could find locked for ever; the
/// child has another process id than the claims that it inherits.
static OURS: [Private; 64] = [const { Private::new(0) }; 64];

/// A place in [`OURS`]; given up when it is dropped.
struct Noted(&'static Private);

impl Noted {
    fn of(word: u64) -> Result<Self> {
        let free = |place: &&Private| place.compare_exchange(0, word, SeqCst, SeqCst).is_ok();
        OURS.iter().find(free).map(Self).ok_or_else(|| {
            Error::new(ErrorKind::Contended, "open", "")
                .detail("too many threads of this process open files at this moment; try again")
        })
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.store(0, SeqCst);
    }
}

/// A claim that this opener has.
pub(super) struct Claim {
    word: u64,
    _noted: Noted,
}

/// Claims the identity, for an opener that is alone among those by its mount. Returns the claim for
/// [`leave`]. With `take_over` another process's claim counts as left behind.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) if another process, by another mount, may have it.
pub(super) fn take(
    store: &Store<Mapped>,
    ours: &Identity,
    take_over: bool,
) -> std::result::Result<Claim, EngineError> {
    let word = word(ours);
    let words = store.mem().words_mut(identity::AT, identity::WORDS);
    let words = words.ok_or(EngineError::ReadOnly)?;
    // Before the word is there for other threads to see.
    let noted = Noted::of(word)?;
    loop {
        let found = words.load(CLAIM, Acquire);
        if !take_over {
            judge(found, word)?;
        }
        if words.compare_exchange(CLAIM, found, word).is_ok() {
            return Ok(Claim { word, _noted: noted });
        }
    }
}

/// Gives up a claim.
pub(super) fn leave(store: &Store<Mapped>, claim: Claim) {
    if let Some(words) = store.mem().words_mut(identity::AT, identity::WORDS) {
        // Another process may have taken it over.
        let _ = words.compare_exchange(CLAIM, claim.word, 0);
    }
    // After the word is gone.
    drop(claim);
}

/// Refuses while an opener by another mount may have the claim.
pub(super) fn respect(
    store: &Store<Mapped>,
    ours: &Identity,
) -> std::result::Result<(), EngineError> {
    let words = store.mem().words(identity::AT, identity::WORDS);
    let found = words.map_or(0, |words| words.load(CLAIM, Acquire));
    Ok(judge(found, word(ours))?)
}

fn word(ours: &Identity) -> u64 {
    let [one, two] = ours.boot;
    u64::from(std::process::id()) & PID
        | (one ^ two) << 22 & BOOT
        | ours.pid_namespace << 30 & NAMESPACE
        | ours.device << 38 & DEVICE
}

/// Refuses if the process of a claim that was found may still be at work.
fn judge(found: u64, mine: u64) -> Result<()> {
    let differs = |part: u64| (found ^ mine) & part != 0;
    // By our own mount we are alone, and the claims of an earlier boot are over.
    if found == 0 || differs(BOOT) || !differs(DEVICE) {
        return Ok(());
    }
    let process = (found & PID) as u32;
    if differs(NAMESPACE) {
        return Err(refused("a process of another pid namespace may be opening it"));
    }
    if u64::from(process) == mine & PID {
        // Of this process, or of a dead one that had its id.
        return if OURS.iter().any(|word| word.load(SeqCst) == found) {
            Err(refused("another thread of this process is opening it"))
        } else {
            Ok(())
        };
    }
    if machine::may_run(process) {
        return Err(refused(&format!("process {process} may be opening it")));
    }
    Ok(())
}

/// The error of an opener that cannot see the locks of another mount's users. `what` names the one
/// that it may disturb, and the use.
pub(super) fn refused(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, "open", "").detail(format!(
        "{what} by another mount, which shares no locks; open it by the path that its users have, \
         or close it there first; if no process uses it, set `take_over` (--take-over)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_judged_by_its_process_where_no_lock_tells() {
        let ours = Identity { boot: [1, 2], file: [0; 3], pid_namespace: 3, device: 4 };
        let mine = word(&ours);
        // This process lives, and `mine` is the claim of another one.
        let (mine, alive) = (mine & !PID | (PID - 1), u64::from(std::process::id()));
        let other = |change: fn(&mut Identity), pid: u64| {
            let mut theirs = ours;
            change(&mut theirs);
            word(&theirs) & !PID | pid
        };
        assert!(judge(0, mine).is_ok());
        assert!(judge(mine, mine).is_ok());
        // A living process by our mount cannot be at work, since we are alone.
        assert!(judge(other(|_| (), alive), mine).is_ok());
        assert!(judge(other(|it| it.device = 5, alive), mine).is_err());
        // No process has this id; not every system tells.
        let may_run = machine::may_run(PID as u32);
        assert_eq!(judge(other(|it| it.device = 5, PID), mine).is_err(), may_run);
        // Of this process: left by a dead one that had its id, unless a thread has it now.
        let own = other(|it| it.device = 6, mine & PID);
        assert!(judge(own, mine).is_ok());
        let noted = Noted::of(own).unwrap();
        assert!(judge(own, mine).is_err());
        drop(noted);
        assert!(judge(own, mine).is_ok());
        assert!(judge(other(|it| (it.device, it.boot) = (5, [7, 8]), alive), mine).is_ok());
        assert!(judge(other(|it| (it.device, it.pid_namespace) = (5, 9), PID), mine).is_err());
    }
}
