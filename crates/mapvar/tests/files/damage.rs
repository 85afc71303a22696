//! `check` finds all damage and reports no undamaged part; `salvage` saves the undamaged variables.
//! The tests make damage of each kind at a known offset, damage at random offsets, and check maps
//! that other threads and processes use meanwhile.

use crate::common::{self, Owned, Random, Watchdog, scaled, unique};
use mapvar::{
    ErrorKind, Map, Value,
    check::{Check, Salvage, Severity},
};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::{BufRead, BufReader},
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

const CHUNK: usize = 0x4000;
/// Bytes of a record in a file, of classes 8 to 15.
const RECORDS: [usize; 8] = [320, 448, 640, 960, 1344, 1984, 2688, 4032];

fn long(what: &str) -> String {
    what.repeat(50)
}

/// Returns the variables of the map that the tests damage.
fn variables() -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for number in 0..40_i64 {
        all.insert(format!("int {number}"), Value::I64(number * 1_000_003));
        all.insert(format!("text {number}"), Value::Str(format!("text {number} ").repeat(4)));
    }
    all.insert("bool".into(), Value::Bool(true));
    all.insert("list".into(), Value::List(vec![Value::I64(1), Value::Str("two".into())]));
    all.insert("dict".into(), Value::Dict(vec![(Value::Str("k".into()), Value::I64(1))]));
    all.insert("nil".into(), Value::Nil);
    all.insert(long("one"), Value::I64(7));
    all.insert(long("two"), Value::Str("long".into()));
    all.insert("extent".into(), Value::Bytes((0..3_000_u32).map(|at| at as u8).collect()));
    all.insert("other extent".into(), Value::Bytes(vec![8; 3_000]));
    all.insert("run".into(), Value::Bytes((0..50_000_u32).map(|at| (at / 7) as u8).collect()));
    all.insert("count".into(), Value::I64(5));
    all
}

/// Creates that map, and returns the bytes of its file.
fn made(path: &Path) -> Vec<u8> {
    let map = Map::options().file(path).size(60_000).create().unwrap();
    for (name, value) in variables() {
        if name == "count" {
            map.atomic_or(&name, 5_i64).unwrap();
            continue;
        }
        // An older value in another slot.
        map.set(&name, Value::Str("older".into())).unwrap();
        map.set(&name, &value).unwrap();
    }
    map.set("gone", 1).unwrap();
    map.remove("gone").unwrap();
    map.close().unwrap();
    fs::read(path).unwrap()
}

/// The bytes of a map, interpreted by docs/FORMAT.md.
struct Region(Vec<u8>);

impl Region {
    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().unwrap())
    }

    fn put(&mut self, at: usize, word: u64) {
        self.0[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }

    fn chunks(&self) -> usize {
        self.0.len() / CHUNK
    }

    fn kind(&self, chunk: usize) -> u64 {
        self.word(0x4000 + chunk * 8) & 0xff
    }

    fn of_kind(&self, kind: u64) -> usize {
        (2..self.chunks()).find(|chunk| self.kind(*chunk) == kind).expect("no chunk of this kind")
    }

    /// Returns every record with an id, by the chunk table.
    fn records(&self) -> Vec<usize> {
        let mut found = Vec::new();
        for chunk in 2..self.chunks() {
            if self.kind(chunk) == 2 {
                let class = (self.word(0x4000 + chunk * 8) >> 8) as usize & 0xff;
                let size = RECORDS[class - 8];
                found.extend((0..16_320 / size).map(|within| chunk * CHUNK + 64 + within * size));
            }
        }
        found.retain(|at| self.word(at + 16) != 0);
        found
    }

    fn name(&self, record: usize) -> String {
        let len = (self.word(record + 24) >> 16) as usize & 0xffff;
        let inline = if self.word(record + 24) & 1 == 1 { 24 } else { 32 };
        let mut at = record + 32;
        if len > inline {
            at = self.block(record);
            // The id of the variable precedes the name, in a build that stores it in blocks.
            at += if self.word(at) == self.word(record + 16) { 8 } else { 0 };
        }
        String::from_utf8(self.0[at..at + len].to_vec()).unwrap()
    }

    fn block(&self, record: usize) -> usize {
        self.word(record + 56) as usize
    }

    fn record(&self, name: &str) -> usize {
        self.records().into_iter().find(|at| self.name(*at) == name).expect("no such variable")
    }

    fn size(&self, record: usize) -> usize {
        RECORDS[(self.word(record + 24) >> 8) as usize % 8]
    }

    fn slot(&self, record: usize) -> usize {
        let current = (self.word(record) >> 6) as usize & 3;
        record + 64 + current * ((self.size(record) - 64) / 4)
    }

    fn index_word(&self, record: usize) -> usize {
        let root = self.word(0x1000) as usize;
        (0..8_usize << (root & 63))
            .map(|number| (root & !63) + number * 8)
            .find(|at| (self.word(*at) & 0xff_ffff_ffff) as usize * 64 == record)
            .expect("the index does not lead there")
    }

    /// Returns the byte ranges of a variable: its record, its name's block, its extent.
    fn parts(&self, record: usize) -> Vec<(usize, usize)> {
        let mut parts = vec![(record, record + self.size(record))];
        let len = (self.word(record + 24) >> 16) as usize & 0xffff;
        if len > 32 {
            parts.push((self.block(record), self.block(record) + len + 16));
        }
        let slot = self.slot(record);
        let desc = self.word(slot + 8);
        if desc & 1 == 1 {
            let at = self.word(slot + 32) as usize;
            parts.push((at - 32, at + (desc >> 16) as usize));
        }
        parts
    }
}

