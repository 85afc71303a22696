//! Whether a region in a file may be used as it is, or only what its last complete flush left.
//!
//! Within one boot the pages of a file are what its users wrote, so nothing has to be recovered. A
//! recovery would take back values that were acknowledged, and destroy a map that another process
//! uses by a mount that does not share its locks with this one.

use super::claim;
use crate::{report::Recover, value::codec};
use mapvar_engine::{
    durable::recover::Recovered,
    error::EngineError,
    header::Identity,
    layout::{self, seat},
    mem::{
        Mem,
        Ordering::{Acquire, SeqCst},
        mapped::Mapped,
    },
    store::Store,
};
use mapvar_os::{Error, ErrorKind, Holder, Origin, Result, Section, SectionId, View, machine};

/// What the identity in a region says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// It was last used in this boot, as this file, by this mount.
    Own,
    /// It was last used in this boot as this file, by another mount: before a remount, or by a
    /// second mount that may still be in use.
    Moved,
    /// It was last used in this boot, and the system cannot tell whether as this file.
    Unclear,
    /// It was last used in this boot, as another file: this one is a copy.
    Copy,
    /// It was last used before a restart, as this file or without a valid identity.
    Old,
    /// It was last used before a restart, or on another machine, as another file.
    OldCopy,
}

impl Relation {
    /// Whether the pages are what the users of this file wrote.
    pub(crate) const fn is_current(self) -> bool {
        matches!(self, Self::Own | Self::Moved)
    }

    const fn is_copy(self) -> bool {
        matches!(self, Self::Copy | Self::OldCopy | Self::Unclear)
    }

    const fn of_this_boot(self) -> bool {
        !matches!(self, Self::Old | Self::OldCopy)
    }
}

/// What the opener permits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) recover: Recover,
    pub(super) take_over: bool,
}

/// Returns the identity of this boot and of a section's file.
pub(crate) fn identity(file: Option<SectionId>) -> Result<Identity> {
    let file = file.unwrap_or_default();
    Ok(Identity {
        boot: machine::boot_id()?,
        file: [file.volume, file.file, file.born],
        // 0 only for a reader, which does not compare it: see `obtain_stored`.
        pid_namespace: machine::pid_namespace().unwrap_or_default(),
        device: file.device,
    })
}

/// Compares the identity in a region with that of its file now.
pub(crate) fn relation(theirs: Option<Identity>, ours: &Identity) -> Relation {
    let Some(theirs) = theirs else { return Relation::Old };
    let id = |of: &Identity| {
        let [volume, file, born] = of.file;
        // A build that did not know the word for the device stored the device as the volume.
        let old = of.device == 0 && ours.device != 0;
        let (volume, device) = if old { (0, volume) } else { (volume, of.device) };
        SectionId { volume, device, file, born, lasting: true }
    };
    let (before, now) = (id(&theirs), id(ours));
    let same = before.is_same_file(&now);
    match (theirs.boot == ours.boot, same) {
        (true, Some(true)) if before.device == now.device => Relation::Own,
        (true, Some(true)) => Relation::Moved,
        (true, Some(false)) => Relation::Copy,
        (true, None) => Relation::Unclear,
        // A restart may give a device, and the files of some file systems, other numbers.
        (false, Some(false)) => Relation::OldCopy,
        (false, _) => Relation::Old,
    }
}

/// Returns the identity in a region, for an opener that may only read.
fn stored(store: &Store<Mapped>) -> Option<Identity> {
    let sector = store.mem().words(layout::identity::AT, layout::identity::WORDS);
    sector.and_then(Identity::read)
}

fn write(store: &Store<Mapped>, ours: &Identity) -> std::result::Result<(), EngineError> {
    let sector = store.mem().words_mut(layout::identity::AT, layout::identity::WORDS);
    ours.write(sector.ok_or(EngineError::ReadOnly)?);
    Ok(())
}

fn needs_recovery(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::NeedsRecovery, "open", "").detail(detail)
}

/// The error of an opener that wants the file itself, and may not recover it.
pub(super) fn not_recovered() -> Error {
    needs_recovery(
        "it is a copy, or no process has opened it for writing since the machine started; open it \
         once for writing, which recovers what the last flush left",
    )
}

/// Whether an opener for reading may read the region as it is. Otherwise it reads a recovered copy.
pub(super) fn may_read(store: &Store<Mapped>, late: &dyn Fn() -> bool) -> Result<bool> {
    if !store.file {
        return Ok(true);
    }
    let ours = identity(store.mem().section().id()?)?;
    // A region whose creator has not written its identity yet has no variables to recover. If it
    // is not blank, its creator may have written its identity and variables meanwhile.
    let blank = stored(store).is_none()
        && is_blank(store, late).map_err(|trouble| trouble.during("open", String::new()))?;
    Ok(blank || relation(stored(store), &ours).is_current())
}

