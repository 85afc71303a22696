//! The operations of the traced process.
#![allow(clippy::needless_pass_by_value, reason = "each act owns the map, and some acts close it")]

use super::{
    oracle::{Oracle, TAKER, Var, atomic, some, var},
    stage::{Place, TOO_LARGE, options},
    trace,
};
use mapvar::{Map, Value};
use mapvar_engine::layout::identity;

/// Returns bytes in which each word differs, and which depend on `stamp`.
fn bytes(stamp: u8, len: usize) -> Value {
    Value::Bytes((0..len).map(|at| stamp ^ (at as u8).rotate_left(u32::from(stamp))).collect())
}

fn long(name: &str) -> String {
    format!("{name} {}", "long ".repeat(30))
}

/// The traced process: it prepares the map, then runs the traced work between
/// [`begin`](Self::begin) and [`end`](Self::end).
pub struct Actor {
    place: Place,
    target: String,
    oracle: Oracle,
}

impl Actor {
    /// Opens the map, and sets each variable to its first state.
    fn ready(&self) -> Map {
        let map = self.open();
        for number in 0..self.oracle.others {
            map.set(&format!("other {number}"), number as u64).expect("set another");
        }
        for var in &self.oracle.vars {
            match (&var.states[0], var.atomic) {
                (Some(Value::I64(value)), true) => {
                    drop(map.atomic_or(&var.name, *value).expect("make an atomic"));
                }
                (Some(value), _) => map.set(&var.name, value).expect("set a variable"),
                (None, _) => {}
            }
        }
        map
    }

    fn open(&self) -> Map {
        options(self.place, &self.target).open().expect("open the map")
    }

    /// Returns the last state of variable `number`.
    fn becomes(&self, number: usize) -> &Value {
        let var = &self.oracle.vars[number];
        var.states.last().and_then(Option::as_ref).expect("a value")
    }

    #[allow(clippy::unused_self, reason = "it reads as what the actor does")]
    fn begin(&self) {
        trace::mark_begin(trace::mark_end as *const () as usize, trace::robust_head());
    }

    #[allow(clippy::unused_self, reason = "as `begin`")]
    fn end(&self) {
        trace::mark_end();
    }

    /// Runs the work that is stepped through.
    fn traced<T>(&self, work: impl FnOnce() -> T) {
        self.begin();
        let done = work();
        self.end();
        // The result is dropped here, since that is no part of the operation.
        drop(done);
    }
}

/// One operation.
pub struct Op {
    pub name: &'static str,
    /// Where its map lives: by a name, or in a file.
    pub place: Place,
    /// Bytes of values that fit the map, and the size to which it may grow; where that is no more
    /// than the values need, it has grown before the operation begins.
    pub size: u64,
    pub max: u64,
    pub oracle: Oracle,
    /// The operation itself, on the prepared map.
    act: fn(&Actor, Map),
    /// Whether the takeover after a death is stepped through too: for every how-manieth image.
    pub pairs: Option<usize>,
    /// Whether an image in a file is also opened beside another process that has the file open.
    pub beside: bool,
    /// Whether the operation is part of the short run.
    pub short: bool,
    /// Number of ways to continue from an image without unfinished work.
    pub ways: usize,
}

