//! A file under another mount. Within one boot, nothing that was acknowledged is taken back, and a
//! process that uses the file by a mount that shares no locks is not disturbed.

use crate::{
    common::Watchdog,
    copies::restart,
    roles::{Peer, text},
};
use mapvar::{ErrorKind, Map, Recover};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// A mounted folder. A drop unmounts it.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Mounts on a new folder; `None`, with a word on standard error, where that is not allowed.
fn mount(at: &Path, arguments: &[&str]) -> Option<Mounted> {
    fs::create_dir_all(at).unwrap();
    let mut mount = Command::new("mount");
    let status = mount.args(arguments).arg(at).stderr(Stdio::null()).status();
    if status.is_ok_and(|status| status.success()) {
        return Some(Mounted(at.to_owned()));
    }
    eprintln!("SKIPPED: this user may not mount {arguments:?} here");
    None
}

/// An overlay over two folders, and the folder of the files that are written to.
struct Overlay {
    merged: Mounted,
    upper: PathBuf,
    base: Mounted,
}

impl Overlay {
    fn new(dir: &Path) -> Option<Self> {
        // An overlay of an overlay (a container's root) is not always possible.
        let base = mount(&dir.join("base"), &["-t", "tmpfs", "tmpfs"])?;
        let merged = Self::merge(&base.0)?;
        Some(Self { merged, upper: base.0.join("upper"), base })
    }

    fn merge(base: &Path) -> Option<Mounted> {
        let [lower, upper, work] = ["lower", "upper", "work"].map(|name| base.join(name));
        for folder in [&lower, &upper, &work] {
            fs::create_dir_all(folder).unwrap();
        }
        let layers =
            format!("lowerdir={},upperdir={},workdir={}", text(&lower), text(&upper), text(&work));
        mount(&base.join("merged"), &["-t", "overlay", "overlay", "-o", &layers])
    }

    /// Mounts it anew. Another overlay in between makes the device's number another one.
    fn remount(self, dir: &Path) -> Self {
        let Self { merged, upper, base } = self;
        let other = merged.0.clone();
        drop(merged);
        let between = Overlay::new(&dir.join("between")).unwrap();
        let merged = Self::merge(other.parent().unwrap()).unwrap();
        drop(between);
        Self { merged, upper, base }
    }
}

#[test]
fn a_remount_takes_nothing_back() {
    let _watchdog = Watchdog::new("a remount", Duration::from_mins(2));
    let dir = tempfile::tempdir().unwrap();
    let Some(overlay) = Overlay::new(dir.path()) else { return };
    let path = overlay.merged.0.join("remount.map");
    let mut peer = Peer::start("set eight", &[text(&path)]);
    peer.expect("eight");
    peer.kill();
    let before = fs::metadata(&path).unwrap();
    let overlay = overlay.remount(dir.path());
    let after = fs::metadata(&path).unwrap();
    assert_eq!(before.ino(), after.ino());
    if before.dev() == after.dev() {
        eprintln!("SKIPPED: the remount has the same device number");
        return;
    }
    // A reader first, then a writer.
    let reader = Map::options().file(&path).read_only(true).open().unwrap();
    assert_eq!((reader.count().unwrap(), reader.recovery()), (8, None));
    let map = Map::options().file(&path).open().unwrap();
    assert_eq!((map.count().unwrap(), map.recovery()), (8, None));
    for number in 0..8_i64 {
        assert_eq!(map.get::<i64>(&format!("v{number}")).unwrap(), number);
    }
    map.set("v8", 8).unwrap();
    assert_eq!(reader.get::<i64>("v8").unwrap(), 8);
    drop((reader, map, overlay));
}

