//! Values of 64 bytes to 1 GiB, compared with memcpy.

use crate::{
    Result, machine,
    measure::{Leg, Plan},
    peers::{Bulk, memory::Memcpy},
    scratch,
};
use mapvar::{Map, Var};
use std::hint::black_box;

pub const SIZES: [usize; 11] = [
    64,
    256,
    1 << 10,
    4 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
    4 << 20,
    16 << 20,
    64 << 20,
];

/// The size of a full run alone.
pub const LARGEST: usize = 1 << 30;

/// A variable of bytes.
struct Ours(Var<Vec<u8>>);

impl Bulk for Ours {
    const PEER: &'static str = "mapvar";

    fn create(label: &str, size: usize) -> Result<Self> {
        let options = Map::options().name(scratch::name(label)).size((size as u64 * 6) + (1 << 20));
        Ok(Self(options.create()?.var_or("bytes", vec![7_u8; size])?))
    }

    #[inline]
    fn read(&mut self, into: &mut [u8]) {
        self.0.read_bytes(into).expect("there");
    }

    #[inline]
    fn write(&mut self, from: &[u8]) {
        self.0.write_bytes(from).expect("there");
    }
}

fn get<P: Bulk>(size: usize) -> Result<impl FnMut(u64)> {
    let (mut value, mut into) = (P::create("bytes", size)?, vec![0; size]);
    Ok(move |count| {
        for _ in 0..count {
            value.read(black_box(&mut into));
        }
    })
}

fn set<P: Bulk>(size: usize) -> Result<impl FnMut(u64)> {
    let (mut value, from) = (P::create("bytes", size)?, vec![8; size]);
    Ok(move |count| {
        for _ in 0..count {
            value.write(black_box(&from));
        }
    })
}

fn figure(size: usize) -> String {
    match size {
        0..1024 => format!("{size} B"),
        1024..1_048_576 => format!("{} KiB", size >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", size >> 20),
        _ => format!("{} GiB", size >> 30),
    }
}

pub fn legs(plan: &Plan, size: usize) -> Result<Vec<Leg>> {
    let titles = ["get", "set"].map(|verb| format!("{verb} bytes, {}", figure(size)));
    if !plan.wants_any(&titles) {
        return Ok(Vec::new());
    }
    let [getting, setting] = titles;
    let mut legs = [Leg::new(getting, get::<Ours>(size)?), Leg::new(setting, set::<Ours>(size)?)];
    if plan.steps.is_none() {
        let [getting, setting] = legs;
        legs = [
            getting.beside(Memcpy::PEER, get::<Memcpy>(size)?),
            setting.beside(Memcpy::PEER, set::<Memcpy>(size)?),
        ];
    }
    Ok(legs.into())
}

/// As [`legs`], for a value of 1 GiB: one verb at a time, and only where the memory has space.
pub fn largest(plan: &Plan) -> Result<Vec<Leg>> {
    for verb in ["get", "set"] {
        let title = format!("{verb} bytes, {}", figure(LARGEST));
        if !plan.wants(&title) {
            continue;
        }
        // A map of four slots, the peer's memory, and a buffer for each; and one to spare.
        let needed = 8 * LARGEST as u64;
        if machine::memory()? < needed {
            let why = format!("skipped: needs {} GB", needed >> 30);
            plan.report.absent(&title, Memcpy::PEER, &why);
            continue;
        }
        // Each is dropped before the next is made.
        let leg = if verb == "get" {
            Leg::new(title, get::<Ours>(LARGEST)?).beside(Memcpy::PEER, get::<Memcpy>(LARGEST)?)
        } else {
            Leg::new(title, set::<Ours>(LARGEST)?).beside(Memcpy::PEER, set::<Memcpy>(LARGEST)?)
        };
        leg.briefly().run(plan);
    }
    Ok(Vec::new())
}
