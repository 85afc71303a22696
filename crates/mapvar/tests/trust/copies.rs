//! Copies of files, files of another boot, and files that may not be written to: what a reader sees,
//! and what an opener for writing may take back.

use crate::{
    common::Watchdog,
    roles::{Peer, text},
};
use mapvar::{ErrorKind, Map, Recover};
use std::{fs, path::Path, time::Duration};

fn reader(path: &Path) -> Map {
    Map::options().file(path).read_only(true).open().unwrap()
}

/// Gives the file the identity of another boot, as a restart leaves it.
pub(crate) fn restart(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[0x200] ^= 0xff;
    let crc = u64::from(crc32fast::hash(&bytes[0x200..0x230])) | 1 << 32;
    bytes[0x230..0x238].copy_from_slice(&crc.to_le_bytes());
    fs::write(path, &bytes).unwrap();
}

/// An identity that is not whole would make it a file of another boot, whose changes since the last
/// flush are lost.
#[test]
fn a_damaged_identity_takes_nothing_back() {
    let _watchdog = Watchdog::new("a damaged identity", Duration::from_mins(1));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.map");
    let mut peer = Peer::start("set eight", &[text(&path)]);
    peer.expect("eight");
    drop(peer);
    let mut bytes = fs::read(&path).unwrap();
    bytes[0x201] ^= 0xff;
    fs::write(&path, &bytes).unwrap();
    let map = Map::options().file(&path).open().unwrap();
    assert_eq!((map.count().unwrap(), map.recovery()), (8, None));
}

/// They end with their processes, so a copy without them is whole.
#[test]
fn locks_and_ephemeral_variables_are_no_changes() {
    let _watchdog = Watchdog::new("locks in a copy", Duration::from_mins(1));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("live.map");
    let map = Map::options().file(&path).create().unwrap();
    map.set("flushed", 1).unwrap();
    map.flush().unwrap();
    let guard = map.lock("jobs").unwrap().acquire().unwrap();
    map.set_ephemeral("worker", 1).unwrap();
    let copy = dir.path().join("copy.map");
    fs::copy(&path, &copy).unwrap();
    let recovery = reader(&copy).recovery().unwrap();
    assert_eq!((recovery.variables, recovery.rolled_back, recovery.lost), (1, 0, 0));
    let copied = Map::options().file(&copy).open().unwrap();
    assert_eq!((copied.count().unwrap(), copied.get::<i64>("flushed").unwrap()), (1, 1));
    guard.release().unwrap();
}

/// A reader that begins to copy when the recovery has just ended would copy a live map, and report
/// what its users set as lost.
#[test]
fn a_reader_beside_a_recovery_reports_no_loss() {
    let _watchdog = Watchdog::new("a reader beside a recovery", Duration::from_mins(2));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("raced.map");
    let map = Map::options().file(&path).create().unwrap();
    map.set("x", 0).unwrap();
    map.close().unwrap();
    for round in 1..=40 {
        restart(&path);
        let start = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                let map = Map::options().file(&path).open().unwrap();
                for number in 0..200 {
                    map.set("x", round * 1000 + number).unwrap();
                }
                map.close().unwrap();
            });
            for _ in 0..3 {
                scope.spawn(|| {
                    start.wait();
                    let read = reader(&path);
                    let losses = read.recovery().map(|it| (it.rolled_back, it.lost, it.damaged));
                    assert!(matches!(losses, None | Some((0, 0, false))), "{losses:?}");
                });
            }
        });
    }
}

