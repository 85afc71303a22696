//! The drive: one file of a FUSE file system that this process serves. A loop device over it shows
//! every write and every flush that a file system sends to its disk, on any Linux with FUSE.
//!
//! `linux/include/uapi/linux/fuse.h` has the requests and replies.

use super::disk::{BYTES, Disk, Event};
use rustix::{
    io::Errno,
    mount::{MountFlags, UnmountFlags, mount, unmount},
    thread::{UnshareFlags, unshare_unsafe},
};
use std::{
    ffi::CString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::fd::{AsRawFd as _, FromRawFd as _, RawFd},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
};

/// Bytes of the largest write.
const MOST: usize = 1 << 20;
const NAME: &str = "disk";

#[derive(Default)]
struct Content {
    disk: Option<Disk>,
    events: Vec<Event>,
}

pub struct Drive {
    folder: PathBuf,
    content: Arc<Mutex<Content>>,
}

impl Drive {
    /// Mounts it on a new folder of this name.
    pub fn start(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir(&folder)?;
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let options = CString::new(options)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount("mapvar-disks", &folder, "fuse", flags, Some(options.as_c_str()))?;
        let drive = Self { folder, content: Arc::default() };
        let served = Arc::clone(&drive.content);
        let (done, apart) = mpsc::channel();
        let number = device.as_raw_fd();
        thread::spawn(move || {
            let unshared = unshare_files();
            let ready = unshared.is_ok();
            let _ = done.send(unshared);
            if ready {
                serve(&own_copy(number), &served);
            }
        });
        apart.recv().map_err(|_| io::ErrorKind::BrokenPipe)??;
        // Only the server's copy is open from here on.
        drop(device);
        Ok(drive)
    }

    pub fn image(&self) -> PathBuf {
        self.folder.join(NAME)
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a disk in, and begins a new record.
    pub fn insert(&self, disk: Disk) {
        *self.content() = Content { disk: Some(disk), events: Vec::new() };
    }

    /// Returns the disk as it is now.
    pub fn disk(&self) -> Disk {
        self.content().disk.clone().unwrap_or_else(Disk::empty)
    }

    /// Returns how many events reached it since `insert`.
    pub fn position(&self) -> usize {
        self.content().events.len()
    }

    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.content().events)
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        // FORCE: what still waits for a reply fails.
        let _ = unmount(&self.folder, UnmountFlags::FORCE | UnmountFlags::DETACH);
    }
}

/// Gives this thread file descriptors and mounts of its own. Without it, a process that is killed
/// while a thread of it waits for this drive would wait for ever: the kernel ends the drive when its
/// last descriptor is closed, and closes the descriptors and mounts of a process with its last
/// thread.
fn unshare_files() -> io::Result<()> {
    // SAFETY: this thread uses one descriptor, of which it has a copy by its number, and none that
    // another thread opens later; no other thread gets one of this thread's.
    #[allow(unsafe_code, reason = "a thread with descriptors of its own")]
    let unshared = unsafe { unshare_unsafe(UnshareFlags::FILES | UnshareFlags::NEWNS) };
    Ok(unshared?)
}

/// Returns this thread's copy of a descriptor.
fn own_copy(number: RawFd) -> File {
    // SAFETY: `unshare_files` has copied it to this thread's table, where nothing else owns it.
    #[allow(unsafe_code, reason = "a thread with descriptors of its own")]
    unsafe {
        File::from_raw_fd(number)
    }
}

/// Serves requests until the file system is unmounted.
fn serve(mut device: &File, content: &Mutex<Content>) {
    let mut request = vec![0; MOST + 4_096];
    loop {
        let len = match device.read(&mut request) {
            Ok(len) => len,
            // ENOENT: the request was taken back.
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::INTR | Errno::NOENT | Errno::AGAIN) => continue,
                _ => return,
            },
        };
        let Some(request) = Request::of(&request[..len]) else { return };
        let (error, reply) = match reply(&request, content) {
            Ok(Some(reply)) => (0, reply),
            Ok(None) => continue,
            Err(errno) => (-errno.raw_os_error(), Vec::new()),
        };
        let mut whole = ((16 + reply.len()) as u32).to_ne_bytes().to_vec();
        whole.extend(error.to_ne_bytes());
        whole.extend(request.unique.to_ne_bytes());
        whole.extend(reply);
        // ENOENT: the request was interrupted meanwhile.
        if device.write_all(&whole).is_err_and(|it| it.kind() != io::ErrorKind::NotFound) {
            return;
        }
    }
}

