//! Target (d): a peer that scribbles. One process, the victim, does every operation on a map. It is
//! built with AddressSanitizer where that is available, and has inaccessible pages beside its
//! mapping. The other process, the peer, writes hostile words to the same memory as fast as it can.

use crate::{files::base, random::Random};
use mapvar::{
    ErrorKind, Map, MapOptions, Value,
    section::{Name, Section, WordsMut},
};
use mapvar_engine::layout::{
    self, CHUNK, chunk, commit, header, journal, kind, live, marks, record,
};
use mapvar_harness::{
    Folder,
    peer::{self, Owned, Peer},
    watchdog,
};
use std::{
    io::Read,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// An operation that takes longer hangs; each wait for a lock in it ends after a millisecond.
const PATIENCE: Duration = Duration::from_mins(1);
const TIMEOUT: Duration = Duration::from_millis(1);

// --- The peer ------------------------------------------------------------------------------------

/// Where the important words are.
struct Targets {
    records: Vec<(usize, usize)>,
    index: usize,
    chunks: usize,
}

impl Targets {
    fn of(image: &[u64]) -> Self {
        let chunks = image.len() as u64 * 8 / CHUNK;
        let mut records = Vec::new();
        for number in layout::META_CHUNKS..chunks {
            let said = image.get((layout::table_word(number) / 8) as usize).copied().unwrap_or(0);
            let class = (said >> 8) as usize & (layout::RECORD_CLASSES.len() - 1);
            if said & 0xff == kind::RECORDS {
                for within in 0..layout::records_in_chunk(class) {
                    let at = number * CHUNK
                        + layout::CHUNK_HEADER
                        + (within * layout::record_bytes(class)) as u64;
                    if image[(at / 8) as usize + record::ID] != 0 {
                        records.push(((at / 8) as usize, class));
                    }
                }
            }
        }
        Self { records, index: (layout::FIRST_INDEX / 8) as usize, chunks: chunks as usize }
    }

    /// Returns a word that means something and is no lock; each overwritten lock costs the victim a
    /// wait.
    fn word(&self, random: &mut Random) -> usize {
        let word = self.any_word(random);
        let locks = [live::LOCK_L, live::LOCK_T].map(|at| (at / 8) as usize);
        if locks.contains(&word) { word + 1 } else { word }
    }

    fn any_word(&self, random: &mut Random) -> usize {
        let at = |offset: u64| (offset / 8) as usize;
        match random.below(12) {
            0 => at(live::AT) + random.below(live::WORDS as u64) as usize,
            1 => at(journal::AT) + random.below(journal::WORDS as u64) as usize,
            2 => at(commit::AT) + random.below(2) as usize,
            3 => at(marks::AT) + random.below(16) as usize,
            4 => at(layout::TABLE) + random.below(self.chunks as u64) as usize,
            5 => {
                at(random.below(self.chunks as u64) * CHUNK)
                    + random.below(chunk::WORDS as u64) as usize
            }
            6 => self.index + random.below(layout::FIRST_INDEX_LINES * 8) as usize,
            _ if self.records.is_empty() => at(random.below(self.chunks as u64) * CHUNK),
            7 => random.of(&self.records).0 + random.of(&[0, 2, 3, 4, 7]),
            // A word of a slot: version, description, type, seal, or one of the value's first
            // words.
            _ => {
                let (at, class) = random.of(&self.records);
                let slot = random.below(4) as usize * layout::slot_bytes(class) / 8;
                at + record::LINE + slot + random.below(6) as usize
            }
        }
    }
}

/// Returns a word that turns the one at `at` into something hostile.
fn hostile(random: &mut Random, image: &[u64], at: usize) -> u64 {
    let honest = image[at];
    let bytes = image.len() as u64 * 8;
    match random.below(9) {
        0 => random.word(),
        1 => random.of(&[0, 1, u64::MAX, u64::MAX - 7]),
        2 => honest ^ 1 << random.below(64),
        3 => honest.wrapping_add(random.below(5)).wrapping_sub(2),
        4 => random.below(bytes / 64 + 64) * 64,
        // An offset at the very end of the region.
        5 => bytes - random.below(16) * 8,
        // A length, if the word is a description.
        6 => honest & 0xffff | (random.word() >> random.below(48)) << 16,
        7 => honest ^ ((random.word() & 0xff) << (random.below(8) * 8)),
        _ => image[random.below(image.len() as u64) as usize],
    }
}

/// Scribbles over the words until `over` is set; returns how many words it wrote.
fn scribble(words: WordsMut<'_>, random: &mut Random, over: &AtomicBool) -> u64 {
    use std::sync::atomic::Ordering::Relaxed as Plain;
    let image: Vec<u64> = (0..words.read().len()).map(|at| words.load(at, Plain)).collect();
    let targets = Targets::of(&image);
    let header_words = header::WORDS;
    let mut written = 0_u64;
    // Lock words have 32 bits; whole words over them are the most hostile.
    let lock = |random: &mut Random, targets: &Targets| match random.below(3) {
        0 => (live::LOCK_L / 8) as usize,
        1 => (live::LOCK_T / 8) as usize,
        _ if targets.records.is_empty() => (live::LOCK_L / 8) as usize,
        _ => random.of(&targets.records).0 + 1,
    };
    while !over.load(Plain) {
        match random.below(16) {
            // Any word anywhere, lock words too.
            0 if random.one_in(8) => {
                for _ in 0..64 {
                    let at = random.below(words.read().len() as u64) as usize;
                    words.store(at, random.word(), Plain);
                }
                written += 64;
            }
            // Words that mean something.
            2..=5 => {
                for _ in 0..256 {
                    let at = targets.word(random);
                    words.store(at, hostile(random, &image, at), Plain);
                }
                written += 256;
            }
            // One word alternates between a valid and an invalid value, as fast as possible, so
            // that code that loads it twice may see both.
            turn @ 6..=13 => {
                let at = targets.word(random);
                let one = image[at];
                // A quarter of these turns alternate with another word of the region instead.
                let other = match turn {
                    ..12 => hostile(random, &image, at),
                    _ => image[targets.word(random)],
                };
                for _ in 0..8_192 {
                    words.store(at, other, Plain);
                    words.store(at, one, Plain);
                }
                written += 16_384;
            }
            // Rarely, since each costs the victim a wait.
            14 if random.one_in(16) => {
                let at = lock(random, &targets);
                let forged = random.word() & random.word() | random.word() << 32;
                for _ in 0..64 {
                    words.store(at, forged, Plain);
                }
                words.store(at, 0, Plain);
                written += 65;
            }
            _ => {}
        }
        // Restores the words, or soon there would be nothing left to read; the locks become free.
        if random.one_in(3) {
            let from = if random.one_in(4) { 0 } else { header_words };
            for (at, word) in image.iter().enumerate().skip(from) {
                words.store(at, *word, Plain);
            }
            written += image.len() as u64;
        }
    }
    written
}

/// Opens the same memory without a map.
fn section_of(what: &str) -> mapvar::Result<Section> {
    let options = if what.contains('/') {
        Section::options().file(what)
    } else {
        Section::options().name(Name::new(what)?.with_suffix(".map"))
    };
    options.open()
}

/// The role of the peer: `what` is a path or a name.
///
/// # Errors
/// It cannot be opened or mapped.
pub fn run_peer(what: &str, seed: u64) -> mapvar::Result<()> {
    let section = section_of(what)?;
    let view = section.view().map()?;
    let count = view.len() / 8;
    let Some(words) = view.words_mut(0, count) else { return Ok(()) };
    let over = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&over);
    std::thread::spawn(move || {
        let _ = peer::next_order();
        seen.store(true, Relaxed);
    });
    peer::say("ready");
    peer::say(scribble(words, &mut Random::new(seed), &over));
    Ok(())
}

