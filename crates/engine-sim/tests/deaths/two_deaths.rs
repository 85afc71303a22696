//! Two deaths, or one death beside a living process. Each test names histories, and each history is
//! run with a death at every step:
//!
//! * `succession`: a process dies at step i of its operation, its successor dies at step j of its
//!   own, and a third process finds the region whole;
//! * `meeting`: a process stops before step i, a second process works meanwhile and dies at its
//!   step j, a third process does all of its work, and then the first one continues to its end or
//!   its death.
//!
//! The oracle: some order of the operations, each of them done or not begun, leaves the final
//! content of the region. An operation is done if it was acknowledged or if its value was seen. No
//! value is torn or belongs to another variable. Nothing leaks, and no lock or mark stays. Each
//! waiter whose variable changed was woken.

use super::*;
use mapvar_engine::variable::insert::Inserted;
use std::cell::Cell;

/// The operations of a process, in order.
type Script = &'static [Operation];

/// Up to this step a process dies at each step; beyond it only at every `SPARSE`th. A process that
/// meets a living process's lock tries 200 times, and all of those tries are alike.
const DENSE: u64 = 120;
const SPARSE: u64 = 41;
/// The step between deaths of the first process of a meeting, after its stop. All triples of steps
/// would take minutes. Each pair of steps begins at another offset, so that neighboring pairs cover
/// all of them.
const EVERY: u64 = 11;
/// Steps between deaths of the second process: a history with values that fill chunks takes ten
/// times as long. Each stop begins at another offset. With `LARGE` the first process dies at one
/// step only.
const SMALL: u64 = 1;
const LARGE: u64 = 2;
/// A reader stops before each of its first and last `NEAR` loads. Between them, where it copies a
/// large value, it stops before every `AMID`th.
const NEAR: u64 = 16;
const AMID: u64 = 397;

const fn after_step(step: u64) -> u64 {
    step + if step < DENSE { 1 } else { SPARSE }
}

/// The names of these worlds. A value's first byte encodes the name that it was written for.
const ALL: &[&str] = &["left", "right", "gone", "new", "other", LONG];
const TAGS: u8 = 0x20;
/// One extent fills an extents chunk and is written in place; the other is a run of two chunks,
/// with a journal.
const CHUNKFUL: usize = 8_200;
const RUN: usize = 16_400;
/// A run of three chunks: once it is freed by halves, another run may take its chunks.
const LONG_RUN: usize = 33_000;

fn tag(name: &str) -> u8 {
    let number = ALL.iter().position(|known| *known == name).expect("a known name");
    number as u8 * TAGS
}

/// Returns the value of `name` in round `round`.
fn of(name: &str, round: u8, len: usize) -> Vec<u8> {
    assert!(round < TAGS);
    value(tag(name) | round, len)
}

fn set(store: &Store<Mortal>, name: &str, round: u8) -> Result<(), EngineError> {
    put(store, name, &of(name, round, 24))
}

fn set_large(store: &Store<Mortal>, name: &str, round: u8, len: usize) -> Result<(), EngineError> {
    put(store, name, &of(name, round, len))
}

/// Asserts that a value is neither torn nor another name's.
fn assert_whole(name: &str, bytes: &[u8], context: &str) {
    let first = bytes.first().copied().unwrap_or_default();
    assert!(*bytes == value(first, bytes.len()), "{context}: {name} is torn");
    assert!(first & !(TAGS - 1) == tag(name), "{context}: {name} has the value of another name");
}

/// Collects the removed variable, whose record another variable may have by now.
fn collect(store: &Store<Mortal>, name: &str) -> Result<(), EngineError> {
    match store.find(store.query(name.as_bytes()))? {
        Some(handle) => store.collect(handle),
        None => Ok(()),
    }
}

fn rebuild(store: &Store<Mortal>) -> Result<(), EngineError> {
    let _held = store.lock_structure()?;
    store.rebuild()
}

fn sweep(store: &Store<Mortal>) -> Result<(), EngineError> {
    store.sweep_in_batches(2).map(|_| ())
}

fn try_read(store: &Store<Mortal>, name: &str) -> Result<Option<Vec<u8>>, EngineError> {
    let Some(handle) = store.find(store.query(name.as_bytes()))? else { return Ok(None) };
    Ok(match store.read(handle, |view| view.capture())? {
        Seen::Value(captured, _) => match captured?.data {
            Data::Bytes(bytes) => Some(bytes),
            Data::Word(word) => Some(word.to_le_bytes().to_vec()),
        },
        Seen::Absent | Seen::Stale => None,
    })
}

/// Reads every name except those whose record is locked by a process that cannot go on.
fn read_all(store: &Store<Mortal>) -> Reads {
    let mut seen = Reads::new();
    for name in ALL {
        match try_read(store, name) {
            Ok(value) => {
                if let Some(bytes) = &value {
                    assert_whole(name, bytes, "a look meanwhile");
                }
                seen.insert(name, value);
            }
            Err(EngineError::Lock(_) | EngineError::Contended) => {}
            Err(trouble) => panic!("{trouble:?}"),
        }
    }
    seen
}

