//! Two other users squat, each in a child process, against a user and against root.
#![allow(
    unsafe_code,
    reason = "nodes, attributes and descriptors that the standard library has not"
)]

mod kernel;
mod rights;

use super::table::{Kinds, Seen, Table, ask, kind_names};
use crate::{
    Seeded,
    region::{objects, place_of, remove_objects},
    unix::{Staying, as_user, is_root, stay_as},
    verdict,
};
use mapvar::{ErrorKind, Map, MapOptions, Scope};
use mapvar_harness::{Folder, Random, SKIPPED, figure, peer::Owned, unique, watchdog::doing};
use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

/// The squatters: two user ids that no account has.
pub(crate) const SQUATTERS: [u32; 2] = [2_061_001, 2_061_002];
/// The user whose programs are to be protected from them.
pub(crate) const USER: u32 = 2_061_003;
/// How long a call may take; each has a timeout of 0.2 s.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_millis(200);

pub(crate) struct World {
    pub(crate) table: Table,
    pub(crate) folder: Folder,
    /// Bytes of a valid map with a name, and (`filed`) of one in a file; in each, `planted` is 1.
    pub(crate) named: Vec<u8>,
    pub(crate) filed: Vec<u8>,
    count: u32,
}

/// The map that the victim tries to open.
#[derive(Clone)]
pub(crate) struct Target {
    /// The name or path that the victim gives.
    pub(crate) text: String,
    /// Where that is in the file system.
    pub(crate) path: PathBuf,
    scope: Option<Scope>,
}

impl Target {
    pub(crate) fn options(&self) -> MapOptions {
        let options = match self.scope {
            Some(scope) => Map::options().name(&self.text).scope(scope),
            None => Map::options().file(&self.text),
        };
        options.timeout(TIMEOUT)
    }
}

use ErrorKind::{
    AlreadyExists, ForeignOwner, NameTaken, NotAMap, NotFound, PermissionDenied, TimedOut,
    Truncated,
};
const FOREIGN: Kinds = [&[ForeignOwner]; 4];
const TAKEN: Kinds = [&[NameTaken]; 4];
const DENIED: Kinds = [&[PermissionDenied]; 4];
/// For a file that exists and belongs to another user.
const DENIED_FILE: Kinds =
    [&[PermissionDenied], &[AlreadyExists], &[PermissionDenied], &[PermissionDenied]];
const NO_MAP: Kinds = [&[NotAMap], &[AlreadyExists], &[NotAMap], &[NotAMap]];

impl World {
    pub(crate) fn name(&mut self, victim: u32) -> Target {
        self.count += 1;
        let text = format!("{}.{}", unique("others"), self.count);
        Target { path: place_of(victim, &text), text, scope: Some(Scope::Local) }
    }

    fn global(&mut self) -> Target {
        let target = self.name(0);
        let path = format!("/dev/shm/mapvar.global.{}.map", target.text).into();
        Target { path, scope: Some(Scope::Global), ..target }
    }

    /// Returns a file in a folder where every user may create files, as in /tmp.
    pub(crate) fn file(&mut self) -> Target {
        self.count += 1;
        let path = self.folder.join("drop").join(format!("{}.map", self.count));
        Target { text: path.display().to_string(), path, scope: None }
    }

    /// Returns a victim's own folder, which no other user may enter.
    pub(crate) fn home(&self, victim: u32) -> PathBuf {
        self.folder.join(format!("home {victim}"))
    }

    /// Runs one case with every squatter and every victim. `squat` puts the obstacle there as that
    /// user; the value it returns is kept until the case ends.
    fn case<K>(
        &mut self,
        what: &str,
        place: Where,
        kinds: Kinds,
        squat: impl Fn(&Self, u32, u32, &Target) -> K,
    ) {
        self.case_against(&[USER, 0], what, place, kinds, squat);
    }

