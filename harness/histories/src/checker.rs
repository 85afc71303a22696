//! Decides whether a history is linearisable: whether each operation can be given one moment
//! between its begin and its end so that the results are those of the operations one after the
//! other.
//!
//! The algorithm is that of Wing and Gong with the memory of Lowe, as Porcupine has it: it takes
//! the operations one by one in each order that their times allow, steps back when an operation
//! that has ended fits nowhere, and never continues twice from the same set of operations with the
//! same values. An operation without an end (its process was killed) may take effect at any later
//! time, or never.

use crate::history::{Operation, Values};
use std::collections::HashSet;

/// How many different situations are tried before a history is given up as undecided.
const MOST_TRIED: usize = 400_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// An order of the operations explains every result.
    Explained,
    /// No order does. The best one explains all operations that ended before this one did.
    Unexplained { stuck: usize },
    /// There are too many orders to be tried.
    Undecided,
}

/// A begin or an end, as a link of a list in the order of time.
#[derive(Clone, Copy)]
struct Event {
    operation: usize,
    ends: bool,
    before: usize,
    after: usize,
}

/// The list of the events of operations that have no moment yet. The first link is no event.
struct Events {
    links: Vec<Event>,
    /// For each operation: the link of its end, if it has one.
    ends: Vec<Option<usize>>,
}

const HEAD: usize = 0;

impl Events {
    fn new(operations: &[Operation]) -> Self {
        // At the same time begins come first: such operations overlap.
        let mut times: Vec<(u64, bool, usize)> = Vec::new();
        for (number, operation) in operations.iter().enumerate() {
            times.push((operation.began, false, number));
            times.extend(operation.ended.map(|ended| (ended, true, number)));
        }
        times.sort_unstable();
        let count = times.len() + 1;
        let mut links = vec![Event { operation: 0, ends: false, before: HEAD, after: 1 % count }];
        let mut ends = vec![None; operations.len()];
        for (at, (_, is_end, operation)) in times.into_iter().enumerate() {
            let at = at + 1;
            if is_end {
                ends[operation] = Some(at);
            }
            links.push(Event { operation, ends: is_end, before: at - 1, after: (at + 1) % count });
        }
        links[HEAD].before = count - 1;
        Self { links, ends }
    }

    fn after(&self, link: usize) -> usize {
        self.links[link].after
    }

    fn take_out(&mut self, link: usize) {
        let Event { before, after, .. } = self.links[link];
        self.links[before].after = after;
        self.links[after].before = before;
    }

    fn put_back(&mut self, link: usize) {
        let Event { before, after, .. } = self.links[link];
        self.links[before].after = link;
        self.links[after].before = link;
    }

    /// Removes the operation that begins at `link`.
    fn lift(&mut self, link: usize) {
        self.take_out(link);
        if let Some(end) = self.ends[self.links[link].operation] {
            self.take_out(end);
        }
    }

    /// Undoes the last `lift` that was not undone.
    fn unlift(&mut self, link: usize) {
        if let Some(end) = self.ends[self.links[link].operation] {
            self.put_back(end);
        }
        self.put_back(link);
    }
}

