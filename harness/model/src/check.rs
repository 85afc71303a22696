//! What must hold in every state, and what when all are at rest.

use crate::{
    actor::Life,
    world::{CHUNKS, Cell, Chunk, Lock, NAMES, Operation, RECORDS, World},
};

pub fn always(world: &World) -> Option<String> {
    let mut seen = [false; NAMES];
    for cell in world.table().cells {
        let Cell::Record(number) = cell else { continue };
        let record = &world.records[usize::from(number)];
        if record.id == 0 {
            continue;
        }
        if !record.taken {
            return Some("OWNED: the index leads to a free record".into());
        }
        let name = usize::from(record.name);
        if std::mem::replace(&mut seen[name], true) {
            return Some(format!("MIXED: two records of name {name}"));
        }
        let slot = record.current();
        if slot.version != record.version {
            return Some(format!("TORN: the current slot of name {name} is not its version's"));
        }
        let truth = world.truth.values[name];
        if !slot.extent.is_some() {
            if slot.value != truth {
                let value = slot.value;
                return Some(format!("LOST: name {name} is {value}, and {truth} was acknowledged"));
            }
            continue;
        }
        let first = slot.extent.chunk();
        let Chunk::First(run) = world.chunks[first] else {
            return Some(format!("OWNED: the extent of name {name} was freed"));
        };
        if world.contents[first].token != slot.extent.token {
            return Some(format!("OWNED: the extent of name {name} is another's"));
        }
        for at in first..first + usize::from(run) {
            if at > first && world.chunks[at] != Chunk::Further {
                return Some(format!("OWNED: a part of the extent of name {name} was freed"));
            }
            if world.contents[at].data != truth {
                let value = world.contents[at].data;
                return Some(format!("LOST: name {name} is {value}, and {truth} was acknowledged"));
            }
        }
    }
    if let Some(name) = (1..NAMES).find(|&name| !seen[name] && world.truth.values[name] != 0) {
        return Some(format!("LOST: name {name} was acknowledged, and leads nowhere"));
    }
    for (number, record) in world.records.iter().enumerate() {
        if record.id != 0 && world.records[..number].iter().any(|other| other.id == record.id) {
            return Some("MIXED: an id twice".into());
        }
    }
    if world.chunk_count > world.section {
        let half = world.structure == Lock::Free;
        let used = (usize::from(world.section)..usize::from(world.chunk_count))
            .any(|at| world.chunks[at] != Chunk::Free);
        if half || used {
            return Some("OUTSIDE: more chunks than the section has".into());
        }
    }
    None
}

/// After who comes next has taken T and L, and swept.
pub fn at_rest(world: &World) -> Option<String> {
    if world.structure != Lock::Free || world.transactions != Lock::Free {
        return Some("STUCK: L or T is not free".into());
    }
    if world.journal.operation != Operation::Nothing
        || world.members.committed
        || world.members.count != 0
    {
        return Some("STUCK: a journal is not empty".into());
    }
    if world.tseq % 2 == 1 {
        return Some("STUCK: tseq is odd, and T is free".into());
    }
    for (number, record) in world.records.iter().enumerate() {
        if matches!(record.lock, Lock::MarkT | Lock::MarkL) {
            return Some(format!("STUCK: record {number} stays marked"));
        }
        let linked = world.table().place_of(number).is_some();
        if record.taken != linked || linked && record.id == 0 {
            let bit = if record.taken { "taken" } else { "free" };
            return Some(format!(
                "LEAKED: record {number} is {bit}, its index word says otherwise"
            ));
        }
    }
    if world.tables[usize::from(1 - world.root)].taken {
        return Some("LEAKED: an index that is none".into());
    }
    leaked_chunk(world).or_else(|| asleep(world)).or_else(|| not_applied(world))
}

/// Each extent is a current slot's, each further chunk an extent's.
fn leaked_chunk(world: &World) -> Option<String> {
    let mut at = 0;
    while at < CHUNKS {
        match world.chunks[at] {
            Chunk::Free => at += 1,
            Chunk::Further => return Some(format!("LEAKED: chunk {at} is a part of nothing")),
            Chunk::First(run) => {
                let token = world.contents[at].token;
                // The checker's: what is owned is what it was when it was reserved.
                let owned = (0..RECORDS).any(|number| {
                    let record = &world.records[number];
                    let extent = record.current().extent;
                    record.id != 0
                        && extent.is_some()
                        && extent.chunk() == at
                        && extent.token == token
                });
                if !owned {
                    return Some(format!("LEAKED: the extent at chunk {at} is nobody's"));
                }
                at += usize::from(run);
            }
        }
    }
    None
}

fn asleep(world: &World) -> Option<String> {
    for actor in &world.actors {
        let record = &world.records[usize::from(actor.record)];
        match actor.life {
            Life::Asleep => return Some("ASLEEP: on a lock that nobody holds".into()),
            Life::Parked if actor.id == 0 => {
                if world.find(actor.name).is_some() {
                    return Some("ASLEEP: until a birth that was".into());
                }
            }
            Life::Parked => {
                if record.version != actor.version || record.id != actor.id {
                    return Some("ASLEEP: on a variable that has changed".into());
                }
            }
            _ => {}
        }
    }
    None
}

fn not_applied(world: &World) -> Option<String> {
    let truth = &world.truth;
    for (id, version) in truth.committed[..usize::from(truth.commits)].iter().flatten() {
        let record = world.records.iter().find(|record| record.id == *id && *id != 0);
        if record.is_some_and(|record| record.version < *version) {
            return Some("LOST: a committed transaction was not applied".into());
        }
    }
    None
}