/// Checks and salvages a file with these bytes, and asserts that the file stays unchanged.
fn check_and_salvage(
    folder: &Path,
    bytes: &[u8],
) -> (mapvar::Result<Check>, mapvar::Result<Salvage>, Map) {
    let path = folder.join("damaged.map");
    fs::write(&path, bytes).unwrap();
    let options = Map::options().file(&path);
    let check = options.check();
    let into = Map::options().name(unique("salvaged")).create().unwrap();
    let salvage = options.salvage(&into);
    assert!(fs::read(&path).unwrap() == bytes, "the damaged file was written to");
    (check, salvage, into)
}

/// Damages a map; returns the offset at which `check` must find the damage.
type Damage = fn(&mut Region) -> usize;
/// A change of a map for which `check` must report only a note.
type Quirk = fn(&mut Region);

#[test]
fn each_kind_of_damage_is_found_where_it_is() {
    let _watchdog = Watchdog::new("each kind of damage", Duration::from_mins(5));
    let dir = common::quick_folder();
    let valid = made(&dir.path().join("valid.map"));
    let (check, salvage, into) = check_and_salvage(dir.path(), &valid);
    let check = check.unwrap();
    assert!(check.is_whole(), "{:?}", check.findings());
    assert_eq!(check.variables(), variables().len() as u64);
    assert_eq!(salvage.unwrap().lost(), []);
    assert_eq!(into.count().unwrap(), variables().len() as u64);

    // The damage; a part of the finding's text; the variables that are lost, and those that have an
    // older value.
    let table: Vec<(Damage, &str, &[&str], &[&str])> = vec![
        (
            |r| {
                r.put(0, 0);
                0
            },
            "first word is not the magic number",
            &[],
            &[],
        ),
        (
            |r| {
                r.0[..512].fill(0);
                0
            },
            "first word is not the magic number",
            &[],
            &[],
        ),
        (
            |r| {
                r.put(40, 1);
                16
            },
            "checksum of the header",
            &[],
            &[],
        ),
        (
            |r| {
                r.put(0x1180, 1 << 20);
                0x1180
            },
            "chunks are said to be there",
            &[],
            &[],
        ),
        (
            |r| {
                r.put(0x1180, 0);
                0x1180
            },
            "too few for a map",
            &[],
            &[],
        ),
        (
            |r| {
                r.put(0x1200, 99);
                0x1200
            },
            "operation 99, which is none",
            &[],
            &[],
        ),
        (
            |r| {
                r.put(0x1088, 7);
                0x1088
            },
            "journal of transactions",
            &[],
            &[],
        ),
        (
            |r| {
                r.put(0x1000, r.word(0x1000) + (1 << 40));
                0x1000
            },
            "the index lies beyond",
            &[],
            &[],
        ),
        (
            |r| {
                let at = 2 * CHUNK as u64;
                r.put(0x1000, at | 7);
                0x1000
            },
            "not its own",
            &[],
            &[],
        ),
        (
            |r| {
                r.put(0x4000, 0);
                0x4000
            },
            "and holds the tables",
            &[],
            &[],
        ),
        (
            |r| {
                let c = r.of_kind(2);
                r.put(0x4000 + c * 8, 9);
                0x4000 + c * 8
            },
            "of kind 9, which is none",
            &[],
            &[],
        ),
        (
            |r| {
                let c = r.of_kind(2);
                r.put(0x4000 + c * 8, 2 | 16 << 8);
                0x4000 + c * 8
            },
            "of class 16, which is none",
            &[],
            &[],
        ),
        (
            |r| {
                let c = r.of_kind(2);
                r.put(0x4000 + c * 8, 3);
                c * CHUNK
            },
            "the table says kind 3",
            &[],
            &[],
        ),
        (
            |r| {
                let c = r.of_kind(2) * CHUNK;
                r.0[c..c + 64].fill(0);
                c
            },
            "has no header",
            &[],
            &[],
        ),
        (
            |r| {
                let c = r.of_kind(2) * CHUNK;
                r.put(c + 24, 1);
                c
            },
            "checksum of the chunk's header",
            &[],
            &[],
        ),
        (
            |r| {
                let c = r.of_kind(5) * CHUNK;
                r.put(c + 32, r.word(c + 32) | 1 << 63);
                c + 32
            },
            "more places taken",
            &[],
            &[],
        ),
        (
            |r| {
                let c = r.of_kind(6);
                r.put(0x4000 + c * 8, 6 | 999 << 32);
                0x4000 + c * 8
            },
            "beyond the end",
            &[],
            &[],
        ),
        (
            |r| {
                let c = r.of_kind(7);
                r.put(0x4000 + c * 8, 0);
                0x4000 + c * 8
            },
            "should be the rest",
            &[],
            &[],
        ),
        (
            |r| {
                let at = r.record("int 3");
                r.put(at / CHUNK * CHUNK + 32, 0);
                at / CHUNK * CHUNK + 32
            },
            "is marked free, and is in use",
            &[],
            &[],
        ),
        (
            |r| {
                let at = r.record("int 3") + 16;
                r.put(at, 1 << 40);
                at + 8
            },
            "checksum of id and name",
            &["int 3"],
            &[],
        ),
        (
            |r| {
                let at = r.record("int 3");
                r.put(at + 32, 1);
                at + 24
            },
            "checksum of id and name",
            &["int 3"],
            &[],
        ),
        (
            |r| {
                let at = r.record("int 3") + 24;
                r.put(at, r.word(at) | 0x80);
                at
            },
            "has a flag",
            &["int 3"],
            &[],
        ),
        (
            |r| {
                let at = r.record("int 3") + 24;
                r.put(at, r.word(at) ^ 0x100);
                at
            },
            "chunk's class",
            &["int 3"],
            &[],
        ),
        (
            |r| {
                let at = r.record("int 3") + 24;
                r.put(at, r.word(at) & !0xffff_0000);
                at
            },
            "the length or the location of the name",
            &["int 3"],
            &[],
        ),
        (
            |r| {
                let at = r.record("int 3");
                let w = r.index_word(at);
                r.put(w, 0);
                at
            },
            "does not lead to it",
            &[],
            &[],
        ),
        (
            |r| {
                let w = r.index_word(r.record("int 3"));
                r.put(w, r.word(w) ^ 1 << 63);
                w
            },
            "hash of another name",
            &[],
            &[],
        ),
        (
            |r| {
                let w = r.index_word(r.record("int 3"));
                r.put(w, 77);
                w
            },
            "where no record can be",
            &[],
            &[],
        ),
        (
            |r| {
                let at = r.record("int 3");
                let w = r.index_word(at);
                r.put(at + 16, 0);
                w
            },
            "where no variable is",
            &["int 3"],
            &[],
        ),
        (
            |r| {
                let w = r.index_word(r.record("int 3"));
                let to = r.word(w);
                let free = (0..512).map(|n| 0x7000 + n * 8).rfind(|w| r.word(*w) == 0).unwrap();
                r.put(free, to);
                free
            },
            "twice",
            &[],
            &[],
        ),
        (
            |r| {
                let at = r.record("int 3");
                r.put(at, r.word(at) + 256);
                at
            },
            "not the one published",
            &[],
            &["int 3"],
        ),
        (
            |r| {
                let at = r.record("int 3");
                let s = r.slot(at);
                r.put(s, 99);
                at
            },
            "not the one published",
            &[],
            &["int 3"],
        ),
        (
            |r| {
                let s = r.slot(r.record("int 3")) + 8;
                r.put(s, r.word(s) | 0x80);
                s
            },
            "the slot has a flag",
            &[],
            &["int 3"],
        ),
        (
            |r| {
                let s = r.slot(r.record("int 3")) + 8;
                r.put(s, r.word(s) | 0xf000);
                s
            },
            "of a kind",
            &[],
            &["int 3"],
        ),
        (
            |r| {
                let s = r.slot(r.record("int 3"));
                r.put(s + 8, 7 << 16 | 3 << 8);
                s + 32
            },
            "not one of its kind",
            &[],
            &["int 3"],
        ),
        (
            |r| {
                let s = r.slot(r.record("bool"));
                r.put(s + 32, 2);
                s + 32
            },
            "neither 0 nor 1",
            &[],
            &["bool"],
        ),
        (
            |r| {
                let s = r.slot(r.record("text 1"));
                r.put(s + 8, 9000 << 16 | 6 << 8);
                s + 8
            },
            "longer than its slot",
            &[],
            &["text 1"],
        ),
        (
            |r| {
                let s = r.slot(r.record("text 1"));
                r.0[s + 32] = 0xff;
                s + 32
            },
            "no UTF-8",
            &[],
            &["text 1"],
        ),
        (
            |r| {
                let s = r.slot(r.record("list"));
                r.0[s + 33] = 0xc1;
                s + 32
            },
            "MessagePack is invalid",
            &[],
            &["list"],
        ),
        (
            |r| {
                let s = r.slot(r.record("list"));
                r.0[s + 32] = 0x82;
                s + 32
            },
            "not of the value's kind",
            &[],
            &["list"],
        ),
        (
            |r| {
                let s = r.slot(r.record("list"));
                let len = (r.word(s + 8) >> 16) as usize;
                r.0[s + 32 + len] = 1;
                s + 32
            },
            "is not zero",
            &[],
            &["list"],
        ),
        (
            |r| {
                let at = r.record("count");
                r.put(at, r.word(at) | 1);
                at
            },
            "says that it is removed",
            &[],
            &[],
        ),
        (
            |r| {
                let s = r.slot(r.record("count")) + 8;
                r.put(s, 8 << 16 | 6 << 8);
                s
            },
            "cannot be of",
            &["count"],
            &[],
        ),
        (
            |r| {
                let s = r.slot(r.record("count")) + 8;
                r.put(s, 255 << 8);
                r.record("count")
            },
            "it is removed, and its state",
            &[],
            &[],
        ),
        (
            |r| {
                let at = r.record("extent");
                let s = r.slot(at) + 32;
                let o = r.slot(r.record("other extent")) + 32;
                r.put(s, r.word(o));
                s
            },
            "not its own",
            &[],
            &["extent"],
        ),
        (
            |r| {
                let s = r.slot(r.record("extent")) + 40;
                r.put(s, r.word(s) + 8);
                s - 8
            },
            "is said to have",
            &[],
            &[],
        ),
        (
            |r| {
                let s = r.slot(r.record("extent")) + 32;
                let c = r.word(s) as usize / CHUNK * CHUNK;
                r.put(c + 32, 0);
                s
            },
            "extent that is marked free",
            &[],
            &[],
        ),
        (
            |r| {
                let b = r.block(r.record(&long("one")));
                let c = b / CHUNK * CHUNK;
                r.put(c + 32, 0);
                b
            },
            "block of its name is marked free",
            &[],
            &[],
        ),
        (
            |r| {
                let b = r.block(r.record(&long("one")));
                let c = b / CHUNK;
                r.put(0x4000 + c * 8, 0);
                b
            },
            "no block for names",
            &[],
            &[],
        ),
        (
            |r| {
                let at = r.record(&long("one"));
                let b = r.block(at);
                r.0[b + 40] ^= 1;
                at + 24
            },
            "checksum of id and name",
            &["one…"],
            &[],
        ),
        (
            |r| {
                r.put(0x1040, 0);
                r.record("int 3") + 16
            },
            "was never given out",
            &[],
            &[],
        ),
    ];
    for (number, (damage, said, lost, older)) in table.iter().enumerate() {
        let mut region = Region(valid.clone());
        let at = damage(&mut region) as u64;
        let (check, salvage, into) = check_and_salvage(dir.path(), &region.0);
        let check = check.unwrap_or_else(|error| panic!("{number} {said}: {error}"));
        let reported = check.findings().iter().any(|found| {
            found.severity == Severity::Fault && found.at == at && found.what.contains(said)
        });
        assert!(reported, "{number} {said:?} at {at:#x}: {:#?}", check.findings());
        let salvage = salvage.unwrap();
        for (name, value) in variables() {
            let found = into.get::<Value>(&name).ok();
            let is_in = |names: &[&str]| {
                names
                    .iter()
                    .any(|n| name == *n || n.strip_suffix('…').is_some_and(|n| name == long(n)))
            };
            let expected = if is_in(lost) {
                None
            } else if is_in(older) {
                Some(Value::Str("older".into()))
            } else {
                Some(value)
            };
            if said == &"not the one published" && is_in(older) {
                // Salvage saves the newest value, although no state word names it any more.
                assert!(found.is_some(), "{number} {said}: {name}");
                continue;
            }
            // Without the kind of its slot an Atomic is lost or removed.
            if name == "count" && said.contains("it is removed, and its state") {
                continue;
            }
            assert!(found == expected, "{number} {said}: {name}: {found:?}, not {expected:?}");
        }
        let reported_older = salvage.lost().iter().filter(|lost| lost.older).count();
        assert_eq!(
            (reported_older, salvage.lost().len()),
            (older.len(), older.len() + lost.len()),
            "{number} {said}: {:?}",
            salvage.lost()
        );
    }
}

