//! Every operation of the engine, on a region with words that the engine must not trust.
//!
//! An [`Adversary`] forges the value of each load anew. An engine that loads a word twice and
//! trusts both values fails at once. An engine that follows forged values without a bound runs out
//! of loads.
//!
//! The tests of this crate make a few thousand such calls. `harness/fuzz` makes millions, and also
//! tries forged bytes and failing platforms. Static forged bytes: mapvar's
//! `tests/files/hostile.rs`; a map in use: mapvar's `tests/invariants`.

use mapvar_engine::{
    commit::TxEntry,
    durable::checksum::check,
    error::EngineError,
    handle::Handle,
    header::{
        Facts, HeaderError, Identity, chunk_crc, examine, format, header_crc, meta_crc,
        region_bytes, table_chunks,
    },
    index::Query,
    inspect::{IsMessagePack, findings::Check, open::store_over},
    layout::{self, CHUNK, Meta, chunk, header, identity, kind, record, slot, superblock},
    mem::{
        Load, Mem,
        Ordering::{Acquire, Relaxed, SeqCst},
        StoreWords,
    },
    record::read::Seen,
    store::Store,
    value::{Data, Kind, OwnedValue, Raw},
    variable::insert::Inserted,
    version::Expect,
};

pub use crate::adversary::{Adversary, Call, Image, Lies, LockState, MOST_LOADS};

/// The decoder of the library above: the engine itself knows no MessagePack.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    /// Returns whether bytes are MessagePack.
    pub is_message_pack: IsMessagePack,
    /// Decodes a value; returns whether that succeeded.
    pub decode: fn(OwnedValue) -> bool,
}

impl Decoder {
    /// Accepts every value.
    pub const NONE: Self = Self { is_message_pack: |_| true, decode: |_| true };
}

/// Returns the header facts of a map for `size` bytes of values that may grow to `max_size`; 0 = as
/// far as the memory allows.
pub fn facts(size: u64, max_size: u64, file: bool) -> Facts {
    Facts {
        uuid: [11, 12],
        seed: 13,
        size,
        region: region_bytes(size).unwrap(),
        max_size,
        file,
        created: 0,
        creator: 0,
    }
}

/// Formats zeroed memory as an empty map.
pub fn formatted<M: Mem>(mem: M, facts: &Facts) -> Store<M> {
    for chunk in table_chunks(0, facts.region / CHUNK) {
        let word = mem.words_mut(layout::table_word(chunk), 1).unwrap();
        word.store(0, kind::TABLE, Relaxed);
    }
    let meta = (layout::META_CHUNKS * CHUNK / 8) as usize;
    format(mem.words_mut(0, meta).unwrap(), facts);
    Store::new(mem, facts).unwrap()
}

/// The number of variables that [`populated`] creates.
pub const NAMES: usize = 12;

/// Returns the name of variable `number`: one to 900 bytes.
pub fn name(number: usize) -> Vec<u8> {
    vec![b'a' + (number % 26) as u8; [1, 8, 33, 200, 900][number % 5]]
}

/// Returns a value of three to 9,000 bytes.
pub fn value(number: usize) -> Vec<u8> {
    vec![number as u8; [3, 60, 300, 1_000, 1_500, 9_000][number % 6]]
}

/// Creates an honest map with variables of every size, some removed, some flushed; returns handles
/// to them.
pub fn populated(size: u64, file: bool, spare: u64) -> (Store<Adversary>, Vec<Handle>) {
    let facts = facts(size, 0, file);
    let store = formatted(Adversary::new(facts.region, spare), &facts);
    let mut handles = Vec::new();
    for number in 0..NAMES {
        let (name, value) = (name(number), value(number));
        if number % 4 == 3 {
            let raw = Raw::word(Kind::I64, number as u64);
            store.insert(store.query(&name), &raw, true).unwrap();
        } else {
            store.set(store.query(&name), &Raw::bytes(Kind::Bytes, 0, &value)).unwrap();
        }
        handles.extend(store.find(store.query(&name)).unwrap());
        if number == 6 {
            store.flush().unwrap();
        }
    }
    assert!(store.remove(store.query(&name(1))).unwrap());
    (store, handles)
}

/// The number of operations: [`operate`] runs the one of a number below it.
pub const OPERATIONS: u64 = 30;

/// Returns the name of an operation of [`operate`].
pub const fn operation_name(which: u64) -> &'static str {
    match which {
        0 => "find",
        1 | 2 => "set",
        3 => "set if",
        4 => "insert and revive",
        5 => "atomics",
        6 | 7 => "read",
        8 => "write",
        9 => "remove",
        10 => "remove a record",
        11 | 12 => "walk",
        13 => "collect",
        14 => "sweep",
        15 => "flush",
        16 => "recover",
        17 => "quiesce",
        18 => "parts",
        19 => "grow",
        20 => "space",
        21 | 22 => "transact",
        23 => "snapshot",
        24 => "rebuild",
        25 => "open",
        26 => "check",
        27 => "wait",
        28 => "ephemeral",
        _ => "salvage",
    }
}

