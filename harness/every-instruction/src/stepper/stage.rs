//! A section that is rebuilt from an image again and again: the view of a process that comes after
//! a death.

use super::{
    image::{change_identity, identity_of},
    window::Window,
};
use mapvar::{
    Map, MapOptions, Value,
    check::Check,
    section::{Protection, Section},
};
use mapvar_engine::{inspect::open::store_over, layout::identity, mem::read_only::ReadOnly};
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::{
        LazyLock, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// Where a map lives, and whether another process has it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// By a name. Another living process has it open: otherwise the name would be gone.
    Named,
    /// In a file that no other process has open.
    Alone,
    /// In a file that another process has open.
    Peer,
}

impl Place {
    pub fn word(self) -> &'static str {
        match self {
            Self::Named => "named",
            Self::Alone => "alone",
            Self::Peer => "peer",
        }
    }
}

/// More than any map of the harness may grow to.
pub static TOO_LARGE: LazyLock<Value> = LazyLock::new(|| Value::Bytes(vec![0; 1 << 20]));

/// How long an operation waits for a lock. No process owns one: the timeout ends an endless wait.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// Files to be removed if the harness ends early.
static LEFT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

pub fn clean_up() {
    for path in LEFT.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        let _ = std::fs::remove_file(path);
    }
}

/// Returns the options to open a map by its name or its file's path.
pub fn options(place: Place, target: &str) -> MapOptions {
    // A recovery that is traced step by step takes as long as the machine is busy.
    let options = Map::options().timeout(TIMEOUT).recovery_timeout(Duration::from_mins(30));
    match place {
        Place::Named => options.name(target),
        // Only as much address space as needed: there are very many openings.
        Place::Alone | Place::Peer => options.file(target).max_size(super::window::MOST as u64),
    }
}

pub struct Stage {
    pub place: Place,
    pub target: String,
    pub window: Window,
    pub inode: u64,
    path: PathBuf,
    file: File,
    /// The identity of its own file.
    identity: [u64; identity::WORDS],
    holder: Option<Map>,
}

impl Stage {
    /// Creates a new map.
    pub fn new(place: Place, size: u64, max: u64) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let name = format!("every-instruction.{}.{number}", std::process::id());
        let (target, path) = match place {
            Place::Named => {
                // The number of the user.
                let uid = std::fs::metadata("/proc/self").expect("/proc").uid();
                let path = Path::new("/dev/shm").join(format!("mapvar.{uid}.{name}.map"));
                (name, path)
            }
            Place::Alone | Place::Peer => {
                let path = Path::new("/dev/shm").join(format!("{name}.map"));
                (path.to_str().expect("a path in UTF-8").to_owned(), path)
            }
        };
        LEFT.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
        let options = options(place, &target).size(size).max_size(max);
        let holder = options.create().expect("make a map");
        if max == 1 {
            // The operation does not grow the map. An attempt that finds no space does, up to the
            // limit, and leaves nothing.
            holder
                .set("too large", vec![0_u8; super::window::MOST])
                .expect_err("no map holds this");
            let stat = holder.stat().expect("figures");
            assert_eq!((stat.max_size, stat.used), (Some(stat.region), 0), "{stat:?}");
        }
        let file = OpenOptions::new().read(true).write(true).open(&path).expect("open its memory");
        let window = Window::new(&file);
        let identity = identity_of(window.bytes());
        let inode = file.metadata().expect("its number").ino();
        let holder = match place {
            Place::Alone => None,
            Place::Named => Some(holder),
            // The dying process was alone, and so has the first seat. A living process in that seat
            // would make the dead token of the image look alive, so this one takes another seat.
            Place::Peer => {
                let second = self::options(place, &target).open().expect("open it again");
                drop(holder);
                Some(second)
            }
        };
        Self { place, target, window, inode, path, file, identity, holder }
    }

    /// Replaces its memory by `image`, which was taken from `of`.
    pub fn show(&self, image: &[u8], of: &Stage) {
        let bytes = if of.place == Place::Named {
            None
        } else {
            let mut bytes = image.to_vec();
            change_identity(&mut bytes, &of.identity, &self.identity);
            Some(bytes)
        };
        let bytes = bytes.as_deref().unwrap_or(image);
        self.file.set_len(bytes.len() as u64).expect("set its length");
        self.file.write_all_at(bytes, 0).expect("write its memory");
    }

    pub fn options(&self) -> MapOptions {
        options(self.place, &self.target)
    }

    /// Like `Map::check` on an idle map: one pass counts, and it does not wait for a second one.
    pub fn check_at_rest(&self) -> Result<Check, String> {
        let message = |error: mapvar::Error| error.to_string();
        let section = Section::options().file(&self.path).protection(Protection::ReadOnly);
        let section = section.open().map_err(message)?;
        let bytes = section.size().map_err(message)?;
        let memory = ReadOnly::new(section, bytes, bytes).map_err(message)?;
        let (store, flaw) = store_over(memory, bytes, self.place == Place::Named)
            .map_err(|why| format!("{why:?}"))?;
        flaw.map_or(Ok(()), |flaw| Err(format!("{flaw:?}")))?;
        Ok(store.check_once(true, mapvar_harness::is_message_pack))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.holder.take());
        let _ = std::fs::remove_file(&self.path);
        LEFT.lock().unwrap_or_else(PoisonError::into_inner).retain(|path| *path != self.path);
    }
}