#[test]
fn notes_are_no_faults() {
    let dir = common::quick_folder();
    let valid = made(&dir.path().join("valid.map"));
    let table: [(Quirk, &str); 8] = [
        (|r| r.0[0x200..0x238].fill(0), "the next opener recovers"),
        (|r| r.put(0x1200, 2), "being collected"),
        (|r| r.put(0x1090, 1), "a transaction is under way"),
        (
            |r| {
                let c = r.of_kind(0);
                r.put(0x4000 + c * 8, 7);
            },
            "a large value that is gone",
        ),
        (
            |r| {
                let c = r.of_kind(0);
                r.put(0x4000 + c * 8, 4);
            },
            "an index out of use",
        ),
        (
            |r| {
                let c = r.of_kind(3) * CHUNK;
                r.put(c + 32, r.word(c + 32) | 1 << 20);
            },
            "a block for a name is allocated",
        ),
        (
            |r| {
                let c = r.of_kind(5) * CHUNK;
                r.put(c + 32, r.word(c + 32) | 1 << 3);
            },
            "extent belongs to no value",
        ),
        (
            |r| {
                // The last chunk of its class has a free record.
                let at = r.record(&long("two")) / CHUNK * CHUNK;
                r.put(at + 32, r.word(at + 32) | (r.word(at + 32) + 1));
            },
            "allocated, and belongs to no variable",
        ),
    ];
    for (damage, said) in table {
        let mut region = Region(valid.clone());
        damage(&mut region);
        let (check, _, _) = check_and_salvage(dir.path(), &region.0);
        let check = check.unwrap();
        assert!(check.is_whole(), "{said}: {:?}", check.findings());
        assert!(
            check.findings().iter().any(|found| found.what.contains(said)),
            "{said}: {:?}",
            check.findings()
        );
    }
}

