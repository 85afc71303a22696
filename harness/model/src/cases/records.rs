//! Records and the index: set, insert, remove, collect, rebuild, with readers beside them.

use super::{Case, Planted, holds, small};
use crate::{actor::Deed::*, fault::Fault::*};

pub fn scenarios() -> Vec<Case> {
    let (both, one_removed) = (&[(1, 1), (2, 1)], &[(1, 0), (2, 1)]);
    vec![
        holds(
            "set, remove, set",
            small(&[(1, 1)]),
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
            "inserts of two names, removed, inserted again",
            small(&[(3, 1)]),
            &[&[Set(1, 2, 0), Remove(1)], &[Set(2, 3, 0), Set(1, 4, 0)]],
            2,
        ),
        holds(
            "collect, revive, get",
            small(&[(1, 0)]),
            &[&[Collect(0)], &[Set(1, 2, 0)], &[Get(1)]],
            2,
        ),
        holds(
            "remove and collect, two sets, collect",
            small(&[(1, 1)]),
            &[&[Remove(1), Collect(0)], &[Set(1, 2, 0), Set(1, 3, 0)], &[Collect(0)]],
            2,
        ),
        holds(
            "remove and collect, two set",
            small(&[(1, 1)]),
            &[&[Remove(1), Collect(0)], &[Set(1, 3, 0)], &[Set(1, 5, 0)]],
            2,
        ),
        holds(
            "collect and use again, set by an old handle, get",
            small(&[(1, 0)]),
            &[&[Collect(0), Set(2, 5, 0)], &[Set(1, 2, 0)], &[Get(2)]],
            2,
        ),
        holds("rebuild, get, insert", small(both), &[&[Rebuild], &[Get(2)], &[Set(3, 2, 0)]], 2),
        holds(
            "rebuild twice, get, rebuild",
            small(both),
            &[&[Rebuild, Rebuild], &[Get(2)], &[Rebuild]],
            2,
        ),
        holds(
            "collect and rebuild, get, insert",
            small(one_removed),
            &[&[Collect(0), Rebuild], &[Get(2)], &[Set(3, 2, 0)]],
            2,
        ),
    ]
}

pub const FAULTS: &[Planted] = &[
    (PendingClearedFirst, "inserts of two names, removed, inserted again", &["STUCK"]),
    (NoReplay, "rebuild twice, get, rebuild", &["LEAKED"]),
    (SleepersAfterUnmark, "remove and collect, two set", &["ASLEEP"]),
    (RootBeforeSeq, "rebuild, get, insert", &["LOST"]),
    (MissNotChecked, "rebuild, get, insert", &["LOST"]),
    (BitBeforeJournal, "inserts of two names, removed, inserted again", &["LEAKED"]),
    (IdBeforeSlot, "two inserts of a name, get", &["TORN"]),
    (IndexAfterId, "two inserts of a name, get", &["LOST"]),
    (NoSecondLookup, "two inserts of a name, get", &["LOST", "MIXED"]),
    (CollectWithoutMark, "collect and use again, set by an old handle, get", &["MIXED", "LOST"]),
    (CollectWithoutLook, "collect and use again, set by an old handle, get", &["LOST"]),
    (ReplayWithoutMark, "remove and collect, two sets, collect", &["LOST"]),
    (JournalBeforeUnmark, "collect and use again, set by an old handle, get", &["STUCK"]),
    (TableBeforeJournal, "rebuild, get, insert", &["LEAKED"]),
    (SeqAfterFree, "rebuild, get, insert", &["LOST"]),
];