/// Returns a name's variable for a transaction, as `Map::transaction` does: if there is none, it
/// creates an empty one.
fn find_or_create(store: &Store<Mortal>, name: &str) -> Result<Handle, EngineError> {
    let query = store.query(name.as_bytes());
    if let Some(handle) = store.find(query)? {
        return Ok(handle);
    }
    let (Inserted::New(handle) | Inserted::Found(handle)) =
        store.insert(query, &Raw::TOMBSTONE, false)?;
    Ok(handle)
}

/// Sets two names in one transaction.
fn transact(store: &Store<Mortal>, names: [&str; 2], round: u8) -> Result<(), EngineError> {
    for _ in 0..64 {
        let handles = [find_or_create(store, names[0])?, find_or_create(store, names[1])?];
        let values = names.map(|name| of(name, round, 24));
        let mut parts = Vec::new();
        for (handle, value) in handles.iter().zip(&values) {
            let raw = Some(Raw::bytes(Kind::Bytes, 0, value));
            parts.push(TxEntry { handle: *handle, expect: Expect::Any, raw });
        }
        if store.transact(&mut parts)? == CommitOutcome::Committed {
            return Ok(());
        }
    }
    Err(EngineError::Contended)
}

/// Does the same with a value in its own extent and a small one.
fn transact_large(store: &Store<Mortal>, names: [&str; 2], round: u8) -> Result<(), EngineError> {
    for _ in 0..64 {
        let [large, small] = [find_or_create(store, names[0])?, find_or_create(store, names[1])?];
        let values = [of(names[0], round, CHUNKFUL), of(names[1], round, 24)];
        let extent = store.reserve(large, CHUNKFUL)?;
        let raws = [
            Raw::bytes(Kind::Bytes, 0, &values[0]).lying_in(extent),
            Raw::bytes(Kind::Bytes, 0, &values[1]),
        ];
        let change = |handle, raw| TxEntry { handle, expect: Expect::Any, raw: Some(raw) };
        let mut parts = [change(large, raws[0]), change(small, raws[1])];
        let ended = store.fill(extent, &values[0]).and_then(|()| store.transact(&mut parts));
        if !matches!(ended, Ok(CommitOutcome::Committed)) {
            store.abandon(extent);
        }
        if ended? == CommitOutcome::Committed {
            return Ok(());
        }
    }
    Err(EngineError::Contended)
}

/// Reads `left` and `right` under their marks; they are only ever set together.
fn snapshot(store: &Store<Mortal>) -> Result<(), EngineError> {
    let found = |name: &str| store.find(store.query(name.as_bytes()));
    let (Some(left), Some(right)) = (found("left")?, found("right")?) else { return Ok(()) };
    let mut rounds = Vec::new();
    store.with_all_marked(&[left, right], || {
        for handle in [left, right] {
            if let Seen::Value(captured, _) = store.read(handle, |view| view.capture())?
                && let Data::Bytes(bytes) = captured?.data
            {
                rounds.push(bytes.first().map(|first| first & (TAGS - 1)));
            }
        }
        Ok(())
    })?;
    assert!(rounds.windows(2).all(|pair| pair[0] == pair[1]), "half a transaction: {rounds:?}");
    Ok(())
}

/// `left` and `right` in round 1, and `gone`, which is removed and not collected.
fn small() -> World {
    let mut world = World::new(8, 8, |store| {
        for name in ["left", "right", "gone"] {
            set(store, name, 1)?;
        }
        store.write(found(store, "gone"), &Raw::TOMBSTONE).map(|_| ())
    });
    world.names = ALL;
    world
}

/// `left` with a value of `len` bytes, `right` with a small one, and `free` free chunks.
fn large(len: usize, free: u64) -> World {
    let fill: Operation = match len {
        CHUNKFUL => |store| {
            set_large(store, "left", 1, CHUNKFUL)?;
            set(store, "right", 1)
        },
        RUN => |store| {
            set_large(store, "left", 1, RUN)?;
            set(store, "right", 1)
        },
        _ => |store| {
            set_large(store, "left", 1, LONG_RUN)?;
            set(store, "right", 1)
        },
    };
    // The number of chunks of records depends on the region's size.
    let least = layout::META_CHUNKS + 1 + (len as u64).div_ceil(CHUNK) + free;
    let world = (least..least + 3).find_map(|chunks| {
        let mut world = World::new(chunks, chunks, fill);
        world.names = ALL;
        (world.process(1).free_chunks().unwrap() == free).then_some(world)
    });
    world.expect("a region with so many free chunks")
}

/// One small variable, in a full region that may grow.
fn full() -> World {
    let mut world = World::new(4, 16, |store| set(store, "left", 1));
    world.names = ALL;
    world
}

/// How many operations of each script are done, and the values of the region then.
type Observed = ([usize; 3], Values);
/// The result of a read meanwhile, for each name that could be read.
type Reads = BTreeMap<&'static str, Option<Vec<u8>>>;

/// The expected ends of a history.
struct Oracle {
    start: Values,
    stands: Vec<Observed>,
}

