//! Reads and writes by handle, compared with iceoryx2's blackboard and a robust mutex.

use crate::{
    Result,
    measure::{Leg, Plan},
    mutex::RobustMutex,
};
use iceoryx2::{port::reader::EntryHandle, prelude::*};
use mapvar::{Atomic, Map, Var};
use std::hint::black_box;

pub type Bytes = [u8; 64];
pub const GET: &str = "iceoryx2 EntryHandle::get";
const UPDATE: &str = "iceoryx2 update_with_copy";
const MUTEX: &str = "robust mutex lock+unlock";

/// A blackboard with numbers under the keys 0 to 31, and 64 bytes under the keys 100 to 131.
pub struct Blackboard {
    _node: Node<ipc::Service>,
    service: iceoryx2::service::port_factory::blackboard::PortFactory<ipc::Service, u64>,
}

impl Blackboard {
    pub fn new() -> Result<Self> {
        let node = NodeBuilder::new().create::<ipc::Service>()?;
        let name = format!("mapvar-bench/{}", std::process::id());
        let mut creator =
            node.service_builder(&name.as_str().try_into()?).blackboard_creator::<u64>();
        for key in 0..32 {
            creator = creator.add::<u64>(key, key).add::<Bytes>(100 + key, [7; 64]);
        }
        let service = creator.create()?;
        Ok(Self { _node: node, service })
    }

    pub fn reader<T: Copy + ZeroCopySend>(
        &self,
        key: u64,
    ) -> Result<EntryHandle<ipc::Service, u64, T>> {
        Ok(self.service.reader_builder().create()?.entry(&key)?)
    }
}

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

pub fn legs(plan: &Plan) -> Result<Vec<Leg>> {
    let mut legs = Vec::new();
    let map = map("handles", 1 << 20)?;
    let atomic = map.atomic_or("atomic", 7_u64)?;
    let number = map.var_or("number", 7_u64)?;
    let bytes = map.var_or("bytes", vec![7_u8; 64])?;
    if plan.steps.is_some() {
        // The set-up of the peers must not be counted.
        return Ok(ours(atomic, number, bytes).into());
    }
    let board = Blackboard::new()?;
    let writer = board.service.writer_builder().create()?;
    let ours = ours(atomic, number, bytes);
    let [empty, get_atomic, get_number, get_bytes, set_atomic, add, set_number, set_bytes] = ours;

    let (number, again) = (board.reader::<u64>(1)?, board.reader::<u64>(1)?);
    let bytes = board.reader::<Bytes>(101)?;
    legs.push(empty);
    legs.push(get_atomic.beside(GET, 0.25, each(move |_| _ = black_box(black_box(&number).get()))));
    legs.push(get_number.beside(GET, 0.6, each(move |_| _ = black_box(black_box(&again).get()))));
    legs.push(get_bytes.beside(
        GET,
        0.75,
        // Into an existing buffer, as ours does.
        {
            let mut into = [0; 64];
            each(move |_| {
                *black_box(&mut into) = *black_box(&bytes).get();
            })
        },
    ));

    let mutex = || {
        let mutex = RobustMutex::new();
        each(move |_| black_box(&mutex).lock_and_unlock())
    };
    let update = |key| -> Result<_> {
        let entry = writer.entry::<u64>(&key)?;
        Ok(each(move |number| black_box(&entry).update_with_copy(black_box(number))))
    };
    legs.push(set_atomic.beside(MUTEX, 0.75, mutex()).beside(UPDATE, None, update(2)?));
    legs.push(add.beside(MUTEX, None, mutex()));
    legs.push(set_number.beside(MUTEX, 0.75, mutex()).beside(UPDATE, None, update(3)?));
    let entry = writer.entry::<Bytes>(&103)?;
    let mut from = [7; 64];
    let update = each(move |_| black_box(&entry).update_with_copy(*black_box(&mut from)));
    legs.push(set_bytes.beside(MUTEX, None, mutex()).beside(UPDATE, None, update));
    Ok(legs)
}

fn ours(atomic: Atomic<u64>, number: Var<u64>, bytes: Var<Vec<u8>>) -> [Leg; 8] {
    let get_atomic = atomic.clone();
    let add = atomic.clone();
    let get_number = number.clone();
    let get_bytes = bytes.clone();
    let mut into = [0; 64];
    let from = [7; 64];
    [
        Leg::new("empty loop", each(|number| _ = black_box(number))),
        Leg::new(
            "get Atomic<u64>",
            each(move |_| _ = black_box(black_box(&get_atomic).load().expect("there"))),
        ),
        Leg::new(
            "get Var<u64>",
            each(move |_| _ = black_box(black_box(&get_number).get().expect("there"))),
        ),
        Leg::new(
            "get 64 B, read_bytes",
            each(move |_| {
                black_box(&get_bytes).read_bytes(black_box(&mut into)).expect("there");
            }),
        ),
        Leg::new(
            "set Atomic<u64>",
            each(move |number| black_box(&atomic).store(black_box(number)).expect("there")),
        ),
        Leg::new(
            "fetch_add Atomic<u64>",
            each(move |_| _ = black_box(add.fetch_add(black_box(1)).expect("there"))),
        ),
        Leg::new(
            "set Var<u64>",
            each(move |value| black_box(&number).set(black_box(value)).expect("there")),
        ),
        Leg::new(
            "set 64 B, write_bytes",
            each(move |_| black_box(&bytes).write_bytes(black_box(&from)).expect("there")),
        ),
    ]
}
