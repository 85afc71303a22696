//! A plain struct of 40 fields, compared with its bytes, with a seqlock written by hand in shared
//! memory, and with iceoryx2's blackboard.

use crate::{
    Result,
    measure::{Leg, Plan},
    values::handles::{each, map},
};
use iceoryx2::prelude::*;
use mapvar::{Plain, section::View};
use std::{
    hint::black_box,
    sync::atomic::{Ordering, fence},
};

/// The fields of a telemetry packet: 40 of several sizes, 160 bytes with the padding at the end.
#[derive(Plain, Clone, Copy, Debug, PartialEq, ZeroCopySend)]
#[repr(C)]
pub struct Car {
    time: f64,
    lap: u64,
    distance: f64,
    rpm: f32,
    speed: f32,
    fuel: f32,
    throttle: f32,
    brake: f32,
    clutch: f32,
    steering: f32,
    yaw: f32,
    pitch: f32,
    roll: f32,
    x: f32,
    y: f32,
    z: f32,
    vx: f32,
    vy: f32,
    vz: f32,
    oil: f32,
    water: f32,
    air: f32,
    track: f32,
    tyre_fl: f32,
    tyre_fr: f32,
    tyre_rl: f32,
    tyre_rr: f32,
    brake_fl: f32,
    brake_fr: f32,
    brake_rl: f32,
    brake_rr: f32,
    position: i32,
    laps: i32,
    sector: i16,
    flags: u16,
    gear: i8,
    pit: u8,
    drs: u8,
    abs: u8,
    wing: i32,
}

const BYTES: usize = size_of::<Car>();

pub fn car(number: u64) -> Car {
    let mut bytes = [7; BYTES];
    bytes[..8].copy_from_slice(&(number as f64).to_le_bytes());
    <Car as Plain>::read(&bytes)
}

/// A seqlock over shared memory, of one writer, with the same bytes behind a counter.
struct Seqlock(View);

const WORDS: usize = BYTES / 8;

impl Seqlock {
    fn new() -> Result<Self> {
        let section = mapvar::section::Section::options().size(4096).create()?;
        Ok(Self(section.view().map()?))
    }

    #[inline]
    fn get(&self) -> Car {
        let words = self.0.words(0, 1 + WORDS).expect("mapped");
        loop {
            let before = words.load(0, Ordering::Acquire);
            let mut bytes = [0; BYTES];
            for (at, to) in bytes.chunks_exact_mut(8).enumerate() {
                to.copy_from_slice(&words.load(1 + at, Ordering::Relaxed).to_le_bytes());
            }
            fence(Ordering::Acquire);
            if before & 1 == 0 && words.load(0, Ordering::Relaxed) == before {
                return <Car as Plain>::read(&bytes);
            }
        }
    }

    #[inline]
    fn set(&self, car: &Car) {
        let words = self.0.words_mut(0, 1 + WORDS).expect("mapped");
        let mut bytes = [0; BYTES];
        car.write(&mut bytes);
        let before = words.load(0, Ordering::Relaxed);
        words.store(0, before + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        for (at, from) in bytes.chunks_exact(8).enumerate() {
            let word = u64::from_le_bytes(from.try_into().expect("eight bytes"));
            words.store(1 + at, word, Ordering::Relaxed);
        }
        words.store(0, before + 2, Ordering::Release);
    }
}

pub fn legs(plan: &Plan) -> Result<Vec<Leg>> {
    let map = map("structs", 1 << 20)?;
    let (get, set) = (map.plain::<Car>("car")?, map.plain::<Car>("car")?);
    let field = get.field::<f32>("rpm")?;
    set.set(car(7))?;
    let bytes = map.var_or("bytes", vec![7_u8; BYTES])?;
    bytes.write_bytes(&[7; BYTES])?;
    let (get_into, set_from) = (bytes.clone(), bytes);

    let name = format!("mapvar-bench-structs/{}", std::process::id());
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    let board = node
        .service_builder(&name.as_str().try_into()?)
        .blackboard_creator::<u64>()
        .add::<Car>(1, car(7))
        .create()?;
    let reader = board.reader_builder().create()?.entry::<Car>(&1)?;
    let writer = board.writer_builder().create()?;
    let entry = writer.entry::<Car>(&1)?;
    let (read, written) = (Seqlock::new()?, Seqlock::new()?);
    read.set(&car(7));

    let _ = plan;
    Ok(vec![
        Leg::new(
            "get struct of 40 fields",
            each(move |_| {
                _ = black_box(black_box(&get).get());
            }),
        )
        .beside(
            "read_bytes of its bytes",
            each(move |_| {
                let mut buffer = [0; BYTES];
                _ = black_box(black_box(&get_into).read_bytes(&mut buffer));
                black_box(buffer);
            }),
        )
        .beside(
            "seqlock by hand",
            each(move |_| {
                _ = black_box(black_box(&read).get());
            }),
        )
        .beside(
            "iceoryx2 EntryHandle::get",
            each(move |_| {
                _ = black_box(black_box(&reader).get());
            }),
        ),
        Leg::new("set struct of 40 fields", {
            let mut value = car(7);
            each(move |number| {
                value.lap = number;
                let _ = black_box(&set).set(black_box(&value));
            })
        })
        .beside("write_bytes of its bytes", {
            let mut bytes = [7; BYTES];
            each(move |number| {
                bytes[8..16].copy_from_slice(&number.to_le_bytes());
                let _ = black_box(&set_from).write_bytes(black_box(&bytes));
            })
        })
        .beside("seqlock by hand", {
            let mut value = car(7);
            each(move |number| {
                value.lap = number;
                black_box(&written).set(black_box(&value));
            })
        })
        .beside("iceoryx2 update_with_copy", {
            let mut value = car(7);
            each(move |number| {
                value.lap = number;
                entry.update_with_copy(*black_box(&value));
            })
        }),
        Leg::new(
            "get one field of 40",
            each(move |_| {
                _ = black_box(black_box(&field).get());
            }),
        ),
    ])
}