#[test]
fn a_disk_on_another_loop_device_takes_nothing_back() {
    let _watchdog = Watchdog::new("another loop device", Duration::from_mins(2));
    let dir = tempfile::tempdir().unwrap();
    for make in
        [&["mkfs.ext4", "-q", "-F"][..], &["mkfs.xfs", "-q", "-f"], &["mkfs.btrfs", "-q", "-f"]]
    {
        let image = dir.path().join(format!("{}.image", make[0]));
        fs::File::create(&image).unwrap().set_len(400 << 20).unwrap();
        let made = Command::new(make[0]).args(&make[1..]).arg(&image).status();
        if !made.is_ok_and(|made| made.success()) {
            eprintln!("SKIPPED: no {}", make[0]);
            continue;
        }
        let at = dir.path().join(format!("{}.mount", make[0]));
        let Some(disk) = mount(&at, &["-o", "loop", text(&image)]) else { return };
        let path = at.join("loop.map");
        let mut peer = Peer::start("set eight", &[text(&path)]);
        peer.expect("eight");
        peer.kill();
        let before = fs::metadata(&path).unwrap().dev();
        drop(disk);
        // Another image takes the first loop device.
        let other = dir.path().join("other.image");
        fs::File::create(&other).unwrap().set_len(64 << 20).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&other).status();
        if !made.is_ok_and(|made| made.success()) {
            eprintln!("SKIPPED: no mkfs.ext4");
            return;
        }
        let _other = mount(&dir.path().join("other"), &["-o", "loop", text(&other)]);
        let _disk = mount(&at, &["-o", "loop", text(&image)]).unwrap();
        if fs::metadata(&path).unwrap().dev() == before {
            eprintln!("{}: the device has the same number, which shows nothing", make[0]);
        }
        let map = Map::options().file(&path).open().unwrap();
        assert_eq!((map.count().unwrap(), map.recovery()), (8, None), "{}", make[0]);
        drop(map);
    }
}

#[test]
fn a_map_in_use_by_another_mount_is_not_recovered() {
    let _watchdog = Watchdog::new("a second mount", Duration::from_mins(2));
    let dir = tempfile::tempdir().unwrap();
    let Some(overlay) = Overlay::new(dir.path()) else { return };
    let path = overlay.merged.0.join("second.map");
    let behind = overlay.upper.join("second.map");
    let mut peer = Peer::start("set eight", &[text(&path)]);
    peer.expect("eight");
    assert_ne!(fs::metadata(&path).unwrap().dev(), fs::metadata(&behind).unwrap().dev());

    // A reader sees the variables and takes nothing from the living process.
    let reader = Map::options().file(&behind).read_only(true).open().unwrap();
    assert_eq!((reader.count().unwrap(), reader.recovery()), (8, None));
    drop(reader);
    // A writer would believe that it is alone, since the mounts share no locks.
    for recover in [Recover::Never, Recover::AfterRestart, Recover::AcceptLoss] {
        let refused = Map::options().file(&behind).recover(recover).open().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
        assert!(refused.to_string().contains("take_over"), "{refused}");
        assert!(refused.to_string().contains(&format!("process {}", peer.pid())), "{refused}");
    }
    peer.go();
    peer.expect("whole");

    // Once it has closed the map, no process uses it; and a killed one does not either.
    peer.go();
    peer.expect("closed");
    let map = Map::options().file(&behind).open().unwrap();
    assert_eq!((map.count().unwrap(), map.recovery()), (9, None));
    map.close().unwrap();
    peer.kill();
    let mut killed = Peer::start("set eight", &[text(&path)]);
    killed.expect("eight");
    killed.kill();
    let map = Map::options().file(&behind).open().unwrap();
    assert_eq!((map.count().unwrap(), map.recovery()), (9, None));
}

/// Each of the two would believe that it is alone, since the mounts share no locks.
#[test]
fn of_two_openers_by_two_mounts_at_most_one_gets_in() {
    let _watchdog = Watchdog::new("two openers by two mounts", Duration::from_mins(2));
    let dir = tempfile::tempdir().unwrap();
    let Some(overlay) = Overlay::new(dir.path()) else { return };
    let path = overlay.merged.0.join("both.map");
    let behind = overlay.upper.join("both.map");
    let map = Map::options().file(&path).create().unwrap();
    map.set("x", 1).unwrap();
    map.close().unwrap();
    let mut entered = 0;
    for round in 0..60 {
        // In every second round, both would recover it as well.
        if round % 2 == 1 {
            restart(&behind);
        }
        let mut peers = [&path, &behind].map(|path| Peer::start("open", &[text(path)]));
        for peer in &mut peers {
            peer.expect("ready");
        }
        for peer in &mut peers {
            peer.go();
        }
        let heard = peers.each_mut().map(Peer::hear);
        let within = heard.iter().filter(|heard| *heard == "open").count();
        assert!(within < 2, "round {round}: both got in");
        let refused =
            heard.iter().filter(|heard| ["Unsupported", "Contended"].contains(&&***heard));
        assert_eq!(within + refused.count(), 2, "round {round}: {heard:?}");
        entered += within;
        for peer in peers {
            peer.kill();
        }
        // What a killed opener leaves keeps nobody out.
        let map = Map::options().file(&behind).open().unwrap();
        assert_eq!(map.get::<i64>("x").unwrap(), 1, "round {round}");
        map.close().unwrap();
    }
    assert!(entered > 0, "both were refused each time");
}

