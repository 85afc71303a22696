//! A map under load: 100 threads in several processes write and read values of one byte to very
//! many, while the map grows. The first word and the length of a value determine the rest, so a
//! torn value is detected. Each writer has variables of its own, which must keep its last set. At
//! the end no space has leaked.
//!
//! The test run is small. `cargo xtask long load` runs it at full size: `MAPVAR_LOAD_SECONDS`,
//! `MAPVAR_LOAD_LARGEST` (bytes of a value in the load), `MAPVAR_LOAD_HUGE` (bytes of one more
//! value, beside it), `MAPVAR_LOAD_GROW` (bytes that the map is to grow to), `MAPVAR_LOAD_NAME`
//! (a map with a name instead of a file).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by a panic, and says what it saw"
)]

mod common;

use common::{Owned, Random, Watchdog, child, role, start, unique};
use mapvar::{ErrorKind, Map, MapOptions, Var};
use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

const PROCESSES: usize = 4;
const WRITERS: usize = 15;
const READERS: usize = 10;
/// Variables that all writers write.
const SHARED: u64 = 20;
/// Variables that only one writer writes, per writer.
const OWN: usize = 3;
/// Maximum space of one variable without its extents: the largest record, in a file.
const PLACE: u64 = 4032;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn seconds() -> u64 {
    setting("MAPVAR_LOAD_SECONDS", 2)
}

fn options(map: &str) -> MapOptions {
    let options = Map::options().size(64 << 10).timeout(Duration::from_mins(1));
    let options = options.max_size(setting("MAPVAR_LOAD_MAX", 1 << 30));
    if map.contains(['/', '\\']) { options.file(map) } else { options.name(map) }
}

/// Fills `into` with a value: the stamp, and words that are computed from the stamp and the length.
fn stamped(stamp: u64, len: usize, into: &mut Vec<u8>) {
    into.clear();
    into.resize(len, 0);
    let (words, rest) = into.as_chunks_mut::<8>();
    for (at, word) in words.iter_mut().enumerate() {
        *word = word_at(stamp, len, at).to_le_bytes();
    }
    let last = word_at(stamp, len, len / 8).to_le_bytes();
    rest.copy_from_slice(&last[..rest.len()]);
}

