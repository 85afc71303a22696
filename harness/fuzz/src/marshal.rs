//! Target: bytes as the map of a gem, which any peer can write.

use crate::{
    driver::{Case, Target},
    guard,
    random::Random,
};
use mapvar::Value;
use mapvar_marshal::{Dump, ParseError, dump, load};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Dumps that Ruby wrote.
const FIXTURES: [&[u8]; 12] = [
    include_bytes!("../../../crates/marshal/tests/fixtures/basic.bin"),
    include_bytes!("../../../crates/marshal/tests/fixtures/bignum.bin"),
    include_bytes!("../../../crates/marshal/tests/fixtures/cyc.bin"),
    include_bytes!("../../../crates/marshal/tests/fixtures/float.bin"),
    include_bytes!("../../../crates/marshal/tests/fixtures/nested.bin"),
    include_bytes!("../../../crates/marshal/tests/fixtures/range.bin"),
    include_bytes!("../../../crates/marshal/tests/fixtures/samestring.bin"),
    include_bytes!("../../../crates/marshal/tests/fixtures/struct.bin"),
    include_bytes!("../../../crates/marshal/tests/fixtures/sym.bin"),
    include_bytes!("../../../crates/marshal/tests/fixtures/time.bin"),
    include_bytes!("../../../crates/marshal/tests/fixtures/usascii.bin"),
    include_bytes!("../../../crates/marshal/tests/fixtures/utf8.bin"),
];

/// Parts that a dump is made of; another byte may follow.
const PARTS: [&[u8]; 44] = [
    b"[",
    b"[\x06",
    b"[\x07",
    b"{\x06",
    b"}\x06",
    b"I",
    b"I\"\x06a\x06:\x06ET",
    b"\"\x06a",
    b"\"\0",
    b":\x06E",
    b":\0",
    b":\x07xy",
    b";\0",
    b";\x06",
    b";\x07",
    b"@\0",
    b"@\x06",
    b"@\x07",
    b"@\x08",
    b"@\x0a",
    b"i\0",
    b"0",
    b"T",
    b"F",
    b"u:\x06U\x06z",
    b"Iu:\x06U\0\x06:\x06v",
    b"U;\0",
    b"U:\x06U",
    b"o:\x06O\x06:\x06v",
    b"o;\0\0",
    b"S:\x06S\x06:\x06m",
    b"e;\0",
    b"C;\0",
    b"C:\x06H",
    b"d;\0",
    b"f\x061",
    b"f\x08nan",
    b"l+\x06ab",
    b"l-\x09abcdefgh",
    b"c\x06A",
    b"/\x06a\0",
    b"\x06",
    b"\x02\0\x01",
    b"\x04\xff\xff\xff\x7f",
];

/// The codec of Ruby's Marshal.
#[derive(Debug, Default)]
pub struct Marshal;

/// Returns the most memory that an operation may take for these bytes.
fn allowed(bytes: usize) -> usize {
    64 * bytes + (64 << 10)
}

/// The most memory that an operation took for each byte, beside the 64 KiB; in hundredths.
static WORST: AtomicU64 = AtomicU64::new(0);

/// Returns the most memory that an operation took for each byte.
pub fn worst() -> f64 {
    f64::from(WORST.load(Relaxed) as u32) / 100.0
}

fn bounded<R>(what: &str, bytes: usize, work: impl FnOnce() -> R) -> R {
    let (done, peak) = guard::peak(work);
    let each = peak.saturating_sub(64 << 10) * 100 / bytes.max(1);
    WORST.fetch_max(each as u64, Relaxed);
    assert!(peak <= allowed(bytes), "{what} of {bytes} bytes took {peak} bytes of memory");
    done
}

fn noise(random: &mut Random, most: u64) -> Vec<u8> {
    (0..random.below(most)).map(|_| random.word() as u8).collect()
}