// --- The victim ----------------------------------------------------------------------------------

fn start_peer(program: &Path, what: &str, seed: u64) -> Peer {
    let mut command = Command::new(program);
    let peer = Peer::start(command.args(["peer", what, &seed.to_string()]));
    let mut peer = peer.expect("the peer starts");
    assert_eq!(peer.hear().as_deref(), Some("ready"), "the peer does not open the memory");
    peer
}

/// Ends the peer; returns how many words it wrote.
fn end_peer(mut peer: Peer) -> u64 {
    drop(peer.take_input());
    let written = peer.hear().and_then(|text| text.parse().ok()).expect("the peer died");
    peer.finish();
    written
}

/// Inaccessible pages on both sides of the map.
mod guards {
    use std::fs;

    const BYTES: usize = 16 << 12;

    /// Guard pages, unmapped when this is dropped.
    pub(super) struct Guards(Vec<*mut libc::c_void>);

    impl Guards {
        /// Places guards beside all shared mappings; the map's is the only one.
        pub(super) fn beside() -> Self {
            let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
            let mut guards = Vec::new();
            for line in maps.lines() {
                let Some((range, rest)) = line.split_once(' ') else { continue };
                if rest.as_bytes().get(3) != Some(&b's') {
                    continue;
                }
                let Some((from, to)) = range.split_once('-') else { continue };
                let number = |text| usize::from_str_radix(text, 16).ok();
                let (Some(from), Some(to)) = (number(from), number(to)) else { continue };
                guards.extend([from - BYTES, to].into_iter().filter_map(guard));
            }
            Self(guards)
        }