#[test]
fn a_thousand_damaged_maps() {
    let _watchdog = Watchdog::new("a thousand damaged maps", Duration::from_mins(10));
    let mut random = Random::new("a thousand damaged maps");
    let dir = common::quick_folder();
    let valid = Region(made(&dir.path().join("valid.map")));
    let parts: HashMap<String, Vec<(usize, usize)>> =
        valid.records().into_iter().map(|at| (valid.name(at), valid.parts(at))).collect();
    let all = variables();
    assert_eq!(parts.len(), all.len());
    let (mut whole, mut damaged, mut kept) = (0, 0, 0);
    for _ in 0..scaled(1_000) {
        let mut bytes = valid.0.clone();
        match random.below(8) {
            // A sector of zeros; a page of one byte; a truncated file; single words.
            0 => {
                let at = random.below(bytes.len() as u64 / 512) as usize * 512;
                bytes[at..at + 512].fill(0);
            }
            1 => {
                let at = random.below(bytes.len() as u64 / 4096) as usize * 4096;
                let with = random.next() as u8;
                bytes[at..at + 4096].fill(with);
            }
            2 => bytes.truncate(random.below(bytes.len() as u64) as usize),
            _ => {
                for _ in 0..=random.below(12) {
                    let at = random.below(bytes.len() as u64 / 8) as usize * 8;
                    let word = match random.below(4) {
                        0 => random.next(),
                        1 => 0,
                        2 => random.below(bytes.len() as u64) & !63,
                        _ => {
                            u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
                                ^ 1 << random.below(64)
                        }
                    };
                    bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
                }
            }
        }
        let (check, salvage, into) = check_and_salvage(dir.path(), &bytes);
        match (&check, &salvage) {
            (Ok(check), Ok(_)) if check.is_whole() => whole += 1,
            (Ok(_), Ok(_)) => damaged += 1,
            (Err(error), Err(_)) => {
                assert_eq!(error.kind(), ErrorKind::NotAMap, "{error}");
                assert!(bytes.len() < 5 * CHUNK, "{error}");
                continue;
            }
            other => panic!("{other:?}"),
        }
        let same = |(from, to): &(usize, usize)| bytes.get(*from..*to) == valid.0.get(*from..*to);
        for (name, value) in &all {
            let found = into.get::<Value>(name).ok();
            if parts[name].iter().all(same) {
                assert!(
                    found.as_ref() == Some(value),
                    "{name}: {found:?}: {:?}",
                    salvage.as_ref().unwrap().lost()
                );
                kept += 1;
            }
        }
        for entry in &into {
            let entry = entry.unwrap();
            // Names have checksums, so every saved name is one that was set.
            let value = &all[entry.name()];
            let found = entry.get::<Value>().unwrap();
            // Values have no checksum in a map that was never flushed, so a value with damaged
            // bytes may differ from the one that was set.
            let set = found == *value || found == Value::Str("older".into());
            assert!(set || !parts[entry.name()].iter().all(same), "{}: {found:?}", entry.name());
        }
    }
    println!("{whole} whole after all, {damaged} damaged; {kept} variables kept");
    assert!(damaged > 0 && kept > 0);
}

