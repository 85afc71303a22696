//! What is tried: scenarios in which the protocol must hold, and faults planted into them.

use crate::{
    actor::{Actor, Deed},
    explore::Scenario,
    fault::Fault,
    world::{
        ACTORS, CHUNKS, Cell, Chunk, Content, Extent, Journal, Lock, Members, RECORDS, Record,
        Slot, Table, Truth, World,
    },
};

mod extents;
mod records;
mod transactions;
mod waiting;

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
        pins: [0; ACTORS],
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
            world.contents[at].id = world.births;
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

/// One without large values.
fn small(variables: &[(u8, u8)]) -> World {
    let variables: Vec<_> = variables.iter().map(|&(name, value)| (name, value, 0)).collect();
    world(&variables, 0, 0)
}

/// Each process, at most three, does its deeds one after the other; so many of them may die.
fn holds(name: &str, mut world: World, deeds: &[&[Deed]], deaths: u8) -> Case {
    for actor in &mut world.actors[..deeds.len()] {
        *actor = Actor::begin(0, 0);
    }
    let deeds = deeds.iter().map(|deeds| deeds.to_vec()).collect();
    Case {
        name: name.into(),
        scenario: Scenario { world, deeds, deaths, fault: None },
        ends: None,
        long: false,
    }
}

fn long(case: Case) -> Case {
    Case { long: true, ..case }
}

/// A fault, the scenario that it is planted into, and what comes of it.
type Planted = (Fault, &'static str, &'static [&'static str]);

/// All cases. That each fault is planted somewhere, the compiler sees to: it warns of one that is
/// not.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    let parts: [(Vec<Case>, &[Planted]); 4] = [
        (records::scenarios(), records::FAULTS),
        (transactions::scenarios(), transactions::FAULTS),
        (waiting::scenarios(), waiting::FAULTS),
        (extents::scenarios(), extents::FAULTS),
    ];
    for (scenarios, faults) in parts {
        let planted: Vec<Case> = faults
            .iter()
            .map(|(fault, name, ends)| {
                let of = scenarios.iter().find(|case| case.name == *name);
                let of = of.unwrap_or_else(|| panic!("no scenario {name}"));
                let scenario = Scenario { fault: Some(*fault), ..of.scenario.clone() };
                let name = format!("{fault:?}: {name}");
                Case { name, scenario, ends: Some(ends), long: false }
            })
            .collect();
        cases.extend(scenarios);
        cases.extend(planted);
    }
    cases
}
