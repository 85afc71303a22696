//! Processes in other pid namespaces, without `/proc`, and with few descriptors. Those of the
//! namespaces are skipped where this user may not make one.

#![allow(clippy::print_stdout, reason = "says what is skipped")]

use crate::harness::{self, Folder, Held, Ran, finish, run, start, unique};
use std::process::{Command, Stdio};

/// In a pid namespace of its own, with its own `/proc`.
const APART: &str = "mount -t proc proc /proc && exec \"$@\"";
/// With a `/proc` that reports the boot and does not show the process itself.
const UNSEEN: &str = "boot=$(cat /proc/sys/kernel/random/boot_id) && mount -t tmpfs none /proc \
    && mkdir -p /proc/sys/kernel/random && echo $boot > /proc/sys/kernel/random/boot_id \
    && exec \"$@\"";
/// Without `/proc`.
const BARE: &str = "mount -t tmpfs none /proc && exec \"$@\"";

/// Returns a command of `mapvar` that runs in a pid and a mount namespace of its own, after this
/// script; `None` if this user may not make them.
fn within(script: &str, args: &[&str]) -> Option<Command> {
    let unshare = |how: &str| {
        let mut command = Command::new("unshare");
        command.args([how, "--fork", "--kill-child", "sh", "-c", script, "sh"]);
        command
    };
    let can = |how: &&str| {
        let ran = unshare(how).arg("true").stderr(Stdio::null()).status();
        ran.is_ok_and(|status| status.success())
    };
    let Some(how) = ["-mp", "-Urmp"].into_iter().find(can) else {
        println!("SKIPPED: this user may not make namespaces (unshare -Urmp)");
        return None;
    };
    let mut command = unshare(how);
    let inner = harness::command(args);
    command.arg(inner.get_program()).args(inner.get_args());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Some(command)
}

fn run_within(script: &str, args: &[&str]) -> Option<Ran> {
    within(script, args).map(|mut command| finish(start(&mut command)))
}

#[test]
fn who_waits_in_another_namespace_reads() {
    let map = &unique("apart");
    let _held = Held::new([map.as_str(), "--var", "foo=1"]);
    let Some(got) = run_within(APART, &["get", map, "foo"]) else { return };
    assert_eq!(got.ok(), "1\n");
    let refused = run_within(APART, &["set", map, "foo", "2"]).unwrap().fails(36);
    assert!(refused.contains("another pid namespace"), "{refused}");

    run_within(APART, &["wait-for", map, "foo=1", "--timeout", "10s"]).unwrap().ok();
    let idle = run_within(APART, &["watch", map, "--timeout", "50ms"]).unwrap();
    assert_eq!((idle.code, idle.err.as_str()), (Some(29), ""), "{idle:?}");
    let waits = start(&mut within(APART, &["wait-for", map, "foo=2", "--timeout", "15s"]).unwrap());
    run(["set", map, "foo", "2"]).ok();
    finish(waits).ok();
}

/// A reader of a name needs a `/dev/shm` that it can read, and no more.
#[test]
fn a_name_is_read_where_nothing_may_be_written() {
    const READ_ONLY: &str = "mount -t proc proc /proc && mount --bind /dev/shm /dev/shm \
        && mount -o remount,ro,bind /dev/shm && exec \"$@\"";
    let map = &unique("shown");
    let held = Held::new([map.as_str(), "--var", "foo=1"]);
    let Some(got) = run_within(READ_ONLY, &["get", map, "foo"]) else { return };
    assert_eq!(got.ok(), "1\n");
    run_within(READ_ONLY, &["wait-for", map, "foo=1", "--timeout", "10s"]).unwrap().ok();
    let refused = run_within(READ_ONLY, &["set", map, "foo", "2"]).unwrap();
    assert!(refused.code != Some(0) && refused.err.contains("read-only"), "{refused:?}");
    drop(held);
    let gone = run_within(READ_ONLY, &["get", map, "foo"]).unwrap();
    assert_eq!(gone.code, Some(11), "{gone:?}");
}

#[test]
fn an_unknown_namespace_is_not_shared() {
    let (map, folder) = (&unique("unseen"), Folder::new());
    let file = &folder.path("unseen.map");
    let new = ["set", "--file", file, "foo", "1"];
    for script in [UNSEEN, BARE] {
        for args in [&["hold", map][..], &new] {
            let Some(refused) = run_within(script, args) else { return };
            let error = refused.fails(36);
            assert!(error.contains("/proc") && error.contains("mount /proc"), "{error}");
        }
    }
    assert!(!std::path::Path::new(file).exists(), "a creation that failed leaves a map");

    let _held = Held::new([map.as_str(), "--var", "foo=1"]);
    run(new).ok();
    for script in [UNSEEN, BARE] {
        // Another writer's ids may be of another namespace.
        let error = run_within(script, &["set", map, "foo", "2"]).unwrap().fails(36);
        assert!(error.contains("mount /proc"), "{error}");
        assert_eq!(run_within(script, &["get", map, "foo"]).unwrap().ok(), "1\n");
        run_within(script, &["wait-for", map, "foo=1", "--timeout", "10s"]).unwrap().ok();
    }
    assert_eq!(run_within(UNSEEN, &["get", "--file", file, "foo"]).unwrap().ok(), "1\n");
    // Whether a file is of this boot cannot be known without /proc.
    let error = run_within(BARE, &["get", "--file", file, "foo"]).unwrap().fails(36);
    assert!(error.contains("mount /proc"), "{error}");
}

#[test]
fn a_creation_without_descriptors_leaves_no_file() {
    let folder = Folder::new();
    let mut created = 0;
    for limit in 3..20 {
        let file = folder.path(&format!("{limit}.map"));
        let inner = harness::command(["set", "--file", &file, "foo", "1"]);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {limit} && exec \"$@\""), "sh"]);
        command.arg(inner.get_program()).args(inner.get_args());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let ran = finish(start(&mut command));
        let exists = std::path::Path::new(&file).exists();
        assert_eq!(exists, ran.code == Some(0), "with {limit} descriptors: {ran:?}");
        created += usize::from(exists);
    }
    assert!(created > 0, "none was created");
}