#[test]
fn a_reader_sees_the_last_flush_and_changes_no_byte() {
    let _watchdog = Watchdog::new("a reader", Duration::from_mins(1));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("live.map");
    let map = Map::options().file(&path).size(100_000).create().unwrap();
    map.set("flushed", 1).unwrap();
    map.set("large", vec![7_u8; 200_000]).unwrap();
    map.atomic_or("count", 3_i64).unwrap();
    map.flush().unwrap();
    map.set("flushed", 2).unwrap();
    map.set("never flushed", 1).unwrap();
    let copy = dir.path().join("copy.map");
    fs::copy(&path, &copy).unwrap();
    for restarted in [false, true] {
        if restarted {
            restart(&copy);
        }
        let before = fs::read(&copy).unwrap();
        let read = reader(&copy);
        let recovery = read.recovery().unwrap();
        assert_eq!((recovery.variables, recovery.lost, recovery.rolled_back), (3, 0, 2));
        assert!(!recovery.damaged && !recovery.torn && recovery.lost_anything());
        assert_eq!(read.get::<i64>("flushed").unwrap(), 1);
        assert_eq!(read.get::<Vec<u8>>("large").unwrap(), vec![7; 200_000]);
        assert_eq!(read.atomic::<i64>("count").unwrap().load().unwrap(), 3);
        assert_eq!(read.iter().count(), 3);
        assert_eq!(read.set("x", 1).unwrap_err().kind(), ErrorKind::ReadOnly);
        assert_eq!(read.flush().unwrap_err().kind(), ErrorKind::ReadOnly);
        // It would wait for ever.
        assert_eq!(read.watch("flushed").unwrap_err().kind(), ErrorKind::NeedsRecovery);
        assert!(read.check().unwrap().is_whole());
        read.close().unwrap();
        // A reader that waits for changes wants the file itself, not a copy that stays as it is.
        let never = Map::options().file(&copy).read_only(true).recover(Recover::Never);
        assert_eq!(never.open().unwrap_err().kind(), ErrorKind::NeedsRecovery);
        assert!(fs::read(&copy).unwrap() == before, "the file was written to");
    }
}

#[test]
fn a_map_that_was_closed_is_read_without_the_right_to_write() {
    let _watchdog = Watchdog::new("no right to write", Duration::from_mins(1));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("closed.map");
    let map = Map::options().file(&path).create().unwrap();
    map.set("x", 1).unwrap();
    map.close().unwrap();
    restart(&path);
    let mut rights = fs::metadata(&path).unwrap().permissions();
    rights.set_readonly(true);
    fs::set_permissions(&path, rights.clone()).unwrap();
    let read = reader(&path);
    assert_eq!(read.get::<i64>("x").unwrap(), 1);
    assert!(!read.recovery().unwrap().lost_anything(), "{:?}", read.recovery());
    read.close().unwrap();
    #[allow(clippy::permissions_set_readonly_false, reason = "so that the folder can be removed")]
    rights.set_readonly(false);
    fs::set_permissions(&path, rights).unwrap();
}

#[test]
fn a_copy_with_changes_is_opened_for_writing_by_decision_alone() {
    let _watchdog = Watchdog::new("a copy with changes", Duration::from_mins(1));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("live.map");
    let mut peer = Peer::start("set eight", &[text(&path)]);
    peer.expect("eight");
    let copy = dir.path().join("copy.map");
    fs::copy(&path, &copy).unwrap();
    let before = fs::read(&copy).unwrap();
    for recover in [Recover::Never, Recover::AfterRestart] {
        let refused = Map::options().file(&copy).recover(recover).open().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NeedsRecovery, "{refused}");
        assert!(fs::read(&copy).unwrap() == before, "the copy was written to");
    }
    // The newest values can be saved.
    let saved = Map::options().file(dir.path().join("saved.map")).create().unwrap();
    assert_eq!(Map::options().file(&copy).salvage(&saved).unwrap().saved(), 8);
    let map = Map::options().file(&copy).recover(Recover::AcceptLoss).open().unwrap();
    let recovery = map.recovery().unwrap();
    assert_eq!((recovery.variables, recovery.rolled_back, recovery.torn), (0, 8, false));
    map.close().unwrap();

    // A copy that lacks nothing is recovered without a word.
    peer.go();
    peer.expect("whole");
    peer.go();
    peer.expect("closed");
    let whole = dir.path().join("whole.map");
    fs::copy(&path, &whole).unwrap();
    let map = Map::options().file(&whole).open().unwrap();
    assert_eq!(map.count().unwrap(), 9);
    assert!(!map.recovery().unwrap().lost_anything());
    drop(peer);
}