impl Oracle {
    /// Runs every order of the scripts' operations, each done whole.
    fn new(world: &World, scripts: &[Script]) -> Self {
        world.shared.back_to(&world.start);
        let start = world.values(&world.process(1));
        let mut stands: Vec<Observed> = Vec::new();
        let mut orders: Vec<Vec<usize>> = vec![Vec::new()];
        while let Some(order) = orders.pop() {
            world.shared.back_to(&world.start);
            let store = world.process(1);
            let mut counts = [0; 3];
            for process in &order {
                let _ = (scripts[*process][counts[*process]])(&store);
                counts[*process] += 1;
            }
            let values = world.values(&store);
            if !stands.contains(&(counts, values.clone())) {
                stands.push((counts, values));
            }
            for (process, script) in scripts.iter().enumerate() {
                if counts[process] < script.len() {
                    orders.push([&order[..], &[process]].concat());
                }
            }
        }
        Self { start, stands }
    }

    /// Asserts that the end is a possible one. In it, of each script at least `least` operations
    /// are done and at most one more, and every value in `seen` had been written.
    fn check(&self, values: &Values, least: [usize; 3], seen: &Reads, context: &str) {
        let allowed = |(counts, stand): &&Observed| {
            let enough = counts.iter().zip(least).all(|(count, least)| {
                // The operation after those that are done may be done too.
                *count >= least && *count <= least + 1
            });
            enough && stand == values && self.is_after(counts, seen)
        };
        if !self.stands.iter().any(|stand| allowed(&stand)) {
            let of = |bytes: &Vec<u8>| (bytes.first().map(|it| it & (TAGS - 1)), bytes.len());
            let ends: Vec<_> = values.iter().map(|(name, bytes)| (*name, of(bytes))).collect();
            let seen: Vec<_> = seen.iter().map(|(name, it)| (*name, it.as_ref().map(of))).collect();
            panic!("{context}: {ends:?} is no end where {least:?} are done and {seen:?} was seen");
        }
    }

    /// Returns whether each seen value was there at the start, or after no more operations than
    /// these.
    fn is_after(&self, counts: &[usize; 3], seen: &Reads) -> bool {
        seen.iter().all(|(name, value)| {
            self.stands.iter().any(|(others, stand)| {
                stand.get(name) == value.as_ref()
                    && others.iter().zip(counts).all(|(other, count)| other <= count)
            })
        })
    }
}

/// Runs a script to its end or to the death of its process; returns the number of operations done.
fn act(store: &Store<Mortal>, script: Script) -> (usize, bool) {
    let done = Cell::new(0);
    let lived = to_its_end(|| {
        for operation in script {
            match operation(store) {
                Ok(()) => done.set(done.get() + 1),
                // It met a lock of a process that cannot go on before it; or there is no free
                // space, since the other processes have it.
                Err(EngineError::Lock(_) | EngineError::Contended | EngineError::Full { .. }) => {
                    return;
                }
                Err(trouble) => panic!("{trouble:?}"),
            }
        }
    });
    (done.get(), lived.is_some())
}

/// Sets WAIT on all variables; returns the number of the ring's next entry, and their versions.
fn waiting(world: &World) -> (u64, Vec<(Handle, u64)>) {
    let handles = world.wait_for_all();
    let store = world.process(3);
    let version = |handle: &Handle| {
        let line = store.mem().words(handle.at, record::LINE).unwrap();
        State(line.load(record::STATE, Relaxed)).version()
    };
    let noted = store.changes_head().unwrap();
    (noted, handles.iter().map(|handle| (*handle, version(handle))).collect())
}

/// Runs the last process: it takes every lock, which replays unfinished work, writes each variable
/// again, and sweeps. Afterwards nothing is left behind, and no waiter sleeps.
fn finish(
    world: &World,
    oracle: &Oracle,
    least: [usize; 3],
    seen: &Reads,
    (noted, waited): &(u64, Vec<(Handle, u64)>),
    context: &str,
) {
    let store = world.process(1);
    drop(store.lock_transactions().unwrap());
    drop(store.lock_structure().unwrap());
    let values = world.values(&store);
    for (name, value) in &values {
        assert_whole(name, value, context);
    }
    oracle.check(&values, least, seen, context);
    // A removed variable that is set again keeps its record: it is no birth.
    let is_born = values.keys().any(|name| *name != "gone" && !oracle.start.contains_key(name));
    store.collect_all().unwrap();
    for (name, value) in &values {
        match put(&store, name, value) {
            Ok(()) | Err(EngineError::Full { .. }) => {}
            Err(trouble) => panic!("{context}: {trouble:?}"),
        }
    }
    for (handle, version) in waited {
        let line = store.mem().words(handle.at, record::LINE).unwrap();
        let now = State(line.load(record::STATE, Relaxed)).version();
        if line.load(record::ID, Relaxed) != handle.id || now != *version {
            assert!(world.shared.wakes(handle.wake()) > 0, "{context}: a waiter sleeps on");
            assert!(world.shared.wakes(live::CHANGES_WAKE) > 0, "{context}: a watch sleeps on");
            assert!(is_noted(&store, *noted, handle.at), "{context}: a watch is not told");
        }
    }
    if is_born {
        let births = world.shared.wakes(live::BIRTHS_WAKE);
        assert!(births > 0, "{context}: a process that waits for a birth sleeps on");
    }
    world.check(&store, context);
}