    /// Runs the case against these victims.
    fn case_against<K>(
        &mut self,
        victims: &[u32],
        what: &str,
        place: Where,
        kinds: Kinds,
        squat: impl Fn(&Self, u32, u32, &Target) -> K,
    ) {
        let mut seen = Vec::new();
        for squatter in SQUATTERS {
            for &user in victims {
                // A call that hangs once hangs each time.
                if seen.iter().any(|seen: &Seen| seen.what.contains("HUNG")) {
                    continue;
                }
                let target = match place {
                    Where::Name => self.name(user),
                    Where::Global => self.global(),
                    Where::File => self.file(),
                };
                doing(format!("{what}: {squatter} against {user}, {}", target.text));
                let kept = squat(self, squatter, user, &target);
                let (before, beside) = (describe(&target.path), listed(&target.path));
                let outcome = as_user(user, LIMIT, || ask(&target.options(), &target.text, &kinds));
                let (after, beside_after) = (describe(&target.path), listed(&target.path));
                drop(kept);
                seen.push(match outcome {
                    Err(why) => Seen::new(false, format!("WRONG: {why}")),
                    Ok(outcome) if outcome.starts_with("WRONG") || outcome == "PANIC" => {
                        Seen::new(false, format!("{outcome} (victim {user})"))
                    }
                    Ok(_) if before != after => {
                        Seen::new(false, format!("WRONG: changed: {before:?} is {after:?}"))
                    }
                    Ok(_) if before.as_ref().is_none_or(String::is_empty) => {
                        Seen::new(false, "WRONG: nothing was there to begin with")
                    }
                    Ok(_) if beside != beside_after => Seen::new(false, "WRONG: something is left"),
                    Ok(outcome) => Seen::new(true, outcome),
                });
                remove(&target.path);
            }
        }
        let title = format!("{}: {what}", place.name());
        self.table.row(&title, &kind_names(&kinds), &seen);
    }
}

#[derive(Clone, Copy)]
enum Where {
    Name,
    Global,
    File,
}

impl Where {
    fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Global => "global name",
            Self::File => "file",
        }
    }
}

/// Describes all that must stay as it is: the object and, for a link, its target.
fn describe(path: &Path) -> Option<String> {
    let of = |path: &Path| -> Option<String> {
        let stat = fs::symlink_metadata(path).ok()?;
        let content = if stat.is_file() && stat.len() < 100 << 20 {
            let bytes = fs::read(path).ok()?;
            let sum = bytes
                .iter()
                .fold(0_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
            format!("{sum:x}")
        } else if stat.is_dir() {
            format!("{} entries", fs::read_dir(path).ok()?.count())
        } else {
            fs::read_link(path).map(|to| to.display().to_string()).unwrap_or_default()
        };
        let fifo = stat.file_type().is_fifo();
        Some(format!(
            "{:o} of {}, {} names, {} bytes, inode {}, written {}.{}, {fifo}, {content}",
            stat.mode(),
            stat.uid(),
            stat.nlink(),
            stat.len(),
            stat.ino(),
            stat.mtime(),
            stat.mtime_nsec()
        ))
    };
    let mut all = of(path)?;
    if let Ok(to) = fs::canonicalize(path)
        && to != path
        && !to.starts_with("/dev/zero")
    {
        all = format!("{all} -> {}", of(&to)?);
    }
    Some(all)
}

/// Returns the names in the same folder; in /dev/shm only our own.
fn listed(path: &Path) -> Vec<String> {
    let Some(entries) = path.parent().and_then(|folder| fs::read_dir(folder).ok()) else {
        return Vec::new();
    };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    // Other programs' objects come and go in /dev/shm.
    let this = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut names: Vec<_> = names
        .filter(|name| !path.starts_with("/dev/shm") || name.contains(&this) || name.contains('~'))
        .collect();
    names.sort();
    names
}

fn remove(path: &Path) {
    let _ = fs::remove_file(path);
    let _ = fs::remove_dir_all(path);
}

/// Runs `body` as that user; it must finish.
pub(crate) fn by(user: u32, body: impl FnOnce()) {
    let done = as_user(user, LIMIT, || {
        body();
        "done".into()
    });
    assert_eq!(done.as_deref(), Ok("done"), "a squatter cannot do its part");
}

pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) {
    fs::write(path, bytes).expect("write");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

pub(crate) fn run(options: Seeded) -> ExitCode {
    if !is_root() || !cfg!(target_os = "linux") {
        println!("SKIPPED: it takes root on Linux to be other users");
        return ExitCode::from(SKIPPED);
    }
    let folder = Folder::new("others").expect("a folder");
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    };
    mode(folder.path(), 0o755);
    fs::create_dir(folder.join("drop")).expect("a folder");
    mode(&folder.join("drop"), 0o1777);
    let reached = as_user(USER, LIMIT, || fs::read_dir(folder.join("drop")).is_ok().to_string());
    if reached.as_deref() != Ok("true") {
        println!("SKIPPED: other users cannot reach {}", folder.path().display());
        return ExitCode::from(SKIPPED);
    }
    let mut world =
        World { table: Table::default(), named: Vec::new(), filed: Vec::new(), folder, count: 0 };
    for victim in [USER, 0] {
        let home = world.home(victim);
        fs::create_dir(&home).expect("a folder");
        kernel::give(&home, victim);
        mode(&home, 0o700);
        let precious = home.join("precious");
        by(victim, || {
            write(&precious, "what nobody may change\n".repeat(20_000).as_bytes(), 0o600);
        });
    }
    let (name, file) = (world.name(0), world.file());
    let bytes = |target: &Target| {
        let map = target.options().create().expect("a map");
        map.set("planted", 1).expect("set");
        if target.scope.is_none() {
            map.flush().expect("flush");
        }
        fs::read(&target.path).expect("its bytes")
    };
    // In children, because this process must have no map open when it forks.
    let keep = world.folder.join("keep");
    for target in [&name, &file] {
        by(0, || fs::write(&keep, bytes(target)).expect("write"));
        let bytes = fs::read(&keep).expect("read");
        *(if target.scope.is_some() { &mut world.named } else { &mut world.filed }) = bytes;
    }
    remove(&file.path);
    remove(&keep);

    names(&mut world);
    files(&mut world);
    rights::all(&mut world);
    races(&mut world, options);

    let (right, wrong) = std::mem::take(&mut world.table).end();
    let own = format!("others.{}.", std::process::id());
    let left = objects(&own).len();
    if left > 0 {
        println!("WRONG: {left} objects are left in /dev/shm");
        remove_objects(&own);
    }
    figure(
        "other users and squatted names",
        format!("{} cases as 2 uids, {right} refused", right + wrong),
        "at least 30, all refused",
    );
    let well = wrong == 0 && left == 0;
    if !well {
        println!("{wrong} cases are wrong; the same again: --seed {}", options.seed);
    }
    verdict(well)
}

