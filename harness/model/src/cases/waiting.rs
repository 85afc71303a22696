//! Who waits is woken, whoever dies.

use super::{Case, Planted, holds, long, small};
use crate::{actor::Deed::*, fault::Fault::*};

pub fn scenarios() -> Vec<Case> {
    let two = &[(1, 1), (2, 1)];
    let both = |value| Transact([(1, value, 0), (2, value, 0)]);
    vec![
        holds("wait, set, transaction", small(two), &[&[Wait(1)], &[Set(1, 3, 0)], &[both(2)]], 2),
        holds("wait, two set", small(two), &[&[Wait(1)], &[Set(1, 3, 0)], &[Set(1, 4, 0)]], 2),
        holds("wait, two transactions", small(two), &[&[Wait(1)], &[both(2)], &[both(3)]], 1),
        long(holds(
            "wait, two transactions, two deaths",
            small(two),
            &[&[Wait(1)], &[both(2)], &[both(3)]],
            2,
        )),
        holds(
            "wait on a tombstone, collect, revive",
            small(&[(1, 0)]),
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
            small(&[(1, 1)]),
            &[&[Wait(1)], &[Remove(1), Collect(0)], &[Wait(1)]],
            2,
        ),
        holds(
            "wait, collect and use again, set",
            small(&[(1, 0)]),
            &[&[Wait(1)], &[Collect(0), Set(2, 5, 0)], &[Set(1, 2, 0)]],
            1,
        ),
    ]
}

pub const FAULTS: &[Planted] = &[
    (DeathNotTold, "wait, two set", &["ASLEEP"]),
    (BirthsNotReplayed, "wait for a birth, two inserts", &["ASLEEP"]),
    (CollectDoesNotWake, "wait on a tombstone, collect, revive", &["ASLEEP"]),
    (WakeAtPublication, "wait, set, transaction", &["ASLEEP"]),
    (WaiterIgnoresId, "wait, remove and collect, wait", &["ASLEEP"]),
];
