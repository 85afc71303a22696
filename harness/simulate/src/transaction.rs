//! Transactions on several variables, and the replay of a dead holder's journal of T.

use crate::{
    layout::{ATOMIC_NAME, NAMES},
    process::{Process, step},
    set::{Content, fill, publish},
    structure,
    world::{Lock, Transactional},
};

/// What came of the marking of a record.
pub enum Marked {
    Done,
    /// A holder of L has it: T must be given up first, or both wait for each other.
    ByL,
}

/// Takes a record by the mark of T. Its journal names it already.
pub async fn mark(p: &Process, record: usize) -> Marked {
    loop {
        let seen = p.world().live.locks[record];
        match seen {
            Lock::Free | Lock::Died => {
                p.world().live.locks[record] = Lock::ByT;
                step().await;
                return Marked::Done;
            }
            Lock::ByL => return Marked::ByL,
            Lock::ByT | Lock::Held(_) => step().await,
        }
    }
}

/// Gives up all marks, T, and waits for L's holder.
pub async fn make_room_for_l(p: &Process) {
    unmark(p).await;
    p.unlock_t().await;
    p.lock_l().await;
    p.unlock_l().await;
}

pub async fn unmark(p: &Process) {
    let records = p.world().live.transactional.records.clone();
    for record in records {
        let mut world = p.world();
        if world.live.locks[record] == Lock::ByT {
            world.live.locks[record] = Lock::Free;
        }
    }
    step().await;
    p.world().live.transactional = Transactional::default();
    step().await;
}

/// Sets all names or none.
pub async fn transaction(p: Process, names: Vec<usize>) {
    let mut sets = Vec::new();
    for name in names {
        debug_assert!(name < NAMES && name != ATOMIC_NAME);
        let mut found = p.world().find(name);
        if found.is_none() {
            structure::insert(&p, name, Content::Removed).await;
            found = p.world().find(name);
        }
        let Some(record) = found else { return };
        let id = p.world().id(record);
        let value = if p.world().chance.once_in(5) { None } else { Some(p.world().some_value()) };
        sets.push((name, record, id, value.map_or(Content::Removed, Content::Inline)));
    }
    sets.sort_by_key(|&(_, record, ..)| record);
    'again: loop {
        p.lock_t().await;
        for &(_, record, ..) in &sets {
            p.world().live.transactional.records.push(record);
            step().await;
            if let Marked::ByL = mark(&p, record).await {
                make_room_for_l(&p).await;
                continue 'again;
            }
        }
        break;
    }
    let same = sets.iter().all(|&(_, record, id, _)| p.world().id(record) == id);
    if !same {
        unmark(&p).await;
        return p.unlock_t().await;
    }
    for &(_, record, _, content) in &sets {
        let to = fill(&p, record, content).await;
        p.world().live.transactional.to.push(to);
    }
    for &(_, record, ..) in &sets {
        p.world().live.dirty[record] = true;
        step().await;
    }
    let seq = {
        let mut world = p.world();
        world.live.transactional.committed = true;
        let published: Vec<_> =
            sets.iter().map(|&(name, _, _, content)| (name, content.value())).collect();
        let seq = world.oracle.published(&published);
        world.tell(|| format!("p{} transaction {sets:?} #{seq}", p.me));
        seq
    };
    step().await;
    apply(&p).await;
    p.unlock_t().await;
    p.world().oracle.returned(sets.iter().map(|&(name, ..)| name), seq);
}

/// What follows the commit; whoever replays does it again.
async fn apply(p: &Process) {
    let journal = p.world().live.transactional.clone();
    for (&record, &(slot, version)) in journal.records.iter().zip(&journal.to) {
        {
            let mut world = p.world();
            let marked = world.live.locks[record] == Lock::ByT;
            if marked && world.state(record).version < version {
                publish(&mut world, record, slot, version);
            }
        }
        step().await;
    }
    unmark(p).await;
}

pub async fn replay(p: &Process) {
    let (committed, any) = {
        let world = p.world();
        let journal = &world.live.transactional;
        (journal.committed, !journal.records.is_empty())
    };
    if committed {
        apply(p).await;
    } else if any {
        unmark(p).await;
    }
}