/// Chooses the bytes of a case.
fn input(random: &mut Random) -> Vec<u8> {
    let mut bytes = match random.below(8) {
        0..=2 => random.of(&FIXTURES).to_vec(),
        // A few parts, many times: as much depth, or as many objects, as possible.
        3 => {
            let few: Vec<&[u8]> = (0..=random.below(4)).map(|_| random.of(&PARTS)).collect();
            let times = 1 << random.below(12);
            let mut bytes = b"\x04\x08{\x06\"\x06a".to_vec();
            if random.one_in(2) {
                bytes.extend([b'[', 3]);
                bytes.extend(&(few.concat().len() * times).to_le_bytes()[..3]);
            }
            bytes.extend(few.concat().repeat(times));
            bytes.extend(vec![random.of(&[0, b'0', 6]); random.below(4) as usize * times]);
            bytes
        }
        // A list of a given length.
        4 => {
            let count = random.below(3_000) as u32;
            let one = random.of(&[
                &b"0"[..],
                b"i\0",
                b"\"\0",
                b"[\0",
                b"{\0",
                b":\0",
                b"f\x061",
                b"@\x06",
                b";\0",
                b"c\0",
            ]);
            let mut bytes = b"\x04\x08{\x07:\x06xi\0\"\x06a[\x02".to_vec();
            bytes.extend(&count.max(256).to_le_bytes()[..2]);
            bytes.extend(one.repeat(count.max(256) as usize));
            bytes
        }
        5 | 6 => {
            let mut bytes = [&b"\x04\x08{"[..], &[6 + random.below(4) as u8]].concat();
            for _ in 0..random.below(40) {
                bytes.extend(random.of(&PARTS));
                if random.one_in(6) {
                    bytes.push(random.word() as u8);
                }
            }
            bytes
        }
        _ => [&b"\x04\x08{\x07\"\x06a"[..], &noise(random, 100)].concat(),
    };
    let changes = if random.one_in(3) { 0 } else { 1 + random.below(12) };
    for _ in 0..changes {
        let len = bytes.len() as u64;
        let at = random.below(len) as usize;
        match random.below(6) {
            0 => bytes[at] = random.word() as u8,
            1 => bytes[at] = bytes[at].wrapping_add(random.of(&[1, 255])),
            2 => bytes.truncate(at.max(1)),
            3 => drop(bytes.splice(at..at, random.of(&PARTS).iter().copied())),
            4 => drop(bytes.remove(at)),
            _ => {
                let part = bytes[at..(at + random.below(20) as usize).min(bytes.len())].to_vec();
                let to = random.below(len) as usize;
                bytes.splice(to..to, part);
            }
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
    if bytes.len() > 2 && !random.one_in(16) {
        bytes[..2].copy_from_slice(b"\x04\x08");
    }
    bytes
}

impl Marshal {
    /// Runs a case from bytes that libFuzzer made.
    pub fn run_bytes(&mut self, bytes: &[u8]) {
        use_up(bytes, &Case::new(0), &mut Random::new(bytes.len() as u64));
    }
}

/// Uses every operation on a map of these bytes.
fn use_up(bytes: &[u8], case: &Case, random: &mut Random) {
    case.record(|| format!("parse {} bytes: {}", bytes.len(), bytes.escape_ascii()));
    let parsed = bounded("parsing", bytes.len(), || Dump::parse(bytes));
    let found = match parsed {
        Ok(found) => found,
        Err(flaw) => {
            assert!(!flaw.to_string().is_empty());
            return;
        }
    };
    let len = bytes.len();
    let encoded = found.encode();
    assert!(bytes.starts_with(&encoded), "what was parsed is not what was there");
    let again = Dump::parse(&encoded).expect("what was encoded can be parsed");
    assert_eq!(again.encode(), encoded, "parsed and encoded again");
    let names: Vec<String> = found.names().map(str::to_owned).collect();
    assert_eq!(names.len(), found.len(), "as many names as there are");
    for name in names.iter().take(4) {
        case.record(|| format!("the value of {name:?}"));
        let value = bounded("a value", len, || found.value::<Value>(name));
        let alone = bounded("a dump alone", len, || found.dump_of(name));
        assert_eq!(value.is_ok(), alone.is_ok(), "a value, and no dump of it");
        let (Ok(Some(value)), Ok(Some(alone))) = (value, alone) else { continue };
        let back = bounded("a loaded dump", alone.len(), || load(&alone));
        let Ok(back): Result<Value, _> = back else {
            panic!("what was taken out cannot be loaded: {back:?}")
        };
        if !matches!(value, Value::Opaque { .. }) && !matches!(back, Value::Opaque { .. }) {
            assert_eq!(shape(&back), shape(&value), "another value alone");
        }
        assert!(dump(&value).is_ok(), "a value that was read cannot be written");
        case.record(|| "put it in under another name".into());
        let mut other = found.clone();
        let total = len + alone.len();
        match bounded("setting", total, || other.set_dump("another", &alone)) {
            Ok(()) => assert_eq!(other.dump_of("another"), Ok(Some(alone)), "put in and taken out"),
            Err(flaw) => assert_eq!(flaw, ParseError::Tangled),
        }
    }
    if names.is_empty() {
        return;
    }
    let gone = names[random.below(names.len() as u64) as usize].clone();
    case.record(|| format!("remove {gone:?}"));
    let mut rest = found.clone();
    match bounded("removing", len, || rest.remove(&gone)) {
        Ok(there) => assert!(there, "removed what it has"),
        Err(flaw) => {
            assert_eq!(flaw, ParseError::Tangled);
            return;
        }
    }
    assert_eq!(rest.len(), found.len() - 1, "one less");
    for name in names.iter().filter(|name| **name != gone).take(4) {
        let (before, after) = (found.value::<Value>(name), rest.value::<Value>(name));
        // If the value is a cycle through the Hash itself, the removed variable was a part of it.
        let opaque = |value: &Result<Option<Value>, _>| !format!("{value:?}").contains("Opaque");
        if opaque(&before) && opaque(&after) {
            assert_eq!(format!("{after:?}"), format!("{before:?}"), "its neighbour changed");
        }
    }
}

/// Returns a value's form without the bytes of its opaque parts. A dump may have the same Symbol
/// twice, its length written in two ways (Ruby never does so); taken out, the second one becomes a
/// link.
fn shape(value: &Value) -> String {
    match value {
        Value::List(items) => {
            format!("[{}]", items.iter().map(shape).collect::<Vec<_>>().join(", "))
        }
        Value::Dict(pairs) => {
            let pairs =
                pairs.iter().map(|(key, value)| format!("{}: {}", shape(key), shape(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::Opaque { language, .. } => format!("opaque {language}"),
        plain => format!("{plain:?}"),
    }
}

/// Repeats each part, and each pair of parts, many times: as many objects, Symbols, links and
/// levels as bytes can ask for.
pub fn patterns() {
    let case = Case::new(0);
    for (number, first) in PARTS.iter().enumerate() {
        for second in [&b""[..]].iter().chain(&PARTS) {
            let one = [*first, *second].concat();
            // For pairs a few levels are enough: only the alternation of the two is new.
            let times = if second.is_empty() { (1 << 17) / one.len() } else { 1 << 9 };
            let repeated = one.repeat(times);
            let nested =
                [&b"\x04\x08{\x06\"\x06a"[..], &repeated, &vec![b'0'; times], &vec![0; times]];
            use_up(&nested.concat(), &case, &mut Random::new(number as u64));
            for each in [1, 2] {
                let mut list = b"\x04\x08{\x07\"\x06bi\0\"\x06a[\x03".to_vec();
                list.extend(&(each * times).to_le_bytes()[..3]);
                list.extend(&repeated);
                list.push(0);
                use_up(&list, &case, &mut Random::new(number as u64));
                let mut hash = b"\x04\x08{\x03".to_vec();
                hash.extend(&(each * times / 2).to_le_bytes()[..3]);
                hash.extend(&repeated);
                use_up(&hash, &case, &mut Random::new(number as u64));
            }
        }
    }
    // Symbols, Floats and names that are all different.
    let mut symbols = b"\x04\x08{\x06\"\x06a[\x03\xff\xff\0".to_vec();
    let mut floats = symbols.clone();
    let mut hash = b"\x04\x08{\x03\xff\xff\0".to_vec();
    for number in 0..0xffff_u16 {
        let [low, high] = number.to_le_bytes();
        symbols.extend([b':', 7, low, high]);
        floats.extend(format!("f\x0a{number:05}").bytes());
        hash.extend([b'"', 7, low & 0x7f, high & 0x7f, b'0']);
    }
    for bytes in [symbols, floats, hash] {
        assert!(Dump::parse(&bytes).is_ok(), "a pattern that is no Marshal");
        use_up(&bytes, &case, &mut Random::new(1));
    }
}

impl Target for Marshal {
    fn run(&mut self, case: &Case) -> u64 {
        let mut random = Random::new(case.seed);
        let bytes = input(&mut random);
        use_up(&bytes, case, &mut random);
        1
    }
}