struct Request<'a> {
    opcode: u32,
    unique: u64,
    node: u64,
    /// What is behind the header.
    body: &'a [u8],
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|it| u64::from_ne_bytes(*it))
}

fn half(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|it| u32::from_ne_bytes(*it))
}

impl<'a> Request<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (opcode, unique, node) = (half(bytes, 4)?, number(bytes, 8)?, number(bytes, 16)?);
        Some(Self { opcode, unique, node, body: bytes.get(40..)? })
    }

    /// Returns offset and size of a read or write.
    fn range(&self) -> Result<(usize, usize), Errno> {
        let range = number(self.body, 8).zip(half(self.body, 16));
        range.map(|(at, size)| (at as usize, size as usize)).ok_or(Errno::INVAL)
    }
}

const FILE: u64 = 2;

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn halves(halves: &[u32]) -> Vec<u8> {
    halves.iter().flat_map(|half| half.to_ne_bytes()).collect()
}

fn attributes(node: u64) -> Vec<u8> {
    let (size, mode, links) =
        if node == FILE { (BYTES as u64, 0o100_600, 1) } else { (0, 0o040_700, 2) };
    let mut all = words(&[node, size, size / 512, 0, 0, 0]);
    // Nanoseconds of three times; mode, links, user, group, device, block size, flags.
    all.extend(halves(&[0, 0, 0, mode, links, 0, 0, 0, 4_096, 0]));
    all
}

/// Returns the reply to a request; `None` for those that have none.
fn reply(request: &Request<'_>, content: &Mutex<Content>) -> Result<Option<Vec<u8>>, Errno> {
    let mut content = content.lock().unwrap_or_else(PoisonError::into_inner);
    let Content { disk, events } = &mut *content;
    let disk = disk.get_or_insert_with(Disk::empty);
    let done = match request.opcode {
        // LOOKUP
        1 if request.body.strip_suffix(b"\0") == Some(NAME.as_bytes()) => {
            let mut entry = words(&[FILE, 0, 0, 0, 0]);
            entry.extend(attributes(FILE));
            entry
        }
        1 => return Err(Errno::NOENT),
        // FORGET, INTERRUPT, BATCH_FORGET
        2 | 36 | 42 => return Ok(None),
        // GETATTR and SETATTR, which changes nothing
        3 | 4 => {
            let mut all = words(&[0, 0]);
            all.extend(attributes(request.node));
            all
        }
        // OPEN: FOPEN_DIRECT_IO, so that the kernel caches nothing of the file
        14 if request.node == FILE => {
            let mut opened = words(&[0]);
            opened.extend(halves(&[1, 0]));
            opened
        }
        // READ
        15 => {
            let (at, size) = request.range()?;
            let mut bytes = vec![0; size.min(BYTES.saturating_sub(at))];
            disk.read(at, &mut bytes);
            bytes
        }
        // WRITE
        16 => {
            let (at, size) = request.range()?;
            let bytes = request.body.get(40..40 + size).ok_or(Errno::INVAL)?;
            if at + size > BYTES {
                return Err(Errno::NOSPC);
            }
            disk.write(at, bytes);
            events.push(Event::Write { at, bytes: bytes.to_vec() });
            halves(&[size as u32, 0])
        }
        // STATFS
        17 => {
            let blocks = (BYTES / 4_096) as u64;
            let mut all = words(&[blocks, 0, 0, 2, 0]);
            all.extend(halves(&[4_096, 255, 4_096, 0]));
            all.extend([0; 24]);
            all
        }
        // FSYNC
        20 => {
            events.push(Event::Flush);
            Vec::new()
        }
        // RELEASE, FLUSH (a close, and no flush of the disk), DESTROY
        18 | 25 | 38 => Vec::new(),
        // INIT: version 7.31 with FUSE_BIG_WRITES and FUSE_MAX_PAGES
        26 => {
            let mut all = halves(&[7, 31, 0, 1 << 5 | 1 << 22]);
            // Requests in the background, and their congestion.
            all.extend(halves(&[32 << 16 | 64, MOST as u32, 1]));
            // Pages of the largest write.
            all.extend(halves(&[(MOST / 4_096) as u32]));
            all.extend([0; 32]);
            all
        }
        _ => return Err(Errno::NOSYS),
    };
    Ok(Some(done))
}
