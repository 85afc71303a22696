//! What a child does where there is no free space, and what must hold afterwards.

use mapvar::{Error, ErrorKind, Map, MapOptions};
use mapvar_harness::peer::say;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// The kind of values that use up the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Values stored in their records.
    Small,
    /// Values in extents of a size class.
    Extents,
    /// Values in runs of whole chunks.
    Runs,
    /// One value that grows with every set.
    Growing,
    /// Transactions of three variables.
    Transactions,
}

impl Style {
    pub const ALL: [Self; 5] =
        [Self::Small, Self::Extents, Self::Runs, Self::Growing, Self::Transactions];

    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Extents => "extents",
            Self::Runs => "runs",
            Self::Growing => "growing",
            Self::Transactions => "transactions",
        }
    }

    pub fn of(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|it| it.name() == name).ok_or(format!("no style {name}"))
    }
}

/// Errors that report a lack of space.
const NO_ROOM: &[ErrorKind] = &[ErrorKind::NoSpace, ErrorKind::TooLarge, ErrorKind::Full];
/// Errors that report lost memory, for instance a page that cannot be written.
const LOST: &[ErrorKind] = &[ErrorKind::Io, ErrorKind::Truncated];

pub type Values = BTreeMap<String, Vec<u8>>;

fn to_text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn value(number: usize, len: usize) -> Vec<u8> {
    (number as u64 * 0x0101_0101 + 7).to_le_bytes().repeat(len / 8 + 1)
}

/// Sets values until an operation fails, and returns its error. `acked` collects every acknowledged
/// value.
pub fn fill(map: &Map, style: Style, acked: &mut Values) -> Result<Error, String> {
    for number in 0..200_000 {
        let set: Vec<(String, Vec<u8>)> = match style {
            Style::Small => vec![(format!("s{number}"), value(number, 16 + number % 5 * 16))],
            Style::Extents => vec![(format!("e{number}"), value(number, 1_200 + number % 5 * 900))],
            Style::Runs => {
                vec![(format!("r{number}"), value(number, 20_000 + number % 4 * 17_000))]
            }
            Style::Growing => vec![("grown".into(), value(number, number * 3_000))],
            Style::Transactions => [30, 900, 3_000]
                .into_iter()
                .map(|len| (format!("t{number} {len}"), value(number, len)))
                .collect(),
        };
        let done = match set.as_slice() {
            [(name, value)] => map.set(name, value),
            many => {
                map.transaction(|tx| many.iter().try_for_each(|(name, value)| tx.set(name, value)))
            }
        };
        match done {
            Ok(()) => acked.extend(set),
            Err(error) => return Ok(error),
        }
    }
    Err("there is no end to the room".into())
}

/// Verifies that the map has every acknowledged value, and nothing else.
pub fn verify(map: &Map, acked: &Values) -> Result<(), String> {
    for (name, value) in acked {
        let found = map.get::<Vec<u8>>(name).map_err(|error| format!("{name}: {error}"))?;
        if found != *value {
            return Err(format!("{name} is not what it was set to"));
        }
    }
    let len = map.count().map_err(to_text)?;
    if len != acked.len() as u64 {
        return Err(format!("{len} variables, {} were acknowledged", acked.len()));
    }
    Ok(())
}

fn no_room(error: &Error) -> Result<(), String> {
    if NO_ROOM.contains(&error.kind()) {
        return Ok(());
    }
    Err(format!("what a full disk is told by is {:?}: {error}", error.kind()))
}

pub fn whole(map: &Map) -> Result<(), String> {
    let check = map.check().map_err(to_text)?;
    match check.findings().iter().find(|_| !check.is_whole()) {
        Some(finding) => Err(format!("check: {finding}")),
        None => Ok(()),
    }
}

/// Exercises a map after it was full: flushes it, sets its values again, removes half of them, and
/// sets once more.
pub fn go_on(map: &Map, acked: &mut Values) -> Result<(), String> {
    verify(map, acked)?;
    whole(map)?;
    map.flush().map_err(|error| format!("a flush where there is no room: {error}"))?;
    let names: Vec<_> = acked.keys().cloned().collect();
    for (number, name) in names.iter().enumerate() {
        let len = acked.get(name).map_or(0, Vec::len);
        let again = value(number + 1_000, len.saturating_sub(8));
        match map.set(name, &again) {
            Ok(()) => {
                acked.insert(name.clone(), again);
            }
            // A value that fits into its record needs no new space.
            Err(error) if len <= 96 => return Err(format!("{name} of {len} bytes again: {error}")),
            Err(error) => no_room(&error)?,
        }
    }
    verify(map, acked)?;
    for name in names.iter().step_by(2) {
        map.remove(name).map_err(|error| format!("{name} cannot be removed: {error}"))?;
        acked.remove(name);
    }
    for _ in 0..2 {
        map.flush().map_err(to_text)?;
    }
    if !names.is_empty() {
        map.set("after", value(1, 8)).map_err(|error| format!("after a removal: {error}"))?;
        acked.insert("after".into(), value(1, 8));
    }
    verify(map, acked)?;
    whole(map)
}