/// Cases of names: what must be refused in the folder of shared memory, which is open to all users.
fn names(world: &mut World) {
    use Where::{Global, Name};
    let other = "foo = hello\n".repeat(9_000).into_bytes();
    let good = world.named.clone();
    for (what, place, bytes, mode) in [
        ("other bytes, mode 0600", Name, &*other, 0o600),
        ("other bytes, mode 0644", Name, &other, 0o644),
        ("other bytes, mode 0666", Name, &other, 0o666),
        ("a good map, mode 0600", Name, &good, 0o600),
        ("a good map, mode 0644", Name, &good, 0o644),
        ("a good map, mode 0666", Name, &good, 0o666),
        ("a good map with a set-uid bit", Name, &good, 0o6777),
        ("a file of 0 bytes", Name, &[], 0o666),
        ("a file of 100 bytes", Name, &good[..100], 0o666),
        ("a file of an odd size", Name, good.get(..70_001).unwrap_or(&good), 0o666),
        ("a good map, mode 0666", Global, &good, 0o666),
    ] {
        world.case(what, place, FOREIGN, |_, squatter, _, at| {
            by(squatter, || write(&at.path, bytes, mode));
        });
    }
    world.case("a good map, opened to all by an ACL", Name, FOREIGN, |w, squatter, user, at| {
        by(squatter, || {
            write(&at.path, &w.named, 0o600);
            kernel::let_in(&at.path, user, "system.posix_acl_access");
        });
    });
    world.case("a file of 1 TiB, empty", Name, FOREIGN, |w, squatter, _, at| {
        by(squatter, || {
            write(&at.path, &w.named, 0o666);
            let file = fs::OpenOptions::new().write(true).open(&at.path).expect("open");
            file.set_len(1 << 40).expect("sparse");
        });
    });
    world.case(
        "a good map, every byte that we lock locked",
        Name,
        FOREIGN,
        |w, squatter, _, at| {
            staying(squatter, || {
                write(&at.path, &w.named, 0o666);
                let file =
                    fs::OpenOptions::new().read(true).write(true).open(&at.path).expect("open");
                kernel::lock_all(&file, true);
                file
            })
        },
    );
    world.case("another user's living map", Global, FOREIGN, |_, squatter, _, at| {
        has_map(squatter, at, "planted")
    });
    world.case("a hard link to another user's map", Name, FOREIGN, |w, squatter, _, at| {
        linked(at, &w.named, (squatter, 0o666), squatter, fs::hard_link)
    });
    world.case("a second name of one's own map", Name, DENIED, |w, _, user, at| {
        linked(at, &w.named, (user, 0o600), user, fs::hard_link)
    });
    for (what, mode) in [("0620", 0o620), ("0602", 0o602), ("0666", 0o666), ("0777", 0o777)] {
        world.case(&format!("one's own map with mode {what}"), Name, DENIED, |w, _, user, at| {
            by(user, || write(&at.path, &w.named, mode));
        });
    }
    world.case(
        "one's own map, opened to another user by an ACL",
        Name,
        DENIED,
        |w, squatter, user, at| {
            by(user, || {
                write(&at.path, &w.named, 0o600);
                kernel::let_in(&at.path, squatter, "system.posix_acl_access");
            });
        },
    );
    kinds(world, Name, TAKEN);
    world.case("a fifo", Global, TAKEN, |_, squatter, _, at| {
        by(squatter, || kernel::fifo(&at.path));
    });
    world.case("a link to one's own map", Name, TAKEN, |w, squatter, user, at| {
        linked(at, &w.named, (user, 0o600), squatter, symlink)
    });
    world.case("a link of one's own to one's own map", Name, TAKEN, |w, _, user, at| {
        linked(at, &w.named, (user, 0o600), user, symlink)
    });
    world.case("a link to another user's map", Name, TAKEN, |w, squatter, _, at| {
        linked(at, &w.named, (squatter, 0o666), squatter, symlink)
    });
    world.case("a link to what is precious", Name, TAKEN, |w, squatter, user, at| {
        let precious = w.home(user).join("precious");
        by(squatter, || symlink(precious, &at.path).expect("link"));
    });
}

