//! Reads a map by docs/FORMAT.md alone, with the numbers of that page and none of the library.

use mapvar::Map;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of a value, and slots, by class of the record.
const CLASSES: [(usize, usize); 16] = [
    (32, 2),
    (64, 2),
    (128, 2),
    (224, 2),
    (320, 2),
    (480, 2),
    (736, 2),
    (1088, 2),
    (32, 4),
    (64, 4),
    (112, 4),
    (192, 4),
    (288, 4),
    (448, 4),
    (624, 4),
    (960, 4),
];

/// A region as bytes.
struct Region(Vec<u8>);

impl Region {
    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().unwrap())
    }

    fn half(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    /// "A lookup goes through the words in order from the home line, up to 16 lines."
    fn find(&self, name: &[u8]) -> Option<usize> {
        let root = self.word(0x1000) as usize;
        let (index, lines) = (root & !63, 1_usize << (root & 63));
        let hash = xxh3_64_with_seed(name, self.word(5 * 8));
        for step in 0..16 {
            let line = index + (hash as usize + step) % lines * 64;
            for slot in 0..8 {
                let word = self.word(line + slot * 8);
                if word == 0 {
                    return None;
                }
                let record = (word & 0xff_ffff_ffff) as usize * 64;
                if word != 1 && word >> 40 == hash >> 40 && self.name(record) == name {
                    return Some(record);
                }
            }
        }
        None
    }

    fn name(&self, record: usize) -> &[u8] {
        let meta = self.word(record + 24);
        let len = (meta >> 16) as usize & 0xffff;
        let inline = if meta & 1 == 1 { 24 } else { 32 };
        let at = if len <= inline {
            record + 32
        } else {
            self.word(record + 32 + inline - 8) as usize + 8
        };
        &self.0[at..at + len]
    }

    /// Returns the kind and the bytes of the current slot, or the word of an Atomic.
    fn value(&self, record: usize) -> (u8, &[u8]) {
        let (state, meta) = (self.word(record), self.word(record + 24));
        let (capacity, slots) = CLASSES[(meta >> 8) as usize & 0xff];
        let slot = record + 64 + (state >> 6) as usize % slots * (32 + capacity);
        assert_eq!(self.word(slot), state >> 8, "the slot's version is the state's");
        let desc = self.word(slot + 8);
        let at = if meta & 1 == 1 { record + 56 } else { slot + 32 };
        ((desc >> 8) as u8, &self.0[at..at + (desc >> 16) as usize])
    }

    /// Returns every record with an id, by the chunk table.
    fn records(&self) -> Vec<usize> {
        let mut found = Vec::new();
        for chunk in 0..self.word(0x1180) as usize {
            assert!(chunk < 256, "the test's map is small");
            let word = self.word(0x4000 + chunk * 8);
            let class = (word >> 8) as usize & 0xff;
            if word & 0xff == 2 {
                let base = chunk * 0x4000;
                assert_eq!(&self.0[base..base + 4], b"MVCH");
                assert_eq!(self.word(base + 8), chunk as u64);
                let (capacity, slots) = CLASSES[class];
                let bytes = 64 + slots * (32 + capacity);
                for record in 0..16_320 / bytes {
                    let at = base + 64 + record * bytes;
                    let taken = self.word(base + 32 + record / 64 * 8) >> (record % 64) & 1 == 1;
                    if self.word(at + 16) != 0 {
                        assert!(taken, "a variable's record is marked as taken");
                        found.push(at);
                    }
                }
            }
        }
        found
    }
}