fn leftovers(folder: &Path, map: Option<&Path>) -> Result<(), String> {
    for entry in fs::read_dir(folder).map_err(to_text)? {
        let path = entry.map_err(to_text)?.path();
        if Some(path.as_path()) != map {
            return Err(format!("{} is left behind", path.display()));
        }
    }
    Ok(())
}

pub fn options(what: &str) -> MapOptions {
    let options = Map::options().size(1).timeout(Duration::from_secs(5));
    if what.contains(['/', '\\']) { options.file(what) } else { options.name(what) }
}

/// Creates a new map; returns `None` where there is no space for one.
fn made(what: &str) -> Result<Option<Map>, String> {
    options(what).create().map_or_else(|error| no_room(&error).map(|()| None), |map| Ok(Some(map)))
}

fn folder(what: &str) -> Option<PathBuf> {
    what.contains(['/', '\\']).then(|| Path::new(what).parent().map(Path::to_path_buf)).flatten()
}

/// Role: fills a map in a file or by name, and keeps using it. Returns whether there was space for
/// a map.
pub fn fill_one(what: &str, style: Style) -> Result<bool, String> {
    let Some(map) = made(what)? else {
        return folder(what).map_or(Ok(()), |folder| leftovers(&folder, None)).map(|()| false);
    };
    if let Some(folder) = folder(what) {
        leftovers(&folder, Some(Path::new(what)))?;
    }
    let mut acked = Values::new();
    for _ in 0..2 {
        let error = fill(&map, style, &mut acked)?;
        no_room(&error)?;
        go_on(&map, &mut acked)?;
        map.clear().map_err(to_text)?;
        map.flush().map_err(to_text)?;
        map.flush().map_err(to_text)?;
        // The next operation that needs space reclaims what waited for a flush.
        let _ = map.set("tidy", vec![0_u8; 1 << 20]);
        map.clear().map_err(to_text)?;
        map.flush().map_err(to_text)?;
        let used = map.stat().map_err(to_text)?.used;
        if used != 0 {
            return Err(format!("{used} bytes are taken in a map that is empty"));
        }
        acked.clear();
    }
    let mut kept = Values::new();
    let _ = fill(&map, Style::Small, &mut kept)?;
    if folder(what).is_some() {
        map.close().map_err(to_text)?;
        // A file can be opened again on a disk that is as full as before.
        let map = Map::options().file(what).open().map_err(to_text)?;
        verify(&map, &kept)?;
        whole(&map)?;
    }
    Ok(true)
}

/// Role, where the system provides memory only at first touch, as for page-file sections under
/// Wine. A lost mapping is then an acceptable error, but no value read afterwards may be wrong.
pub fn fill_lossy(what: &str, style: Style) -> Result<bool, String> {
    let map = match options(what).create() {
        Ok(map) => map,
        Err(error) if LOST.contains(&error.kind()) => return Ok(false),
        Err(error) => return no_room(&error).map(|()| false),
    };
    let mut acked = Values::new();
    let error = fill(&map, style, &mut acked)?;
    println!("ended by {:?}", error.kind());
    if !LOST.contains(&error.kind()) {
        no_room(&error)?;
        return go_on(&map, &mut acked).map(|()| true);
    }
    for (name, value) in &acked {
        match map.get::<Vec<u8>>(name) {
            Ok(found) if found == *value => {}
            Ok(_) => return Err(format!("{name} is another after a loss")),
            Err(error) if LOST.contains(&error.kind()) => {}
            Err(error) => return Err(format!("{name} after a loss: {error}")),
        }
    }
    match map.set("after", 1) {
        Err(error) if LOST.contains(&error.kind()) => Ok(true),
        other => Err(format!("a map that is lost says {other:?}")),
    }
}

