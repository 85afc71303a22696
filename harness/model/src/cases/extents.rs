//! Large values: reserved, copied, published, freed, swept, in a region that grows.

use super::{Case, Planted, holds, long, world};
use crate::{actor::Deed::*, fault::Fault::*};

pub fn scenarios() -> Vec<Case> {
    vec![
        holds(
            "large: two set, room for three",
            world(&[(1, 1, 1)], 3, 3),
            &[&[Set(1, 2, 1)], &[Set(1, 3, 1)]],
            2,
        ),
        holds(
            "large: two set, room for two",
            world(&[(1, 1, 1)], 2, 2),
            &[&[Set(1, 2, 1)], &[Set(1, 3, 1)]],
            2,
        ),
        holds(
            "large: two set two names, room for three",
            world(&[(1, 1, 1), (2, 1, 1)], 3, 3),
            &[&[Set(1, 2, 1)], &[Set(2, 3, 1)]],
            2,
        ),
        holds(
            "large: set, sweep, small set",
            world(&[(1, 1, 1)], 2, 2),
            &[&[Set(1, 2, 1)], &[Sweep], &[Set(1, 3, 0)]],
            2,
        ),
        holds(
            "large: two sets, get",
            world(&[(1, 1, 2)], 4, 4),
            &[&[Set(1, 2, 2), Set(1, 3, 2)], &[Get(1)]],
            2,
        ),
        holds(
            "large: two sets, sweep, get",
            world(&[(1, 1, 1)], 3, 3),
            &[&[Set(1, 2, 1), Set(1, 3, 1)], &[Sweep], &[Get(1)]],
            0,
        ),
        holds(
            "large: two sets, sweep, get, a death",
            world(&[(1, 1, 1)], 3, 3),
            &[&[Set(1, 2, 1), Set(1, 3, 1)], &[Sweep], &[Get(1)]],
            1,
        ),
        holds(
            "large: small sets, another's large one, get",
            world(&[(1, 1, 2)], 2, 2),
            &[&[Set(1, 2, 0), Set(1, 3, 0)], &[Set(2, 4, 2)], &[Get(1)]],
            1,
        ),
        holds(
            "large: small sets free two chunks, another takes one",
            world(&[(1, 1, 2)], 3, 3),
            &[&[Set(1, 2, 0), Set(1, 3, 0)], &[Set(2, 4, 1)]],
            2,
        ),
        long(holds(
            "large: two set two names, get",
            world(&[(1, 1, 1)], 2, 2),
            &[&[Set(1, 2, 1)], &[Set(2, 3, 1)], &[Get(1)]],
            1,
        )),
        holds(
            "large: two inserts of a name",
            world(&[], 2, 2),
            &[&[Set(1, 2, 1)], &[Set(1, 3, 1)]],
            2,
        ),
        holds("large: insert, sweep", world(&[], 2, 2), &[&[Set(1, 2, 2)], &[Sweep, Sweep]], 2),
        long(holds(
            "large: insert, sweep, insert",
            world(&[], 2, 2),
            &[&[Set(1, 2, 2)], &[Sweep], &[Set(2, 3, 1)]],
            1,
        )),
        holds(
            "large: remove and collect, set of another name",
            world(&[(1, 1, 1)], 1, 1),
            &[&[Remove(1), Collect(0)], &[Set(2, 3, 1)]],
            2,
        ),
        holds(
            "large: remove and collect, set",
            world(&[(1, 1, 1)], 2, 2),
            &[&[Remove(1), Collect(0)], &[Set(1, 2, 1)]],
            2,
        ),
        long(holds(
            "large: remove and collect, set, set of another name",
            world(&[(1, 1, 1)], 2, 2),
            &[&[Remove(1), Collect(0)], &[Set(1, 2, 1)], &[Set(2, 3, 1)]],
            1,
        )),
        long(holds(
            "large: runs of two and one",
            world(&[(1, 1, 2)], 3, 3),
            &[&[Set(1, 2, 0), Sweep], &[Set(2, 3, 1)], &[Set(3, 4, 1)]],
            1,
        )),
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
            "large: transaction that does not wait, set",
            world(&[(1, 1, 0), (2, 1, 0)], 3, 3),
            &[&[TransactAtOnce([(1, 2, 1), (2, 2, 0)])], &[Set(1, 3, 1)]],
            2,
        ),
        holds(
            "large: transaction, collect and use again",
            world(&[(1, 0, 0), (2, 1, 0)], 2, 2),
            &[&[Transact([(1, 2, 1), (2, 2, 0)])], &[Collect(0), Set(3, 4, 1)]],
            2,
        ),
        holds(
            "large: transaction, sweep, set",
            world(&[(1, 1, 1), (2, 1, 0)], 2, 2),
            &[&[Transact([(1, 2, 1), (2, 2, 0)])], &[Sweep], &[Set(1, 3, 0)]],
            2,
        ),
        holds(
            "large: wait, set, sweep",
            world(&[(1, 1, 1)], 2, 2),
            &[&[Wait(1)], &[Set(1, 2, 1)], &[Sweep]],
            2,
        ),
        holds(
            "large: sets in place, get",
            world(&[(1, 1, 1)], 3, 3),
            &[&[Set(1, 2, 1), Set(1, 3, 1), Set(1, 4, 1), Set(1, 5, 1)], &[Get(1)]],
            1,
        ),
        holds(
            "large: sets of two chunks, get",
            world(&[(1, 1, 2)], 4, 4),
            &[&[Set(1, 2, 2), Set(1, 3, 2), Set(1, 4, 2), Set(1, 5, 2)], &[Get(1)]],
            1,
        ),
        holds(
            "large: sets in place, sweep, another's",
            world(&[(1, 1, 1)], 2, 2),
            &[&[Set(1, 2, 1), Set(1, 3, 1)], &[Sweep], &[Set(2, 4, 1)]],
            1,
        ),
        holds(
            "large: two sets, sweep",
            world(&[(1, 1, 1)], 2, 2),
            &[&[Set(1, 2, 1), Set(1, 3, 1)], &[Sweep]],
            2,
        ),
        holds(
            "large: set of two chunks, sweep, get",
            world(&[(1, 1, 1)], 3, 3),
            &[&[Set(1, 2, 1)], &[Sweep, Set(2, 4, 1)], &[Get(1)]],
            0,
        ),
        holds("growth: two set", world(&[], 0, 0), &[&[Set(1, 2, 1)], &[Set(2, 3, 2)]], 2),
        holds(
            "growth: two grow, one sets",
            world(&[], 0, 0),
            &[&[Grow], &[Grow], &[Set(2, 3, 1)]],
            2,
        ),
    ]
}