type Link = fn(PathBuf, PathBuf) -> std::io::Result<()>;

/// Creates a file beside the target, and the target as a link to it.
fn linked(
    at: &Target,
    bytes: &[u8],
    (writer, mode): (u32, u32),
    linker: u32,
    link: Link,
) -> Removed {
    let beside = at.path.with_extension("beside");
    by(writer, || write(&beside, bytes, mode));
    by(linker, || link(beside.clone(), at.path.clone()).expect("link"));
    Removed(beside)
}

/// Cases of other kinds of object, by name or by file.
fn kinds(world: &mut World, place: Where, taken: Kinds) {
    type Make = fn(&Path);
    let made: [(&str, Make); 6] = [
        ("a fifo", kernel::fifo),
        ("a folder", |at| fs::create_dir(at).expect("a folder")),
        ("a folder that is not empty", |at| {
            fs::create_dir(at).expect("a folder");
            fs::set_permissions(at, fs::Permissions::from_mode(0o777)).expect("chmod");
            fs::write(at.join("x"), "x").expect("write");
        }),
        ("a link to a folder", |at| symlink("/", at).expect("link")),
        ("a link to a device", |at| symlink("/dev/zero", at).expect("link")),
        ("a link to itself", |at| symlink(at, at).expect("link")),
    ];
    for (what, make) in made {
        world.case(what, place, taken, |_, squatter, _, at| by(squatter, || make(&at.path)));
    }
    world.case("a fifo that somebody writes to", place, taken, |_, squatter, _, at| {
        staying(squatter, || {
            kernel::fifo(&at.path);
            fs::OpenOptions::new().read(true).write(true).open(&at.path).expect("open")
        })
    });
    world.case("a socket, listened at", place, taken, |_, squatter, _, at| {
        staying(squatter, || {
            let socket = UnixListener::bind(&at.path).expect("bind");
            fs::set_permissions(&at.path, fs::Permissions::from_mode(0o777)).expect("chmod");
            socket
        })
    });
    for (what, block) in [("a character device (zeros)", false), ("a block device", true)] {
        world.case(what, place, taken, |_, squatter, _, at| {
            kernel::device(&at.path, block);
            kernel::give(&at.path, squatter);
        });
    }
    world.case("a link to a fifo", place, taken, |_, squatter, _, at| {
        let fifo = at.path.with_extension("fifo");
        by(squatter, || kernel::fifo(&fifo));
        by(squatter, || symlink(&fifo, &at.path).expect("link"));
        Removed(fifo)
    });
    let mut nowhere = taken;
    if matches!(place, Where::File) {
        nowhere[0] = &[NotFound];
        nowhere[3] = &[NotFound];
    }
    world.case("a link to nothing", place, nowhere, |w, squatter, user, at| {
        let nothing = w.home(user).join("nothing");
        by(squatter, || symlink(nothing, &at.path).expect("link"));
    });
}

