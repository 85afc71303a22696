//! Wrong kinds of object and denying access entries, created by raw system calls. There is one user
//! only, since Wine has no second one; another owner is a descriptor that names one.
#![allow(unsafe_code, reason = "other programs' objects are made by raw calls")]

use super::table::{Kinds, Seen, Table, ask, kind_names};
use crate::{Seeded, verdict};
use ErrorKind::{
    AlreadyExists, ForeignOwner, InvalidArgument, Io, NameTaken, NotAMap, NotFound,
    PermissionDenied, TimedOut, TooLarge, Unsupported,
};
use mapvar::{ErrorKind, Map, MapOptions};
use mapvar_harness::{Folder, figure, unique, watchdog::doing};
use std::{
    ffi::c_void,
    fs,
    os::windows::{
        fs::OpenOptionsExt,
        io::{AsRawHandle, FromRawHandle, OwnedHandle},
    },
    path::Path,
    ptr::null_mut,
    time::Duration,
};
use windows_sys::Win32::{
    Foundation::{HANDLE, INVALID_HANDLE_VALUE, LocalFree},
    Security::{
        Authorization::{ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1},
        DACL_SECURITY_INFORMATION, SECURITY_ATTRIBUTES, SetFileSecurityW,
    },
    Storage::FileSystem::PIPE_ACCESS_DUPLEX,
    System::{
        JobObjects::CreateJobObjectW,
        Memory::{
            CreateFileMappingW, FILE_MAP_READ, FILE_MAP_WRITE, MapViewOfFile, PAGE_READONLY,
            PAGE_READWRITE, SEC_COMMIT, SEC_IMAGE, SEC_RESERVE, UnmapViewOfFile,
        },
        Pipes::{CreateNamedPipeW, PIPE_TYPE_BYTE},
        Threading::{CreateEventW, CreateMutexW, CreateSemaphoreW, CreateWaitableTimerW},
    },
};

const TIMEOUT: Duration = Duration::from_millis(100);
/// As large as a small map.
const ROOM: usize = 1 << 20;

const TAKEN: Kinds = [&[NameTaken]; 4];
const DENIED: Kinds = [&[PermissionDenied]; 4];
const FOREIGN: Kinds =
    [&[ForeignOwner], &[AlreadyExists, ForeignOwner], &[ForeignOwner], &[ForeignOwner]];
const NO_MAP: Kinds = [&[NotAMap], &[AlreadyExists], &[NotAMap], &[NotAMap]];

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

fn owned(handle: HANDLE) -> OwnedHandle {
    assert!(!handle.is_null(), "{}", std::io::Error::last_os_error());
    // SAFETY: a call has just returned this handle, and no other code owns it.
    unsafe { OwnedHandle::from_raw_handle(handle) }
}

/// Calls `make` with attributes that have the descriptor of this text; with none if the text is
/// empty.
fn attributes<T>(text: &str, make: impl FnOnce(*const SECURITY_ATTRIBUTES) -> T) -> T {
    if text.is_empty() {
        return make(null_mut());
    }
    let (text, mut descriptor) = (wide(text), null_mut());
    // SAFETY: the text ends with a zero, and `descriptor` is a valid local.
    let done = unsafe {
        ConvertStringSecurityDescriptorToSecurityDescriptorW(
            text.as_ptr(),
            SDDL_REVISION_1,
            &raw mut descriptor,
            null_mut(),
        )
    };
    assert_ne!(done, 0, "{}", std::io::Error::last_os_error());
    let made = make(&SECURITY_ATTRIBUTES {
        nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
        lpSecurityDescriptor: descriptor,
        bInheritHandle: 0,
    });
    // SAFETY: the call above allocated it, and no code uses it any more.
    unsafe { LocalFree(descriptor) };
    made
}