#[test]
fn a_torn_copy_says_so() {
    let _watchdog = Watchdog::new("a torn copy", Duration::from_mins(1));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("live.map");
    let map = Map::options().file(&path).size(100_000).create().unwrap();
    for number in 0..300 {
        map.set(&format!("v{number}"), vec![number % 30; 20]).unwrap();
    }
    map.flush().unwrap();
    let old = fs::read(&path).unwrap();
    for number in 0..300 {
        map.set(&format!("v{number}"), vec![-1 - number % 30; 20]).unwrap();
    }
    map.flush().unwrap();
    let new = fs::read(&path).unwrap();
    assert_eq!(old.len(), new.len());
    // The first part was copied after the second flush, the rest before it.
    let copy = dir.path().join("torn.map");
    let torn: Vec<u8> = new[..0x8000].iter().chain(&old[0x8000..]).copied().collect();
    for restarted in [false, true] {
        fs::write(&copy, &torn).unwrap();
        if restarted {
            restart(&copy);
        }
        let refused = Map::options().file(&copy).open().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NeedsRecovery, "{refused}");
        assert!(refused.to_string().contains("torn copy"), "{refused}");
        let recovery = reader(&copy).recovery().unwrap();
        assert!(recovery.torn && recovery.damaged && recovery.lost > 0, "{recovery:?}");
        let map = Map::options().file(&copy).recover(Recover::AcceptLoss).open().unwrap();
        assert!(map.recovery().unwrap().torn);
    }
}

#[test]
fn a_map_in_use_is_copied_as_of_one_instant() {
    let _watchdog = Watchdog::new("a copy of a map in use", Duration::from_mins(1));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("live.map");
    let map = Map::options().file(&path).size(100_000).create().unwrap();
    map.set("left", 0).unwrap();
    map.set("right", 0).unwrap();
    map.set("large", vec![7_u8; 100_000]).unwrap();
    map.atomic_or("count", 3_i64).unwrap();
    map.set_ephemeral("mine", 1).unwrap();
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                number += 1;
                map.transaction(|both| {
                    both.set("left", number)?;
                    both.set("right", -number)
                })
                .unwrap();
            }
        });
        for round in 0..10 {
            let into = Map::options().file(dir.path().join(format!("{round}.map"))).create();
            let into = into.unwrap();
            let copied = map.copy_to(&into).unwrap();
            assert_eq!((copied.variables, copied.at_one_instant), (4, true));
            let (left, right): (i64, i64) = (into.get("left").unwrap(), into.get("right").unwrap());
            assert_eq!(left, -right);
            assert_eq!(into.get::<Vec<u8>>("large").unwrap(), vec![7; 100_000]);
            assert_eq!(into.atomic::<i64>("count").unwrap().fetch_add(1).unwrap(), 3);
        }
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(map.copy_to(&map).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

/// A copy of a file has its header. On Windows the names of the system's objects lead to the wrong
/// file if they go by that alone: a dead process would count as alive, by a process of the copy.
#[test]
fn processes_of_a_file_and_of_its_copy_are_apart() {
    let dir = tempfile::tempdir().unwrap();
    let [path, copy] = ["one.map", "two.map"].map(|name| dir.path().join(name));
    let map = Map::options().file(&path).create().unwrap();
    map.set("x", 1).unwrap();
    map.close().unwrap();
    std::fs::copy(&path, &copy).unwrap();
    let one = Map::options().file(&path).open().unwrap();
    let two = Map::options().file(&copy).recover(mapvar::Recover::AcceptLoss).open().unwrap();
    one.set_ephemeral("of the one", 1).unwrap();
    two.set_ephemeral("of the other", 1).unwrap();
    // Each has the first seat of its own file.
    for map in [&one, &two] {
        assert_eq!(map.participants().unwrap().len(), 1);
    }
    one.copy_to(&two).unwrap();
    drop(one);
    let one = Map::options().file(&path).open().unwrap();
    assert!(!one.contains("of the one").unwrap());
    assert!(two.contains("of the other").unwrap());
}