/// A process dies at each step of its script, its successor at each step of its own; a third
/// process finishes.
fn succession(world: &World, context: &str, one: Script, two: Script) {
    let oracle = Oracle::new(world, &[one, two]);
    let mut first = 0;
    loop {
        let mut second = 0;
        let mut lived;
        loop {
            let context = format!("{context}: deaths at steps {first} and {second}");
            world.shared.back_to(&world.start);
            let waited = waiting(world);
            let (dying, successor) = (world.process(1), world.process(2));
            dying.mem().dies_at(first);
            let (one_done, one_lived) = act(&dying, one);
            successor.mem().dies_at(second);
            let (two_done, two_lived) = act(&successor, two);
            finish(world, &oracle, [one_done, two_done, 0], &Reads::new(), &waited, &context);
            lived = one_lived;
            if two_lived {
                break;
            }
            second = after_step(second);
        }
        if lived {
            break;
        }
        first = after_step(first);
    }
    assert!(first > 2, "{context}: {first}");
}

/// The results of the other processes in a meeting.
#[derive(Default)]
struct Others {
    two: (usize, bool),
    three: usize,
    seen: Reads,
}

/// Three processes that meet.
struct Meeting<'a> {
    world: &'a World,
    context: &'a str,
    oracle: Oracle,
    scripts: [Script; 3],
}

impl Meeting<'_> {
    /// The first process stops before step `stop`. The second one dies at step `second`, and the
    /// third one does all of its work. Then the first one continues, and dies at step `death`.
    /// Returns whether the first and the second process lived; `None` if the first one was done
    /// before its stop.
    fn run(&self, stop: u64, second: u64, death: Option<u64>) -> Option<(bool, bool)> {
        let context =
            format!("{}: stop before {stop}, deaths at {second}, {death:?}", self.context);
        let [one, two, three] = self.scripts;
        self.world.shared.back_to(&self.world.start);
        let waited = waiting(self.world);
        let [store, dying, third] = [1, 2, 4].map(|seat| self.world.process(seat));
        dying.mem().dies_at(second);
        let others = Arc::new(Mutex::new(Others::default()));
        let reported = Arc::clone(&others);
        store.mem().before_step(stop, false, move || {
            let two = act(&dying, two);
            let (three, _) = act(&third, three);
            let seen = read_all(&third);
            *reported.lock().unwrap() = Others { two, three, seen };
        });
        if let Some(death) = death {
            store.mem().dies_at(death);
        }
        let (one_done, one_lived) = act(&store, one);
        if !store.mem().others_are_done() {
            return None;
        }
        let others = std::mem::take(&mut *others.lock().unwrap());
        let least = [one_done, others.two.0, others.three];
        finish(self.world, &self.oracle, least, &others.seen, &waited, &context);
        Some((one_lived, others.two.1))
    }
}

/// A process stops before each step, and then continues to its end or dies. Meanwhile a second
/// process dies at each step of its script, or at every `pace`th, and a third one does all of its
/// own.
fn meeting(world: &World, pace: u64, context: &str, scripts: [Script; 3]) {
    let meeting = Meeting { world, context, oracle: Oracle::new(world, &scripts), scripts };
    for stop in 0.. {
        let mut second = stop % pace;
        loop {
            let Some((_, two_lived)) = meeting.run(stop, second, None) else {
                assert!(stop > 2, "{context}: {stop}");
                return;
            };
            let mut death = stop + (stop + second) % EVERY;
            while let Some((false, _)) = meeting.run(stop, second, Some(death))
                && pace == SMALL
            {
                death += EVERY;
            }
            if two_lived {
                break;
            }
            second = after_step(second) + pace - 1;
        }
    }
}

/// A process reads `name`, and stops before each of its loads. Meanwhile a second process dies at
/// each step of its script, and a third one does all of its own.
fn reading(world: &World, context: &str, name: &'static str, two: Script, three: Script) {
    let oracle = Oracle::new(world, &[&[], two, three]);
    let loads = loads(world, name);
    let near_an_end = |stop: &u64| *stop < NEAR || *stop + NEAR >= loads;
    for stop in (0..loads).filter(|stop| near_an_end(stop) || stop.is_multiple_of(AMID)) {
        let mut second = 0;
        loop {
            let context = format!("{context}: stop before load {stop}, death at {second}");
            world.shared.back_to(&world.start);
            let waited = waiting(world);
            let [reader, dying, third] = [1, 2, 4].map(|seat| world.process(seat));
            dying.mem().dies_at(second);
            let others = Arc::new(Mutex::new(Others::default()));
            let reported = Arc::clone(&others);
            reader.mem().before_step(stop, true, move || {
                let two = act(&dying, two);
                let (three, _) = act(&third, three);
                *reported.lock().unwrap() = Others { two, three, seen: Reads::new() };
            });
            let read = try_read(&reader, name).unwrap();
            assert!(reader.mem().others_are_done(), "{context}: nobody met the read");
            drop(reader);
            let others = std::mem::take(&mut *others.lock().unwrap());
            if let Some(bytes) = &read {
                assert_whole(name, bytes, &context);
            }
            let seen = Reads::from([(name, read)]);
            finish(world, &oracle, [0, others.two.0, others.three], &seen, &waited, &context);
            if others.two.1 {
                break;
            }
            second = after_step(second);
        }
    }
}