/// Runs one operation and ignores its result.
pub fn operate<M: Mem>(
    store: &mut Store<M>,
    handles: &[Handle],
    which: u64,
    number: usize,
    decoder: Decoder,
) {
    let (name, bytes) = (name(number % NAMES), value(number / 2));
    let raw = Raw::bytes(Kind::Bytes, 0, &bytes);
    let handle = handles[number % handles.len()];
    match which {
        0 => drop(store.find(store.query(&name))),
        1 | 2 => drop(store.set(store.query(&name), &raw)),
        3 => drop(store.set_if(store.query(&name), &raw, Some((handle.id, 2)))),
        4 => {
            let inserted = store.insert(store.query(b"new"), &raw, false);
            if let Ok(Inserted::New(handle) | Inserted::Found(handle)) = inserted {
                drop(store.revive(handle, &raw, false));
            }
        }
        5 => {
            let word = Raw::word(Kind::I64, 5);
            if let Ok(Inserted::New(handle)) = store.insert(store.query(b"count"), &word, true) {
                let _ = store.atomic(handle, |words| words.fetch_add(record::VALUE, 1, SeqCst));
                let _ = (store.atomic_load(handle), store.atomic_kind(handle));
                drop(store.revive_atomic(handle, &word));
            }
        }
        6 | 7 => {
            let captured = store.read(handle, |view| view.capture());
            if let Ok(Seen::Value(Ok(captured), _)) = captured {
                let _ = (decoder.decode)(captured);
            }
            let mut into = [0; 2_000];
            let _ = (store.try_read_fast(handle), store.try_read_fast_into(handle, &mut into));
            let _ = store.read(handle, |view| view.copy_to(&mut into));
            let _ = store.atomic_load(handle);
        }
        8 => {
            let _ = (store.try_write_fast(handle, &raw, false), store.write(handle, &raw));
            let _ = store.write_if(handle, &raw, Expect::Version(2));
        }
        9 => drop(store.remove(store.query(&name))),
        10 => drop(store.remove_record(handle)),
        11 | 12 => read_all(store, decoder),
        13 => {
            let _ = (store.collect_all().map(drop), store.collect(handle));
        }
        14 => drop(store.sweep()),
        15 => drop(store.flush()),
        16 => drop(store.recover(store.mem().limit())),
        17 => drop(store.quiesce()),
        18 => {
            for number in 0..4 {
                drop(store.held(handle, number, decoder.is_message_pack));
            }
            let chunk = handle.at / CHUNK;
            let _ = (store.chunk_says(chunk), store.place(handle.at, number % 4));
            let _ = (store.block_of(handle.at), store.is_headed(number as u64 * 64, handle));
        }
        19 => drop(store.chunk_count().and_then(|seen| store.grow(CHUNK, seen))),
        20 => drop((store.space(), store.is_dirty())),
        21 | 22 => {
            let mut changes: Vec<_> = handles
                .iter()
                .take(4)
                // A value that does not fit its record would need an extent, which is filled
                // beforehand.
                .filter(|handle| !handle.atomic && raw.inline_len() <= handle.room())
                .map(|handle| TxEntry { handle: *handle, expect: Expect::Any, raw: Some(raw) })
                .collect();
            let _ = store.transact(&mut changes);
        }
        23 => {
            let handles: Vec<_> =
                handles.iter().copied().filter(|handle| !handle.atomic).take(4).collect();
            let _ = (store.transactions_seen(), store.births());
            // A snapshot reads so if others write all the time.
            let _ = store.with_all_marked(&handles, || {
                for handle in &handles {
                    let _ = store.read_at_once(*handle, |view| view.capture())?;
                }
                store.births()
            });
        }
        24 => drop(store.rebuild()),
        25 => {
            // Opening a map: its header, and the identity of its locks.
            if let Some(words) = store.mem().words(header::AT, header::WORDS) {
                let _ = examine(words, store.mem().size());
            }
            if let Some(words) = store.mem().words(identity::AT, identity::WORDS) {
                let _ = Identity::read(words);
            }
        }
        26 => drop(one_look(store, number.is_multiple_of(2), decoder)),
        27 => {
            // A watch does so, of a variable and of a removed one.
            for handle in handles {
                if let Ok(Some(stand)) = store.observed(*handle) {
                    let _ = (store.is_unchanged(*handle, stand), store.arm(*handle, stand));
                    let _ = store.sleep_once(*handle, stand, std::time::Duration::ZERO);
                }
                let _ = store.follow(*handle);
            }
        }
        28 => ephemeral(store, handles, &name, &raw, number),
        _ => drop(salvaged(store, store.mem().size(), decoder)),
    }
}

