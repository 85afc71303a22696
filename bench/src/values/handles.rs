//! Reads and writes by handle, compared with iceoryx2's blackboard, a robust mutex and a seqlock.

use crate::{
    Result,
    measure::{Leg, Plan},
    peers::{Cell, Value, board::Blackboard, cells, mutex, python, seqlock::Seqlock},
    process, scratch,
};
use mapvar::{Atomic, Map, Var, lock::LockGuard};
use std::hint::black_box;

/// Creates an empty map that only this program uses.
pub fn map(label: &str, size: u64) -> Result<Map> {
    let name = format!("bench-{label}.{}", std::process::id());
    Ok(Map::options().name(name).size(size).create()?)
}

/// Returns a loop over one operation; `step` gets a different number each time.
pub fn each(mut step: impl FnMut(u64)) -> impl FnMut(u64) {
    move |count| {
        for number in 0..count {
            step(number);
        }
    }
}

/// Returns a loop of reads.
pub fn get<C: Cell>(cell: C) -> impl FnMut(u64) {
    each(move |_| _ = black_box(black_box(&cell).get()))
}

/// Returns a loop of reads into one place.
pub fn get_into<C: Cell>(cell: C) -> impl FnMut(u64) {
    let mut into = C::Value::of(0);
    each(move |_| black_box(&cell).get_into(black_box(&mut into)))
}

/// Returns a loop of writes.
pub fn set<C: Cell>(cell: C) -> impl FnMut(u64) {
    let mut value = C::Value::of(7);
    each(move |number| {
        value.touch(number);
        black_box(&cell).set(black_box(&value));
    })
}

/// Our handles in a map of their own.
pub struct Handles {
    pub atomic: Atomic<u64>,
    pub number: Var<u64>,
    pub bytes: Var<Vec<u8>>,
    pub packet: mapvar::PlainVar<cells::Packet>,
}

impl Handles {
    pub fn new() -> Result<Self> {
        let name = scratch::name("handles");
        let map = Map::options().name(name).size(1 << 20).create()?;
        Ok(Self {
            atomic: map.atomic_or("atomic", 7_u64)?,
            number: map.var_or("number", 7_u64)?,
            bytes: map.var_or("bytes", vec![7_u8; 64])?,
            packet: cells::packet(&map)?,
        })
    }
}

pub fn legs(plan: &Plan) -> Result<Vec<Leg>> {
    let Handles { atomic, number, bytes, packet } = Handles::new()?;
    let add = atomic.clone();
    let [get_atomic, get_number, get_bytes, get_packet] = [
        Leg::new("get Atomic<u64>", get(atomic.clone())),
        Leg::new("get Var<u64>", get(number.clone())),
        Leg::new("get 64 B, read_bytes", get_into(bytes.clone())),
        Leg::new("get struct of 320 B", get(packet.clone())),
    ];
    let [set_atomic, set_number, set_bytes, set_packet] = [
        Leg::new("set Atomic<u64>", set(atomic)),
        Leg::new("set Var<u64>", set(number)),
        Leg::new("set 64 B, write_bytes", set(bytes)),
        Leg::new("set struct of 320 B", set(packet)),
    ];
    let add = Leg::new(
        "fetch_add Atomic<u64>",
        each(move |_| _ = black_box(add.fetch_add(black_box(1)).expect("there"))),
    );
    let empty = Leg::new("empty loop", each(|number| _ = black_box(number)));
    if plan.steps.is_some() {
        // The set-up of the peers must not be counted.
        return Ok(vec![
            empty,
            get_atomic,
            get_number,
            get_bytes,
            get_packet,
            set_atomic,
            add,
            set_number,
            set_bytes,
            set_packet,
            locking()?,
        ]);
    }
    let board = Blackboard::new()?;
    let number = |leg: Leg, reads: bool, key: u64| -> Result<Leg> {
        Ok(both(leg, reads, board.write::<u64>(key)?, Seqlock::new(7)?))
    };
    let legs = vec![
        empty,
        number(get_atomic, true, 1)?,
        number(get_number, true, 2)?,
        get_bytes
            .beside("iceoryx2", get_into(board.write::<[u8; 64]>(101)?))
            .beside("seqlock by hand", get_into(Seqlock::new([7_u8; 64])?)),
        both(get_packet, true, board.write::<[u64; 40]>(200)?, Seqlock::new([7; 40])?),
        number(set_atomic.beside(mutex::PEER, mutex::bare()), false, 3)?,
        add.beside(mutex::PEER, mutex::bare()),
        number(set_number.beside(mutex::PEER, mutex::bare()), false, 4)?,
        both(
            set_bytes.beside(mutex::PEER, mutex::bare()),
            false,
            board.write::<[u8; 64]>(102)?,
            Seqlock::new([7; 64])?,
        ),
        both(set_packet, false, board.write::<[u64; 40]>(201)?, Seqlock::new([7; 40])?),
        locking()?.beside(mutex::PEER, mutex::bare()),
    ];
    beside_python(plan, legs)
}

/// A user's lock, which nobody else wants, locked and unlocked.
fn locking() -> Result<Leg> {
    let lock = map("lock", 1 << 20)?.lock("jobs")?;
    let step = move |_| black_box(&lock).acquire().and_then(LockGuard::release).expect("free");
    Ok(Leg::new("lock and unlock, Lock", each(step)))
}

/// Adds Python to the legs that it can do.
fn beside_python(plan: &Plan, legs: Vec<Leg>) -> Result<Vec<Leg>> {
    let words = [
        ("get Var<u64>", "get"),
        ("get 64 B, read_bytes", "get-bytes"),
        ("set Var<u64>", "set"),
        ("set 64 B, write_bytes", "set-bytes"),
    ];
    let installed = process::version(python::PROGRAM).is_some();
    let add = |leg: Leg| {
        let Some((title, word)) = words.into_iter().find(|it| leg.operation() == it.0) else {
            return Ok(leg);
        };
        if !plan.wants(title) {
            return Ok(leg);
        }
        if installed {
            return Ok(leg.beside_clocked(python::PEER, python::work(word)?));
        }
        plan.report.absent(title, python::PEER, "not installed");
        Ok(leg)
    };
    legs.into_iter().map(add).collect()
}

/// Adds two peers to a leg of reads or writes.
fn both<A: Cell, B: Cell>(leg: Leg, reads: bool, one: A, two: B) -> Leg {
    if reads {
        leg.beside(A::PEER, get(one)).beside(B::PEER, get(two))
    } else {
        leg.beside(A::PEER, set(one)).beside(B::PEER, set(two))
    }
}