/// Creates another program's section, over a file or in the page file, with these bytes.
fn section(
    name: &str,
    descriptor: &str,
    file: Option<&fs::File>,
    protection: u32,
    len: usize,
    bytes: &[u8],
) -> OwnedHandle {
    let name = wide(&format!("Local\\{name}"));
    let file = file.map_or(INVALID_HANDLE_VALUE, AsRawHandle::as_raw_handle);
    let made = attributes(descriptor, |sa| {
        // SAFETY: name and attributes live until after the call, and the name ends with a zero.
        unsafe { CreateFileMappingW(file, sa, protection, 0, len as u32, name.as_ptr()) }
    });
    let made = owned(made);
    if !bytes.is_empty() {
        // SAFETY: a new view at an address that the system chooses.
        let view =
            unsafe { MapViewOfFile(made.as_raw_handle(), FILE_MAP_WRITE, 0, 0, bytes.len()) };
        assert!(!view.Value.is_null(), "{}", std::io::Error::last_os_error());
        // SAFETY: the view is as long as the bytes, and no other code knows it.
        unsafe { view.Value.cast::<u8>().copy_from(bytes.as_ptr(), bytes.len()) };
        // SAFETY: no code uses the view any more.
        unsafe { UnmapViewOfFile(view) };
    }
    made
}

/// Returns the content of a section; empty if it may not be read.
fn content(of: &OwnedHandle, len: usize) -> Vec<u8> {
    // SAFETY: a new view at an address that the system chooses.
    let view = unsafe { MapViewOfFile(of.as_raw_handle(), FILE_MAP_READ, 0, 0, len) };
    if view.Value.is_null() {
        return Vec::new();
    }
    let mut bytes = vec![0; len];
    // SAFETY: the view is at least that long, and no process writes to it meanwhile.
    unsafe { bytes.as_mut_ptr().copy_from(view.Value.cast::<u8>(), len) };
    // SAFETY: no code uses the view any more.
    unsafe { UnmapViewOfFile(view) };
    bytes
}

type Maker = unsafe fn(*const SECURITY_ATTRIBUTES, *const u16) -> HANDLE;

macro_rules! makers {
    ($($name:ident: $call:ident $(, $argument:literal)*;)+) => {$(
        unsafe fn $name(sa: *const SECURITY_ATTRIBUTES, name: *const u16) -> HANDLE {
            // SAFETY: the caller's promise.
            unsafe { $call(sa, $($argument,)* name) }
        }
    )+};
}

makers! {
    mutex: CreateMutexW, 0;
    event: CreateEventW, 0, 0;
    semaphore: CreateSemaphoreW, 0, 1;
    timer: CreateWaitableTimerW, 0;
    job: CreateJobObjectW;
}

const MAKERS: [(&str, Maker); 5] = [
    ("a mutex", mutex),
    ("an event", event),
    ("a semaphore", semaphore),
    ("a timer", timer),
    ("a job", job),
];

fn object(make: Maker, name: &str, descriptor: &str) -> OwnedHandle {
    let name = wide(&format!("Local\\{name}"));
    // SAFETY: name and attributes live until after the call, and the name ends with a zero.
    owned(attributes(descriptor, |sa| unsafe { make(sa, name.as_ptr()) }))
}

fn victim(options: &MapOptions, text: &str, kinds: &Kinds) -> Seen {
    let outcome = ask(&options.clone().timeout(TIMEOUT), text, kinds);
    Seen::new(!outcome.starts_with("WRONG"), outcome)
}

struct World {
    table: Table,
    folder: Folder,
    count: u32,
}

impl World {
    /// Runs a case of a name. `squat` gets the name of our section and puts an obstacle there,
    /// which must not change.
    fn name(
        &mut self,
        what: &str,
        kinds: Kinds,
        len: usize,
        squat: impl FnOnce(&str) -> OwnedHandle,
    ) {
        self.count += 1;
        let name = format!("{}.{}", unique("others"), self.count);
        doing(what);
        let kept = squat(&format!("{name}.map"));
        let before = content(&kept, len);
        let mut seen = victim(&Map::options().name(&name), &name, &kinds);
        if content(&kept, len) != before {
            seen = Seen::new(false, "WRONG: its content has changed");
        }
        drop(kept);
        // Once the obstacle is gone, the name must be free again.
        if Map::options().name(&name).create().is_err() {
            seen = Seen::new(false, "WRONG: something is left");
        }
        self.table.row(&format!("name: {what}"), &kind_names(&kinds), &[seen]);
    }

