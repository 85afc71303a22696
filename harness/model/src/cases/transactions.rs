//! Transactions and snapshots, beside all that changes what they are about.

use super::{Case, Planted, holds, long, small};
use crate::{
    actor::Deed::{self, *},
    fault::Fault::*,
};

/// Both names get the value.
fn both(first: u8, second: u8, value: u8) -> Deed {
    Transact([(first, value, 0), (second, value, 0)])
}

pub fn scenarios() -> Vec<Case> {
    let (two, one_removed) = (&[(1, 1), (2, 1)], &[(1, 0), (2, 1)]);
    vec![
        holds(
            "transaction, set, transaction",
            small(two),
            &[&[both(1, 2, 2)], &[Set(1, 3, 0)], &[both(2, 1, 4)]],
            2,
        ),
        holds(
            "set and transaction, two set",
            small(two),
            &[&[Set(1, 4, 0), both(1, 2, 2)], &[Set(1, 3, 0)], &[Set(1, 5, 0)]],
            2,
        ),
        holds(
            "transaction, snapshot, set",
            small(two),
            &[&[both(1, 2, 2)], &[Snapshot([1, 2])], &[Set(2, 3, 0)]],
            2,
        ),
        holds(
            "transaction, transaction and snapshot",
            small(two),
            &[&[both(1, 2, 2)], &[both(1, 2, 3), Snapshot([1, 2])]],
            2,
        ),
        holds(
            "transaction, transaction, snapshot",
            small(two),
            &[&[both(1, 2, 2)], &[both(1, 2, 3)], &[Snapshot([1, 2])]],
            2,
        ),
        holds(
            "transaction, collect, set",
            small(one_removed),
            &[&[both(1, 2, 2)], &[Collect(0)], &[Set(1, 3, 0)]],
            1,
        ),
        holds(
            "transaction, collect, set, two deaths",
            small(one_removed),
            &[&[both(1, 2, 2)], &[Collect(0)], &[Set(1, 3, 0)]],
            2,
        ),
        holds(
            "transaction, collect and use again",
            small(one_removed),
            &[&[both(1, 2, 2)], &[Collect(0), Set(3, 5, 0)]],
            2,
        ),
        holds(
            "transaction that inserts, collect and use again",
            small(&[(2, 1)]),
            &[&[both(1, 2, 2)], &[Collect(1), Set(3, 5, 0)]],
            2,
        ),
        holds(
            "transaction that inserts two, insert, get",
            small(&[(3, 1)]),
            &[&[both(1, 2, 2)], &[Set(1, 3, 0)], &[Get(1)]],
            1,
        ),
        holds(
            "transaction, collect and use again, get",
            small(one_removed),
            &[&[both(1, 2, 2)], &[Collect(0), Set(3, 5, 0)], &[Get(2)]],
            2,
        ),
        holds(
            "transaction, rebuild and insert",
            small(two),
            &[&[both(1, 2, 2)], &[Rebuild, Set(3, 2, 0)]],
            2,
        ),
        holds(
            "transaction, rebuild, insert",
            small(two),
            &[&[both(1, 2, 2)], &[Rebuild], &[Set(3, 2, 0)]],
            2,
        ),
        long(holds(
            "transaction and set, collect and insert, rebuild and get",
            small(one_removed),
            &[&[both(1, 2, 2), Set(1, 3, 0)], &[Collect(0), Set(3, 5, 0)], &[Rebuild, Get(2)]],
            1,
        )),
        holds(
            "snapshot, collect and use again",
            small(one_removed),
            &[&[Snapshot([1, 2])], &[Collect(0), Set(3, 5, 0)]],
            2,
        ),
    ]
}

pub const FAULTS: &[Planted] = &[
    (MarkTrustsOwner, "transaction, set, transaction", &["STUCK"]),
    (CollectWaits, "transaction, collect and use again", &["STUCK"]),
    (MarkBeforeJournal, "transaction, transaction and snapshot", &["STUCK"]),
    (NoIdsAfterMarks, "transaction, collect and use again", &["LOST", "MIXED"]),
    (WaitsForMarkL, "transaction, collect and use again", &["STUCK"]),
    (CommitBeforeFill, "transaction, transaction and snapshot", &["LOST"]),
    (ApplyWithoutMark, "transaction, set, transaction", &["LOST"]),
    (StatusBeforeUnmark, "transaction, transaction and snapshot", &["STUCK"]),
    (SequenceStaysOdd, "transaction, transaction and snapshot", &["STUCK"]),
    (SnapshotWithoutIds, "snapshot, collect and use again", &["MIXED"]),
];
