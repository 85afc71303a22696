//! Where a map is, and its region seen from outside, by docs/FORMAT.md alone.

use mapvar::{ErrorKind, Map};
use mapvar_os::{Locks, Name, Scope, Seats, Section, View};
use std::{path::PathBuf, sync::atomic::Ordering, time::Duration};

/// The longest time that any operation may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);

/// Where a map is: a text that contains a slash is a file's path.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Name(String),
    File(PathBuf),
}

/// Bytes of a slot by class: of the classes with two slots, and then of those with four.
const ROOM: [usize; 16] =
    [32, 64, 128, 224, 320, 480, 736, 1_088, 32, 64, 112, 192, 288, 448, 624, 960];

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

/// A map's region as another program sees it that knows docs/FORMAT.md: its locks, its seats, its
/// words.
#[derive(Debug)]
pub(crate) struct Region {
    // The fields drop in this order.
    pub(crate) view: View,
    pub(crate) section: Section,
    pub(crate) locks: Locks,
    pub(crate) scope: Scope,
    pub(crate) id: String,
}

/// Offsets from docs/FORMAT.md.
pub(crate) mod at {
    pub(crate) const FLUSHER: usize = 0x10e8;
    pub(crate) const PINS: usize = 0x10d8;
    pub(crate) const L: usize = 0x1100;
    pub(crate) const T: usize = 0x1140;
    pub(crate) const PARTICIPANTS: usize = 0x2000;
    pub(crate) const CHUNKS: usize = 0x8000;
}
/// The number of seats; on Windows also of the slots for writing threads.
pub(crate) const SEATS: usize = 128;
const CHUNK: usize = 16 << 10;

impl Region {
    pub(crate) fn open(place: &Place) -> Result<Self, mapvar_os::Error> {
        let options = match place {
            Place::Name(name) => Section::options().name(Name::new(name)?.with_suffix(".map")),
            Place::File(path) => Section::options().file(path),
        };
        let section = options.timeout(LIMIT).open()?;
        // Windows does not report the current length of a section that can grow, so the header is
        // read first.
        let head = section.view().len(0x8000).map()?;
        let len = word(&head, 0x1180) * CHUNK as u64;
        let view = section.view().len(len).map()?;
        let number = section.id()?.map_or_else(String::new, |id| format!("{:016x}", id.file));
        let id = format!("{:016x}{:016x}{number}", word(&view, 24), word(&view, 32));
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

    /// Returns the offset of the record of a variable with a short name.
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

    /// Returns the offset of a variable's bytes, if its value is in an extent.
    pub(crate) fn extent(&self, name: &str) -> Option<usize> {
        let record = self.record(name)?;
        let class = self.word(record / CHUNK * CHUNK) >> 40 & 0xff;
        let slot = 32 + ROOM.get(class as usize)?;
        let current = self.word(record) >> 6 & if class < 8 { 1 } else { 3 };
        let slot = record + 64 + current as usize * slot;
        let in_extent = self.word(slot + 8) & 1 == 1;
        in_extent.then(|| self.word(slot + 32) as usize)
    }

    /// Returns how many seats are taken beyond `most`. Waits up to a second for the system to
    /// release the seats of dead processes.
    pub(crate) fn seats_beyond(&self, most: usize) -> Result<usize, mapvar_os::Error> {
        for _ in 0..100 {
            if self.seats_taken()? <= most {
                return Ok(0);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(self.seats_taken()?.saturating_sub(most))
    }

    /// Returns how many seats are taken by any process. Takes one more seat for the query, and
    /// releases it.
    fn seats_taken(&self) -> Result<usize, mapvar_os::Error> {
        let seat = self.section.take_seat(self.scope, &self.id, SEATS)?;
        let mut taken = 0;
        for slot in 0..SEATS {
            taken += usize::from(slot != seat.slot() && seat.is_taken(slot)?);
        }
        Ok(taken)
    }
}

/// Empties a map; in a file, three flushes then reclaim what was removed.
pub(crate) fn empty(map: &Map) -> mapvar::Result<()> {
    map.clear()?;
    for _ in 0..if map.stat()?.file { 3 } else { 0 } {
        // Each flush reclaims what the one before made durable as removed.
        map.set("flushed", 1)?;
        map.remove("flushed")?;
        map.flush()?;
    }
    Ok(())
}

/// Sets a value that does not fit, so that the engine reclaims all space that no live process owns.
pub(crate) fn overfill(map: &Map, bytes: usize) {
    let full = map.set("beyond", vec![0_u8; bytes]).err().map(|error| error.kind());
    assert!(matches!(full, Some(ErrorKind::Full | ErrorKind::TooLarge)), "beyond: {full:?}");
}

fn word(view: &View, at: usize) -> u64 {
    view.words(at, 1).map_or(0, |words| words.load(0, Ordering::SeqCst))
}

/// Returns the path of the memory behind a name, where this system keeps it in a file
/// (docs/PLATFORM.md).
#[cfg(unix)]
pub(crate) fn place_of(uid: u32, name: &str) -> PathBuf {
    let folder = if cfg!(target_os = "linux") { "/dev/shm" } else { "/var/tmp" };
    PathBuf::from(format!("{folder}/mapvar.{uid}.{name}.map"))
}

/// Returns the paths of all mapvar objects in the system whose names contain `what`.
pub(crate) fn objects(what: &str) -> Vec<PathBuf> {
    ["/dev/shm", "/var/tmp"]
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // A name that begins with "mapvar-" is a harness's `Folder`.
            name.contains(what) && name.contains("mapvar") && !name.starts_with("mapvar-")
        })
        .collect()
}

/// Removes those objects after a failed run; `what` must be in no other run's names.
pub(crate) fn remove_objects(what: &str) {
    for path in objects(what) {
        let _ = std::fs::remove_file(path);
    }
}

/// Returns the bytes that a named line of a file in /proc states.
pub(crate) fn proc_bytes(file: &str, line: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|text| text.strip_prefix(line))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}