        pub(super) fn count(&self) -> usize {
            self.0.len()
        }
    }

    /// Private memory that ends at an inaccessible page: mapvar-os copies by assembly, which no
    /// sanitizer checks.
    pub(super) struct Edge(*mut u8);

    impl Edge {
        #[allow(unsafe_code, reason = "a mapping, and pages of it made untouchable")]
        pub(super) fn new() -> Self {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let rights = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: a new mapping at an address that the kernel chooses.
            let made = unsafe { libc::mmap(std::ptr::null_mut(), 2 * BYTES, rights, flags, -1, 0) };
            assert_ne!(made, libc::MAP_FAILED, "no memory");
            let end = made.cast::<u8>().wrapping_add(BYTES);
            // SAFETY: the second half of the mapping just made.
            let guarded = unsafe { libc::mprotect(end.cast(), BYTES, libc::PROT_NONE) };
            assert_eq!(guarded, 0, "no guard");
            Self(end)
        }

        /// Returns the last `len` bytes before the edge.
        #[allow(unsafe_code, reason = "a slice of the mapping")]
        pub(super) fn last(&mut self, len: usize) -> &mut [u8] {
            let len = len.min(BYTES);
            // SAFETY: the `BYTES` before the edge are zeroed memory of this value's own, which is
            // never unmapped, and the slice borrows this value.
            unsafe { std::slice::from_raw_parts_mut(self.0.wrapping_sub(len), len) }
        }
    }

    impl Drop for Guards {
        fn drop(&mut self) {
            for at in self.0.drain(..) {
                unmap(at);
            }
        }
    }

    /// Maps a guard page; returns `None` if that address is taken, by another mapping's neighbor or
    /// by reserved space, which is inaccessible too.
    #[allow(unsafe_code, reason = "a mapping at an address")]
    fn guard(at: usize) -> Option<*mut libc::c_void> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        let to = std::ptr::without_provenance_mut(at);
        // SAFETY: a new mapping, which replaces none.
        let made = unsafe { libc::mmap(to, BYTES, libc::PROT_NONE, flags, -1, 0) };
        if made == libc::MAP_FAILED {
            return None;
        }
        if made.addr() != at {
            // The kernel does not know the flag.
            unmap(made);
            return None;
        }
        Some(made)
    }

    #[allow(unsafe_code, reason = "gives a mapping back")]
    fn unmap(at: *mut libc::c_void) {
        // SAFETY: a mapping of this module's own, of this length, that no code can have used.
        unsafe { libc::munmap(at, BYTES) };
    }
}

/// What the victim has done.
#[derive(Default)]
struct Done {
    operations: u64,
    errors: u64,
}

impl Done {
    fn note<R>(&mut self, result: mapvar::Result<R>) -> Option<R> {
        if let Err(error) = &result {
            // No process truncates the file, so this error means an access beyond the end of the
            // mapping.
            assert_ne!(error.kind(), ErrorKind::Truncated, "the mapping is lost: {error}");
        }
        self.note_opening(result)
    }

    /// As [`note`](Self::note). A forged number of chunks says that the file was longer, and an
    /// opener cannot tell that from a file that another program has truncated.
    fn note_opening<R>(&mut self, result: mapvar::Result<R>) -> Option<R> {
        self.operations += 1;
        self.errors += u64::from(result.is_err());
        result.ok()
    }
}

