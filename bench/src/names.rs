//! Reads and writes by name, compared with hash maps in this process.

use crate::{
    Result,
    handles::map,
    measure::{Leg, Plan},
};
use mapvar::Map;
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    hint::black_box,
    rc::Rc,
};

/// Bytes of a name.
const NAME: usize = 26;

/// The names in the order of the lookups, packed one behind the other, so that only lookups in the
/// map miss the caches.
#[derive(Clone)]
struct Queries {
    packed: Rc<str>,
    at: usize,
}

fn name(number: usize) -> String {
    format!("plant.pump.{number:06}.pressure")
}

impl Queries {
    fn new(count: usize) -> Self {
        let mut numbers: Vec<usize> = (0..count).collect();
        // A Fisher-Yates shuffle, with numbers by xorshift.
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for last in (1..count).rev() {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            numbers.swap(last, usize::try_from(random % (last as u64 + 1)).unwrap_or(0));
        }
        let packed: String = numbers.into_iter().map(name).collect();
        assert_eq!(packed.len(), NAME * count);
        Self { packed: packed.into(), at: 0 }
    }

    /// Returns the next name; the first follows the last.
    #[inline]
    fn next(&mut self) -> &str {
        let at = if self.at == self.packed.len() { 0 } else { self.at };
        self.at = at + NAME;
        &self.packed[at..at + NAME]
    }
}

/// Returns a loop over the names.
fn each<F: FnMut(&str, u64)>(queries: &Queries, mut step: F) -> impl FnMut(u64) + use<F> {
    let mut queries = queries.clone();
    move |count| {
        for number in 0..count {
            // `black_box` hides the length from the compiler.
            step(black_box(queries.next()), number);
        }
    }
}

fn get(queries: &Queries, map: &Map) -> impl FnMut(u64) + use<> {
    let map = map.clone();
    each(queries, move |name, _| _ = black_box(map.get::<u64>(name).expect("there")))
}

fn set(queries: &Queries, map: &Map) -> impl FnMut(u64) + use<> {
    let map = map.clone();
    each(queries, move |name, number| map.set(name, black_box(number)).expect("there"))
}

type Shelf<S> = HashMap<String, u64, S>;

/// Fills a hash map in the order of the names, as the map is filled; the lookups have another
/// order.
fn shelf<S: BuildHasher + Default>(count: usize) -> Shelf<S> {
    (0..count).map(name).zip(0..).collect()
}

fn get_shelf<S: BuildHasher>(queries: &Queries, shelf: Shelf<S>) -> impl FnMut(u64) + use<S> {
    each(queries, move |name, _| _ = black_box(*shelf.get(name).expect("there")))
}

fn set_shelf<S: BuildHasher>(queries: &Queries, mut shelf: Shelf<S>) -> impl FnMut(u64) + use<S> {
    each(queries, move |name, number| {
        *shelf.get_mut(name).expect("there") = black_box(number);
    })
}

pub fn legs(plan: &Plan, count: usize) -> Result<Vec<Leg>> {
    let figure = if count < 1_000_000 { format!("{} k", count / 1000) } else { "1 M".into() };
    let titles = ["get", "set"].map(|verb| format!("{verb} by name, {figure}"));
    if !titles.iter().any(|title| plan.wants(title)) {
        return Ok(Vec::new());
    }
    let [get_title, set_title] = titles;
    let queries = Queries::new(count);
    // Each number takes 320 bytes; the index takes 50 more while it is doubled.
    let map = map("names", count as u64 * 400)?;
    for (name, number) in (0..count).map(name).zip(0_u64..) {
        map.set(&name, number)?;
    }
    let mut get = Leg::new(get_title, get(&queries, &map));
    let mut set = Leg::new(set_title, set(&queries, &map));
    if plan.steps.is_none() {
        let goal = match count {
            1_000 => Some(1.0),
            1_000_000 => Some(0.65),
            _ => None,
        };
        get = get.beside(
            "std HashMap<String, u64>",
            goal,
            get_shelf(&queries, shelf::<RandomState>(count)),
        );
        get = get.beside(
            "foldhash HashMap",
            None,
            get_shelf(&queries, shelf::<foldhash::fast::RandomState>(count)),
        );
        set = set.beside(
            "std HashMap get_mut",
            None,
            set_shelf(&queries, shelf::<RandomState>(count)),
        );
        set = set.beside("std HashMap insert", None, {
            let mut shelf = shelf::<RandomState>(count);
            each(&queries, move |name, number| {
                _ = shelf.insert(name.to_owned(), black_box(number));
            })
        });
    }
    Ok(vec![get, set])
}
