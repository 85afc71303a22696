//! Reads and writes by name.

use crate::{
    Result,
    measure::{Leg, Plan},
    peers::{
        Piped, Place, Store,
        databases::{Lmdb, Redb, Redis, Sqlite, redis},
        gem::Gem,
        hash::{Foldhash, Std},
        ours::Ours,
        threads::Dash,
    },
    process,
};
use std::{hint::black_box, rc::Rc, time::Instant};

/// Bytes of a name.
const NAME: usize = 26;

/// Names, packed one behind the other, so that only lookups in the store miss the caches.
#[derive(Clone)]
pub struct Names {
    packed: Rc<str>,
    at: usize,
}

fn name(number: usize) -> String {
    // All names are as long as each other.
    if number < 1_000_000 {
        format!("plant.pump.{number:06}.pressure")
    } else {
        format!("plant.pum.{number:07}.pressure")
    }
}

impl Names {
    pub fn ascending(count: usize) -> Self {
        Self::of(0..count)
    }

    pub fn shuffled(count: usize) -> Self {
        let mut numbers: Vec<usize> = (0..count).collect();
        // A Fisher-Yates shuffle, with numbers by xorshift.
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for last in (1..count).rev() {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            numbers.swap(last, usize::try_from(random % (last as u64 + 1)).unwrap_or(0));
        }
        Self::of(numbers.into_iter())
    }

    fn of(numbers: impl Iterator<Item = usize>) -> Self {
        let mut packed = String::new();
        for number in numbers {
            packed.push_str(&name(number));
        }
        Self { packed: packed.into(), at: 0 }
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.packed.len()).step_by(NAME).map(|at| &self.packed[at..at + NAME])
    }

    /// Returns the next name; the first follows the last.
    #[inline]
    fn next(&mut self) -> &str {
        let at = if self.at == self.packed.len() { 0 } else { self.at };
        self.at = at + NAME;
        &self.packed[at..at + NAME]
    }
}

/// As the operations name a number of variables.
pub fn figure(count: usize) -> String {
    match count {
        0..1_000 => count.to_string(),
        1_000..1_000_000 => format!("{} k", count / 1_000),
        _ => format!("{} M", count / 1_000_000),
    }
}

/// The names of a group: as they are inserted, and in the order of the lookups.
struct Both {
    inserted: Names,
    queried: Names,
    count: usize,
}

impl Both {
    fn store<P: Store>(&self) -> Result<P> {
        let mut store = P::create("names", self.count, 8, Place::Memory)?;
        store.fill(self.inserted.iter())?;
        Ok(store)
    }

    fn get<P: Store>(&self) -> Result<impl FnMut(u64) + use<P>> {
        let mut store: P = self.store()?;
        store.begin_reads()?;
        let mut names = self.queried.clone();
        Ok(move |count| {
            for _ in 0..count {
                // `black_box` hides the length from the compiler.
                black_box(store.get(black_box(names.next())));
            }
        })
    }

    fn set<P: Store>(&self) -> Result<impl FnMut(u64) + use<P>> {
        let mut store: P = self.store()?;
        let mut names = self.queried.clone();
        // Never a value that is there: SQLite does not write one.
        let mut number = 1 << 40;
        Ok(move |count| {
            for _ in 0..count {
                number += 1;
                store.set(black_box(names.next()), black_box(number));
            }
        })
    }
}

/// How many commands are sent at once.
const PIPE: usize = 100;

impl Both {
    /// Returns work of pipelines; a round has as many as hold its operations.
    fn piped<P: Piped>(&self, verb: Verb) -> Result<impl FnMut(u64) -> f64 + use<P>> {
        let mut store: P = self.store()?;
        let mut names = self.queried.clone();
        let mut number = 1 << 40;
        Ok(move |count: u64| {
            let pipes = count.div_ceil(PIPE as u64);
            let began = Instant::now();
            for _ in 0..pipes {
                for _ in 0..PIPE {
                    match verb {
                        Verb::Get => store.queue_get(black_box(names.next())),
                        Verb::Set => {
                            number += 1;
                            store.queue_set(black_box(names.next()), black_box(number));
                        }
                    }
                }
                black_box(store.send());
            }
            began.elapsed().as_nanos() as f64 / (pipes * PIPE as u64) as f64
        })
    }
}

/// One verb at a time, so that the memory holds each store once.
#[derive(Clone, Copy)]
pub enum Verb {
    Get,
    Set,
}

impl Both {
    fn beside<P: Store>(&self, leg: Leg, verb: Verb) -> Result<Leg> {
        Ok(match verb {
            Verb::Get => leg.beside(P::PEER, self.get::<P>()?),
            Verb::Set => leg.beside(P::PEER, self.set::<P>()?),
        })
    }
}

pub fn legs(plan: &Plan, verb: Verb, count: usize) -> Result<Vec<Leg>> {
    let word = match verb {
        Verb::Get => "get",
        Verb::Set => "set",
    };
    let title = format!("{word} by name, {}", figure(count));
    if !plan.wants(&title) {
        return Ok(Vec::new());
    }
    let names = Both { inserted: Names::ascending(count), queried: Names::shuffled(count), count };
    let mut leg = match verb {
        Verb::Get => Leg::new(title, names.get::<Ours>()?),
        Verb::Set => Leg::new(title, names.set::<Ours>()?),
    };
    // A get and a set of it take as long as all variables do.
    if plan.steps.is_none() && count <= 1_000 {
        leg = names.beside::<Gem>(leg, verb)?;
    }
    if plan.steps.is_none() && !plan.quick && count <= 1_000_000 {
        if process::version(redis::PROGRAM).is_some() {
            leg = names.beside::<Redis>(leg, verb)?;
            leg = leg.beside_clocked(<Redis as Piped>::PEER, names.piped::<Redis>(verb)?);
        } else {
            plan.report.absent(leg.operation(), <Redis as Store>::PEER, "not installed");
        }
    }
    if plan.steps.is_none() {
        leg = names.beside::<Std>(leg, verb)?;
        leg = names.beside::<Foldhash>(leg, verb)?;
        if count <= 1_000_000 {
            leg = names.beside::<Dash>(leg, verb)?;
        }
        if count <= 100_000 || (count <= 1_000_000 && !plan.quick) {
            leg = names.beside::<Lmdb>(leg, verb)?;
            leg = names.beside::<Redb>(leg, verb)?;
            leg = names.beside::<Sqlite>(leg, verb)?;
        }
    }
    Ok(vec![leg])
}