#[test]
fn the_page_describes_what_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("format.map");
    let map = Map::options().file(&path).size(50_000).create().unwrap();
    let long = "a name that does not fit its record ".repeat(20);
    map.set("foo", "hello").unwrap();
    map.set("bar", 77).unwrap();
    map.set("neg", -1).unwrap();
    map.set("big", u64::MAX).unwrap();
    map.set("half", 0.5).unwrap();
    map.set("yes", true).unwrap();
    map.set("nil", ()).unwrap();
    map.set("bytes", vec![1_u8, 2, 3]).unwrap();
    map.set("list", (1, "two")).unwrap();
    map.set("dict", BTreeMap::from([("k", 1)])).unwrap();
    map.set(&long, vec![9_u8; 960]).unwrap();
    map.atomic_or("count", 3_i64).unwrap().fetch_add(4).unwrap();
    map.atomic_or(&format!("{long}count"), 1_u64).unwrap();
    map.set("removed", 1).unwrap();
    map.remove("removed").unwrap();
    for number in 0..1_500 {
        map.set(&format!("many {number}"), number).unwrap_or(());
        map.remove(&format!("many {}", number / 2)).unwrap();
    }
    let variables = map.count().unwrap();
    map.close().unwrap();
    let region = Region(std::fs::read(&path).unwrap());

    assert_eq!(&region.0[..8], b"MAPVAR\r\n");
    assert_eq!(region.word(8), 1 | 1 << 32);
    let mut header = region.0[8..512].to_vec();
    header[8..16].fill(0);
    assert_eq!(region.word(16), u64::from(crc32fast::hash(&header)));
    assert_eq!(region.word(6 * 8), 50_000);
    // "A section may be longer", by less than the granularity of Windows.
    assert_eq!(region.word(7 * 8), 65536, "a new region has four chunks");
    let beyond = region.0.len() as u64 - region.word(0x1180) * 0x4000;
    assert!(beyond < 65536, "{beyond} bytes too many");
    assert_eq!(region.word(11 * 8), u64::from(std::process::id()));
    assert_eq!(
        region.word(0x200 + 48),
        u64::from(crc32fast::hash(&region.0[0x200..0x230])) | 1 << 32
    );
    assert_eq!((region.half(0x1100), region.half(0x1140)), (0, 0), "locks are free");
    assert_eq!(region.word(0x1200), 0, "nothing is under way");
    assert_eq!(region.records().len() as u64, variables);

    for (name, kind, bytes) in [
        ("foo", 6, b"hello".to_vec()),
        ("bar", 3, 77_i64.to_le_bytes().to_vec()),
        ("neg", 3, (-1_i64).to_le_bytes().to_vec()),
        ("big", 4, u64::MAX.to_le_bytes().to_vec()),
        ("half", 5, 0.5_f64.to_le_bytes().to_vec()),
        ("yes", 2, 1_u64.to_le_bytes().to_vec()),
        ("nil", 1, vec![]),
        ("bytes", 7, vec![1, 2, 3]),
        ("list", 8, b"\x92\x01\xa3two".to_vec()),
        ("dict", 9, b"\x81\xa1k\x01".to_vec()),
        (&long, 7, vec![9; 960]),
        ("count", 3, 7_i64.to_le_bytes().to_vec()),
        (&format!("{long}count"), 4, 1_u64.to_le_bytes().to_vec()),
    ] {
        let record = region.find(name.as_bytes()).unwrap_or_else(|| panic!("no {name:?}"));
        assert_eq!(region.value(record), (kind, &bytes[..]), "{name}");
        let (id, meta) = (region.word(record + 16), region.word(record + 24));
        let mut crc = crc32fast::Hasher::new();
        crc.update(&id.to_le_bytes());
        crc.update(&(meta & 0xffff_ffff).to_le_bytes());
        crc.update(name.as_bytes());
        assert_eq!(crc.finalize(), (meta >> 32) as u32, "{name}");
    }
    assert_eq!(region.find(b"removed"), None);
    let mut ids: Vec<u64> = region.records().iter().map(|at| region.word(at + 16)).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len() as u64, variables, "no id twice");
}

#[test]
fn the_page_describes_ephemeral_values() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("format.map");
    let map = Map::options().file(&path).size(50_000).create().unwrap();
    map.set_ephemeral("short", "hello you").unwrap();
    map.set_ephemeral("long", "x".repeat(5000)).unwrap();
    map.flush().unwrap();
    let region = Region(std::fs::read(&path).unwrap());
    let pid = u64::from(std::process::id());
    for (name, flags, before) in [("short", 2, 2), ("long", 3, 2)] {
        let record = region.find(name.as_bytes()).unwrap();
        let (state, meta) = (region.word(record), region.word(record + 24));
        let (capacity, slots) = CLASSES[(meta >> 8) as usize & 0xff];
        let slot = record + 64 + (state >> 6) as usize % slots * (32 + capacity);
        assert_eq!(region.word(slot + 8) & 0xff, flags, "{name}");
        let token = region.word(slot + 32 + before * 8);
        let seat = 0x2000 + (token >> 56) as usize * 64;
        assert_eq!(token & 1, 1);
        assert_eq!(region.word(seat + 5 * 8), token, "{name}");
        assert_eq!(region.word(seat + 6 * 8) & 0xffff_ffff, pid);
    }
}