/// Cases of files. A path names a file of any owner, and the file system decides on access. Opening
/// fails if the file system refuses it, or if there is no file or no map.
fn files(world: &mut World) {
    use Where::File;
    kinds(world, File, TAKEN);
    let user = &[USER];
    let mut readable = DENIED_FILE;
    readable[3] = &[];
    let (good, kept) = (world.filed.clone(), kept_by(world));
    for (what, kinds, bytes, mode) in [
        ("a good map, mode 0600", DENIED_FILE, &good, 0o600),
        ("a good map, mode 0644 (may be read)", readable, &kept, 0o644),
    ] {
        world.case_against(user, what, File, kinds, |_, squatter, _, at| {
            by(squatter, || write(&at.path, bytes, mode));
        });
    }
    for (what, link) in [
        ("a link to a good map, mode 0600", symlink as Link),
        ("a hard link to a good map, mode 0600", fs::hard_link),
    ] {
        world.case_against(user, what, File, DENIED_FILE, |w, squatter, _, at| {
            linked(at, &w.filed, (squatter, 0o600), squatter, link)
        });
    }
    let mut program = NO_MAP;
    program[0] = &[NotAMap, PermissionDenied];
    program[2] = &[NotAMap, PermissionDenied];
    world.case("other bytes with a set-uid bit, mode 0777", File, program, |_, squatter, _, at| {
        by(squatter, || write(&at.path, &vec![0x7f; 70_000], 0o6777));
    });
    world.case("a link to what is precious", File, NO_MAP, |w, squatter, user, at| {
        let precious = w.home(user).join("precious");
        by(squatter, || symlink(precious, &at.path).expect("link"));
    });
    let cut: Kinds = [&[Truncated], &[AlreadyExists], &[Truncated], &[Truncated]];
    let (named, filed) = (world.named.clone(), world.filed.clone());
    for (what, kinds, bytes) in [
        ("the first 0 bytes of a map", NO_MAP, &filed[..0]),
        ("the first 100 bytes of a map", NO_MAP, &filed[..100]),
        ("the first 32,767 bytes of a map", NO_MAP, &filed[..32_767]),
        ("a map that lacks its last byte", cut, &filed[..filed.len() - 1]),
        ("the bytes of a map with a name", NO_MAP, &named),
    ] {
        world.case(what, File, kinds, |_, squatter, _, at| {
            by(squatter, || write(&at.path, bytes, 0o666));
        });
    }
    world.case(
        "a program that runs",
        File,
        [&[PermissionDenied, NotAMap], &[AlreadyExists], &[PermissionDenied, NotAMap], &[NotAMap]],
        |_, squatter, _, at| {
            fs::copy("/bin/sleep", &at.path).expect("copy");
            kernel::give(&at.path, squatter);
            Owned::start(std::process::Command::new(&at.path).arg("60")).ok()
        },
    );
    within_folders(world);
}

/// Cases of the folders in a file's path.
fn within_folders(world: &mut World) {
    for (what, mode, kinds) in [
        ("in another user's folder, mode 0700", 0o700, DENIED),
        (
            "missing, in another user's folder, mode 0755",
            0o755,
            [&[NotFound][..], &[PermissionDenied], &[PermissionDenied], &[NotFound]],
        ),
    ] {
        for through in ["", ", through a link in the midst of the path"] {
            let seen = SQUATTERS.map(|squatter| {
                let (folder, link) = (world.file().path, world.file().path);
                by(squatter, || {
                    fs::create_dir(&folder).expect("a folder");
                    fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).expect("chmod");
                    symlink(&folder, &link).expect("link");
                    if mode == 0o700 {
                        write(&folder.join("x.map"), &world.filed, 0o666);
                    }
                });
                let within = if through.is_empty() { &folder } else { &link };
                let seen = ask_within(within, &folder, &kinds);
                remove(&link);
                seen
            });
            world.table.row(&format!("file: {what}{through}"), &kind_names(&kinds), &seen);
        }
    }
    let kinds: Kinds = [
        &[NotFound],
        &[NotFound, NameTaken, PermissionDenied],
        &[NotFound, NameTaken],
        &[NotFound],
    ];
    let seen = SQUATTERS.map(|squatter| {
        let part = world.file();
        by(squatter, || write(&part.path, b"no folder", 0o666));
        ask_within(&part.path, &part.path, &kinds)
    });
    world.table.row("file: a part of the path is a file", &kind_names(&kinds), &seen);
}