/// Returns the number of loads and steps of an undisturbed read of `name`.
fn loads(world: &World, name: &str) -> u64 {
    let is_within = |stop| {
        world.shared.back_to(&world.start);
        let reader = world.process(1);
        reader.mem().before_step(stop, true, || {});
        try_read(&reader, name).unwrap();
        reader.mem().others_are_done()
    };
    let beyond = (0..32).find(|power| !is_within(1 << power)).unwrap();
    let (mut within, mut beyond) = (0, 1_u64 << beyond);
    while beyond - within > 1 {
        let middle = within + (beyond - within) / 2;
        if is_within(middle) { within = middle } else { beyond = middle }
    }
    beyond
}

fn both(store: &Store<Mortal>, round: u8) -> Result<(), EngineError> {
    transact(store, ["left", "right"], round)
}

fn chunkful(store: &Store<Mortal>, name: &str, round: u8) -> Result<(), EngineError> {
    set_large(store, name, round, CHUNKFUL)
}

fn run(store: &Store<Mortal>, name: &str, round: u8) -> Result<(), EngineError> {
    set_large(store, name, round, RUN)
}

fn grow(store: &Store<Mortal>) -> Result<(), EngineError> {
    let seen = store.chunk_count()?;
    store.grow(CHUNK, seen).map(|_| ())
}

const NOBODY: Script = &[];

#[test]
fn i5_a_writer_and_its_successor_die() {
    let world = small();
    let set_left: Script = &[|s| set(s, "left", 2)];
    let remove_left: Script = &[|s| remove(s, "left")];
    succession(&world, "set, set", set_left, &[|s| set(s, "left", 3)]);
    succession(&world, "set, remove", set_left, remove_left);
    succession(&world, "set, transaction", set_left, &[|s| both(s, 3)]);
    succession(&world, "set, snapshot", set_left, &[|s| s.lock_transactions().map(drop)]);
    succession(&world, "remove, set", remove_left, &[|s| set(s, "left", 3)]);
    succession(&world, "remove, remove", remove_left, &[|s| remove(s, "right")]);
    succession(&world, "remove, insert", remove_left, &[|s| set(s, "new", 3)]);
    succession(&world, "remove, transaction", remove_left, &[|s| both(s, 3)]);
    succession(&world, "remove, sweep", remove_left, &[|s| s.collect_all().map(|_| ()), sweep]);
}

#[test]
fn i5_an_inserter_and_its_successor_die() {
    let world = small();
    let insert: Script = &[|s| set(s, "new", 2)];
    let insert_long: Script = &[|s| set(s, LONG, 2)];
    succession(&world, "insert, insert", insert, &[|s| set(s, "new", 3)]);
    succession(&world, "insert, of another name", insert, &[|s| set(s, LONG, 3)]);
    succession(&world, "insert of a long name", insert_long, &[|s| set(s, "other", 3)]);
    succession(&world, "insert of a long name, again", insert_long, &[|s| set(s, LONG, 3)]);
    succession(&world, "insert, remove", insert, &[|s| remove(s, "new")]);
    succession(&world, "insert, rebuild", insert, &[rebuild]);
    let transaction: Script = &[|s| transact(s, ["new", "left"], 3)];
    succession(&world, "insert, transaction", insert, transaction);
    succession(&world, "transaction that inserts, insert", transaction, insert);
}

#[test]
fn i5_a_rebuilder_and_its_successor_die() {
    let world = small();
    succession(&world, "rebuild, rebuild", &[rebuild], &[rebuild]);
    succession(&world, "rebuild, insert", &[rebuild], &[|s| set(s, "new", 3)]);
    succession(&world, "rebuild twice, remove", &[rebuild, rebuild], &[|s| remove(s, "left")]);
    let collect_and_rebuild: Script = &[|s| collect(s, "gone"), rebuild];
    succession(
        &world,
        "collect and rebuild, revive",
        collect_and_rebuild,
        &[|s| set(s, "gone", 3)],
    );
}

#[test]
fn i5_a_transaction_and_its_successor_die() {
    let world = small();
    let transaction: Script = &[|s| both(s, 2)];
    succession(&world, "transaction, transaction", transaction, &[|s| both(s, 3)]);
    succession(&world, "transaction, set", transaction, &[|s| set(s, "right", 3)]);
    succession(&world, "transaction, remove", transaction, &[|s| remove(s, "left")]);
    succession(&world, "transaction, insert", transaction, &[|s| set(s, "new", 3)]);
    succession(&world, "transaction, snapshot", transaction, &[snapshot]);
    succession(&world, "snapshot, transaction", &[snapshot], transaction);
    let revive: Script = &[|s| transact(s, ["gone", "right"], 2)];
    succession(&world, "transaction that revives, collect", revive, &[|s| collect(s, "gone")]);
}

