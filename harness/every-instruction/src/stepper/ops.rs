//! The operations, and what each may leave: in the traced process what is done, in the other what
//! may be found.

use super::{
    accept::TOO_LARGE,
    stage::{Place, options},
    trace,
};
use mapvar::{Map, Value};

/// A variable, and what it may hold, in the order in which it comes to: first what it held before.
/// Once it was seen to be one of them it is none before.
#[derive(Clone, Debug)]
pub struct Var {
    pub name: String,
    pub states: Vec<Option<Value>>,
    /// The first of them that is possible once who comes after a death has taken over.
    pub least: usize,
    /// An [`Atomic`](mapvar::Atomic).
    pub atomic: bool,
}

impl Var {
    /// What is set by who takes over: other than all that it may hold.
    pub fn next(&self, number: i64) -> Value {
        if self.atomic { Value::from(9000 + number) } else { Value::Str(format!("after {number}")) }
    }
}

/// What may be found.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    pub vars: Vec<Var>,
    /// All variables come from one state to the next as one.
    pub as_one: bool,
    /// A single read may find what was before a transaction that is done, until somebody takes its
    /// lock.
    pub lags: bool,
    /// Variables `other 0` and so on, which nobody touches.
    pub others: usize,
    /// Records that stay taken in an empty map: a removed Atomic's waits for an Atomic of its name.
    pub kept: usize,
}

impl Oracle {
    fn new(vars: impl IntoIterator<Item = Var>) -> Self {
        let vars: Vec<Var> = vars.into_iter().collect();
        let kept = vars.iter().filter(|var| var.atomic).count();
        Self { vars, kept, ..Self::default() }
    }

    fn changing_as_one(self) -> Self {
        Self { as_one: true, lags: true, ..self }
    }

    fn others(self, others: usize) -> Self {
        Self { others, ..self }
    }
}

fn var<const N: usize>(name: &str, states: [Option<Value>; N]) -> Var {
    Var { name: name.into(), states: states.into(), least: 0, atomic: false }
}

fn atomic<const N: usize>(name: &str, states: [Option<i64>; N]) -> Var {
    let states = states.into_iter().map(|state| state.map(Value::from)).collect();
    Var { name: name.into(), states, least: 0, atomic: true }
}

#[allow(clippy::unnecessary_wraps, reason = "a table of states")]
fn some(value: impl Into<Value>) -> Option<Value> {
    Some(value.into())
}

/// Bytes of which each word is another, and says whose it is.
fn bytes(stamp: u8, len: usize) -> Value {
    Value::Bytes((0..len).map(|at| stamp ^ (at as u8).rotate_left(u32::from(stamp))).collect())
}

fn long(name: &str) -> String {
    format!("{name} {}", "long ".repeat(30))
}

/// The traced process: makes things ready, then does what is stepped through between
/// [`begin`](Self::begin) and [`end`](Self::end).
pub struct Actor {
    place: Place,
    target: String,
    oracle: Oracle,
}

impl Actor {
    /// Opens the map, and sets each variable to what it held before.
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
                (Some(value), _) => map.set_value(&var.name, value).expect("set a variable"),
                (None, _) => {}
            }
        }
        map
    }

    fn open(&self) -> Map {
        options(self.place, &self.target).open().expect("open the map")
    }

    /// What variable `number` becomes.
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

    /// Does what is stepped through.
    fn traced<T>(&self, work: impl FnOnce() -> T) {
        self.begin();
        let done = work();
        self.end();
        // What it returns is dropped here, for that is no part of the operation.
        drop(done);
    }
}

/// An operation.
pub struct Op {
    pub name: &'static str,
    /// Where its map lives: by a name, or in a file.
    pub place: Place,
    /// Bytes of values that the map is made for, and the most that it may grow to.
    pub size: u64,
    pub max: u64,
    pub oracle: fn() -> Oracle,
    pub act: fn(&Actor),
    /// Whether what takes over after each death is stepped through too: of every how-manieth image.
    pub pairs: Option<usize>,
    /// Whether an image in a file is opened beside another who has it open too.
    pub beside: bool,
    /// Part of the short run.
    pub short: bool,
    /// Ways to go on that an image is given in which nobody has left anything to take over.
    pub ways: usize,
}