/// Role, where the process may have no more memory: like [`fill_one`], without the steps that need
/// memory beside the map.
pub fn fill_in_memory(what: &str, style: Style) -> Result<bool, String> {
    let Some(map) = made(what)? else { return Ok(false) };
    let mut acked = Values::new();
    let mut number = 0;
    // The acknowledged values kept here take memory too, so there are at most 60 of them.
    let error = loop {
        let len = [24, 2_000, 30_000, number * 2_000, 900][style as usize];
        let (name, value) = (format!("v{number}"), value(number, len));
        number += 1;
        match map.set(&name, &value) {
            Ok(()) if number < 60 => acked.insert(name, value),
            Ok(()) => return go_on_short(&map).map(|()| true),
            Err(error) => break error,
        };
    };
    no_room(&error)?;
    verify(&map, &acked)?;
    go_on_short(&map)?;
    Ok(true)
}

fn go_on_short(map: &Map) -> Result<(), String> {
    map.clear().map_err(to_text)?;
    map.flush().map_err(to_text)?;
    map.set("after", 1).map_err(to_text)
}

/// Writes a file that takes all the space that is left.
pub fn take_all(path: &Path) -> Result<(), String> {
    use std::io::Write;
    let mut file = fs::File::create(path).map_err(to_text)?;
    while file.write_all(&[1; 4_096]).is_ok() {}
    Ok(())
}

/// Role: another file fills the disk, and is then removed.
pub fn room_again(path: &str) -> Result<bool, String> {
    let Some(folder) = folder(path) else { return Err("no folder".into()) };
    let Some(map) = made(path)? else { return Ok(false) };
    let mut acked = Values::new();
    for number in 0..4 {
        let (name, value) = (format!("v{number}"), value(number, 1_000));
        if let Err(error) = map.set(&name, &value) {
            no_room(&error)?;
            break;
        }
        acked.insert(name, value);
    }
    map.flush().map_err(to_text)?;
    let filler = folder.join("filler");
    take_all(&filler)?;
    let error = fill(&map, Style::Runs, &mut acked)?;
    no_room(&error)?;
    go_on(&map, &mut acked)?;
    let free = fs::metadata(&filler).map_err(to_text)?.len();
    fs::remove_file(&filler).map_err(to_text)?;
    // Space that the set needs: the value, and the chunks of one growth step.
    let large = value(9, 40_000);
    match map.set("large", &large) {
        Ok(()) => {
            acked.insert("large".into(), large);
        }
        Err(error) if free < 40_000 + 6 * 16_384 => no_room(&error)?,
        Err(error) => return Err(format!("{free} bytes are free again, and: {error}")),
    }
    go_on(&map, &mut acked)?;
    Ok(true)
}

/// Role: recovers a map after a simulated power cut, on a full disk.
pub fn recover(path: &str) -> Result<bool, String> {
    let Some(folder) = folder(path) else { return Err("no folder".into()) };
    let Some(map) = made(path)? else { return Ok(false) };
    let mut acked = Values::new();
    no_room(&fill(&map, Style::Extents, &mut acked)?)?;
    let filler = folder.join("filler");
    take_all(&filler)?;
    map.flush().map_err(to_text)?;
    let mut bytes = fs::read(path).map_err(to_text)?;
    map.clear().map_err(to_text)?;
    map.close().map_err(to_text)?;
    // The file's bytes as they were, with the identity of another boot.
    let identity = bytes.get_mut(0x200..0x238).ok_or("a short file")?;
    identity[0] ^= 0xff;
    let crc = u64::from(crc32fast::hash(&identity[..0x30])) | 1 << 32;
    identity[0x30..].copy_from_slice(&crc.to_le_bytes());
    {
        use std::io::Write;
        let mut file = fs::OpenOptions::new().write(true).open(path).map_err(to_text)?;
        file.write_all(&bytes).map_err(to_text)?;
    }
    let map = Map::options().file(path).open().map_err(|error| format!("recovery: {error}"))?;
    let recovery = map.recovery().ok_or("it was not recovered")?;
    if recovery.lost > 0 || recovery.damaged {
        return Err(format!("lost where there is no room: {recovery:?}"));
    }
    go_on(&map, &mut acked)?;
    Ok(true)
}

