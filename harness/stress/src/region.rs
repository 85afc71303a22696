//! A map's place, and its region seen from outside, by docs/FORMAT.md alone.

use mapvar::{ErrorKind, Map};
use mapvar_os::{Locks, Name, Scope, Section, View};
use std::{path::PathBuf, sync::atomic::Ordering, time::Duration};

/// The longest that any operation may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);

/// Where a map is: a text with a slash in it is a file's path.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Name(String),
    File(PathBuf),
}

impl Place {
    pub(crate) fn of(text: &str) -> Self {
        if text.contains(['/', '\\']) { Self::File(text.into()) } else { Self::Name(text.into()) }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::File(path) => path.display().to_string(),
        }
    }

    pub(crate) fn options(&self) -> mapvar::MapOptions {
        match self {
            Self::Name(name) => Map::options().name(name),
            Self::File(path) => Map::options().file(path),
        }
    }

    pub(crate) fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

/// A map's region as another program would see it that knows docs/FORMAT.md: its locks, its seats,
/// its words.
#[derive(Debug)]
pub(crate) struct Region {
    // In the order in which they go.
    pub(crate) view: View,
    pub(crate) section: Section,
    pub(crate) locks: Locks,
    pub(crate) scope: Scope,
    pub(crate) id: String,
}

/// Offsets of docs/FORMAT.md.
pub(crate) mod at {
    pub(crate) const FLUSHER: usize = 0x10e8;
    pub(crate) const PINS: usize = 0x10d8;
    pub(crate) const L: usize = 0x1100;
    pub(crate) const T: usize = 0x1140;
    pub(crate) const PARTICIPANTS: usize = 0x2000;
    pub(crate) const CHUNKS: usize = 0x8000;
}
/// Seats, and places for writing threads on Windows.
pub(crate) const SEATS: usize = 128;
const CHUNK: usize = 16 << 10;

impl Region {
    pub(crate) fn open(place: &Place) -> Result<Self, mapvar_os::Error> {
        let options = match place {
            Place::Name(name) => Section::options().name(Name::new(name)?.with_suffix(".map")),
            Place::File(path) => Section::options().file(path),
        };
        let section = options.timeout(LIMIT).open()?;
        // Of what may grow, Windows does not tell how long it is by now.
        let head = section.view().len(0x8000).map()?;
        let len = word(&head, 0x1180) * CHUNK as u64;
        let view = section.view().len(len).map()?;
        let id = format!("{:016x}{:016x}", word(&view, 24), word(&view, 32));
        let scope = if place.is_file() { Scope::Global } else { Scope::Local };
        let locks = Locks::new(scope, &id, at::PARTICIPANTS, SEATS)?;
        Ok(Self { view, section, locks, scope, id })
    }

    pub(crate) fn word(&self, at: usize) -> u64 {
        word(&self.view, at)
    }

    pub(crate) fn set_word(&self, at: usize, value: u64) {
        let words = self.view.words_mut(at, 1).expect("a word of the region");
        words.store(0, value, Ordering::SeqCst);
    }

    /// The record of a variable with a short name.
    pub(crate) fn record(&self, name: &str) -> Option<usize> {
        let mut wanted = [0; 32];
        wanted[..name.len()].copy_from_slice(name.as_bytes());
        let mut found = [0; 32];
        (at::CHUNKS..self.view.len() - 64).step_by(64).find(|at| {
            let id = self.word(at + 16);
            id != 0
                && id >> 63 == 0
                && self.view.read_at(at + 32, &mut found).is_ok()
                && found == wanted
                && self.word(at / CHUNK * CHUNK) & 0xff_ffff_ffff == 0x02_4843_564d
        })
    }

    /// Where the bytes of a variable lie whose value is in an extent.
    pub(crate) fn extent(&self, name: &str) -> Option<usize> {
        let record = self.record(name)?;
        let class = self.word(record / CHUNK * CHUNK) >> 40 & 0xff;
        let slot = 32 + [32, 96, 480, 1_008].get(class as usize)?;
        let current = self.word(record) >> 6 & 3;
        let slot = record + 64 + current as usize * slot;
        let in_extent = self.word(slot + 8) & 1 == 1;
        in_extent.then(|| self.word(slot + 32) as usize)
    }

    /// How many seats are taken beyond `most`, when the system has had time to give back those of
    /// the dead.
    pub(crate) fn seats_beyond(&self, most: usize) -> Result<usize, mapvar_os::Error> {
        for _ in 0..100 {
            if self.seats_taken()? <= most {
                return Ok(0);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(self.seats_taken()?.saturating_sub(most))
    }

    /// How many seats are taken, by whoever; one more is taken for the question and given back.
    fn seats_taken(&self) -> Result<usize, mapvar_os::Error> {
        let seat = self.section.take_seat(self.scope, &self.id, SEATS)?;
        let mut taken = 0;
        for slot in 0..SEATS {
            taken += usize::from(slot != seat.slot() && seat.is_taken(slot)?);
        }
        Ok(taken)
    }
}

/// Empties a map, and in a file has three flushes give up what was removed.
pub(crate) fn empty(map: &Map) -> mapvar::Result<()> {
    map.clear()?;
    for _ in 0..if map.stat()?.file { 3 } else { 0 } {
        // Each gives up what the one before knows to be removed.
        map.set("flushed", 1)?;
        map.remove("flushed")?;
        map.flush()?;
    }
    Ok(())
}

/// Sets a value for which there is no room, so that all that nobody owns is taken back.
pub(crate) fn overfill(map: &Map, bytes: usize) {
    let full = map.set("beyond", vec![0_u8; bytes]).err().map(|error| error.kind());
    assert!(matches!(full, Some(ErrorKind::Full | ErrorKind::TooLarge)), "beyond: {full:?}");
}

fn word(view: &View, at: usize) -> u64 {
    view.words(at, 1).map_or(0, |words| words.load(0, Ordering::SeqCst))
}

/// Where the memory of a name lies on this system, if it is a file (docs/PLATFORM.md).
#[cfg(unix)]
pub(crate) fn place_of(uid: u32, name: &str) -> PathBuf {
    let folder = if cfg!(target_os = "linux") { "/dev/shm" } else { "/var/tmp" };
    PathBuf::from(format!("{folder}/mapvar.{uid}.{name}.map"))
}

/// Paths of all objects of ours in the system, whose names have `what` in them.
pub(crate) fn objects(what: &str) -> Vec<PathBuf> {
    ["/dev/shm", "/var/tmp"]
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // What begins with "mapvar-" is a `Folder` of a harness.
            name.contains(what) && name.contains("mapvar") && !name.starts_with("mapvar-")
        })
        .collect()
}

/// Removes them, after a run that went wrong; `what` is of this run alone.
pub(crate) fn remove_objects(what: &str) {
    for path in objects(what) {
        let _ = std::fs::remove_file(path);
    }
}

/// Bytes that the line of this name in a file of /proc says.
pub(crate) fn proc_bytes(file: &str, line: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|text| text.strip_prefix(line))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}