/// As above, by two threads of one process, which have one process id.
#[test]
fn of_two_threads_by_two_mounts_at_most_one_gets_in() {
    let _watchdog = Watchdog::new("two threads by two mounts", Duration::from_mins(2));
    let dir = tempfile::tempdir().unwrap();
    let Some(overlay) = Overlay::new(dir.path()) else { return };
    let path = overlay.merged.0.join("threads.map");
    let behind = overlay.upper.join("threads.map");
    let map = Map::options().file(&path).create().unwrap();
    for number in 0..1_000 {
        map.set(&format!("v{number}"), number).unwrap();
    }
    map.close().unwrap();
    let mut entered = 0;
    for round in 0..60 {
        restart(&behind);
        let both = std::sync::Barrier::new(2);
        let open = |path: &std::path::Path| {
            both.wait();
            Map::options().file(path).open()
        };
        let maps: Vec<_> = std::thread::scope(|scope| {
            let threads = [&path, &behind].map(|path| scope.spawn(|| open(path)));
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for error in maps.iter().filter_map(|map| map.as_ref().err()) {
            let kinds = [ErrorKind::Unsupported, ErrorKind::Contended];
            assert!(kinds.contains(&error.kind()), "round {round}: {error}");
        }
        let within = maps.iter().filter(|map| map.is_ok()).count();
        assert!(within < 2, "round {round}: both got in");
        entered += within;
    }
    assert!(entered > 0, "both were refused each time");
}

#[test]
fn where_the_life_of_a_user_cannot_be_queried_the_map_is_refused() {
    let _watchdog = Watchdog::new("another namespace", Duration::from_mins(2));
    let dir = tempfile::tempdir().unwrap();
    let Some(overlay) = Overlay::new(dir.path()) else { return };
    let path = overlay.merged.0.join("namespace.map");
    let behind = overlay.upper.join("namespace.map");
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    let mut peer = Peer::start_by(unshare, "set eight", &[text(&path)]);
    peer.expect("eight");
    let refused = Map::options().file(&behind).open().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    peer.kill();
    // Nothing shows that the process is gone, so the user decides; and nothing is taken back.
    let refused = Map::options().file(&behind).open().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    let map = Map::options().file(&behind).take_over(true).open().unwrap();
    assert_eq!((map.count().unwrap(), map.recovery()), (8, None));
}

#[test]
fn a_disk_that_was_removed_in_use_is_noticed() {
    let _watchdog = Watchdog::new("a removed disk", Duration::from_mins(2));
    let dir = tempfile::tempdir().unwrap();
    let Some(overlay) = Overlay::new(dir.path()) else { return };
    let path = overlay.merged.0.join("removed.map");
    let map = Map::options().file(&path).create().unwrap();
    map.set("v0", 7).unwrap();
    map.flush().unwrap();
    drop(map);
    let mut peer = Peer::start("set eight", &[text(&path)]);
    peer.expect("eight");
    peer.kill();
    // Pages that had not reached the disk: those of the first index.
    let mut bytes = fs::read(&path).unwrap();
    bytes[0x6000..0x8000].fill(0);
    fs::write(&path, bytes).unwrap();
    let overlay = overlay.remount(dir.path());
    let refused = Map::options().file(&path).open().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NeedsRecovery, "{refused}");
    let map = Map::options().file(&path).recover(Recover::AcceptLoss).open().unwrap();
    assert_eq!((map.count().unwrap(), map.get::<i64>("v0").unwrap()), (1, 7));
    drop((map, overlay));
}