pub const FAULTS: &[Planted] = &[
    (NoFiller, "large: set, sweep, small set", &["OWNED"]),
    (FillerIgnored, "large: set, sweep, small set", &["OWNED"]),
    (DeadFillersCount, "large: two set, room for two", &["LEAKED"]),
    (OwnerIdIgnored, "large: remove and collect, set of another name", &["LEAKED", "OWNED"]),
    (InvalidSlotsOwnNothing, "large: sets in place, sweep, another's", &["OWNED"]),
    (PinsIgnored, "large: sets of two chunks, get", &["OWNED"]),
    (WritesOverPins, "large: sets in place, get", &["TORN", "MIXED"]),
    (DeadPinsCount, "large: sets of two chunks, get", &["LEAKED"]),
    (UnpinnedCopy, "large: sets of two chunks, get", &["OWNED"]),
    (FreeBeforeInvalid, "large: set of two chunks, sweep, get", &["TORN", "MIXED"]),
    (SweepWithoutMark, "large: transaction, sweep", &["LOST", "TORN", "OWNED"]),
    (SweepMarkFirst, "large: two sets, sweep", &["STUCK"]),
    (FurtherFreedFirst, "large: small sets free two chunks, another takes one", &["OWNED"]),
    (OrphansKept, "large: small sets free two chunks, another takes one", &["LEAKED"]),
    (ReplayDoesNotWake, "large: wait, set, sweep", &["ASLEEP"]),
    (CountBeforeSection, "growth: two grow, one sets", &["OUTSIDE"]),
    (LengthBeforeL, "growth: two set", &["OUTSIDE"]),
];