/// Creates, sets and removes variables of every size.
fn churn(map: &Map, writer: u8, stop: impl Fn() -> bool) {
    let mut random = Random::new("a writer");
    while !stop() {
        let stem = "v".repeat(random.below(3) as usize * 30);
        let name = format!("{stem} {}", random.below(30));
        let len = random.below(60_000) as usize;
        let _ = match random.below(8) {
            0 => map.remove(&name).map(drop),
            1 => map.set(&name, vec![writer; len]),
            2 => map.set(&name, (1, "two", 3)),
            3 => map.set(&name, "text ".repeat(len % 30)),
            4 => map.set(&format!("new {}", random.below(3_000)), 1),
            5 => map.remove(&format!("new {}", random.below(3_000))).map(drop),
            6 => map.atomic_or("count", 0_i64).and_then(|count| count.fetch_add(1)).map(drop),
            _ => map.set("hot", random.next()),
        };
    }
}

/// The second process of the next test.
#[test]
fn peer() {
    let Some((_, arguments)) = common::role() else { return };
    let map = Map::options().file(&arguments[0]).open().unwrap();
    println!("\nready");
    churn(&map, 9, || false);
}

#[test]
fn what_a_killed_writer_leaves_is_no_fault() {
    let _watchdog = Watchdog::new("killed writers", Duration::from_mins(5));
    let dir = common::quick_folder();
    let path = dir.path().join("killed.map");
    drop(Map::options().file(&path).size(60_000).create().unwrap());
    let mut random = Random::new("killed writers");
    for round in 0..scaled(100).max(10) {
        let mut child = Owned(common::start(&mut common::child(
            "damage::peer",
            "peer",
            &[path.to_str().unwrap()],
        )));
        let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        assert!(lines.by_ref().map_while(Result::ok).any(|line| line == "ready"));
        thread::sleep(Duration::from_millis(random.below(30)));
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        let check = Map::options().file(&path).check().unwrap();
        assert!(check.is_whole(), "{round}: {:#?}", check.findings());
        let into = Map::options().name(unique("killed")).create().unwrap();
        let salvage = Map::options().file(&path).salvage(&into).unwrap();
        assert_eq!(salvage.lost(), [], "{round}");
        let map = Map::options().file(&path).open().unwrap();
        assert_eq!(map.count().unwrap(), into.count().unwrap(), "{round}");
        let check = map.check().unwrap();
        assert!(check.is_whole(), "{round}: {:#?}", check.findings());
    }
}