/// Sets and reads variables whose owner process lives, or never existed.
fn ephemeral<M: Mem>(
    store: &Store<M>,
    handles: &[Handle],
    name: &[u8],
    raw: &Raw<'_>,
    number: usize,
) {
    let own = store.mem().seat().unwrap_or(1);
    let owner = if number.is_multiple_of(2) { own } else { number as u64 };
    drop(store.set(store.query(name), &raw.owned_by(owner)));
    for handle in handles {
        let _ = (store.is_ephemeral(*handle), store.owner(*handle));
        let _ = (store.read(*handle, |view| view.copy_to(&mut [0; 64])), store.follow(*handle));
    }
    drop(store.remove(store.query(name)));
}

/// Reads every variable, by its name and by its record.
pub fn read_all<M: Mem>(store: &Store<M>, decoder: Decoder) {
    let _ = store.each_record(|handle| {
        if let Some(name) = store.name_of(handle.at) {
            let _ = store.find(store.query(&name));
        }
        let captured = store.read(handle, |view| view.capture());
        if let Ok(Seen::Value(Ok(captured), _)) = captured {
            let _ = (decoder.decode)(captured);
        }
        true
    });
}

/// Runs one pass of `Map::check`.
pub fn one_look<M: Mem>(store: &Store<M>, sound: bool, decoder: Decoder) -> Check {
    store.check_once(sound, decoder.is_message_pack)
}

/// Returns how many variables `MapOptions::salvage` would save.
pub fn salvaged<M: Mem>(store: &Store<M>, bytes: u64, decoder: Decoder) -> usize {
    let mut lost = Vec::new();
    let found = store.survivors(bytes.div_ceil(CHUNK), &mut lost);
    let newest = |handle: &Handle| store.newest_whole(*handle, decoder.is_message_pack).0;
    let saved = found.iter().filter_map(|(_, handle)| newest(handle));
    saved.filter(|captured| (decoder.decode)(captured.clone())).count()
}

/// Opens a region of `bytes` bytes as a map is opened, up to the point where locks are taken.
pub fn opened<M: Mem>(mem: M, bytes: u64) -> Result<Option<Store<M>>, HeaderError> {
    let Some(words) = mem.words(header::AT, header::WORDS) else {
        return Err(HeaderError::NotAMap);
    };
    let facts = examine(words, bytes)?;
    Ok(Store::new(mem, &facts).ok())
}

/// Opens it as `MapOptions::check` and `MapOptions::salvage` do, also with an invalid header.
/// Returns `None` if nothing of a map is left, and whether the header is valid.
pub fn looked_at<M: Mem>(mem: M, bytes: u64) -> Option<(Store<M>, bool)> {
    let found = store_over(mem, bytes, false);
    found.ok().map(|(store, flaw)| (store, flaw.is_none()))
}

/// A variable as a harness sees it: the number of its kind, and its bytes.
pub type Plain = (u8, Vec<u8>);

/// Returns all variables in record order; fails if one cannot be read.
pub fn content<M: Mem>(store: &Store<M>) -> Result<Vec<(Vec<u8>, Plain)>, EngineError> {
    let mut content = Vec::new();
    let mut failed = None;
    store.each_record(|handle| {
        let name = store.name_of(handle.at).unwrap_or_default();
        match plain(store, handle) {
            Ok(Some(plain)) => content.push((name, plain)),
            Ok(None) => {}
            Err(trouble) => failed = Some(trouble),
        }
        failed.is_none()
    })?;
    failed.map_or(Ok(content), Err)
}

/// Returns the value of a variable; `None` if it no longer exists.
pub fn plain<M: Mem>(store: &Store<M>, handle: Handle) -> Result<Option<Plain>, EngineError> {
    Ok(match store.read(handle, |view| view.capture())? {
        Seen::Value(captured, _) => {
            let OwnedValue { kind, data, .. } = captured?;
            Some(match data {
                Data::Word(word) => (kind, word.to_le_bytes().to_vec()),
                Data::Bytes(bytes) => (kind, bytes),
            })
        }
        Seen::Absent | Seen::Stale => None,
    })
}

/// Returns an integer value.
pub fn integer(word: u64) -> Raw<'static> {
    Raw::word(Kind::I64, word)
}

/// Adds to an `Atomic`; returns `None` if the handle is no `Atomic`, or it no longer exists.
pub fn add<M: Mem>(
    store: &Store<M>,
    handle: Handle,
    word: u64,
) -> Result<Option<u64>, EngineError> {
    if !handle.atomic {
        return Ok(None);
    }
    store.atomic(handle, |words| words.fetch_add(record::VALUE, word, SeqCst))
}

