//! What is tried: scenarios in which the protocol must hold, and faults planted into them.

use crate::{
    actor::{Actor, Deed, Deed::*, Life},
    explore::Scenario,
    fault::{Fault, Fault::*},
    world::*,
};

pub struct Case {
    pub name: String,
    pub scenario: Scenario,
    /// What a planted fault ends in; `None` where nothing may be found.
    pub ends: Option<&'static [&'static str]>,
    /// Left out of the short run.
    pub long: bool,
}

/// A region with these variables (name and value, 0 = removed, and the chunks of the value) and so
/// many chunks for extents, all told and in the section at first.
fn world(variables: &[(u8, u8, u8)], chunks: u8, section: u8) -> World {
    let mut world = World {
        structure: Lock::Free,
        transactions: Lock::Free,
        journal: Journal::default(),
        members: Members::default(),
        records: [Record::EMPTY; RECORDS],
        tables: [Table::default(); 2],
        root: 0,
        index_seq: 0,
        births: 0,
        births_wake: 0,
        tseq: 0,
        chunks: [Chunk::Free; CHUNKS],
        contents: [Content::default(); CHUNKS],
        tokens: 0,
        chunk_count: chunks,
        section,
        places: [Place::default(); PLACES],
        actors: [Actor::default(); ACTORS],
        truth: Truth::default(),
    };
    world.tables[0].taken = true;
    let mut at = 0;
    for (number, &(name, value, run)) in variables.iter().enumerate() {
        world.births += 1;
        let mut extent = Extent::NONE;
        if run > 0 {
            world.tokens += 1;
            extent = Extent { at: at as u8, token: world.tokens };
            world.chunks[at] = Chunk::First(run);
            for further in at..at + usize::from(run) {
                if further > at {
                    world.chunks[further] = Chunk::Further;
                }
                world.contents[further].data = value;
            }
            world.contents[at].token = extent.token;
            world.contents[at].record = number as u8;
            at += usize::from(run);
        }
        let record = &mut world.records[number];
        (record.taken, record.id, record.name, record.version) = (true, world.births, name, 1);
        record.slots[0] = Slot { version: 1, value: if run > 0 { 0 } else { value }, extent };
        world.tables[0].cells[number] = Cell::Record(number as u8);
        world.truth.values[usize::from(name)] = value;
    }
    world
}

fn holds(name: &str, world: World, deeds: &[&[Deed]], deaths: u8) -> Case {
    let mut world = world;
    for actor in &mut world.actors[..deeds.len()] {
        *actor = Actor::begin(0, 0);
        actor.life = Life::Running;
    }
    let deeds = deeds.iter().map(|deeds| deeds.to_vec()).collect();
    Case {
        name: name.into(),
        scenario: Scenario { world, deeds, deaths, fault: None },
        ends: None,
        long: false,
    }
}

pub fn all() -> Vec<Case> {
    let probe = std::env::var("PROBE").ok();
    let mut cases = scenarios();
    if probe.is_some() {
        cases = FAULTS
            .iter()
            .flat_map(|fault| {
                scenarios().into_iter().map(move |mut case| {
                    case.scenario.fault = Some(*fault);
                    case.name = format!("{fault:?} IN {}", case.name);
                    case.ends = Some(&[]);
                    case
                })
            })
            .collect();
    }
    cases
}

const FAULTS: &[Fault] = &[
    PendingClearedFirst,
    NoReplay,
    MarkTrustsOwner,
    DeathNotTold,
    SleepersAfterUnmark,
    RootBeforeSeq,
    MissNotChecked,
    BitBeforeJournal,
    IdBeforeSlot,
    IndexAfterId,
    NoSecondLookup,
    BirthsNotReplayed,
    CollectWaits,
    CollectWithoutMark,
    CollectWithoutLook,
    CollectDoesNotWake,
    ReplayWithoutMark,
    JournalBeforeUnmark,
    TableBeforeJournal,
    SeqAfterFree,
    MarkBeforeJournal,
    NoIdsAfterMarks,
    WaitsForMarkL,
    CommitBeforeFill,
    WakeAtPublication,
    ApplyWithoutMark,
    StatusBeforeUnmark,
    SequenceStaysOdd,
    SnapshotWithoutIds,
    WaiterIgnoresId,
    NoTokenAtPlace,
    TokenBeforePin,
    NoTokenUnderLock,
    NoTokenUnderL,
    NoTokensAfterMarks,
    TokensRepeat,
    PinsIgnored,
    PinsBeforeVoid,
    DeadPinsCount,
    SlotBeforePin,
    FreeBeforeInvalid,
    SweepWithoutMark,
    SweepMarkFirst,
    ReleaseWithoutToken,
    FirstBeforeFurther,
    FurtherFreedFirst,
    OrphansKept,
    UnpinnedCopy,
    CountBeforeSection,
    LengthBeforeL,
];