    /// Runs a case of a path at which `squat` puts something.
    fn file<K>(&mut self, what: &str, kinds: Kinds, squat: impl FnOnce(&Path) -> K) {
        self.count += 1;
        let path = self.folder.join(format!("{}.map", self.count));
        doing(what);
        let kept = squat(&path);
        self.path(what, kinds, &path);
        drop(kept);
        descriptor_of(&path, "D:(A;;GA;;;WD)");
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir_all(&path);
    }

    fn path(&mut self, what: &str, kinds: Kinds, path: &Path) {
        let describe = || {
            let beside = fs::read_dir(self.folder.path()).map_or(0, Iterator::count);
            (fs::read(path).ok(), fs::metadata(path).ok().map(|of| of.len()), beside)
        };
        let before = describe();
        let mut seen = victim(&Map::options().file(path), &path.display().to_string(), &kinds);
        if describe() != before {
            seen = Seen::new(false, "WRONG: it has changed, or something is left");
        }
        self.table.row(&format!("file: {what}"), &kind_names(&kinds), &[seen]);
    }
}

fn descriptor_of(path: &Path, text: &str) {
    let path = wide(&path.display().to_string());
    attributes(text, |sa| {
        // SAFETY: there are attributes, since the text is not empty.
        let descriptor = unsafe { (*sa).lpSecurityDescriptor };
        // SAFETY: path and descriptor live until after the call, and the path ends with a zero.
        unsafe { SetFileSecurityW(path.as_ptr(), DACL_SECURITY_INFORMATION, descriptor) }
    });
}

pub(crate) fn run(_: Seeded) -> std::process::ExitCode {
    let folder = Folder::new("others").expect("a folder");
    let mut world = World { table: Table::default(), folder, count: 0 };
    let garbage = b"foo = hello\n".repeat(ROOM / 12);
    let ours = {
        let map = Map::options().name("others.ours").size(1_000).create().expect("a map");
        let stat = map.stat().expect("stat");
        map.set("planted", 1).expect("set");
        let name = wide("Local\\others.ours.map");
        // SAFETY: the name ends with a zero, and lives until after the call.
        let again = unsafe {
            windows_sys::Win32::System::Memory::OpenFileMappingW(FILE_MAP_READ, 0, name.as_ptr())
        };
        content(&owned(again), stat.region as usize)
    };
    names(&mut world, &garbage, &ours);
    files(&mut world, &garbage, &ours);
    let (right, wrong) = world.table.end();
    figure(
        "squatted names and denied objects under Wine",
        format!("{} cases, {right} refused", right + wrong),
        "all refused",
    );
    verdict(wrong == 0)
}