#[test]
fn i5_a_large_writer_and_its_successor_die() {
    let chunks = large(CHUNKFUL, 3);
    succession(
        &chunks,
        "large, large",
        &[|s| chunkful(s, "left", 2)],
        &[|s| chunkful(s, "left", 3)],
    );
    succession(
        &chunks,
        "in place, in place",
        &[|s| chunkful(s, "left", 2), |s| chunkful(s, "left", 3)],
        &[|s| chunkful(s, "left", 4)],
    );
    succession(&chunks, "large, remove", &[|s| chunkful(s, "left", 2)], &[|s| remove(s, "left")]);
    succession(&chunks, "remove, large", &[|s| remove(s, "left")], &[|s| chunkful(s, "new", 3)]);
    succession(&chunks, "large, sweep", &[|s| chunkful(s, "left", 2)], &[sweep]);
    succession(&chunks, "sweep, sweep", &[|s| chunkful(s, "left", 2), sweep], &[sweep]);
    let transaction: Script = &[|s| transact_large(s, ["left", "right"], 2)];
    succession(&chunks, "large transaction, sweep", transaction, &[sweep]);
    succession(&chunks, "large transaction, large", transaction, &[|s| chunkful(s, "right", 3)]);
    let runs = large(RUN, 3);
    succession(&runs, "run, run", &[|s| run(s, "left", 2)], &[|s| run(s, "left", 3)]);
    succession(&runs, "run, remove", &[|s| run(s, "left", 2)], &[|s| remove(s, "left")]);
    succession(&runs, "run, sweep", &[|s| run(s, "new", 2)], &[sweep]);
    succession(&runs, "remove, run", &[|s| remove(s, "left")], &[|s| run(s, "new", 3)]);
    succession(
        &runs,
        "small, sweep, run",
        &[|s| set(s, "left", 2), sweep],
        &[|s| run(s, "new", 3)],
    );
}

#[test]
fn i4_a_run_freed_by_halves_takes_nothing_from_who_came_meanwhile() {
    let small_and_sweep: Script = &[|s| set(s, "left", 2), sweep];
    let world = large(LONG_RUN, 0);
    succession(&world, "small, sweep, run", small_and_sweep, &[|s| run(s, "new", 3)]);
    succession(&world, "remove, run", &[|s| remove(s, "left")], &[|s| run(s, "new", 3)]);
    meeting(&world, LARGE, "small, sweep, run", [small_and_sweep, NOBODY, &[|s| run(s, "new", 3)]]);
}

#[test]
fn i5_a_grower_and_its_successor_die() {
    let world = full();
    succession(&world, "growth, growth", &[|s| chunkful(s, "new", 2)], &[|s| run(s, "other", 3)]);
    succession(&world, "growth, set", &[grow], &[|s| chunkful(s, "new", 3)]);
    succession(&world, "growth alone", &[grow], &[grow]);
}

#[test]
fn i5_records_of_others_beside_the_dying() {
    let world = small();
    let m = |context, one: Script, two: Script, three: Script| {
        meeting(&world, SMALL, context, [one, two, three]);
    };
    m(
        "set, remove, set",
        &[|s| set(s, "left", 2)],
        &[|s| remove(s, "left")],
        &[|s| set(s, "left", 3)],
    );
    m("two inserts of a name", &[|s| set(s, "new", 2)], &[|s| set(s, "new", 3)], NOBODY);
    m(
        "inserts of two names, removed, inserted again",
        &[|s| set(s, "new", 2), |s| remove(s, "new")],
        &[|s| set(s, "other", 3), |s| set(s, "new", 4)],
        NOBODY,
    );
    m("collect, revive", &[|s| collect(s, "gone")], &[|s| set(s, "gone", 2)], NOBODY);
    m("revive, collect", &[|s| set(s, "gone", 2)], &[|s| collect(s, "gone")], NOBODY);
    m(
        "remove and collect, two sets, collect",
        &[|s| remove(s, "left")],
        &[|s| set(s, "left", 2), |s| set(s, "left", 3)],
        &[|s| collect(s, "left")],
    );
    m(
        "remove and collect, two set",
        &[|s| remove(s, "left")],
        &[|s| set(s, "left", 3)],
        &[|s| set(s, "left", 5)],
    );
    m(
        "set by an old handle, collect and use again",
        &[|s| set(s, "gone", 2)],
        &[|s| collect(s, "gone"), |s| set(s, "new", 5)],
        NOBODY,
    );
    m(
        "collect and use again, set by an old handle",
        &[|s| collect(s, "gone"), |s| set(s, "new", 5)],
        &[|s| set(s, "gone", 2)],
        NOBODY,
    );
}

#[test]
fn i5_indexes_beside_the_dying() {
    let world = small();
    let m = |context, one: Script, two: Script, three: Script| {
        meeting(&world, SMALL, context, [one, two, three]);
    };
    m("rebuild, insert", &[rebuild], &[|s| set(s, "new", 2)], NOBODY);
    m("insert, rebuild", &[|s| set(s, "new", 2)], &[rebuild], NOBODY);
    m("rebuild twice, rebuild", &[rebuild, rebuild], &[rebuild], NOBODY);
    m(
        "collect and rebuild, insert",
        &[|s| collect(s, "gone"), rebuild],
        &[|s| set(s, "new", 2)],
        NOBODY,
    );
}

