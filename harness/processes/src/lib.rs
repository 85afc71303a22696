//! What the three harnesses share: arguments, second processes, a watchdog, random numbers, and the
//! region of a map seen from outside, by docs/FORMAT.md alone.

use mapvar_os::{Locks, Name, Scope, Section, View};
use std::{
    io,
    path::PathBuf,
    sync::{Mutex, PoisonError, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

pub mod peer;
#[cfg(unix)]
pub mod unix;
#[cfg(windows)]
pub mod windows;

/// The longest that any operation may take.
pub const LIMIT: Duration = Duration::from_secs(5);
/// A harness that was not run says so by this code, as `ci/windows` does.
pub const SKIPPED: i32 = 77;

/// What all three understand.
#[derive(Debug, Default)]
pub struct Args {
    pub short: bool,
    pub seed: u64,
    /// Minutes, or rounds.
    pub number: Option<u64>,
    pub processes: Option<usize>,
}

impl Args {
    /// `usage` is told for what is not understood.
    pub fn read(usage: &str) -> Self {
        let mut args = Self { seed: now(), ..Self::default() };
        let mut words = std::env::args().skip(1);
        let refuse = |word: &str| -> ! {
            eprintln!("{word:?} is not understood\nusage: {usage}");
            std::process::exit(2)
        };
        while let Some(word) = words.next() {
            let mut value = || {
                let value = words.next().unwrap_or_default();
                value.parse().unwrap_or_else(|_| refuse(&value))
            };
            match word.as_str() {
                "--short" => args.short = true,
                "--seed" => args.seed = value(),
                "--processes" => args.processes = Some(value() as usize),
                word => args.number = Some(word.parse().unwrap_or_else(|_| refuse(word))),
            }
        }
        args
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as u64 % 1_000_000_000_000
}

/// A name that no other run has.
pub fn unique(what: &str) -> String {
    format!("{what}.{}.{:x}", std::process::id(), now() & 0xff_ffff)
}

/// One line of the table at the end; `ci/long` collects them.
pub fn figure(what: &str, value: impl std::fmt::Display, goal: &str) {
    let goal = if goal.is_empty() { String::new() } else { format!(" (goal {goal})") };
    println!("figure: {what} = {value}{goal}");
}

/// xorshift64*: small and seeded.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn word(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        (self.word() >> 11) % bound.max(1)
    }
}

static DOING: Mutex<(String, Option<Instant>)> = Mutex::new((String::new(), None));

/// Tells the watchdog what is being done, and that something is.
pub fn doing(what: impl Into<String>) {
    *DOING.lock().unwrap_or_else(PoisonError::into_inner) = (what.into(), Some(Instant::now()));
}

/// What was told last.
pub fn done_last() -> String {
    DOING.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
}

/// Ends this process if one thing takes longer than `each`, or at Ctrl-C, with what it started and
/// made; its children see their input end.
pub fn watch(each: Duration) {
    doing("begin");
    let _ = ctrlc::set_handler(|| abandon(130));
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let (what, since) = DOING.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if since.is_some_and(|since| since.elapsed() > each) {
                println!("WRONG: hangs for {each:?}: {what}");
                abandon(101);
            }
        }
    });
}