#[test]
fn a_map_in_use_gives_no_false_alarm() {
    let _watchdog = Watchdog::new("a map in use", Duration::from_mins(2));
    let dir = common::quick_folder();
    let path = dir.path().join("live.map");
    let map = Map::options().file(&path).size(10_000).create().unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..3 {
            let (map, stop) = (map.clone(), &stop);
            scope.spawn(move || churn(&map, writer, || stop.load(Relaxed)));
        }
        let (began, mut checks) = (Instant::now(), 0);
        while began.elapsed() < Duration::from_secs(3) || checks < 3 {
            let check =
                if checks % 2 == 0 { map.check() } else { Map::options().file(&path).check() };
            let check = check.unwrap();
            if !check.is_whole() {
                stop.store(true, Relaxed);
                panic!("{checks}: {:#?}", check.findings());
            }
            checks += 1;
        }
        stop.store(true, Relaxed);
        println!("{checks} checks");
    });
    let check = map.check().unwrap();
    assert!(check.is_whole(), "{:?}", check.findings());
}

#[test]
fn a_map_is_not_salvaged_into_itself() {
    let dir = common::quick_folder();
    let path = dir.path().join("self.map");
    let map = Map::options().file(&path).create().unwrap();
    map.set("foo", 1).unwrap();
    let error = Map::options().file(&path).salvage(&map).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    let missing = dir.path().join("missing.map");
    assert_eq!(Map::options().file(&missing).check().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(
        Map::options().file(&missing).salvage(&map).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert!(!missing.exists());
}

/// A list or dictionary whose bytes go on after its end, or that has no bytes: `get`, `check` and
/// `salvage` agree that it is damaged.
#[test]
fn bytes_after_the_end_of_a_list_are_damage_for_everyone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trailing.map");
    let map = Map::options().file(&path).create().unwrap();
    map.set("whole", vec![1, 2, 3]).unwrap();
    map.set("longer", vec![101, 102, 103, 104, 105, 106]).unwrap();
    map.set("empty", vec![111, 112, 113, 114, 115, 116]).unwrap();
    map.close().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let found = |bytes: &[u8], list: &[u8]| {
        let mut at = bytes.windows(list.len()).enumerate().filter(|(_, here)| *here == list);
        let (first, _) = at.next().unwrap();
        assert_eq!(at.count(), 0);
        first
    };
    // A list of six becomes one of five, with a byte behind it.
    let longer = found(&bytes, &[0x96, 101, 102, 103, 104, 105, 106]);
    bytes[longer] = 0x95;
    // Without a length: the description lies three words before the data.
    let empty = found(&bytes, &[0x96, 111, 112, 113, 114, 115, 116]);
    bytes[empty..empty + 8].fill(0);
    bytes[empty - 24 + 2..empty - 24 + 8].fill(0);
    fs::write(&path, &bytes).unwrap();

    let check = Map::options().file(&path).check().unwrap();
    for name in ["longer", "empty"] {
        let of = |finding: &&mapvar::check::Finding| finding.variable.as_deref() == Some(name);
        let found: Vec<_> = check.findings().iter().filter(of).collect();
        assert_eq!(found.len(), 1, "{name}: {:?}", check.findings());
        assert!(found[0].what.contains("MessagePack"), "{name}: {found:?}");
    }
    assert_eq!(check.faults(), 2, "{:?}", check.findings());
    let map = Map::options().file(&path).open().unwrap();
    for name in ["longer", "empty"] {
        assert_eq!(map.get::<Value>(name).unwrap_err().kind(), ErrorKind::Corrupt, "{name}");
    }
    assert_eq!(map.get::<Vec<i64>>("longer").unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(map.get::<Vec<i64>>("whole").unwrap(), [1, 2, 3]);
    let saved = Map::options().file(dir.path().join("saved.map")).create().unwrap();
    let salvage = Map::options().file(&path).salvage(&saved).unwrap();
    assert_eq!((salvage.saved(), salvage.lost().len()), (1, 2), "{:?}", salvage.lost());
}