const LONG: &str = "a name that is too long for its record";
const NAMES: [&str; 8] = ["int", "text", LONG, "list", "large", "larger", "count", "passing"];

fn populate(map: &Map) -> mapvar::Result<()> {
    map.set("int", 77)?;
    map.set("text", "hello, hello, hello")?;
    map.set(LONG, vec![7_u8; 90])?;
    map.set("list", (1, "two", 3.0, vec!["four", "five"]))?;
    map.set("large", vec![3_u8; 3_000])?;
    map.set("larger", vec![4_u8; 30_000])?;
    map.atomic_or("count", 1_i64)?;
    map.set("passing", 1)?;
    map.remove("passing")?;
    Ok(())
}

/// Does one random operation; any result is fine.
fn operate(map: &Map, random: &mut Random, done: &mut Done, edge: &mut guards::Edge) {
    let name = random.of(&NAMES);
    let text = "some text ".repeat(random.below(20) as usize);
    match random.below(22) {
        0 => drop(done.note(map.get::<i64>(name))),
        1 => drop(done.note(map.get::<String>(name))),
        2 => drop(done.note(map.get::<Vec<u8>>(name))),
        3 => drop(done.note(map.get::<Value>(name))),
        4 => drop(done.note(map.find::<Value>(name))),
        5 => drop(done.note(map.set(name, 5))),
        6 => drop(done.note(map.set(name, &text))),
        7 => drop(done.note(map.set(name, vec![9_u8; random.below(5_000) as usize]))),
        8 => drop(done.note(map.remove(name))),
        9 | 10 => {
            if let Some(var) = done.note(map.var::<i64>(name)) {
                let _ = (done.note(var.get()), done.note(var.set(6)), done.note(var.kind()));
                let len = random.of(&[3, 90, 100, 700, 3_000]) + random.below(9) as usize;
                let _ = done.note(var.read_bytes(edge.last(len)));
                let _ = done.note(var.version());
                let _ = done.note(var.write_bytes(edge.last(len / 7)));
            }
        }
        11 | 12 => {
            if let Some(atomic) = done.note(map.atomic_or::<i64>("count", 1)) {
                let _ = (done.note(atomic.load()), done.note(atomic.fetch_add(1)));
                let _ = (done.note(atomic.swap(2)), done.note(atomic.compare_exchange(1, 2)));
            }
        }
        13 | 14 => {
            for entry in map.iter().take(200) {
                if let Some(entry) = done.note(entry) {
                    let _ = (entry.kind(), entry.get::<Value>(), entry.get::<f64>());
                }
            }
        }
        15 => {
            let _ = done.note(map.transaction(|tx| {
                let old: Option<Value> = tx.find("int")?;
                tx.set("int", 1)?;
                tx.set("text", &text)?;
                Ok(old)
            }));
        }
        16 => {
            if let Some(seen) = done.note(map.snapshot(["int", "text", "large", "none"])) {
                let _ = (seen.find::<Value>("int"), seen.find::<String>("text"));
            }
        }
        17 => drop(done.note(map.count())),
        18 => drop(done.note(map.stat())),
        19 => drop(done.note(map.flush())),
        20 if random.one_in(8) => drop(done.note(map.check())),
        21 if random.one_in(8) => drop(done.note(map.clear())),
        _ => drop(done.note(map.contains(name))),
    }
}

/// Runs one life of a map while a peer scribbles over it. Returns how many words the peer wrote,
/// and how many guards there were.
fn life(
    options: &MapOptions,
    what: &str,
    peer: &Path,
    time: Duration,
    random: &mut Random,
    done: &mut Done,
) -> (u64, usize) {
    let map = options.create().expect("a map");
    populate(&map).expect("variables");
    let guards = guards::Guards::beside();
    let mut edge = guards::Edge::new();
    let peer = start_peer(peer, what, random.word());
    let began = Instant::now();
    while began.elapsed() < time {
        watchdog::step();
        operate(&map, random, done, &mut edge);
        if random.one_in(2_000) {
            // Opens another handle beside it, and inspects the map without opening it.
            if let Some(other) = done.note_opening(options.open()) {
                operate(&other, random, done, &mut edge);
            }
            let _ = done.note_opening(options.clone().read_only(true).open());
            let _ = done.note_opening(options.check());
        }
    }
    let written = end_peer(peer);
    let count = guards.count();
    drop(map);
    drop(guards);
    (written, count)
}