impl Op {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

fn plain<const N: usize>(name: &'static str, vars: [Var; N], act: fn(&Actor, Map)) -> Op {
    Op {
        name,
        place: Place::Named,
        size: 1,
        max: 1,
        oracle: Oracle::new(vars.into()),
        act,
        pairs: Some(1),
        beside: true,
        short: false,
        ways: 4,
    }
}

fn in_file<const N: usize>(name: &'static str, vars: [Var; N], act: fn(&Actor, Map)) -> Op {
    Op { place: Place::Alone, ..plain(name, vars, act) }
}

/// Declares that a transaction changes the variables.
fn as_one(op: Op) -> Op {
    op.with(|op| (op.oracle.as_one, op.oracle.lags) = (true, true))
}

const CHUNK: u64 = 16 << 10;

/// Sets the first variable.
fn set_first(actor: &Actor, map: Map) {
    // Set once before: the chunk is formatted, and the first call of each function is done.
    map.set("warm", 1).expect("warm up");
    set_first_cold(actor, map);
}

/// The same without a set before.
fn set_first_cold(actor: &Actor, map: Map) {
    let (name, value) = (&actor.oracle.vars[0].name, actor.becomes(0));
    actor.traced(|| map.set(name, value).expect("set"));
}

fn add_to_first(actor: &Actor, map: Map) {
    let atomic = map.atomic::<i64>(&actor.oracle.vars[0].name).expect("a handle");
    actor.traced(|| atomic.fetch_add(2).expect("add"));
}

/// Returns three variables that a transaction changes.
fn three() -> [Var; 3] {
    [("a", 1), ("b", 2), ("c", 3)].map(|(name, old)| var(name, [some(old), some(old + 3)]))
}

fn remove_first(actor: &Actor, map: Map) {
    let name = &actor.oracle.vars[0].name;
    actor.traced(|| assert!(map.remove(name).expect("remove")));
}

fn make_atomic(actor: &Actor, map: Map) {
    actor.traced(|| drop(map.atomic_or("v", 2_i64).expect("make it")));
}

fn transact(actor: &Actor, map: Map) {
    actor.traced(|| {
        map.transaction(|transaction| {
            for var in &actor.oracle.vars {
                match var.states.last().expect("a state") {
                    Some(Value::I64(value)) => transaction.set(&var.name, *value)?,
                    Some(Value::Bytes(value)) => transaction.set(&var.name, value)?,
                    Some(other) => transaction.set(&var.name, other.to_string())?,
                    None => transaction.remove(&var.name)?,
                }
            }
            Ok(())
        })
        .expect("transact");
    });
}

/// Overwrites the file of a closed map.
fn rewrite(actor: &Actor, bytes: &[u8]) {
    let file = std::fs::OpenOptions::new().write(true).open(&actor.target).expect("open the file");
    file.set_len(bytes.len() as u64).expect("set its length");
    std::os::unix::fs::FileExt::write_all_at(&file, bytes, 0).expect("write it");
}

/// Makes the image that of a power cut: unchanged, but with a valid identity of another boot, in both
/// copies (docs/FORMAT.md, Identity).
fn cut_power(image: &mut [u8]) {
    for copy in [0, identity::SECOND] {
        let at = identity::AT as usize + copy * 8;
        let (words, sum) = image[at..at + 56].split_at_mut(48);
        let crc = |words: &[u8]| (u64::from(crc32fast::hash(words)) | 1 << 32).to_le_bytes();
        assert_eq!(sum, crc(words), "the identity lies elsewhere");
        words[0] ^= 0xff;
        sum.copy_from_slice(&crc(words));
    }
}

pub fn all() -> Vec<Op> {
    vec![
        plain("set: a number", [var("v", [some(1), some(2)])], set_first)
            .with(|op| op.short = true),
        plain(
            "set: text, by a handle",
            [var("v", [some("old".repeat(9)), some("the new one".repeat(7))])],
            |actor, map| {
                let var = map.var::<String>("v").expect("a handle");
                let value = actor.becomes(0).to_string();
                actor.traced(|| var.set(value).expect("set"));
            },
        ),
        plain(
            "set: a number becomes a text beyond its record",
            [var("v", [some(1), some("outgrown ".repeat(30))])],
            set_first,
        ),
        plain(
            "set: 5,000 bytes, a fresh extent",
            [var("v", [Some(bytes(1, 3000)), Some(bytes(2, 5000))])],
            set_first,
        )
        .with(|op| op.size = 4096),
        plain(
            "set: 3,000 bytes in place",
            [var("v", [Some(bytes(5, 3000)), Some(bytes(2, 3000))])],
            |actor, map| {
                let value = actor.oracle.vars[0].states[0].as_ref().expect("a value");
                for _ in 0..4 {
                    map.set("v", value).expect("set");
                }
                set_first_cold(actor, map);
            },
        )
        .with(|op| op.size = 4096),
        plain(
            "set: 70,000 bytes, a run of chunks",
            [
                var("v", [Some(bytes(1, 66_000)), Some(bytes(2, 70_000))]),
                var("kept", [Some(bytes(7, 20_000))]),
            ],
            // The journal's entry about an earlier run is this operation's.
            set_first_cold,
        )
        .with(|op| (op.size, op.ways) = (32 << 10, 1)),
        // These leave values whose owner process is dead, so there is none then. The recoverer
        // removes them, which is stepped through as the second of a pair.
        plain("ephemeral: a number", [var("v", [some(1), None])], |actor, map| {
            map.set_ephemeral("warm", 1).expect("warm up");
            map.remove("warm").expect("remove");
            actor.traced(|| map.set_ephemeral("v", 2).expect("set"));
        })
        .with(|op| op.short = true),
        plain(
            "ephemeral: 5,000 bytes, a fresh extent",
            [var("v", [Some(bytes(1, 3000)), None])],
            |actor, map| {
                let value = bytes(2, 5000);
                actor.traced(|| map.set_ephemeral("v", &value).expect("set"));
            },
        )
        .with(|op| op.size = 4096),
        plain("ephemeral: made an ordinary one", [var("v", [None, some(2)])], |actor, map| {
            map.set_ephemeral("v", 1).expect("set");
            set_first_cold(actor, map);
        }),
        plain("insert: a short name", [var("v", [None, some(2)])], set_first)
            .with(|op| op.short = true),
        plain(
            "insert: the first of its class, in a chunk that was another's",
            [var("v", [None, some("x".repeat(90))])],
            |actor, map| {
                map.set("large", bytes(1, 16_000)).expect("set");
                map.remove("large").expect("remove");
                set_first_cold(actor, map);
            },
        )
        .with(|op| (op.pairs, op.ways) = (Some(16), 1)),
        plain("insert: a long name", [var(&long("v"), [None, some(2)])], |actor, map| {
            map.set(&long("warm"), 1).expect("warm up");
            set_first_cold(actor, map);
        })
        .with(|op| op.size = 4096),
        plain("insert: a large value", [var("v", [None, Some(bytes(2, 1500))])], |actor, map| {
            map.set("warm", bytes(3, 1500)).expect("warm up");
            set_first_cold(actor, map);
        })
        .with(|op| op.size = 4096),
        plain("insert: an atomic", [atomic("v", [None, Some(2)])], |actor, map| {
            map.set("warm", 1).expect("warm up");
            make_atomic(actor, map);
        }),
        plain(
            "insert: an atomic where one was removed",
            [atomic("v", [None, Some(2)])],
            |actor, map| {
                drop(map.atomic_or("v", 7_i64).expect("make it"));
                map.remove("v").expect("remove");
                make_atomic(actor, map);
            },
        ),
        plain("insert: the index grows", [var("v", [None, some(2)])], set_first)
            .with(|op| op.oracle.others = 713)
            .with(|op| (op.size, op.pairs, op.ways) = (40 << 10, Some(250), 1)),
        plain("insert: the section grows", [var("v", [None, some(2)])], set_first_cold)
            .with(|op| op.oracle.others = 102)
            .with(|op| (op.max, op.ways) = (8 * CHUNK, 1)),
        plain(
            "set: a large value, the section grows",
            [var("v", [some(1), Some(bytes(2, 60_000))])],
            set_first,
        )
        .with(|op| (op.max, op.ways) = (12 * CHUNK, 1)),
        plain("remove", [var("v", [some(1), None])], remove_first).with(|op| op.short = true),
        plain("remove: a long name", [var(&long("v"), [some(1), None])], remove_first)
            .with(|op| op.size = 4096),
        plain("remove: a large value", [var("v", [Some(bytes(1, 5000)), None])], remove_first)
            .with(|op| op.size = 4096),
        plain("remove: a run of chunks", [var("v", [Some(bytes(1, 40_000)), None])], remove_first)
            .with(|op| op.size = 16 << 10),
        plain("remove: an atomic", [atomic("v", [Some(1), None])], remove_first),
        plain("fetch_add", [atomic("v", [Some(40), Some(42)])], add_to_first),
        plain("compare_and_set", [var("v", [some("one"), some("two")])], |actor, map| {
            let version = map.version("v").expect("a version");
            actor.traced(|| {
                assert!(map.compare_and_set("v", version, "two").expect("set").is_set());
            });
        }),
        plain("update", [var("v", [some(7), some(8)])], |actor, map| {
            actor.traced(|| {
                map.update("v", |value: Option<i64>| value.unwrap_or(0) + 1).expect("update")
            });
        }),
        as_one(plain("transaction: three variables", three(), transact)).with(|op| op.short = true),
        as_one(plain(
            "transaction: one inserted, one removed, one large",
            [
                var("a", [None, some(4)]),
                var("b", [some(2), None]),
                var("c", [Some(bytes(4, 700)), Some(bytes(2, 1400))]),
            ],
            transact,
        ))
        .with(|op| op.size = 8192),
        plain(
            "clear",
            [var("a", [some(1), None]), var("b", [some(2), None]), var("c", [some("three"), None])],
            |actor, map| actor.traced(|| assert_eq!(map.clear().expect("clear"), 3)),
        ),
        plain(
            "collect and sweep, for room",
            [var("v", [some("kept".repeat(200))])],
            |actor, map| {
                for stamp in 0..4 {
                    map.set("v", bytes(stamp, 1800)).expect("set");
                }
                map.set("v", actor.becomes(0)).expect("set");
                actor.traced(|| assert!(map.set("more", &*TOO_LARGE).is_err()));
            },
        )
        .with(|op| op.size = 4096),
        plain(
            "attach, take a seat, detach",
            [var("v", [some(1), Some(bytes(3, 1500))])],
            |actor, map| {
                drop(map);
                actor.begin();
                let map = actor.open();
                map.set("v", actor.becomes(0)).expect("set");
                map.close().expect("close");
                actor.end();
            },
        )
        .with(|op| op.size = 4096),
        in_file("file, set: a number", [var("v", [some(1), some(2)])], set_first),
        in_file("file, insert", [var("v", [None, some(2)])], set_first),
        in_file("file, remove: what is durable", [var("v", [some(1), None])], |actor, map| {
            map.flush().expect("flush");
            remove_first(actor, map);
        }),
        in_file("file, fetch_add", [atomic("v", [Some(40), Some(42)])], add_to_first),
        as_one(in_file("file, transaction: three variables", three(), transact)),
        in_file(
            "file, flush: a set, a removal, an atomic",
            [var("v", [some(2)]), var("w", [None]), atomic("n", [Some(3)])],
            |actor, map| {
                map.set("v", 1).expect("set");
                map.set("w", 1).expect("set");
                map.flush().expect("a first flush");
                map.set("v", 2).expect("set");
                map.remove("w").expect("remove");
                actor.traced(|| map.flush().expect("flush"));
            },
        )
        .with(|op| op.short = true),
        in_file(
            "file, flush: retired records come free",
            [var(&long("v"), [None]), var("w", [some(1)])],
            |actor, map| {
                map.set(&long("v"), 1).expect("set");
                map.flush().expect("flush");
                map.remove(&long("v")).expect("remove");
                map.flush().expect("flush");
                map.flush().expect("flush");
                // More than the map may grow to: everything is collected, and no space is found.
                actor.traced(|| assert!(map.set("more", &*TOO_LARGE).is_err()));
            },
        ),
        in_file(
            "file, set: where a removed atomic was",
            [var("v", [None, some("text")])],
            |actor, map| {
                drop(map.atomic_or("v", 1_i64).expect("make it"));
                map.flush().expect("flush");
                map.remove("v").expect("remove");
                set_first_cold(actor, map);
            },
        )
        .with(|op| op.oracle.kept = 1),
        in_file(
            "file, open alone, set, close with a flush",
            [var("v", [some(1), some(2)])],
            |actor, map| {
                map.close().expect("close");
                actor.begin();
                let map = actor.open();
                map.set("v", 2).expect("set");
                map.close().expect("close");
                actor.end();
            },
        ),
        in_file(
            "file, open after a power cut",
            [
                var("v", [some("flushed")]),
                var(&long("n"), [some(1)]),
                var("new", [None]),
                var("removed", [None]),
                var("back", [some(3)]),
                var("large", [Some(bytes(3, 900))]),
                atomic("count", [Some(5)]),
            ],
            |actor, map| {
                map.set("removed", 1).expect("set");
                map.flush().expect("flush");
                map.remove("removed").expect("remove");
                map.flush().expect("flush");
                // Changes that no flush has seen.
                map.set("v", "lost").expect("set");
                map.set("new", "lost").expect("set");
                map.remove("back").expect("remove");
                map.set("large", bytes(1, 900)).expect("set");
                map.atomic::<i64>("count").expect("an atomic").fetch_add(1).expect("add");
                let mut image = std::fs::read(&actor.target).expect("read the file");
                map.close().expect("close");
                cut_power(&mut image);
                rewrite(actor, &image);
                actor.traced(|| actor.open());
            },
        )
        // Beside another process no process may recover it.
        .with(|op| (op.size, op.beside, op.pairs, op.ways) = (2048, false, Some(16), 1)),
    ]
}

/// Returns the operation of this name, and its traced process.
fn traced(name: &str, place: &str, target: &str) -> (Op, Actor) {
    let op = all().into_iter().find(|op| op.name == name).expect("an operation");
    let places = [Place::Named, Place::Alone, Place::Peer];
    let place = places.into_iter().find(|it| it.word() == place).expect("a place");
    let actor = Actor { place, target: target.into(), oracle: op.oracle.clone() };
    trace::let_parent_trace();
    (op, actor)
}

/// Runs the traced process of an operation.
pub fn act(name: &str, place: &str, target: &str) {
    let (op, actor) = traced(name, place, target);
    (op.act)(&actor, actor.ready());
    // The owner of the map need not close it: no process observes it any more.
    std::process::exit(0);
}

/// Runs the traced recoverer, once for each line of its input. `s` with a number sets that
/// variable, `i` inserts one, `t` with a number sets that variable in a transaction, `f` flushes.
pub fn take_over(name: &str, place: &str, target: &str) {
    let (_, actor) = traced(name, place, target);
    // At this mark the harness shows it the first image.
    actor.end();
    for line in std::io::stdin().lines() {
        let line = line.expect("a line");
        let words: Vec<&str> = line.split_whitespace().collect();
        let early = (actor.place != Place::Alone).then(|| actor.open());
        actor.begin();
        // Without another process, opening the map is the takeover.
        let map = early.unwrap_or_else(|| actor.open());
        for word in words {
            let (what, number) = word.split_at(1);
            let var = number.parse().ok().and_then(|number: usize| actor.oracle.vars.get(number));
            match (what, var) {
                ("s", Some(var)) => map.set(&var.name, var.next(1)).expect("set"),
                ("t", Some(var)) => map
                    .transaction(|transaction| transaction.set(&var.name, var.next(1).to_string()))
                    .expect("transact"),
                ("i", _) => map.set(TAKER, 1).expect("insert"),
                ("f", _) => map.flush().expect("flush"),
                _ => {}
            }
        }
        actor.end();
        drop(map);
        // At this mark the harness shows the next image: nothing of this one is left.
        actor.end();
    }
    std::process::exit(0);
}