/// Finds a variable or creates it, as `Map::var_or` does.
pub fn find_or_create<M: Mem>(
    store: &Store<M>,
    query: Query<'_>,
    raw: &Raw<'_>,
    atomic: bool,
) -> Result<(), EngineError> {
    for _ in 0..64 {
        if let Some(handle) = store.find(query)?
            && plain(store, handle)?.is_some()
        {
            return Ok(());
        }
        match store.insert(query, raw, atomic)? {
            Inserted::New(_) => return Ok(()),
            Inserted::Found(handle) => store.revive(handle, raw, atomic)?,
        }
    }
    Err(EngineError::Contended)
}

/// Frees all unused space; returns the number of bytes.
pub fn tidy<M: Mem>(store: &Store<M>) -> Result<u64, EngineError> {
    Ok(store.collect_all()? + store.sweep()?)
}

/// Grows the region by at least one chunk.
pub fn grow<M: Mem>(store: &Store<M>) -> Result<bool, EngineError> {
    store.grow(CHUNK, store.chunk_count()?)
}

/// Corrects the checksum that covers the word at `at`, so that the engine accepts a fuzzer's change
/// there.
pub fn reseal<M: Mem>(store: &Store<M>, at: u64) {
    let _ = resealed(store, at);
}

fn resealed<M: Mem>(store: &Store<M>, at: u64) -> Option<()> {
    let mem = store.mem();
    if at < header::WORDS as u64 * 8 {
        let words = mem.words_mut(header::AT, header::WORDS)?;
        words.store(header::CRC, header_crc(|at| words.load(at, Relaxed)), Relaxed);
        return Some(());
    }
    if (identity::AT..identity::AT + identity::WORDS as u64 * 8).contains(&at) {
        let words = mem.words_mut(identity::AT, identity::WORDS)?;
        let said = Identity {
            boot: [words.load(identity::BOOT, Relaxed), words.load(identity::BOOT + 1, Relaxed)],
            file: [identity::VOLUME, identity::FILE, identity::BORN]
                .map(|word| words.load(word, Relaxed)),
            pid_namespace: words.load(identity::PID_NAMESPACE, Relaxed),
            device: words.load(identity::DEVICE, Relaxed),
        };
        said.write(words);
        return Some(());
    }
    for block in superblock::AT {
        if (block..block + superblock::WORDS as u64 * 8).contains(&at) {
            let words = mem.words_mut(block, superblock::WORDS)?;
            let said = [0, 1, 2, 3, 4].map(|word| words.load(word, Relaxed));
            let second = mem.words(header::AT, header::WORDS)?.load(header::UUID + 1, Relaxed);
            let check = check(said, [store.uuid, second]);
            words.store(superblock::CHECK, check, Relaxed);
            return Some(());
        }
    }
    let number = at / CHUNK;
    if number < layout::META_CHUNKS {
        return None;
    }
    let header = mem.words_mut(number * CHUNK, chunk::WORDS)?;
    let mark = header.load(chunk::MARK, Relaxed);
    let chunk_id = header.load(chunk::ID, Relaxed);
    if at % CHUNK < layout::CHUNK_HEADER {
        let has_id = layout::has_id(mark >> 32 & 0xff, (mark >> 40) as usize & 0xff);
        let id = if has_id { chunk_id } else { 0 };
        let [said, uuid] = [chunk::NUMBER, chunk::UUID].map(|word| header.load(word, Relaxed));
        header.store(chunk::CRC, chunk_crc(mark, said, uuid, id), Relaxed);
        return Some(());
    }
    let class = (mark >> 40) as usize & (layout::RECORD_CLASSES.len() - 1);
    if mark & 0xffff_ffff != chunk::MAGIC || mark >> 32 & 0xff != kind::RECORDS {
        return None;
    }
    let bytes = layout::record_bytes(class) as u64;
    let within = (at % CHUNK - layout::CHUNK_HEADER) / bytes;
    let record = number * CHUNK + layout::CHUNK_HEADER + within * bytes;
    let line = mem.words_mut(record, record::LINE)?;
    let id = line.load(record::ID, Acquire);
    let meta = Meta(line.load(record::META, Relaxed));
    let Some(of_slot) = (at - record).checked_sub(record::LINE as u64 * 8) else {
        let name = store.name_of(record)?;
        line.store(record::META, meta.with_crc(meta_crc(id, meta, &name)).0, Relaxed);
        return Some(());
    };
    let handle = Handle::new(record, id, class, meta.atomic());
    let number = (of_slot / layout::slot_bytes(class) as u64) as usize;
    let slot = mem.words_mut(handle.slot_at(number), slot::LEAST)?;
    let seal = slot.load(slot::SEAL, Relaxed);
    let sum = store.slot_sum(chunk_id, handle, number, seal).ok()??;
    slot.store(slot::TYPE, sum.type_id << 32 | u64::from(sum.crc), Relaxed);
    Some(())
}