/// Whether a region has nothing of which a recovery could take anything back.
///
/// The number of births alone does not show it: after a power cut before the first flush, the disk
/// may have records and index as a process left them, and that number as it was at the creation.
fn is_blank(
    store: &Store<Mapped>,
    late: &dyn Fn() -> bool,
) -> std::result::Result<bool, EngineError> {
    if !store.births().is_ok_and(|births| births == 0) {
        return Ok(false);
    }
    let check = store.check(&[], true, codec::is_message_pack, late)?;
    Ok(check.variables() == 0 && check.findings().is_empty())
}

/// Ensures that the region belongs to this boot and this file.
///
/// An opener that is alone recovers a region that is not, as far as `policy` permits, and until
/// `late` returns true. One that is not alone is refused, since recovery would destroy what the
/// other users write.
pub(super) fn ensure(
    store: &mut Store<Mapped>,
    alone: bool,
    policy: Policy,
    late: &dyn Fn() -> bool,
) -> std::result::Result<Option<(Recovered, Relation)>, EngineError> {
    let section = store.mem().section();
    let created = section.origin() == Origin::Created;
    let id = section.id()?;
    let ours = identity(id)?;
    let lasting = id.is_none_or(|id| id.lasting);
    let theirs = stored(store);
    if alone && store.file {
        // Alone among those that come by this mount. The claim excludes the others.
        let claimed = claim::take(store, &ours, policy.take_over)?;
        let settled = settle(store, theirs, &ours, lasting, policy, late);
        claim::leave(store, claimed);
        return settled;
    }
    match theirs {
        Some(theirs) if theirs == ours => Ok(None),
        Some(theirs) if theirs.pid_namespace != ours.pid_namespace => Err(Error::new(
            ErrorKind::Unsupported,
            "open",
            "",
        )
        .detail(
            "processes of another pid namespace write to it, and their death cannot be detected \
             here; open it for reading, or share the namespace",
        )
        .into()),
        // This process created the section, but another opener was alone with it, and has finished
        // opening it. The identity is missing or another file's, so the creator writes its own.
        _ if created => write(store, &ours).map(|()| None),
        _ if store.file && !relation(theirs, &ours).is_current() => Err(needs_recovery(
            "it is of another boot or a copy of another file, and a process uses it; close it \
             everywhere, then open it",
        )
        .into()),
        _ => Ok(None),
    }
}

/// Makes a file belong to this boot and mount, for an opener that is alone with it and has the
/// claim.
fn settle(
    store: &mut Store<Mapped>,
    theirs: Option<Identity>,
    ours: &Identity,
    lasting: bool,
    policy: Policy,
    late: &dyn Fn() -> bool,
) -> std::result::Result<Option<(Recovered, Relation)>, EngineError> {
    let section = store.mem().section();
    let (created, bytes) = (section.origin() == Origin::Created, section.size()?);
    if stored(store) != theirs {
        // Before the claim, an opener by another mount made the file belong to that mount.
        return Err(Error::new(ErrorKind::Contended, "open", "")
            .detail("another process opens it by another mount at this moment; try again")
            .into());
    }
    let relation = relation(theirs, ours);
    let by_another_mount = match relation {
        Relation::Moved | Relation::Unclear => true,
        // Such a file system may make up the numbers of files.
        Relation::Copy => !lasting,
        Relation::Own | Relation::Old | Relation::OldCopy => false,
    };
    if let (true, false, Some(theirs)) = (by_another_mount, policy.take_over, theirs) {
        refuse_users(store, theirs, ours)?;
    }
    let recovered = match relation {
        Relation::Own => None,
        // A disk that was removed without an unmount has lost pages, as in a power cut, and nothing
        // says so. It shows where parts contradict each other.
        Relation::Moved if store.is_whole(codec::is_message_pack, late)? => None,
        _ if created => None,
        _ if policy.recover == Recover::Never => {
            if !is_blank(store, late)? {
                return Err(not_recovered().into());
            }
            None
        }
        _ => {
            let consent = |found: &Recovered| consent(found, relation, policy);
            Some((store.recover_if(bytes, late, consent)?, relation))
        }
    };
    if relation.is_current() && recovered.is_none() {
        // Every lock in it belongs to a dead process, by this mount, by another device, or of
        // another pid namespace, whose processes are gone.
        store.forget_seats()?;
        store.quiesce()?;
    }
    // The identity is written last. If this process dies before, the next opener recovers again.
    if theirs != Some(*ours) {
        write(store, ours)?;
    }
    Ok(recovered)
}