/// Checks a history that began with these values.
pub(crate) fn check(operations: &[Operation], first: &Values) -> Verdict {
    let mut events = Events::new(operations);
    let mut values = *first;
    let mut done = vec![0_u64; operations.len().div_ceil(64)];
    let mut tried = HashSet::new();
    let mut taken: Vec<(usize, Values)> = Vec::new();
    let mut to_explain = operations.iter().filter(|operation| operation.ended.is_some()).count();
    let (mut fewest, mut stuck) = (usize::MAX, 0);
    let mut link = events.after(HEAD);
    while to_explain > 0 {
        let Event { operation, ends, .. } = events.links[link];
        if link != HEAD && !ends {
            if let Some(next) = operations[operation].apply(&values) {
                done[operation / 64] |= 1 << (operation % 64);
                if tried.insert((done.clone(), next)) {
                    if tried.len() > MOST_TRIED {
                        return Verdict::Undecided;
                    }
                    taken.push((link, values));
                    values = next;
                    events.lift(link);
                    to_explain -= usize::from(operations[operation].ended.is_some());
                    link = events.after(HEAD);
                    continue;
                }
                done[operation / 64] &= !(1 << (operation % 64));
            }
            link = events.after(link);
            continue;
        }
        // Nothing that began before this end fits: step back.
        if to_explain < fewest {
            (fewest, stuck) = (to_explain, operation);
        }
        let Some((last, before)) = taken.pop() else { return Verdict::Unexplained { stuck } };
        let operation = events.links[last].operation;
        values = before;
        done[operation / 64] &= !(1 << (operation % 64));
        events.unlift(last);
        to_explain += usize::from(operations[operation].ended.is_some());
        link = events.after(last);
    }
    Verdict::Explained
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Change, KEYS, Need, Part};
    use mapvar_harness::Random;

    const X: usize = 0;
    const Y: usize = 1;

    fn operation(began: u64, ended: impl Into<Option<u64>>, parts: &[Part]) -> Operation {
        Operation { process: 0, what: "test", began, ended: ended.into(), parts: parts.to_vec() }
    }

    fn read(key: usize, value: u64) -> Part {
        Part { key, need: Need::Is(value), change: Change::Keep }
    }

    fn write(key: usize, value: u64) -> Part {
        Part { key, need: Need::Any, change: Change::Write(value) }
    }

    fn replace(key: usize, old: u64, new: u64) -> Part {
        Part { key, need: Need::Is(old), change: Change::Write(new) }
    }

    fn refused(key: usize, value: u64) -> Part {
        Part { key, need: Need::Not(value), change: Change::Keep }
    }

    fn added(key: usize, old: u64) -> Part {
        Part { key, need: Need::Is(old), change: Change::Add(1) }
    }

    #[track_caller]
    fn accepts(operations: &[Operation]) {
        assert_eq!(check(operations, &[0; KEYS]), Verdict::Explained);
    }

    #[track_caller]
    fn rejects(operations: &[Operation]) {
        let verdict = check(operations, &[0; KEYS]);
        assert!(matches!(verdict, Verdict::Unexplained { .. }), "{verdict:?}");
    }

    #[test]
    fn an_empty_history_is_explained() {
        accepts(&[]);
        accepts(&[operation(1, None, &[read(X, 7)])]);
    }

    #[test]
    fn operations_that_overlap_may_be_in_any_order() {
        // The write and both reads overlap; the reads do not overlap each other.
        let write = operation(1, 10, &[write(X, 5)]);
        accepts(&[write.clone(), operation(2, 3, &[read(X, 0)]), operation(4, 5, &[read(X, 5)])]);
        accepts(&[write.clone(), operation(2, 3, &[read(X, 5)]), operation(4, 5, &[read(X, 5)])]);
        rejects(&[write, operation(2, 3, &[read(X, 5)]), operation(4, 5, &[read(X, 0)])]);
    }

    #[test]
    fn equal_times_overlap() {
        accepts(&[operation(1, 4, &[write(X, 5)]), operation(4, 6, &[read(X, 0)])]);
        rejects(&[operation(1, 4, &[write(X, 5)]), operation(5, 6, &[read(X, 0)])]);
    }

    #[test]
    fn a_stale_read_is_rejected() {
        rejects(&[
            operation(1, 2, &[write(X, 1)]),
            operation(3, 4, &[write(X, 2)]),
            operation(5, 6, &[read(X, 1)]),
        ]);
    }

    #[test]
    fn a_lost_update_is_rejected() {
        // Two read-modify-writes of the same old value.
        let lost = [operation(1, 9, &[replace(X, 0, 1)]), operation(2, 8, &[replace(X, 0, 2)])];
        rejects(&lost);
        // The same by additions: both found 0.
        rejects(&[operation(1, 9, &[added(X, 0)]), operation(2, 8, &[added(X, 0)])]);
        accepts(&[operation(1, 9, &[added(X, 1)]), operation(2, 8, &[added(X, 0)])]);
        // A blind write that no later read finds.
        rejects(&[operation(1, 2, &[write(X, 1)]), operation(3, 4, &[read(X, 0)])]);
    }

    #[test]
    fn a_value_that_nobody_wrote_is_rejected() {
        rejects(&[operation(1, 2, &[write(X, 1)]), operation(1, 4, &[read(X, 3)])]);
    }

    #[test]
    fn a_refusal_needs_a_reason() {
        rejects(&[operation(1, 2, &[refused(X, 0)])]);
        accepts(&[operation(1, 9, &[write(X, 1)]), operation(2, 3, &[refused(X, 0)])]);
    }

    #[test]
    fn a_torn_transaction_is_rejected() {
        let transaction = operation(1, 9, &[write(X, 1), write(Y, 1)]);
        accepts(&[transaction.clone(), operation(2, 3, &[read(X, 0), read(Y, 0)])]);
        accepts(&[transaction.clone(), operation(2, 3, &[read(X, 1), read(Y, 1)])]);
        rejects(&[transaction, operation(2, 3, &[read(X, 1), read(Y, 0)])]);
    }

    #[test]
    fn a_transaction_that_read_what_changed_is_rejected() {
        // Each reads what the other writes, and both see the old value.
        rejects(&[
            operation(1, 9, &[read(X, 0), write(Y, 1)]),
            operation(1, 9, &[read(Y, 0), write(X, 1)]),
        ]);
        accepts(&[
            operation(1, 9, &[read(X, 0), write(Y, 1)]),
            operation(1, 9, &[read(Y, 1), write(X, 1)]),
        ]);
    }

    #[test]
    fn the_last_operation_of_a_killed_process_may_have_happened() {
        let killed = operation(1, None, &[write(X, 1), write(Y, 1)]);
        accepts(&[killed.clone(), operation(50, 51, &[read(X, 0)])]);
        accepts(&[killed.clone(), operation(50, 51, &[read(X, 1)])]);
        // It may take effect late, and once only.
        let late = [operation(50, 51, &[read(X, 0)]), operation(60, 61, &[read(X, 1)])];
        accepts(&[killed.clone(), late[0].clone(), late[1].clone()]);
        let undone = [operation(50, 51, &[read(X, 1)]), operation(60, 61, &[read(X, 0)])];
        rejects(&[killed.clone(), undone[0].clone(), undone[1].clone()]);
        // All of it, or nothing.
        rejects(&[killed.clone(), operation(50, 51, &[read(X, 1), read(Y, 0)])]);
        // Not before it began.
        rejects(&[operation(0, 0, &[read(X, 1)]), killed]);
    }

    #[test]
    fn the_stuck_operation_is_named() {
        let history = [
            operation(1, 2, &[write(X, 1)]),
            operation(3, 4, &[read(X, 1)]),
            operation(5, 6, &[read(X, 7)]),
            operation(7, 8, &[read(X, 1)]),
        ];
        assert_eq!(check(&history, &[0; KEYS]), Verdict::Unexplained { stuck: 2 });
    }

    #[test]
    fn many_operations_at_once_are_decided() {
        // 200 operations of 8 processes, whose writes all overlap their neighbors'.
        let mut history = Vec::new();
        for round in 0..25 {
            for process in 0..8 {
                let began = round * 100 + process;
                let part = write((process % 4) as usize, 1 + round * 8 + process);
                history.push(operation(began, began + 90, &[part]));
            }
        }
        accepts(&history);
        history.push(operation(10_000, 10_001, &[read(X, 3)]));
        rejects(&history);
    }

    /// Tries every order of every choice of operations.
    fn is_explained(operations: &[Operation], left: u32, values: Values) -> bool {
        let is_left = |number: &usize| left >> number & 1 == 1;
        let all = || (0..operations.len()).filter(is_left);
        if all().all(|number| operations[number].ended.is_none()) {
            return true;
        }
        all().any(|number| {
            let began = operations[number].began;
            let overtakes = |other: usize| operations[other].ended.is_some_and(|end| end < began);
            !all().any(overtakes)
                && operations[number]
                    .apply(&values)
                    .is_some_and(|next| is_explained(operations, left & !(1 << number), next))
        })
    }

    #[test]
    fn every_order_tried_one_by_one_gives_the_same_verdict() {
        let mut random = Random::new(18);
        let mut verdicts = [0; 2];
        for _ in 0..20_000 {
            let operations: Vec<Operation> = (0..2 + random.below(6))
                .map(|_| {
                    let began = random.below(12);
                    let ended = (!random.one_in(6)).then(|| began + random.below(6));
                    let parts: Vec<Part> = (0..1 + random.below(2) as usize)
                        .map(|key| match random.below(5) {
                            0 => read(key, random.below(3)),
                            1 => write(key, random.below(3)),
                            2 => replace(key, random.below(3), random.below(3)),
                            3 => refused(key, random.below(3)),
                            _ => added(key, random.below(3)),
                        })
                        .collect();
                    operation(began, ended, &parts)
                })
                .collect();
            let expected = is_explained(&operations, (1 << operations.len()) - 1, [0; KEYS]);
            let verdict = check(&operations, &[0; KEYS]);
            assert_eq!(verdict == Verdict::Explained, expected, "{operations:#?}");
            verdicts[usize::from(expected)] += 1;
        }
        // Both verdicts are common among them.
        assert!(verdicts.iter().all(|count| *count > 2_000), "{verdicts:?}");
    }
}