fn scenarios() -> Vec<Case> {
    let pair = |name, first, other| Transact([(name, first, 0), (other, first, 0)]);
    let ab = &[(1, 1, 0), (2, 1, 0)];
    let rb = &[(1, 0, 0), (2, 1, 0)];
    let small = |variables: &[(u8, u8, u8)]| world(variables, 0, 0);
    vec![
        holds(
            "set, remove, set one record",
            small(&[(1, 1, 0)]),
            &[&[Set(1, 2, 0)], &[Remove(1)], &[Set(1, 3, 0)]],
            2,
        ),
        holds(
            "two inserts of a name, get",
            small(&[]),
            &[&[Set(1, 2, 0)], &[Set(1, 3, 0)], &[Get(1)]],
            2,
        ),
        holds(
            "inserts of two names, again",
            small(&[(3, 1, 0)]),
            &[&[Set(1, 2, 0), Remove(1)], &[Set(2, 3, 0), Set(1, 4, 0)]],
            2,
        ),
        holds(
            "collect, revive, get",
            small(&[(1, 0, 0)]),
            &[&[Collect(0)], &[Set(1, 2, 0)], &[Get(1)]],
            2,
        ),
        holds(
            "remove and collect, two sets, collect",
            small(&[(1, 1, 0)]),
            &[&[Remove(1), Collect(0)], &[Set(1, 2, 0), Set(1, 3, 0)], &[Collect(0)]],
            2,
        ),
        holds(
            "collect and reuse, stale set, get",
            small(&[(1, 0, 0)]),
            &[&[Collect(0), Set(2, 5, 0)], &[Set(1, 2, 0)], &[Get(2)]],
            2,
        ),
        holds("rebuild, get, insert", small(ab), &[&[Rebuild], &[Get(2)], &[Set(3, 2, 0)]], 2),
        holds(
            "rebuild twice, get, rebuild",
            small(ab),
            &[&[Rebuild, Rebuild], &[Get(2)], &[Rebuild]],
            2,
        ),
        holds(
            "collect and rebuild, get, insert",
            small(rb),
            &[&[Collect(0), Rebuild], &[Get(2)], &[Set(3, 2, 0)]],
            2,
        ),
        holds(
            "transaction, set, transaction",
            small(ab),
            &[&[pair(1, 2, 2)], &[Set(1, 3, 0)], &[pair(2, 4, 1)]],
            1,
        ),
        holds(
            "transaction, snapshot, set",
            small(ab),
            &[&[pair(1, 2, 2)], &[Snapshot([1, 2])], &[Set(2, 3, 0)]],
            1,
        ),
        holds(
            "transaction, transaction and snapshot",
            small(ab),
            &[&[pair(1, 2, 2)], &[pair(1, 3, 2), Snapshot([1, 2])]],
            2,
        ),
        holds(
            "transaction, collect, set",
            small(rb),
            &[&[pair(1, 2, 2)], &[Collect(0)], &[Set(1, 3, 0)]],
            1,
        ),
        holds(
            "transaction, collect and reuse",
            small(rb),
            &[&[pair(1, 2, 2)], &[Collect(0), Set(3, 5, 0)]],
            2,
        ),
        holds(
            "transaction inserts, collect and reuse",
            small(&[(2, 1, 0)]),
            &[&[pair(1, 2, 2)], &[Collect(1), Set(3, 5, 0)]],
            2,
        ),
        holds("transaction, rebuild", small(ab), &[&[pair(1, 2, 2)], &[Rebuild, Set(3, 2, 0)]], 2),
        holds(
            "snapshot, collect and reuse",
            small(rb),
            &[&[Snapshot([1, 2])], &[Collect(0), Set(3, 5, 0)]],
            2,
        ),
        holds(
            "wait, set, transaction",
            small(ab),
            &[&[Wait(1)], &[Set(1, 3, 0)], &[pair(1, 2, 2)]],
            1,
        ),
        holds(
            "wait on a tombstone, collect, revive",
            small(&[(1, 0, 0)]),
            &[&[Wait(1)], &[Collect(0)], &[Set(1, 2, 0)]],
            2,
        ),
        holds(
            "wait for a birth, two inserts",
            small(&[]),
            &[&[Wait(1)], &[Set(1, 2, 0)], &[Set(1, 3, 0)]],
            2,
        ),
        holds(
            "wait, remove and collect, wait",
            small(&[(1, 1, 0)]),
            &[&[Wait(1)], &[Remove(1), Collect(0)], &[Wait(1)]],
            2,
        ),
        holds(
            "wait, two transactions",
            small(ab),
            &[&[Wait(1)], &[pair(1, 2, 2)], &[pair(1, 3, 2)]],
            1,
        ),
        holds(
            "set and transaction, two sets",
            small(ab),
            &[&[Set(1, 4, 0), pair(1, 2, 2)], &[Set(1, 3, 0)], &[Set(1, 5, 0)]],
            1,
        ),
        holds(
            "remove and collect, two sets",
            small(&[(1, 1, 0)]),
            &[&[Remove(1), Collect(0)], &[Set(1, 3, 0)], &[Set(1, 5, 0)]],
            2,
        ),
        holds(
            "large: set, set, room for three",
            world(&[(1, 1, 1)], 3, 3),
            &[&[Set(1, 2, 1)], &[Set(1, 3, 1)]],
            2,
        ),
        holds(
            "large: set, set, room for two",
            world(&[(1, 1, 1)], 2, 2),
            &[&[Set(1, 2, 1)], &[Set(1, 3, 1)]],
            2,
        ),
        holds(
            "large: sets of two names, room for three",
            world(&[(1, 1, 1), (2, 1, 1)], 3, 3),
            &[&[Set(1, 2, 1)], &[Set(2, 3, 1)]],
            2,
        ),
        holds(
            "large: set, sweep, small set",
            world(&[(1, 1, 1)], 2, 2),
            &[&[Set(1, 2, 1)], &[Sweep], &[Set(1, 3, 0)]],
            1,
        ),
        holds(
            "large: set, get",
            world(&[(1, 1, 2)], 4, 4),
            &[&[Set(1, 2, 2), Set(1, 3, 2)], &[Get(1)]],
            2,
        ),
        holds(
            "large: sets of two names, get",
            world(&[(1, 1, 1)], 2, 2),
            &[&[Set(1, 2, 1)], &[Set(2, 3, 1)], &[Get(1)]],
            1,
        ),
        holds(
            "large: small sets, another's large one, get",
            world(&[(1, 1, 2)], 2, 2),
            &[&[Set(1, 2, 0), Set(1, 3, 0)], &[Set(2, 4, 2)], &[Get(1)]],
            1,
        ),
        holds(
            "large: two inserts of a name",
            world(&[], 2, 2),
            &[&[Set(1, 2, 1)], &[Set(1, 3, 1)]],
            2,
        ),
        holds(
            "large: insert, sweep, insert",
            world(&[], 2, 2),
            &[&[Set(1, 2, 2)], &[Sweep], &[Set(2, 3, 1)]],
            1,
        ),
        holds(
            "large: remove and collect, set, set",
            world(&[(1, 1, 1)], 2, 2),
            &[&[Remove(1), Collect(0)], &[Set(1, 2, 1)], &[Set(2, 3, 1)]],
            1,
        ),
        holds(
            "large: runs of two and one",
            world(&[(1, 1, 2)], 3, 3),
            &[&[Set(1, 2, 0), Sweep], &[Set(2, 3, 1)], &[Set(3, 4, 1)]],
            1,
        ),
        holds(
            "large: transaction, sweep",
            world(&[(1, 1, 1), (2, 1, 0)], 3, 3),
            &[&[Transact([(1, 2, 1), (2, 2, 1)])], &[Sweep, Sweep]],
            2,
        ),
        holds(
            "large: transaction, set that sweeps",
            world(&[(1, 1, 1), (2, 1, 0)], 3, 3),
            &[&[Transact([(1, 2, 1), (2, 2, 1)])], &[Set(2, 3, 1)]],
            2,
        ),
        holds(
            "large: transaction at once, set",
            world(&[(1, 1, 0), (2, 1, 0)], 3, 3),
            &[&[TransactAtOnce([(1, 2, 1), (2, 2, 0)])], &[Set(1, 3, 1)]],
            2,
        ),
        holds(
            "large: transaction, collect",
            world(&[(1, 0, 0), (2, 1, 0)], 2, 2),
            &[&[Transact([(1, 2, 1), (2, 2, 0)])], &[Collect(0), Set(3, 4, 1)]],
            2,
        ),
        holds(
            "large: wait, set, sweep",
            world(&[(1, 1, 1)], 2, 2),
            &[&[Wait(1)], &[Set(1, 2, 1)], &[Sweep]],
            1,
        ),
        holds("growth: two sets", world(&[], 0, 0), &[&[Set(1, 2, 1)], &[Set(2, 3, 2)]], 2),
        holds("growth: grow, grow, set", world(&[], 0, 0), &[&[Grow], &[Grow], &[Set(2, 3, 1)]], 2),
    ]
}