/// Ends this process before its time: nobody else removes what it has made.
fn abandon(code: i32) -> ! {
    #[cfg(unix)]
    unix::end_children();
    // All of it is called by `unique`.
    let own = format!(".{}.", std::process::id());
    remove_objects(&own);
    for parent in [PathBuf::from("/dev/shm"), std::env::temp_dir()] {
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("mapvar-") && name.contains(&own) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
    std::process::exit(code)
}

/// Where a map is: a text with a slash in it is a file's path.
#[derive(Clone, Debug)]
pub enum Place {
    Name(String),
    File(PathBuf),
}

impl Place {
    pub fn of(text: &str) -> Self {
        if text.contains(['/', '\\']) { Self::File(text.into()) } else { Self::Name(text.into()) }
    }

    pub fn text(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::File(path) => path.display().to_string(),
        }
    }

    pub fn options(&self) -> mapvar::MapOptions {
        match self {
            Self::Name(name) => mapvar::Map::options().name(name),
            Self::File(path) => mapvar::Map::options().file(path),
        }
    }

    pub fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

/// A map's region as another program would see it that knows docs/FORMAT.md: its locks, its seats,
/// its words.
#[derive(Debug)]
pub struct Region {
    // In the order in which they go.
    pub view: View,
    pub section: Section,
    pub locks: Locks,
    pub scope: Scope,
    pub id: String,
}

/// Offsets of docs/FORMAT.md.
pub mod at {
    pub const FLUSHER: usize = 0x10e8;
    pub const PINS: usize = 0x10d8;
    pub const L: usize = 0x1100;
    pub const T: usize = 0x1140;
    pub const PARTICIPANTS: usize = 0x2000;
    pub const CHUNKS: usize = 0x8000;
}
/// Seats, and places for writing threads on Windows.
pub const SEATS: usize = 128;
const CHUNK: usize = 16 << 10;

impl Region {
    pub fn open(place: &Place) -> Result<Self, mapvar_os::Error> {
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

    pub fn word(&self, at: usize) -> u64 {
        word(&self.view, at)
    }

    pub fn set_word(&self, at: usize, value: u64) {
        let words = self.view.words_mut(at, 1).expect("a word of the region");
        words.store(0, value, Ordering::SeqCst);
    }

    /// The record of a variable with a short name.
    pub fn record(&self, name: &str) -> Option<usize> {
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
    pub fn extent(&self, name: &str) -> Option<usize> {
        let record = self.record(name)?;
        let class = self.word(record / CHUNK * CHUNK) >> 40 & 0xff;
        let slot = 32 + [32, 96, 480, 1_008].get(class as usize)?;
        let current = self.word(record) >> 6 & 3;
        let slot = record + 64 + current as usize * slot;
        let in_extent = self.word(slot + 8) & 1 == 1;
        in_extent.then(|| self.word(slot + 32) as usize)
    }

    /// How many seats are taken, by whoever; one more is taken for the question and given back.
    pub fn seats_taken(&self) -> Result<usize, mapvar_os::Error> {
        let seat = self.section.take_seat(self.scope, &self.id, SEATS)?;
        let mut taken = 0;
        for slot in 0..SEATS {
            taken += usize::from(slot != seat.slot() && seat.is_taken(slot)?);
        }
        Ok(taken)
    }
}

fn word(view: &View, at: usize) -> u64 {
    view.words(at, 1).map_or(0, |words| words.load(0, Ordering::SeqCst))
}

/// Where the memory of a name lies on this system, if it is a file (docs/PLATFORM.md).
#[cfg(unix)]
pub fn place_of(uid: u32, name: &str) -> PathBuf {
    let folder = if cfg!(target_os = "linux") { "/dev/shm" } else { "/var/tmp" };
    PathBuf::from(format!("{folder}/mapvar.{uid}.{name}.map"))
}

fn those_of(what: &str) -> impl Iterator<Item = PathBuf> {
    ["/dev/shm", "/var/tmp"]
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(move |path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("mapvar.") && name.contains(what)
        })
}

/// Objects of ours in the system, whose name has `what` in it.
pub fn objects(what: &str) -> usize {
    those_of(what).count()
}

/// Removes them, after a run that went wrong; `what` is of this run alone.
pub fn remove_objects(what: &str) {
    those_of(what).for_each(|path| drop(std::fs::remove_file(path)));
}

/// A folder of this run's own, removed with all that is in it.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(what: &str) -> io::Result<Self> {
        Self::within(&std::env::temp_dir(), what)
    }

    /// In memory, where the system has that.
    pub fn quick(what: &str) -> io::Result<Self> {
        Self::within(std::path::Path::new("/dev/shm"), what).or_else(|_| Self::new(what))
    }

    fn within(parent: &std::path::Path, what: &str) -> io::Result<Self> {
        let path = parent.join(format!("mapvar-{}", unique(what)));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &std::path::Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