impl Op {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

fn plain(name: &'static str, oracle: fn() -> Oracle, act: fn(&Actor)) -> Op {
    Op {
        name,
        place: Place::Named,
        size: 1,
        max: 1,
        oracle,
        act,
        pairs: Some(1),
        beside: true,
        short: false,
        ways: 4,
    }
}

fn in_file(name: &'static str, oracle: fn() -> Oracle, act: fn(&Actor)) -> Op {
    Op { place: Place::Alone, ..plain(name, oracle, act) }
}

const CHUNK: u64 = 16 << 10;

/// Sets the first variable.
fn set_first(actor: &Actor) {
    let map = actor.ready();
    let (name, value) = (&actor.oracle.vars[0].name, actor.becomes(0));
    // Once before: room is cut, and the first call of each function is behind.
    map.set("warm", 1).expect("warm up");
    actor.traced(|| map.set_value(name, value).expect("set"));
}

/// The same, with nothing done before.
fn set_first_cold(actor: &Actor) {
    let map = actor.ready();
    let (name, value) = (&actor.oracle.vars[0].name, actor.becomes(0));
    actor.traced(|| map.set_value(name, value).expect("set"));
}

fn add_to_first(actor: &Actor) {
    let map = actor.ready();
    let atomic = map.atomic::<i64>(&actor.oracle.vars[0].name).expect("a handle");
    actor.traced(|| atomic.fetch_add(2).expect("add"));
}

/// Three variables that a transaction changes.
fn three_as_one() -> Oracle {
    let vars = [("a", 1), ("b", 2), ("c", 3)];
    Oracle::new(vars.map(|(name, old)| var(name, [some(old), some(old + 3)]))).changing_as_one()
}

fn remove_first(actor: &Actor) {
    let map = actor.ready();
    let name = &actor.oracle.vars[0].name;
    actor.traced(|| assert!(map.remove(name).expect("remove")));
}

fn transact(actor: &Actor) {
    let map = actor.ready();
    actor.traced(|| {
        map.transaction(|transaction| {
            for var in &actor.oracle.vars {
                match var.states.last().expect("a state") {
                    Some(value) => match value {
                        Value::I64(value) => transaction.set(&var.name, *value)?,
                        Value::Bytes(value) => transaction.set(&var.name, value)?,
                        other => transaction.set(&var.name, other.to_string())?,
                    },
                    None => transaction.remove(&var.name)?,
                }
            }
            Ok(())
        })
        .expect("transact");
    });
}

/// Writes what lies in the file of a map that is closed.
fn rewrite(actor: &Actor, bytes: &[u8]) {
    let file = std::fs::OpenOptions::new().write(true).open(&actor.target).expect("open the file");
    file.set_len(bytes.len() as u64).expect("set its length");
    std::os::unix::fs::FileExt::write_all_at(&file, bytes, 0).expect("write it");
}

/// What a power cut leaves: all as it is, and the identity of another boot, which is whole
/// (docs/FORMAT.md, Identity).
fn cut_power(image: &mut [u8]) {
    const IDENTITY: usize = 0x200;
    let (words, sum) = image[IDENTITY..IDENTITY + 56].split_at_mut(48);
    let crc = |words: &[u8]| (u64::from(crc32fast::hash(words)) | 1 << 32).to_le_bytes();
    assert_eq!(sum, crc(words), "the identity lies elsewhere");
    words[0] ^= 0xff;
    sum.copy_from_slice(&crc(words));
}

pub fn all() -> Vec<Op> {
    vec![
        plain("set: a number", || Oracle::new([var("v", [some(1), some(2)])]), set_first)
            .with(|op| op.short = true),
        plain(
            "set: text, by a handle",
            || Oracle::new([var("v", [some("old".repeat(9)), some("the new one".repeat(7))])]),
            |actor| {
                let map = actor.ready();
                let var = map.var::<String>("v").expect("a handle");
                let value = actor.becomes(0).to_string();
                actor.traced(|| var.set(value).expect("set"));
            },
        ),
        plain(
            "set: a number becomes a text beyond its record",
            || Oracle::new([var("v", [some(1), some("outgrown ".repeat(30))])]),
            set_first,
        ),
        plain(
            "set: 5,000 bytes, a fresh extent",
            || Oracle::new([var("v", [Some(bytes(1, 3000)), Some(bytes(2, 5000))])]),
            set_first,
        )
        .with(|op| op.size = 4096),
        plain(
            "set: 3,000 bytes in place",
            || Oracle::new([var("v", [Some(bytes(5, 3000)), Some(bytes(2, 3000))])]),
            |actor| {
                let map = actor.ready();
                let value = actor.oracle.vars[0].states[0].as_ref().expect("a value");
                for _ in 0..4 {
                    map.set_value("v", value).expect("set");
                }
                actor.traced(|| map.set_value("v", actor.becomes(0)).expect("set"));
            },
        )
        .with(|op| op.size = 4096),
        plain(
            "set: 70,000 bytes, a run of chunks",
            || {
                Oracle::new([
                    var("v", [Some(bytes(1, 66_000)), Some(bytes(2, 70_000))]),
                    var("kept", [Some(bytes(7, 20_000))]),
                ])
            },
            // What the journal says of a run from before is this one's.
            set_first_cold,
        )
        .with(|op| (op.size, op.ways) = (32 << 10, 1)),
        // Whatever these leave is of a process that is gone: there is none then, and who takes over
        // removes it, which is stepped through as the second of a pair.
        plain(
            "ephemeral: a number",
            || Oracle::new([var("v", [some(1), None])]),
            |actor| {
                let map = actor.ready();
                map.set_ephemeral("warm", 1).expect("warm up");
                map.remove("warm").expect("remove");
                actor.traced(|| map.set_ephemeral("v", 2).expect("set"));
            },
        )
        .with(|op| op.short = true),
        plain(
            "ephemeral: 5,000 bytes, a fresh extent",
            || Oracle::new([var("v", [Some(bytes(1, 3000)), None])]),
            |actor| {
                let map = actor.ready();
                let value = bytes(2, 5000);
                actor.traced(|| map.set_ephemeral_value("v", &value).expect("set"));
            },
        )
        .with(|op| op.size = 4096),
        plain(
            "ephemeral: made an ordinary one",
            || Oracle::new([var("v", [None, some(2)])]),
            |actor| {
                let map = actor.ready();
                map.set_ephemeral("v", 1).expect("set");
                actor.traced(|| map.set("v", 2).expect("set"));
            },
        ),
        plain("insert: a short name", || Oracle::new([var("v", [None, some(2)])]), set_first)
            .with(|op| op.short = true),
        plain(
            "insert: the first of its class, in a chunk that was another's",
            || Oracle::new([var("v", [None, some("x".repeat(90))])]),
            |actor| {
                let map = actor.ready();
                map.set_value("large", &bytes(1, 16_000)).expect("set");
                map.remove("large").expect("remove");
                actor.traced(|| map.set_value("v", actor.becomes(0)).expect("set"));
            },
        )
        .with(|op| (op.pairs, op.ways) = (Some(16), 1)),
        plain(
            "insert: a long name",
            || Oracle::new([var(&long("v"), [None, some(2)])]),
            |actor| {
                let map = actor.ready();
                map.set(&long("warm"), 1).expect("warm up");
                actor.traced(|| {
                    map.set_value(&actor.oracle.vars[0].name, actor.becomes(0)).expect("set");
                });
            },
        )
        .with(|op| op.size = 4096),
        plain(
            "insert: a large value",
            || Oracle::new([var("v", [None, Some(bytes(2, 1500))])]),
            |actor| {
                let map = actor.ready();
                map.set_value("warm", &bytes(3, 1500)).expect("warm up");
                actor.traced(|| map.set_value("v", actor.becomes(0)).expect("set"));
            },
        )
        .with(|op| op.size = 4096),
        plain(
            "insert: an atomic",
            || Oracle::new([atomic("v", [None, Some(2)])]),
            |actor| {
                let map = actor.ready();
                map.set("warm", 1).expect("warm up");
                actor.traced(|| drop(map.atomic_or("v", 2_i64).expect("make it")));
            },
        ),
        plain(
            "insert: an atomic where one was removed",
            || Oracle::new([atomic("v", [None, Some(2)])]),
            |actor| {
                let map = actor.ready();
                drop(map.atomic_or("v", 7_i64).expect("make it"));
                map.remove("v").expect("remove");
                actor.traced(|| drop(map.atomic_or("v", 2_i64).expect("make it")));
            },
        ),
        plain(
            "insert: the index grows",
            || Oracle::new([var("v", [None, some(2)])]).others(713),
            set_first,
        )
        .with(|op| (op.size, op.pairs, op.ways) = (40 << 10, Some(250), 1)),
        plain(
            "insert: the section grows",
            || Oracle::new([var("v", [None, some(2)])]).others(153),
            set_first_cold,
        )
        .with(|op| (op.max, op.ways) = (8 * CHUNK, 1)),
        plain(
            "set: a large value, the section grows",
            || Oracle::new([var("v", [some(1), Some(bytes(2, 60_000))])]),
            set_first,
        )
        .with(|op| (op.max, op.ways) = (12 * CHUNK, 1)),
        plain("remove", || Oracle::new([var("v", [some(1), None])]), remove_first)
            .with(|op| op.short = true),
        plain(
            "remove: a long name",
            || Oracle::new([var(&long("v"), [some(1), None])]),
            remove_first,
        )
        .with(|op| op.size = 4096),
        plain(
            "remove: a large value",
            || Oracle::new([var("v", [Some(bytes(1, 5000)), None])]),
            remove_first,
        )
        .with(|op| op.size = 4096),
        plain(
            "remove: a run of chunks",
            || Oracle::new([var("v", [Some(bytes(1, 40_000)), None])]),
            remove_first,
        )
        .with(|op| op.size = 16 << 10),
        plain("remove: an atomic", || Oracle::new([atomic("v", [Some(1), None])]), remove_first),
        plain("fetch_add", || Oracle::new([atomic("v", [Some(40), Some(42)])]), add_to_first),
        plain(
            "compare_and_set",
            || Oracle::new([var("v", [some("one"), some("two")])]),
            |actor| {
                let map = actor.ready();
                let version = map.version("v").expect("a version");
                actor.traced(|| {
                    assert!(map.compare_and_set("v", version, "two").expect("set").is_ok());
                });
            },
        ),
        plain(
            "update",
            || Oracle::new([var("v", [some(7), some(8)])]),
            |actor| {
                let map = actor.ready();
                actor.traced(|| {
                    map.update("v", |value: Option<i64>| value.unwrap_or(0) + 1).expect("update")
                });
            },
        ),
        Op { short: true, ..plain("transaction: three variables", three_as_one, transact) },
        plain(
            "transaction: one inserted, one removed, one large",
            || {
                Oracle::new([
                    var("a", [None, some(4)]),
                    var("b", [some(2), None]),
                    var("c", [Some(bytes(4, 700)), Some(bytes(2, 1400))]),
                ])
                .changing_as_one()
            },
            transact,
        )
        .with(|op| op.size = 8192),
        plain(
            "clear",
            || {
                Oracle::new([
                    var("a", [some(1), None]),
                    var("b", [some(2), None]),
                    var("c", [some("three"), None]),
                ])
            },
            |actor| {
                let map = actor.ready();
                actor.traced(|| assert_eq!(map.clear().expect("clear"), 3));
            },
        ),
        plain(
            "collect and sweep, for room",
            || Oracle::new([var("v", [some("kept".repeat(200))])]),
            |actor| {
                let map = actor.ready();
                for stamp in 0..4 {
                    map.set_value("v", &bytes(stamp, 1800)).expect("set");
                }
                map.set_value("v", actor.becomes(0)).expect("set");
                actor.traced(|| assert!(map.set_value("more", &TOO_LARGE).is_err()));
            },
        )
        .with(|op| op.size = 4096),
        plain(
            "attach, take a seat, detach",
            || Oracle::new([var("v", [some(1), Some(bytes(3, 1500))])]),
            |actor| {
                drop(actor.ready());
                actor.begin();
                let map = actor.open();
                map.set_value("v", actor.becomes(0)).expect("set");
                map.close().expect("close");
                actor.end();
            },
        )
        .with(|op| op.size = 4096),
        in_file("file, set: a number", || Oracle::new([var("v", [some(1), some(2)])]), set_first),
        in_file("file, insert", || Oracle::new([var("v", [None, some(2)])]), set_first),
        in_file(
            "file, remove: what is durable",
            || Oracle::new([var("v", [some(1), None])]),
            |actor| {
                let map = actor.ready();
                map.flush().expect("flush");
                actor.traced(|| map.remove("v").expect("remove"));
            },
        ),
        in_file(
            "file, fetch_add",
            || Oracle::new([atomic("v", [Some(40), Some(42)])]),
            add_to_first,
        ),
        in_file("file, transaction: three variables", three_as_one, transact),
        in_file(
            "file, flush: a set, a removal, an atomic",
            || Oracle::new([var("v", [some(2)]), var("w", [None]), atomic("n", [Some(3)])]),
            |actor| {
                let map = actor.ready();
                map.set("v", 1).expect("set");
                map.set("w", 1).expect("set");
                map.flush().expect("a first flush");
                map.set("v", 2).expect("set");
                map.remove("w").expect("remove");
                actor.traced(|| map.flush().expect("flush"));
            },
        ),
        in_file(
            "file, flush: retired records come free",
            || Oracle::new([var(&long("v"), [None]), var("w", [some(1)])]),
            |actor| {
                let map = actor.ready();
                map.set(&long("v"), 1).expect("set");
                map.flush().expect("flush");
                map.remove(&long("v")).expect("remove");
                map.flush().expect("flush");
                map.flush().expect("flush");
                actor.begin();
                // Beyond what the map may become: everything is collected, and no room is found.
                assert!(map.set_value("more", &TOO_LARGE).is_err());
                actor.end();
            },
        ),
        in_file(
            "file, set: where a removed atomic was",
            || Oracle { kept: 1, ..Oracle::new([var("v", [None, some("text")])]) },
            |actor| {
                let map = actor.ready();
                drop(map.atomic_or("v", 1_i64).expect("make it"));
                map.flush().expect("flush");
                map.remove("v").expect("remove");
                actor.traced(|| map.set_value("v", actor.becomes(0)).expect("set"));
            },
        ),
        in_file(
            "file, open alone, set, close with a flush",
            || Oracle::new([var("v", [some(1), some(2)])]),
            |actor| {
                actor.ready().close().expect("close");
                actor.begin();
                let map = actor.open();
                map.set("v", 2).expect("set");
                map.close().expect("close");
                actor.end();
            },
        ),
        in_file(
            "file, open after a power cut",
            || {
                Oracle::new([
                    var("v", [some("flushed")]),
                    var(&long("n"), [some(1)]),
                    var("new", [None]),
                    var("removed", [None]),
                    var("back", [some(3)]),
                    var("large", [Some(bytes(3, 900))]),
                    atomic("count", [Some(5)]),
                ])
            },
            |actor| {
                let map = actor.ready();
                map.set("removed", 1).expect("set");
                map.flush().expect("flush");
                map.remove("removed").expect("remove");
                map.flush().expect("flush");
                // What no flush has.
                map.set("v", "lost").expect("set");
                map.set("new", "lost").expect("set");
                map.remove("back").expect("remove");
                map.set_value("large", &bytes(1, 900)).expect("set");
                map.atomic::<i64>("count").expect("an atomic").fetch_add(1).expect("add");
                let mut image = std::fs::read(&actor.target).expect("read the file");
                map.close().expect("close");
                cut_power(&mut image);
                rewrite(actor, &image);
                actor.begin();
                let map = actor.open();
                actor.end();
                drop(map);
            },
        )
        // Beside another process nobody may recover it.
        .with(|op| (op.size, op.beside, op.pairs, op.ways) = (2048, false, Some(16), 1)),
    ]
}

/// The traced process of an operation.
pub fn act(name: &str, place: &str, target: &str) {
    let op = all().into_iter().find(|op| op.name == name).expect("an operation");
    let actor = Actor { place: place_of(place), target: target.into(), oracle: (op.oracle)() };
    trace::let_parent_trace();
    (op.act)(&actor);
    // Whoever holds the map still need not close it: nobody looks any more.
    std::process::exit(0);
}

fn place_of(word: &str) -> Place {
    [Place::Named, Place::Alone, Place::Peer]
        .into_iter()
        .find(|place| place.word() == word)
        .expect("a place")
}

/// The traced process that takes over, once for each line of its input: `s` with a number sets that
/// variable, `i` inserts one, `t` with a number sets that variable in a transaction, `f` flushes.
pub fn take_over(name: &str, place: &str, target: &str) {
    let op = all().into_iter().find(|op| op.name == name).expect("an operation");
    let actor = Actor { place: place_of(place), target: target.into(), oracle: (op.oracle)() };
    trace::let_parent_trace();
    // Here it is shown the first image.
    actor.end();
    for line in std::io::stdin().lines() {
        let line = line.expect("a line");
        let words: Vec<&str> = line.split_whitespace().collect();
        let early = (actor.place != Place::Alone).then(|| actor.open());
        actor.begin();
        // Where nobody else is, opening is what takes over.
        let map = early.unwrap_or_else(|| actor.open());
        for word in words {
            let (what, number) = word.split_at(1);
            let var = number.parse().ok().and_then(|number: usize| actor.oracle.vars.get(number));
            match (what, var) {
                ("s", Some(var)) => map.set_value(&var.name, &var.next(1)).expect("set"),
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
        // And here the next: nothing of this one is left.
        actor.end();
    }
    std::process::exit(0);
}

/// What who takes over inserts.
pub const TAKER: &str = "taker";

/// What may be found where somebody who took over died too: `recovered` is what the variables were
/// after a takeover that was not cut off.
pub fn oracle_of_takeover(oracle: &Oracle, recovered: &[usize], script: &str) -> Oracle {
    let mut vars: Vec<Var> = oracle
        .vars
        .iter()
        .zip(recovered)
        .map(|(var, state)| {
            let first = if oracle.lags { 0 } else { *state };
            let states = var.states[first..=*state].to_vec();
            Var { states, least: *state - first, ..var.clone() }
        })
        .collect();
    for word in script.split_whitespace() {
        let (what, number) = word.split_at(1);
        match (what, number.parse::<usize>()) {
            ("s" | "t", Ok(number)) => {
                let next = Some(vars[number].next(1));
                if vars[number].states.last() != Some(&next) {
                    vars[number].states.push(next);
                }
            }
            ("i", _) => vars.push(var(TAKER, [None, some(1)])),
            _ => {}
        }
    }
    Oracle { vars, as_one: false, ..oracle.clone() }
}