/// Uses every operation of a map. Returns how many were refused because memory is lost; a refusal
/// for any other reason is a failure, unless its kind is in `also`.
pub fn use_all(map: &Map, also: &[ErrorKind], torn: bool) -> Result<usize, String> {
    let mut lost = 0;
    let mut note = |what: &str, result: Result<(), Error>| match result {
        Ok(()) => Ok(()),
        Err(error) if LOST.contains(&error.kind()) || error.kind() == ErrorKind::Corrupt => {
            lost += 1;
            Ok(())
        }
        Err(error) if also.contains(&error.kind()) => Ok(()),
        Err(error) => Err(format!("{what}: {:?}: {error}", error.kind())),
    };
    for number in 0..24_u8 {
        let name = format!("v{number}");
        let got = map.get::<Vec<u8>>(&name);
        // Each value repeats one byte.
        if let Ok(value) = &got
            && torn
            && value.iter().any(|byte| Some(byte) != value.first())
        {
            return Err(format!("{name} is torn"));
        }
        note("get", got.map(drop))?;
        note("set", map.set(&name, vec![number + 1; 700]))?;
        note("value", map.get::<mapvar::Value>(&name).map(drop))?;
    }
    note("get", map.get::<Vec<u8>>("large").map(drop))?;
    note("set", map.set("large", vec![3_u8; 40_000]))?;
    note("set", map.set("new", 1))?;
    note("remove", map.remove("new").map(drop))?;
    note("transaction", map.transaction(|tx| tx.set("v4", vec![9_u8; 700])))?;
    note("snapshot", map.snapshot(["v5", "v6"]).map(drop))?;
    note("add", map.atomic_or("count", 0_u64).and_then(|count| count.fetch_add(1)).map(drop))?;
    note("stat", map.stat().map(drop))?;
    note("len", map.count().map(drop))?;
    for entry in map {
        note("iter", entry.map(drop))?;
    }
    note("flush", map.flush())?;
    let _ = map.check();
    Ok(lost)
}

/// Creates a map that has the variables that [`use_all`] expects.
pub fn filled(path: &str) -> Result<Map, String> {
    let options = Map::options().file(path).size(12_000).timeout(Duration::from_millis(200));
    let map = options.create().map_err(to_text)?;
    for number in 0..24_u8 {
        map.set(&format!("v{number}"), vec![number + 1; 700]).map_err(to_text)?;
    }
    map.set("large", vec![1_u8; 40_000]).map_err(to_text)?;
    match use_all(&map, &[], true)? {
        0 => Ok(map),
        lost => Err(format!("{lost} operations fail at the beginning")),
    }
}

/// Errors that are acceptable in a map some of whose pages are zero.
pub const AFTER_ZEROS: &[ErrorKind] = &[
    ErrorKind::NotFound,
    ErrorKind::WrongKind,
    ErrorKind::Full,
    ErrorKind::NoSpace,
    ErrorKind::TimedOut,
    ErrorKind::Contended,
    ErrorKind::Conflict,
    ErrorKind::OutOfRange,
];

/// Role: uses a map in two threads while the parent process truncates its file.
pub fn while_truncated(path: &str) -> Result<bool, String> {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
    let map = filled(path)?;
    let (stop, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    let result = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while !stop.load(Relaxed) {
                        use_all(&map, AFTER_ZEROS, false)?;
                        rounds.fetch_add(1, Relaxed);
                    }
                    Ok::<_, String>(())
                })
            })
            .collect();
        say("ready");
        let mut line = String::new();
        let heard = std::io::stdin().read_line(&mut line);
        // The file is truncated now, and each thread must run into it.
        let from = rounds.load(Relaxed);
        let began = std::time::Instant::now();
        while rounds.load(Relaxed) < from + 4 && began.elapsed() < Duration::from_secs(20) {
            if threads.iter().any(std::thread::ScopedJoinHandle::is_finished) {
                break;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        stop.store(true, Relaxed);
        for thread in threads {
            thread.join().map_err(|_| "a thread panicked")??;
        }
        heard.map(drop).map_err(to_text)
    });
    result?;
    let lost = use_all(&map, AFTER_ZEROS, false)?;
    println!("lost {lost}");
    let _ = map.close();
    // An open now finds a file that is too short.
    let _ = Map::options().file(path).open();
    Ok(true)
}

/// Role: the same with a raw section.
pub fn view_truncated(path: &str, pages: usize) -> Result<bool, String> {
    let section =
        mapvar::section::Section::options().file(path).size(pages as u64 * 4_096).create();
    let view = section.map_err(to_text)?.view().map().map_err(to_text)?;
    say("ready");
    let (mut line, mut lost) = (String::new(), 0);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| std::io::stdin().read_line(&mut line).map(drop));
        let mut left = 3;
        while left > 0 {
            left -= i32::from(waiting.is_finished());
            for page in 0..pages {
                let mut into = [0; 64];
                for done in
                    [view.read_at(page * 4_096, &mut into), view.write_at(page * 4_096, &[7; 64])]
                {
                    match done {
                        Ok(()) => {}
                        Err(error) if LOST.contains(&error.kind()) => lost += 1,
                        Err(error) => return Err(format!("{:?}: {error}", error.kind())),
                    }
                }
            }
        }
        waiting.join().map_err(|_| "a thread panicked")?.map_err(to_text)
    })?;
    println!("lost {lost}");
    Ok(true)
}