fn names(world: &mut World, garbage: &[u8], ours: &[u8]) {
    for (what, make) in MAKERS {
        world.name(what, TAKEN, 0, |name| object(make, name, ""));
    }
    for (what, descriptor) in [
        ("that lets nobody in", "D:P"),
        ("that denies everybody", "D:(D;;GA;;;WD)(A;;GA;;;WD)"),
        ("that lets only the system in", "D:P(A;;GA;;;SY)"),
    ] {
        world.name(&format!("a section {what}"), DENIED, 0, |name| {
            section(name, descriptor, None, PAGE_READWRITE, ROOM, garbage)
        });
        world.name(&format!("a good map {what}"), DENIED, 0, |name| {
            section(name, descriptor, None, PAGE_READWRITE, ours.len(), ours)
        });
        world.name(&format!("a mutex {what}"), [&[NameTaken, PermissionDenied]; 4], 0, |name| {
            object(mutex, name, descriptor)
        });
        // The companion object, which only a creator of a map takes.
        let denied = [&[NotFound][..], &[PermissionDenied], &[PermissionDenied], &[NotFound]];
        world.name(&format!("the companion, a mutex {what}"), denied, 0, |name| {
            object(mutex, &format!("{name}.init"), descriptor)
        });
    }
    let taken = [&[NotFound][..], &[NameTaken], &[NameTaken], &[NotFound]];
    for (what, make) in &MAKERS[1..] {
        world.name(&format!("the companion, {what}"), taken, 0, |name| {
            object(*make, &format!("{name}.init"), "")
        });
    }
    world.name("the companion, a section", taken, ROOM, |name| {
        section(&format!("{name}.init"), "", None, PAGE_READWRITE, ROOM, garbage)
    });
    let foreign = [&[NotFound][..], &[ForeignOwner], &[ForeignOwner], &[NotFound]];
    world.name("the companion, another user's", foreign, 0, |name| {
        object(mutex, &format!("{name}.init"), "O:SYD:(A;;GA;;;WD)")
    });
    for (what, bytes) in [("of other bytes", garbage), ("with a good map", ours)] {
        world.name(&format!("another user's section {what}"), FOREIGN, bytes.len(), |name| {
            section(name, "O:SYD:(A;;GA;;;WD)", None, PAGE_READWRITE, bytes.len(), bytes)
        });
        world.name(&format!("a section without an owner {what}"), FOREIGN, bytes.len(), |name| {
            section(name, "", None, PAGE_READWRITE, bytes.len(), bytes)
        });
    }
    let mine = &format!("O:{}D:(A;;GA;;;WD)", user());
    let small = [&[NotAMap][..], &[AlreadyExists], &[NotAMap, TooLarge], &[NotAMap]];
    world.name("one's own section, too small", small, 4_096, |name| {
        section(name, mine, None, PAGE_READWRITE, 4_096, &garbage[..4_096])
    });
    world.name("one's own section of other bytes", NO_MAP, ROOM, |name| {
        section(name, mine, None, PAGE_READWRITE, ROOM, garbage)
    });
    world.name("one's own section of other bytes, reserved", NO_MAP, 0, |name| {
        section(name, mine, None, PAGE_READWRITE | SEC_RESERVE, ROOM, garbage)
    });
    world.name(
        "one's own section that may only be read",
        [
            &[PermissionDenied, NotAMap],
            &[AlreadyExists, PermissionDenied],
            &[PermissionDenied, NotAMap],
            &[NotAMap],
        ],
        ROOM,
        |name| {
            let path = world_file("readonly");
            fs::write(&path, garbage).expect("write");
            let file = fs::File::open(&path).expect("open");
            let made = section(name, mine, Some(&file), PAGE_READONLY | SEC_COMMIT, 0, &[]);
            drop(file);
            let _ = fs::remove_file(path);
            made
        },
    );
    world.name(
        "one's own image of a program",
        [
            &[NameTaken, PermissionDenied],
            &[AlreadyExists, NameTaken, PermissionDenied],
            &[NameTaken, PermissionDenied],
            &[NameTaken],
        ],
        0,
        |name| {
            let file = fs::File::open(std::env::current_exe().expect("a program")).expect("open");
            section(name, mine, Some(&file), PAGE_READONLY | SEC_IMAGE, 0, &[])
        },
    );
}

fn world_file(what: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(unique(what))
}

/// Returns this user's identifier as descriptors name it; files that the user creates have it as
/// owner.
fn user() -> String {
    use windows_sys::Win32::Security::{
        Authorization::ConvertSidToStringSidW, GetTokenInformation, TOKEN_QUERY, TOKEN_USER,
        TokenUser,
    };
    use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};
    let mut token = null_mut();
    // SAFETY: no argument.
    let process = unsafe { GetCurrentProcess() };
    // SAFETY: `token` is a valid local.
    unsafe { OpenProcessToken(process, TOKEN_QUERY, &raw mut token) };
    let token = owned(token);
    let (mut of, mut len) = ([0_u64; 32], 0);
    // SAFETY: the buffer is as long as is said, and aligned as the structure needs.
    unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TokenUser,
            of.as_mut_ptr().cast(),
            size_of_val(&of) as u32,
            &raw mut len,
        )
    };
    // SAFETY: the call has written a structure of this kind there.
    let of = unsafe { of.as_ptr().cast::<TOKEN_USER>().read() };
    let mut text = null_mut();
    // SAFETY: the identifier lies in the buffer above; `text` is a valid local.
    unsafe { ConvertSidToStringSidW(of.User.Sid, &raw mut text) };
    let mut letters = Vec::new();
    loop {
        // SAFETY: the text ends with a zero, where the loop stops, so this lies within it.
        let at = unsafe { text.add(letters.len()) };
        // SAFETY: as above.
        let letter = unsafe { at.read() };
        if letter == 0 {
            break;
        }
        letters.push(letter);
    }
    // SAFETY: the call above allocated it, and no code uses it any more.
    unsafe { LocalFree(text.cast::<c_void>()) };
    String::from_utf16_lossy(&letters)
}