/// The role of the victim: runs one life after the other for the given time, and prints the
/// figures. If something is wrong, it ends by a panic, or as the sanitizer ends it.
pub fn victim(peer: &Path, seed: u64, time: Duration) {
    let mut random = Random::new(seed);
    let folder = Folder::within(&base(), "fuzz").expect("a folder");
    let mut done = Done::default();
    let (mut written, mut guards, mut lives) = (0, 0, 0_u64);
    watchdog::watch(PATIENCE, || ());
    let began = Instant::now();
    let each = (time / 6).clamp(Duration::from_millis(300), Duration::from_secs(3));
    while began.elapsed() < time {
        let name = format!("fuzz.{}.{lives}", std::process::id());
        let path = folder.join(&name);
        let (what, options) = if lives.is_multiple_of(2) {
            (name.clone(), Map::options().name(&name))
        } else {
            (path.display().to_string(), Map::options().file(&path))
        };
        // Some maps can grow, and some have a guard right behind their end.
        let size = random.of(&[12_000, 40_000]);
        let most = if lives % 4 < 2 { 1 } else { 4 << 20 };
        let options = options.size(size).max_size(most).timeout(TIMEOUT);
        let (more, there) = life(&options, &what, peer, each, &mut random, &mut done);
        written += more;
        guards += there;
        lives += 1;
        let _ = std::fs::remove_file(&path);
    }
    assert!(done.operations > done.errors, "every operation failed: nothing was tested");
    println!(
        "victim: {written} {} {} {lives} {guards} {}",
        done.operations,
        done.errors,
        if cfg!(sanitized) { "AddressSanitizer" } else { "no sanitizer" }
    );
}

/// Runs a victim, which has this program as its peer; returns whether all was well, and the figure.
pub fn run(victim: Option<&Path>, seed: u64, time: Duration) -> (bool, String) {
    let own = std::env::current_exe().expect("this program");
    if victim.is_none() {
        println!("scribbler: no program with AddressSanitizer, so only the guard pages look");
    }
    let mut command = Command::new(victim.unwrap_or(&own));
    command.arg("victim").arg(&own).args([seed.to_string(), time.as_millis().to_string()]);
    // The address space that a map reserves is no leak; and a report ends the victim at once.
    command.env("ASAN_OPTIONS", "detect_leaks=0:abort_on_error=0:exitcode=99");
    let mut child = Owned::start(command.stdout(Stdio::piped())).expect("the victim starts");
    let mut said = String::new();
    if let Some(out) = child.0.stdout.as_mut() {
        let _ = out.read_to_string(&mut said);
    }
    let status = child.0.wait().expect("the victim ends");
    let line = said.lines().find_map(|line| line.strip_prefix("victim: "));
    let numbers: Vec<&str> = line.unwrap_or_default().splitn(6, ' ').collect();
    if let (true, [written, operations, errors, lives, guards, sanitizer]) =
        (status.success(), numbers.as_slice())
    {
        println!(
            "scribbler: {lives} maps, {guards} guards beside their mappings; {errors} of the \
             operations were refused"
        );
        let figure = format!(
            "figure: fuzz, scribbler = {written} hostile writes, {operations} operations under \
             {sanitizer}, 0 reports (goal 0 reports)"
        );
        return (true, figure);
    }
    reap(child.0.id());
    println!(
        "FAILED: target scribbler, seed {seed}: the victim ended with {status}\n  again: fuzz --one \
         scribbler --seed {seed} (it is a race: the same seed may need several runs)"
    );
    (false, "figure: fuzz, scribbler = 1 report (goal 0 reports)".into())
}

/// Removes the names that a victim with this process id left when it died: an opener becomes the
/// last user, and so removes the name.
fn reap(victim: u32) {
    for life in 0..2_000 {
        drop(Map::options().name(format!("fuzz.{victim}.{life}")).read_only(true).open());
    }
}