#[test]
fn i3_a_read_beside_the_dying_is_whole() {
    let world = small();
    let r = |context, name, two: Script, three: Script| reading(&world, context, name, two, three);
    r("two inserts of a name", "new", &[|s| set(s, "new", 2)], &[|s| set(s, "new", 3)]);
    r("collect, revive", "gone", &[|s| collect(s, "gone")], &[|s| set(s, "gone", 2)]);
    r("collect and use again", "new", &[|s| collect(s, "gone"), |s| set(s, "new", 5)], NOBODY);
    r("rebuild, insert", "right", &[rebuild], &[|s| set(s, "new", 2)]);
    r("rebuild, rebuild", "right", &[rebuild, rebuild], &[rebuild]);
    r("collect and rebuild", "right", &[|s| collect(s, "gone"), rebuild], NOBODY);
    r("transaction that inserts", "new", &[|s| transact(s, ["new", "other"], 2)], NOBODY);
    r(
        "sets of all slots",
        "left",
        &[
            |s| set(s, "left", 2),
            |s| set(s, "left", 3),
            |s| set(s, "left", 4),
            |s| set(s, "left", 5),
        ],
        NOBODY,
    );
}

#[test]
fn i5_transactions_beside_the_dying() {
    let world = small();
    let m = |context, one: Script, two: Script, three: Script| {
        meeting(&world, SMALL, context, [one, two, three]);
    };
    let transaction: Script = &[|s| both(s, 2)];
    m(
        "transaction, set, transaction",
        transaction,
        &[|s| set(s, "left", 3)],
        &[|s| transact(s, ["right", "left"], 4)],
    );
    m(
        "set and transaction, two set",
        &[|s| set(s, "left", 4), |s| both(s, 2)],
        &[|s| set(s, "left", 3)],
        &[|s| set(s, "left", 5)],
    );
    m("transaction, transaction, snapshot", transaction, &[|s| both(s, 3)], &[snapshot]);
    m("snapshot, transaction, transaction", &[snapshot], &[|s| both(s, 2)], &[|s| both(s, 3)]);
    m("transaction, snapshot, transaction", transaction, &[snapshot], &[|s| both(s, 3)]);
    m("transaction, rebuild and insert", transaction, &[rebuild, |s| set(s, "new", 2)], NOBODY);
}

#[test]
fn i5_transactions_beside_the_dying_of_what_comes_and_goes() {
    let world = small();
    let m = |context, one: Script, two: Script, three: Script| {
        meeting(&world, SMALL, context, [one, two, three]);
    };
    let revive: Script = &[|s| transact(s, ["gone", "right"], 2)];
    let use_again: Script = &[|s| collect(s, "gone"), |s| set(s, "new", 5)];
    m("transaction, collect, set", revive, &[|s| collect(s, "gone")], &[|s| set(s, "gone", 3)]);
    m("transaction, collect and use again", revive, use_again, NOBODY);
    m("collect and use again, transaction", use_again, revive, NOBODY);
    m(
        "transaction that inserts, collect and use again",
        &[|s| transact(s, ["new", "right"], 2)],
        &[|s| collect(s, "new"), |s| set(s, "other", 5)],
        NOBODY,
    );
    m(
        "transaction that inserts two, insert",
        &[|s| transact(s, ["new", "other"], 2)],
        &[|s| set(s, "new", 3)],
        NOBODY,
    );
    m(
        "transaction and set, collect and insert, rebuild",
        &[|s| transact(s, ["gone", "right"], 2), |s| set(s, "gone", 3)],
        use_again,
        &[rebuild],
    );
    m(
        "snapshot, remove and use again",
        &[snapshot],
        &[|s| remove(s, "left"), |s| set(s, "new", 5)],
        NOBODY,
    );
}

#[test]
fn i4_large_values_beside_the_dying() {
    let two: Script = &[|s| chunkful(s, "left", 2)];
    let three: Script = &[|s| chunkful(s, "left", 3)];
    for free in [1, 2] {
        let world = large(CHUNKFUL, free);
        let m = |context, one: Script, two: Script, three: Script| {
            meeting(&world, LARGE, context, [one, two, three]);
        };
        m("two set", two, three, NOBODY);
        m("set, sweep, small set", two, &[sweep], &[|s| set(s, "left", 3)]);
        m("sweep, set, small set", &[sweep], two, &[|s| set(s, "left", 3)]);
        m("two set two names", two, &[|s| chunkful(s, "right", 3)], NOBODY);
        m(
            "remove, set of another",
            &[|s| remove(s, "left")],
            &[|s| chunkful(s, "right", 3)],
            NOBODY,
        );
        m("remove, set", &[|s| remove(s, "left")], two, &[|s| chunkful(s, "right", 3)]);
        m(
            "two inserts of a name",
            &[|s| chunkful(s, "new", 2)],
            &[|s| chunkful(s, "new", 3)],
            NOBODY,
        );
        m(
            "sets in place, sweep, another's",
            &[|s| chunkful(s, "left", 2), |s| chunkful(s, "left", 3)],
            &[sweep],
            &[|s| chunkful(s, "new", 4)],
        );
    }
}