fn files(world: &mut World, garbage: &[u8], ours: &[u8]) {
    world.file("a folder", [&[NameTaken, PermissionDenied]; 4], |path| {
        fs::create_dir(path).expect("a folder");
    });
    world.file("of 0 bytes", NO_MAP, |path| fs::write(path, b"").expect("write"));
    world.file("of 100 bytes", NO_MAP, |path| fs::write(path, &ours[..100]).expect("write"));
    world.file("of other bytes", NO_MAP, |path| fs::write(path, garbage).expect("write"));
    world.file("with the bytes of a map with a name", NO_MAP, |path| {
        fs::write(path, ours).expect("write");
    });
    world.file(
        "for itself alone of another program",
        [&[TimedOut], &[AlreadyExists], &[TimedOut], &[TimedOut]],
        |path| {
            fs::write(path, garbage).expect("write");
            fs::OpenOptions::new().read(true).write(true).share_mode(0).open(path).expect("open")
        },
    );
    // A user with all rights, as root under Wine has, may open it all the same.
    world.file(
        "marked as for reading",
        [&[PermissionDenied, NotAMap], &[AlreadyExists], &[PermissionDenied, NotAMap], &[NotAMap]],
        |path| {
            fs::write(path, garbage).expect("write");
            let mut rights = fs::metadata(path).expect("stat").permissions();
            rights.set_readonly(true);
            fs::set_permissions(path, rights).expect("chmod");
            Writable(path.into())
        },
    );
    for device in [r"NUL", r"\\.\NUL", r"C:\"] {
        world.path(
            &format!("a device or a drive, {device}"),
            [&[NameTaken], &[NameTaken, InvalidArgument], &[NameTaken], &[NameTaken]],
            Path::new(device),
        );
    }
    let pipe = format!(r"\\.\pipe\{}", unique("others"));
    // SAFETY: the name ends with a zero and lives until after the call.
    let server = unsafe {
        CreateNamedPipeW(
            wide(&pipe).as_ptr(),
            PIPE_ACCESS_DUPLEX,
            PIPE_TYPE_BYTE,
            255,
            4096,
            4096,
            0,
            null_mut(),
        )
    };
    let server = owned(server);
    // The first open takes the pipe's only free instance; the later ones fail with "busy" (231).
    let kinds: Kinds = [&[NameTaken], &[NameTaken, NotFound], &[NameTaken, Io], &[NameTaken, Io]];
    let mut seen = victim(&Map::options().file(&pipe), "pipe", &kinds);
    seen.what = seen.what.replace(&pipe, "it");
    world.table.row("file: a pipe that somebody serves", &kind_names(&kinds), &[seen]);
    drop(server);
    let seen = victim(&Map::options().file(r"\\server\share\a.map"), "share", &[&[Unsupported]; 4]);
    world.table.row("file: on another machine", "Unsupported", &[seen]);
}

struct Writable(std::path::PathBuf);

impl Drop for Writable {
    #[allow(clippy::permissions_set_readonly_false, reason = "to remove it, on Windows")]
    fn drop(&mut self) {
        if let Ok(of) = fs::metadata(&self.0) {
            let mut rights = of.permissions();
            rights.set_readonly(false);
            let _ = fs::set_permissions(&self.0, rights);
        }
    }
}