/// Lets the user open a file within a folder, during which `place` must not change; removes
/// `place`.
fn ask_within(folder: &Path, place: &Path, kinds: &Kinds) -> Seen {
    let path = folder.join("x.map");
    let target = Target { text: path.display().to_string(), path, scope: None };
    let before = describe(place);
    let outcome = as_user(USER, LIMIT, || ask(&target.options(), &target.text, kinds));
    let same = before == describe(place);
    remove(place);
    seen_of(outcome, same)
}

pub(crate) fn seen_of(outcome: Result<String, String>, same: bool) -> Seen {
    match outcome {
        Ok(outcome) if !outcome.starts_with("WRONG") && outcome != "PANIC" && same => {
            Seen::new(true, outcome)
        }
        Ok(outcome) => Seen::new(false, if same { outcome } else { format!("CHANGED: {outcome}") }),
        Err(why) => Seen::new(false, format!("WRONG: {why}")),
    }
}

/// Returns the bytes of a map's file that is valid at any place; a plain copy is refused for other
/// reasons.
fn kept_by(world: &World) -> Vec<u8> {
    // The identity is the first file's; without one the copy counts as new and empty.
    let mut bytes = world.filed.clone();
    bytes[0x200..0x400].fill(0);
    bytes[0x1040..0x1048].fill(0);
    bytes
}

struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Starts a process of that user that has a new map open, with one variable.
fn has_map(user: u32, target: &Target, variable: &str) -> Staying {
    staying(user, || {
        let map = target.options().create().expect("a map");
        map.set(variable, 1).expect("set");
        map
    })
}

fn staying<K>(user: u32, body: impl FnOnce() -> K) -> Staying {
    let staying = stay_as(user, LIMIT, || ("there".into(), body())).expect("a squatter");
    assert_eq!(staying.said, "there", "a squatter cannot do its part");
    staying
}

/// Races: another user replaces what is there, all the time.
fn races(world: &mut World, options: Seeded) {
    let long = Duration::from_millis(if options.short { 700 } else { 5_000 });
    for place in [Where::Name, Where::Global, Where::File] {
        let seen = SQUATTERS.map(|squatter| {
            let target = match place {
                Where::Name => world.name(USER),
                Where::Global => world.global(),
                Where::File => world.file(),
            };
            doing(format!("a race of {squatter} for {}", target.text));
            let (planted, home, seed) = (world.named.clone(), world.home(USER), options.seed);
            let own = home.join("own");
            by(USER, || write(&own, &planted, 0o600));
            let (file, at) = (world.filed.clone(), target.path.clone());
            let squatting = stay_as(squatter, LIMIT, || {
                let other = at.with_extension("other");
                write(&other, if matches!(place, Where::File) { &file } else { &planted }, 0o600);
                let mut random = Random::new(seed);
                std::thread::spawn(move || {
                    loop {
                        remove(&at);
                        match random.below(6) {
                            0 => kernel::fifo_if(&at),
                            1 => drop(symlink(&own, &at)),
                            2 => drop(symlink(&other, &at)),
                            3 => drop(fs::create_dir(&at)),
                            4 => drop(fs::hard_link(&other, &at)),
                            _ => {}
                        }
                        std::thread::sleep(Duration::from_micros(random.below(300)));
                    }
                });
                ("there".into(), ())
            });
            let squatting = squatting.expect("a squatter");
            let outcome = as_user(USER, LIMIT + long, || {
                let (began, mut refused, mut made) = (Instant::now(), 0_u64, 0_u64);
                while began.elapsed() < long {
                    for call in 0..3 {
                        let options = target.options();
                        let outcome = match call {
                            0 => options.open(),
                            1 => options.create(),
                            _ => options.open_or_create(),
                        };
                        match outcome {
                            // If the name was free for a moment, the map is the victim's own.
                            Ok(map) if call > 0 && map.contains("planted").is_ok_and(|p| !p) => {
                                made += 1;
                                drop(map);
                                let _ = fs::remove_file(&target.path);
                            }
                            Ok(_) => return "WRONG: let in".into(),
                            Err(_) => refused += 1,
                        }
                    }
                }
                if refused < 10 {
                    return format!("WRONG: {refused} tries");
                }
                println!("a race for {}: {refused} refused, {made} made", target.text);
                "refused, or made anew".into()
            });
            drop(squatting);
            remove(&target.path);
            remove(&target.path.with_extension("other"));
            let precious = fs::read(home.join("own")).is_ok_and(|bytes| bytes == world.named);
            seen_of(outcome, precious)
        });
        let what = format!("{}: replaced all the time while it is opened", place.name());
        world.table.row(&what, "refused, or made anew", &seen);
    }
}