#[test]
fn i4_runs_beside_the_dying() {
    let world = large(RUN, 1);
    let m = |context, one: Script, two: Script, three: Script| {
        meeting(&world, LARGE, context, [one, two, three]);
    };
    let small_sets: Script = &[|s| set(s, "left", 2), |s| set(s, "left", 3)];
    m("small sets, another's run", small_sets, &[|s| run(s, "new", 4)], NOBODY);
    m("small sets, another takes one", small_sets, &[|s| chunkful(s, "new", 4)], &[sweep]);
    m("another's run, small sets", &[|s| run(s, "new", 4)], small_sets, &[sweep]);
    m(
        "small set and sweep, two take one",
        &[|s| set(s, "left", 2), sweep],
        &[|s| chunkful(s, "new", 3)],
        &[|s| chunkful(s, "other", 4)],
    );
    let world = large(RUN, 2);
    let m = |context, one: Script, two: Script, three: Script| {
        meeting(&world, LARGE, context, [one, two, three]);
    };
    m("insert, sweep", &[|s| run(s, "new", 2)], &[sweep, sweep], NOBODY);
    m("insert, sweep, insert", &[|s| run(s, "new", 2)], &[sweep], &[|s| chunkful(s, "other", 3)]);
    m("sweep, insert", &[sweep, sweep], &[|s| run(s, "new", 2)], NOBODY);
}

#[test]
fn i4_large_transactions_beside_the_dying() {
    let world = large(CHUNKFUL, 3);
    let m = |context, one: Script, two: Script, three: Script| {
        meeting(&world, LARGE, context, [one, two, three]);
    };
    let transaction: Script = &[|s| transact_large(s, ["left", "right"], 2)];
    m("transaction, sweep", transaction, &[sweep, sweep], NOBODY);
    m("sweep, transaction", &[sweep, sweep], transaction, NOBODY);
    m("transaction, set", transaction, &[|s| chunkful(s, "right", 3)], NOBODY);
    m("set, transaction", &[|s| chunkful(s, "left", 3)], transaction, NOBODY);
    m(
        "transaction, remove and use again",
        transaction,
        &[|s| remove(s, "left"), |s| chunkful(s, "new", 4)],
        NOBODY,
    );
    m("transaction, sweep, set", transaction, &[sweep], &[|s| set(s, "left", 3)]);
}

#[test]
fn i3_a_large_read_beside_the_dying_is_whole() {
    let world = large(CHUNKFUL, 3);
    let four: Script = &[
        |s| chunkful(s, "left", 2),
        |s| chunkful(s, "left", 3),
        |s| chunkful(s, "left", 4),
        |s| chunkful(s, "left", 5),
    ];
    reading(&world, "sets in place", "left", four, NOBODY);
    reading(
        &world,
        "set, sweep, another's",
        "left",
        &[|s| chunkful(s, "left", 2), sweep],
        &[|s| chunkful(s, "new", 4)],
    );
    let world = large(RUN, 3);
    let runs: Script = &[
        |s| run(s, "left", 2),
        |s| run(s, "left", 3),
        |s| run(s, "left", 4),
        |s| run(s, "left", 5),
    ];
    reading(&world, "sets of two chunks", "left", runs, NOBODY);
    reading(
        &world,
        "small sets, another's run",
        "left",
        &[|s| set(s, "left", 2), |s| set(s, "left", 3)],
        &[|s| run(s, "new", 4)],
    );
}

/// A reader has a value pinned, or died with the pin, while a writer goes through all slots and
/// dies.
#[test]
fn i3_what_is_pinned_is_not_written_in_place() {
    let mut world = World::new(8, 8, |s| (1..6).try_for_each(|round| chunkful(s, "left", round)));
    world.names = ALL;
    let sets: Script =
        &[|s| chunkful(s, "left", 6), |s| chunkful(s, "left", 7), |s| chunkful(s, "left", 8)];
    let oracle = Oracle::new(&world, &[NOBODY, sets]);
    for reader_dies in [false, true] {
        for step in 0.. {
            let context = format!("the reader dies: {reader_dies}, the writer at step {step}");
            world.shared.back_to(&world.start);
            let waited = waiting(&world);
            let (reader, writer) = (world.process(1), world.process(2));
            let expected = read_value(&reader, "left").unwrap();
            let handle = found(&reader, "left");
            reader.lock_record(handle).unwrap();
            let pinned = reader.pin(handle).unwrap().unwrap();
            reader.mem().unlock(handle.lock());
            if reader_dies {
                reader.mem().dies_at(0);
                assert!(to_its_end(|| drop(reader.lock_structure())).is_none());
            }
            writer.mem().dies_at(step);
            let (done, lived) = act(&writer, sets);
            if !reader_dies {
                let seen = reader.take_pinned(&pinned, |view| view.capture().unwrap().data);
                let Seen::Value(Data::Bytes(bytes), _) = seen.unwrap() else { panic!("{context}") };
                assert!(bytes == expected, "{context}: a pinned extent was used again");
            }
            finish(&world, &oracle, [0, done, 0], &Reads::new(), &waited, &context);
            if lived {
                break;
            }
        }
    }
}

#[test]
fn i5_growth_beside_the_dying() {
    let world = full();
    let m = |context, one: Script, two: Script, three: Script| {
        meeting(&world, LARGE, context, [one, two, three]);
    };
    m("two set", &[|s| chunkful(s, "new", 2)], &[|s| run(s, "other", 3)], NOBODY);
    m("two grow, one sets", &[grow], &[grow], &[|s| run(s, "new", 3)]);
    m("one sets, two grow", &[|s| run(s, "new", 3)], &[grow], &[grow]);
}
