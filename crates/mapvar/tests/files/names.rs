//! Files and names that are removed or replaced while they are in use: a handle to what no other
//! process can find any more says so.

use crate::common;
use mapvar::{Error, ErrorKind, Format, Map};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// The ways in which a file leaves its path.
const WAYS: [fn(&Path); 4] = [
    |path| fs::remove_file(path).unwrap(),
    |path| fs::rename(path, path.with_extension("moved")).unwrap(),
    // As `mv new live` does, and a deployment.
    |path| {
        let new = path.with_extension("new");
        Map::options().file(&new).create().unwrap().close().unwrap();
        fs::rename(new, path).unwrap();
    },
    // As an editor saves.
    |path| {
        fs::rename(path, path.with_extension("bak")).unwrap();
        fs::copy(path.with_extension("bak"), path).unwrap();
    },
];

fn removed(error: &Error, path: &Path) {
    assert_eq!(error.kind(), ErrorKind::NameRemoved, "{error}");
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(error.to_string().contains(name), "{error}");
    assert!(error.to_string().contains("open it again"), "{error}");
}

fn file(dir: &tempfile::TempDir, number: usize) -> PathBuf {
    dir.path().join(format!("live{number}.map"))
}

#[test]
fn a_handle_of_a_replaced_file_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let gem = cfg!(feature = "gem").then_some(Format::Marshal);
    for format in [Some(Format::Store), gem].into_iter().flatten() {
        for (number, leave) in WAYS.iter().enumerate() {
            let path = file(&dir, number);
            let _ = fs::remove_file(&path);
            let map = Map::options().file(&path).format(format).create().unwrap();
            map.set("foo", "hello").unwrap();
            map.check_name().unwrap();
            map.flush().unwrap();
            map.stat().unwrap();
            leave(&path);
            removed(&map.check_name().unwrap_err(), &path);
            removed(&map.stat().unwrap_err(), &path);
            removed(&map.flush().unwrap_err(), &path);
            // What is in it can still be saved.
            assert_eq!(map.get::<String>("foo").unwrap(), "hello");
            removed(&map.close().unwrap_err(), &path);
            for other in ["moved", "new", "bak"] {
                let _ = fs::remove_file(path.with_extension(other));
            }
        }
    }
}

#[test]
fn watches_of_a_replaced_file_say_so() {
    let dir = tempfile::tempdir().unwrap();
    for (number, leave) in WAYS.iter().enumerate() {
        let path = file(&dir, number);
        let map = Map::options().file(&path).create().unwrap();
        map.set("foo", 1).unwrap();
        let reader = Map::options().file(&path).read_only(true).open().unwrap();
        let mut watches = [
            map.watch("foo").unwrap(),
            map.watch_all().unwrap(),
            map.watch("unborn").unwrap(),
            reader.watch("foo").unwrap(),
        ];
        leave(&path);
        for watch in &mut watches {
            removed(&watch.recv().unwrap_err(), &path);
        }
        // The next change comes between two reports.
        map.set("foo", 2).unwrap();
        let [one, ..] = &mut watches;
        let change = loop {
            match one.recv_timeout(Duration::from_secs(20)) {
                Ok(change) => break change.unwrap(),
                Err(error) => removed(&error, &path),
            }
        };
        assert_eq!(change.get::<i64>().unwrap(), 2);
        // A handle for reading has nothing to lose.
        drop(watches);
        reader.close().unwrap();
    }
}

#[test]
fn a_lock_of_a_replaced_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, 0);
    let map = Map::options().file(&path).create().unwrap();
    let held = map.lock("l").unwrap();
    let _guard = held.acquire().unwrap();
    let other = Map::options().file(&path).open().unwrap();
    fs::remove_file(&path).unwrap();
    let waiting = std::thread::spawn(move || other.lock("l").unwrap().acquire().map(drop));
    removed(&waiting.join().unwrap().unwrap_err(), &path);
    // The free lock too: another process could own the one of its name in the new file.
    let free = map.lock("free").unwrap();
    loop {
        match free.try_acquire() {
            Ok(guard) => drop(guard),
            Err(error) => break removed(&error, &path),
        }
    }
}

#[test]
fn a_name_that_was_unlinked_by_hand_is_missed() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let name = common::unique("unlinked");
    let map = Map::options().name(&name).create().unwrap();
    map.set("foo", 1).unwrap();
    map.check_name().unwrap();
    let shm = fs::read_dir("/dev/shm").unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<_> = shm.filter(|path| path.to_str().unwrap().contains(&name)).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    fs::remove_file(&found[0]).unwrap();
    for error in [
        map.check_name().unwrap_err(),
        map.stat().unwrap_err(),
        map.flush().unwrap_err(),
        map.close().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NameRemoved, "{error}");
    }
}

/// A symbolic link is followed, another link to the same file is the same file, and the program's
/// directory does not matter (the path is made absolute when the map is opened).
#[test]
fn a_name_that_leads_to_the_same_file_is_no_loss() {
    let dir = tempfile::tempdir().unwrap();
    let (path, link) = (file(&dir, 0), file(&dir, 1));
    let map = Map::options().file(&path).create().unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let linked = Map::options().file(&link).open().unwrap();
    linked.check_name().unwrap();
    fs::hard_link(&path, path.with_extension("hard")).unwrap();
    fs::rename(path.with_extension("hard"), &path).unwrap();
    map.flush().unwrap();
    linked.close().unwrap();
    map.close().unwrap();
}