/// Takes a seat, and withdraws if an opener by another mount came in meanwhile.
///
/// That one claims the identity and then looks for seats; this one has a seat and then looks at
/// claim and identity. So one of the two sees the other.
///
/// With `take_over` a claim counts as left behind, as it does in [`ensure`].
pub(super) fn enter(
    store: &Store<Mapped>,
    take_over: bool,
) -> std::result::Result<(), EngineError> {
    store.mem().announce();
    let entered = if store.file { is_still_ours(store, take_over) } else { Ok(()) };
    if entered.is_err() {
        store.mem().leave();
    }
    entered
}

fn is_still_ours(store: &Store<Mapped>, take_over: bool) -> std::result::Result<(), EngineError> {
    let ours = identity(store.mem().section().id()?)?;
    store.mem().fence(SeqCst);
    if !take_over {
        claim::respect(store, &ours)?;
    }
    match stored(store) {
        Some(theirs) if theirs.device != ours.device => {
            Err(claim::refused("another process has just opened it").into())
        }
        _ => Ok(()),
    }
}

/// Refuses a region that living processes may use by another mount, whose locks this one does not
/// see. The map names its users by process ids, which count only where locks do not.
fn refuse_users(
    store: &Store<Mapped>,
    theirs: Identity,
    ours: &Identity,
) -> std::result::Result<(), EngineError> {
    // After the claim and before the seats: see `enter`.
    store.mem().fence(SeqCst);
    for number in 0..layout::PARTICIPANT_SLOTS {
        let Some(words) = store.mem().words(seat::at(number), seat::WORDS) else { continue };
        let (token, process) =
            (words.load(seat::TOKEN, Acquire), words.load(seat::PROCESS, Acquire));
        if token == 0 {
            continue;
        }
        if theirs.pid_namespace != ours.pid_namespace {
            return Err(claim::refused("a process of another pid namespace may use it").into());
        }
        let pid = process as u32;
        if machine::may_run(pid) {
            let holder = Holder::new(pid).with_program(machine::program(pid));
            return Err(claim::refused(&format!("{holder} may use it")).into());
        }
    }
    Ok(())
}

/// Permits a recovery, or refuses it before it has changed anything.
///
/// After a restart, what no flush stored is lost, and a recovery takes nothing more. Everything
/// else that it would take is a decision of the user.
fn consent(
    found: &Recovered,
    relation: Relation,
    policy: Policy,
) -> std::result::Result<(), EngineError> {
    let taken_back = if relation.of_this_boot() { found.rolled_back } else { 0 };
    // A file of this boot that is no copy comes here if its disk failed or was removed.
    let decides = relation.is_copy() || relation.of_this_boot();
    let refused = decides && (found.damaged || taken_back > 0);
    if !refused || policy.recover == Recover::AcceptLoss {
        return Ok(());
    }
    let what = match (found.damaged, relation) {
        (_, Relation::Own | Relation::Moved) => format!(
            "its disk failed, or was removed while it was in use: {} changed after the last \
             complete flush",
            variables(taken_back)
        ),
        (true, _) => format!(
            "it is a torn copy of a file in use: {} of its last complete flush are lost or old",
            variables(found.lost)
        ),
        (false, Relation::Unclear) => format!(
            "it cannot be told whether it is a copy, and {} changed after the last complete flush",
            variables(taken_back)
        ),
        (false, _) => format!(
            "it is a copy of a file in which {} changed after the last complete flush",
            variables(taken_back)
        ),
    };
    let reading = if relation.is_current() {
        ""
    } else {
        "open it for reading, which shows the last flush, "
    };
    Err(needs_recovery(format!(
        "{what}; {reading}save the newest values with `mapvar repair`, or accept the loss with \
         `recover` (--accept-loss)"
    ))
    .into())
}

fn variables(number: u64) -> String {
    if number == 1 { "1 variable".into() } else { format!("{number} variables") }
}

/// Whether a copy lacks variables of its last complete flush.
pub(super) fn is_torn(found: &Recovered, relation: Relation) -> bool {
    relation.is_copy() && found.damaged
}

/// The relation of a mapped file, for an opener for reading.
pub(super) fn relation_of(store: &Store<Mapped>) -> Result<Relation> {
    let ours = identity(store.mem().section().id()?)?;
    Ok(relation(stored(store), &ours))
}

/// As [`relation_of`], with a view of the first chunks, before the whole file is mapped.
pub(super) fn relation_within(view: &View, section: &Section) -> Result<Relation> {
    let sector = view.words(layout::identity::AT as usize, layout::identity::WORDS);
    Ok(relation(sector.and_then(Identity::read), &identity(section.id()?)?))
}
