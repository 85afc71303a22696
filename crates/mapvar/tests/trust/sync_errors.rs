//! Which error of a flush is final. strace makes the system calls of one process fail.

use crate::{
    common::Watchdog,
    roles::{text, told},
};
use mapvar::{ErrorKind, Map};
use std::{
    process::{Command, Stdio},
    time::Duration,
};

/// Returns a command that runs a program whose calls fail as `inject` says; `None` if strace does
/// not work here.
fn strace(inject: &str) -> Option<Command> {
    let mut tried = Command::new("strace");
    tried.args(["-o", "/dev/null", "true"]).stderr(Stdio::null());
    if !tried.status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: no strace here (ci/apt strace), or it may not trace");
        return None;
    }
    let mut strace = Command::new("strace");
    let calls = inject.split(':').next().unwrap();
    strace.args(["-f", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    strace.args(["-e", &format!("inject={inject}")]);
    Some(strace)
}

#[test]
fn an_error_that_is_not_the_devices_ends_no_flush_but_its_own() {
    let _watchdog = Watchdog::new("passing errors", Duration::from_mins(2));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("passing.map");
    let map = Map::options().file(&path).create().unwrap();
    let cases = [
        ("fdatasync:error=EINTR:when=1..3", "flushed"),
        ("fdatasync:error=EINTR", "Interrupted"),
        ("fdatasync:error=EPERM", "PermissionDenied"),
        ("fdatasync:error=ENOSYS", "Unsupported"),
        ("fdatasync:error=EINVAL", "Unsupported"),
        ("fdatasync:error=ENOMEM", "NoSpace"),
        ("fdatasync:error=EAGAIN", "Interrupted"),
        ("msync:error=EINTR:when=1..3", "flushed"),
        ("msync:error=EPERM", "PermissionDenied"),
    ];
    for (number, (inject, expected)) in (1_i64..).zip(cases) {
        let Some(strace) = strace(inject) else { return };
        let said = told(Some(strace), "flush", &[text(&path), &number.to_string()]);
        assert!(said.len() == 1 && said[0].starts_with(expected), "{inject}: {said:?}");
        // Every other process goes on, and its flush contains what the failed one did not store.
        assert_eq!(map.get::<i64>("x").unwrap(), number, "{inject}");
        map.flush().unwrap_or_else(|error| panic!("{inject}: {error}"));
        assert!(!map.stat().unwrap().flush_failed, "{inject}");
        assert!(map.check().unwrap().is_whole(), "{inject}");
    }
}

#[test]
fn a_folder_that_cannot_be_synced_is_no_error() {
    let _watchdog = Watchdog::new("folders without fsync", Duration::from_mins(2));
    let dir = tempfile::tempdir().unwrap();
    for (number, error) in ["EINVAL", "ENOSYS", "EOPNOTSUPP"].into_iter().enumerate() {
        // A new file: its first flush also syncs the folder.
        let path = dir.path().join(format!("{number}.map"));
        let Some(strace) = strace(&format!("fsync:error={error}")) else { return };
        let said = told(Some(strace), "create and flush", &[text(&path), "7"]);
        assert_eq!(said, ["flushed"], "{error}");
        let map = Map::options().file(&path).open().unwrap();
        assert!(!map.stat().unwrap().flush_failed, "{error}");
        map.flush().unwrap();
    }
}

#[test]
fn an_error_of_the_device_is_final_and_shown_and_there_is_a_way_back() {
    let _watchdog = Watchdog::new("final errors", Duration::from_mins(2));
    let dir = tempfile::tempdir().unwrap();
    for (number, error) in ["EIO", "ENOSPC"].into_iter().enumerate() {
        let path = dir.path().join(format!("{number}.map"));
        let map = Map::options().file(&path).create().unwrap();
        map.set("y", 2).unwrap();
        let Some(strace) = strace(&format!("fdatasync:error={error}")) else { return };
        let said = told(Some(strace), "flush", &[text(&path), "1"]);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("mapvar repair"), "{said:?}");
        let refused = map.flush().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Io, "{refused}");
        assert!(refused.to_string().contains("mapvar repair"), "{refused}");
        assert!(map.stat().unwrap().flush_failed);
        let check = map.check().unwrap();
        assert!(
            check.findings().iter().any(|found| found.what.contains("disk failed")),
            "{check:?}"
        );
        assert!(!check.is_whole());
        // The way back: every variable, into another file.
        let saved = Map::options().file(dir.path().join(format!("{number}.saved"))).create();
        let saved = saved.unwrap();
        let salvage = Map::options().file(&path).salvage(&saved).unwrap();
        assert_eq!((salvage.saved(), salvage.lost().len()), (2, 0));
        assert_eq!((saved.get::<i64>("x").unwrap(), saved.get::<i64>("y").unwrap()), (1, 2));
        saved.flush().unwrap();
    }
}