fn word_at(stamp: u64, len: usize, at: usize) -> u64 {
    match at {
        0 => stamp,
        at => (stamp ^ (len as u64).rotate_left(40))
            .wrapping_add((at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
    }
}

/// Returns the stamp of a value; panics if the value is torn.
fn check(bytes: &[u8], what: &str) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let stamp = words.first().map_or(0, |word| u64::from_le_bytes(*word));
    for (at, word) in words.iter().enumerate() {
        let expected = word_at(stamp, bytes.len(), at);
        assert_eq!(
            u64::from_le_bytes(*word),
            expected,
            "torn: {what} of {} bytes, word {at}",
            bytes.len()
        );
    }
    if !words.is_empty() {
        let last = word_at(stamp, bytes.len(), words.len()).to_le_bytes();
        assert_eq!(rest, &last[..rest.len()], "torn: the end of {what}");
    }
    stamp
}

/// Returns a length from 1 to `largest`; each power of two is equally likely.
fn length(random: &mut Random, largest: u64) -> usize {
    let bits = random.below(64 - u64::from(largest.leading_zeros()));
    ((1 << bits) + random.below(1 << bits)).min(largest) as usize
}

/// Sets a shared variable. Returns false if the map is full, which is no failure of the test.
fn set(map: &Map, name: &str, bytes: &[u8]) -> bool {
    let done = map.var_or::<()>(name, ()).and_then(|var| var.write_bytes(bytes));
    match done {
        Ok(()) => true,
        Err(error) if matches!(error.kind(), ErrorKind::Full | ErrorKind::NoSpace) => false,
        // Another writer removed the variable between the two steps.
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => panic!("{error}"),
    }
}

fn write_on(map: &Map, number: usize, until: Instant) -> (u64, u64) {
    let mut random = Random::new(&format!("writer {number}"));
    let largest = setting("MAPVAR_LOAD_LARGEST", 200_000);
    let own: Vec<String> = (0..OWN).map(|at| format!("own {number}.{at}")).collect();
    let mut last: Vec<Option<(u64, usize)>> = vec![None; own.len()];
    let (mut stamp, mut done, mut full, mut bytes) = ((number as u64) << 32, 0, 0, Vec::new());
    while Instant::now() < until {
        stamp += 1;
        let at = random.below(own.len() as u64) as usize;
        if random.below(8) == 0 {
            let was = map.remove(&own[at]).unwrap();
            assert_eq!(was, last[at].is_some(), "{}", own[at]);
            last[at] = None;
        } else {
            let len = length(&mut random, largest);
            stamped(stamp, len, &mut bytes);
            if map.set(&own[at], mapvar::Value::Bytes(bytes.clone())).is_ok() {
                last[at] = Some((stamp, len));
            } else {
                full += 1;
            }
        }
        for (name, last) in own.iter().zip(&last) {
            let found = map.find::<Vec<u8>>(name).unwrap();
            let found = found.as_ref().map(|bytes| (check(bytes, name), bytes.len()));
            let expected = last.map(|(stamp, len)| (if len < 8 { 0 } else { stamp }, len));
            assert_eq!(found, expected, "{name}");
        }
        let shared = format!("shared {}", random.below(SHARED));
        let len = length(&mut random, largest);
        stamped(stamp, len, &mut bytes);
        full += u64::from(!set(map, &shared, &bytes));
        if random.below(50) == 0 {
            map.remove(&shared).unwrap();
        }
        done += 1;
    }
    for name in own {
        map.remove(&name).unwrap();
    }
    (done, full)
}

fn read_on(map: &Map, number: usize, until: Instant) -> u64 {
    let mut random = Random::new(&format!("reader {number}"));
    let (mut reads, mut buffer) = (0, Vec::new());
    while Instant::now() < until {
        let name = format!("shared {}", random.below(SHARED));
        if random.below(2) == 0 {
            match map.find::<Vec<u8>>(&name) {
                Ok(Some(bytes)) => {
                    check(&bytes, &name);
                    reads += 1;
                }
                Ok(None) => {}
                // Between the two steps of `set`.
                Err(error) if error.kind() == ErrorKind::WrongKind => {}
                Err(error) => panic!("{error}"),
            }
        } else if let Ok(var) = map.var::<Vec<u8>>(&name) {
            reads += u64::from(read_into(&var, &mut buffer));
        }
        if random.below(100) == 0 {
            for entry in map {
                let entry = entry.unwrap();
                if entry.name() != "huge" {
                    let bytes: Vec<u8> = entry.get().unwrap_or_default();
                    check(&bytes, entry.name());
                }
            }
        }
    }
    reads
}

fn read_into(var: &Var<Vec<u8>>, buffer: &mut Vec<u8>) -> bool {
    loop {
        match var.read_bytes(buffer) {
            Ok(len) if len <= buffer.len() => {
                check(&buffer[..len], var.name());
                return true;
            }
            Ok(len) => buffer.resize(len, 0),
            Err(error) if error.kind() == ErrorKind::NotFound => return false,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn child_entry() {
    let Some((role, arguments)) = role() else { return };
    assert_eq!(role, "load");
    let map = options(&arguments[0]).open().unwrap();
    let first: usize = arguments[1].parse().unwrap();
    let until = Instant::now() + Duration::from_secs(seconds());
    let (writes, full, reads) = thread::scope(|scope| {
        let map = &map;
        let writers: Vec<_> = (0..WRITERS)
            .map(|at| scope.spawn(move || write_on(map, first * 100 + at, until)))
            .collect();
        let readers: Vec<_> = (0..READERS)
            .map(|at| scope.spawn(move || read_on(map, first * 100 + at, until)))
            .collect();
        let (mut writes, mut full) = (0, 0);
        for writer in writers {
            let (done, refused) = writer.join().expect("a writer");
            writes += done;
            full += refused;
        }
        (
            writes,
            full,
            readers.into_iter().map(|reader| reader.join().expect("a reader")).sum::<u64>(),
        )
    });
    println!("DONE {writes} {full} {reads}");
}

#[test]
fn a_hundred_threads_of_four_processes_while_the_map_grows() {
    if role().is_some() {
        return;
    }
    let _watchdog = Watchdog::new("the load", Duration::from_secs(seconds() * 20 + 120));
    let folder = if setting("MAPVAR_LOAD_ON_DISK", 0) == 1 {
        tempfile::tempdir().unwrap()
    } else {
        common::quick_folder()
    };
    let place = if setting("MAPVAR_LOAD_NAME", 0) == 1 {
        unique("load")
    } else {
        folder.path().join("load.map").to_str().unwrap().to_owned()
    };
    let map = options(&place).create().unwrap();
    let first = map.stat().unwrap().region;
    let mut children: Vec<_> = (0..PROCESSES)
        .map(|number| {
            let mut command = child("child_entry", "load", &[&place, &number.to_string()]);
            let mut child = start(command.stderr(Stdio::inherit()));
            let out = BufReader::new(child.stdout.take().unwrap());
            (Owned(child), out)
        })
        .collect();

    // Meanwhile this process sets one huge value, and values that make the map grow.
    let (huge, grow) = (setting("MAPVAR_LOAD_HUGE", 20 << 20), setting("MAPVAR_LOAD_GROW", 0));
    let mut bytes = Vec::new();
    for round in 0..2 {
        stamped(round, huge as usize, &mut bytes);
        map.var_or::<()>("huge", ()).unwrap().write_bytes(&bytes).unwrap();
        bytes.fill(0);
        assert_eq!(map.var::<()>("huge").unwrap().read_bytes(&mut bytes).unwrap(), huge as usize);
        assert_eq!(check(&bytes, "huge"), round);
    }
    let mut fillers = 0;
    while map.stat().unwrap().region < grow {
        stamped(fillers, 64 << 20, &mut bytes);
        map.var_or::<()>(&format!("filler {fillers}"), ()).unwrap().write_bytes(&bytes).unwrap();
        fillers += 1;
    }

    let (mut writes, mut full, mut reads) = (0, 0, 0);
    for (child, out) in &mut children {
        for line in out.lines() {
            let line = line.unwrap();
            if let Some((_, done)) = line.split_once("DONE ") {
                let counts: Vec<u64> =
                    done.split(' ').map(|count| count.parse().unwrap()).collect();
                writes += counts[0];
                full += counts[1];
                reads += counts[2];
            }
        }
        assert!(child.0.wait().unwrap().success(), "a process of the load failed");
    }
    assert!(writes > 0 && reads > 0);
    for filler in 0..fillers {
        let found: Vec<u8> = map.get(&format!("filler {filler}")).unwrap();
        assert_eq!(check(&found, "filler"), filler);
    }
    let stat = map.stat().unwrap();
    println!(
        "figure: load of 100 threads in 4 processes, a value of {huge} bytes among them = {writes} rounds \
         of writing ({full} found no room), {reads} reads, 0 torn, 0 lost; grown from {first} to {} bytes; {:.0} % of what is free is scattered",
        stat.region,
        stat.fragmentation() * 100.0
    );
    assert!(stat.region > first && stat.region >= grow);
    map.clear().unwrap();
    // This flush makes the removals durable, and so releases the slots that an earlier one sealed.
    map.flush().unwrap();
    let left = map.stat().unwrap();
    // Records of variables that existed at a flush stay allocated until one more flush, or until
    // space is short. The first process that closes the map has flushed it once.
    let variables = SHARED + (PROCESSES * WRITERS * OWN) as u64;
    let waiting = if left.file { variables * PLACE } else { 0 };
    assert!(left.variables == 0 && left.used <= waiting, "leaked: {left:?}");
}
