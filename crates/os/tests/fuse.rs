//! A file system of a program (FUSE) is refused. The file system is a real one, mounted by this test,
//! which answers the kernel itself. Linux, and root alone may mount it so; elsewhere it is skipped.
#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "mount, and what the standard library has not")]
#![allow(clippy::print_stdout, reason = "says what is skipped")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of a test, whose peer is the kernel"
)]

use mapvar_os::{ErrorKind, Section};
use std::{
    ffi::CString,
    fs::{File, OpenOptions},
    io::{Read, Write},
    os::{fd::AsRawFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    thread,
};

/// The directory has one file, of this name and size.
const NAME: &[u8] = b"file\0";
const SIZE: u64 = 4096;
const ROOT: u64 = 1;

/// The mounted file system; dropping it unmounts it, and so ends the thread that answers.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let target = path(&self.0);
        // SAFETY: reads a string that ends in a zero.
        let done = unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }
}

fn path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

/// Mounts it; `None` where that is not possible.
fn mounted(on: &Path) -> Option<Mounted> {
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse").ok()?;
    let data = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
    let (target, data) = (path(on), CString::new(data).unwrap());
    // SAFETY: all five arguments are strings that end in a zero and live across the call, or numbers.
    let done = unsafe {
        libc::mount(
            c"mapvar".as_ptr(),
            target.as_ptr(),
            c"fuse".as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV,
            data.as_ptr().cast(),
        )
    };
    if done != 0 {
        return None;
    }
    let mounted = Mounted(on.into());
    thread::spawn(move || answer(device));
    Some(mounted)
}

/// The answer to a request for the attributes of a node (`struct fuse_attr`).
fn attributes(node: u64) -> Vec<u8> {
    let is_root = node == ROOT;
    let (mode, links) = if is_root { (0o40_755_u32, 2_u32) } else { (0o100_644, 1) };
    let mut bytes = Vec::new();
    for word in [node, if is_root { 0 } else { SIZE }, 8, 0, 0, 0] {
        bytes.extend(word.to_le_bytes());
    }
    // Three parts of times; mode, links, user, group, device, block size, padding.
    for half in [0, 0, 0, mode, links, 0, 0, 0, 4096, 0] {
        bytes.extend(half.to_le_bytes());
    }
    bytes
}

/// Answers the kernel's requests until the file system is unmounted.
fn answer(mut device: File) {
    const NO_ENTRY: i32 = -2;
    const NO_CALL: i32 = -38;
    let mut request = vec![0; 1 << 20];
    while let Ok(length) = device.read(&mut request) {
        let word = |at: usize| u64::from_le_bytes(request[at..at + 8].try_into().unwrap());
        let operation = u32::from_le_bytes(request[4..8].try_into().unwrap());
        let (unique, node) = (word(8), word(16));
        let body = match operation {
            // FORGET and BATCH_FORGET have no answer.
            2 | 42 => continue,
            // LOOKUP: node, generation, two times of validity and their parts.
            1 if &request[40..length] == NAME => {
                let mut body: Vec<u8> =
                    [2, 0, 0, 0, 0].iter().flat_map(|it: &u64| it.to_le_bytes()).collect();
                body.extend(attributes(2));
                Ok(body)
            }
            1 => Err(NO_ENTRY),
            // GETATTR: the time of validity and its part.
            3 => Ok([vec![0; 16], attributes(node)].concat()),
            // OPEN, OPENDIR: a handle and flags.
            14 | 27 => Ok(vec![0; 16]),
            // STATFS: blocks and files, all 0 but for the size of a block.
            17 => Ok(vec![0; 80]),
            // RELEASE, FLUSH, RELEASEDIR, ACCESS.
            18 | 25 | 29 | 34 => Ok(Vec::new()),
            // INIT: version 7.31, and what the kernel needs to know.
            26 => {
                let mut body = vec![0; 64];
                body[0..4].copy_from_slice(&7_u32.to_le_bytes());
                body[4..8].copy_from_slice(&31_u32.to_le_bytes());
                body[20..24].copy_from_slice(&4096_u32.to_le_bytes());
                Ok(body)
            }
            _ => Err(NO_CALL),
        };
        let (error, body) = body.map_or_else(|error| (error, Vec::new()), |body| (0, body));
        let mut answer = Vec::new();
        answer.extend((16 + body.len() as u32).to_le_bytes());
        answer.extend(error.to_le_bytes());
        answer.extend(unique.to_le_bytes());
        answer.extend(body);
        if device.write_all(&answer).is_err() {
            break;
        }
    }
}

#[test]
fn a_file_system_of_a_program_is_refused() {
    let dir = std::env::temp_dir().join(format!("mapvar-fuse.{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    let Some(mounted) = mounted(&dir) else {
        println!("SKIPPED: this user may not mount a file system of FUSE here");
        std::fs::remove_dir(&dir).unwrap();
        return;
    };
    let file = dir.join("file");
    assert_eq!(std::fs::metadata(&file).unwrap().len(), SIZE);
    let options = Section::options().file(&file);
    let error = options.open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("FUSE"), "{error}");
    let allowed = options.allow_network(true).open();
    assert!(allowed.as_ref().is_ok_and(|it| it.size().unwrap() == SIZE), "{allowed:?}");
    drop((allowed, mounted));
    std::fs::remove_dir(&dir).unwrap();
}
