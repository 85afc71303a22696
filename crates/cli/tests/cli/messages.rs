//! Messages that name the real condition, and a remedy that helps: conditions that only Unix can be
//! put into by a test.

use crate::harness::{Folder, Held, Ran, command, finish, run, start, unique};
use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    process::{Command, Stdio},
};

/// Runs a script in which `$0` is the command under test.
#[cfg(target_os = "linux")]
fn script(text: &str) -> Ran {
    let mut shell = Command::new("sh");
    shell.args(["-c", text, env!("CARGO_BIN_EXE_mapvar")]).stdin(Stdio::null());
    finish(start(shell.stdout(Stdio::piped()).stderr(Stdio::piped())))
}

/// Runs a script with a `/dev/shm` of its own, mounted with these options. `None` if this user may
/// not mount.
#[cfg(target_os = "linux")]
fn with_memory(options: &str, text: &str) -> Option<Ran> {
    let mount = format!("mount -t tmpfs -o {options} none /dev/shm");
    let own = |text: &str| {
        let mut shell = Command::new("unshare");
        shell.args(["-Urm", "sh", "-c", text, env!("CARGO_BIN_EXE_mapvar")]).stdin(Stdio::null());
        shell.stdout(Stdio::piped()).stderr(Stdio::piped());
        shell
    };
    if !own(&mount).output().is_ok_and(|mounted| mounted.status.success()) {
        eprintln!("SKIPPED: this user may not mount a file system (unshare -Urm)");
        return None;
    }
    Some(finish(start(&mut own(&format!("{mount} && {text}")))))
}

#[cfg(target_os = "linux")]
#[test]
fn memory_that_is_read_only_or_full() {
    let Some(ran) = with_memory("ro", "exec \"$0\" hold alpha") else { return };
    let error = ran.fails(20);
    assert!(error.contains("/dev/shm is read-only") && error.contains("use a file"), "{error}");
    let full = with_memory("size=32k", "exec \"$0\" hold alpha").unwrap();
    let error = full.fails(16);
    assert!(error.contains("/dev/shm is full: ") && error.contains(" bytes are needed"), "{error}");
    assert!(error.contains(" 32768 are free"), "{error}");
    // The same for a map that grows.
    let grows = "\"$0\" hold alpha --size 64KiB 2>/dev/null & \"$0\" wait-for alpha; \
                 head -c 2000000 /dev/zero | \"$0\" set alpha foo --bytes -; \
                 code=$?; kill $!; wait $!; exit $code";
    let error = with_memory("size=1m", grows).unwrap().fails(16);
    assert!(error.contains("/dev/shm is full: ") && error.contains(" bytes are needed"), "{error}");
}

/// Each number of descriptors ends another call. None of them is an unmounted `/proc`.
#[cfg(target_os = "linux")]
#[test]
fn too_few_descriptors() {
    let folder = Folder::new();
    let file = folder.path("t.map");
    run(["set", "--file", &file, "foo", "1"]).ok();
    let mut failed = 0;
    for most in 4..12 {
        let ran = script(&format!("ulimit -n {most}; exec \"$0\" set --file '{file}' foo 2"));
        if ran.code == Some(37) {
            let error = ran.fails(37);
            assert!(error.contains("ulimit -n") && !error.contains("/proc"), "{most}: {error}");
            failed += 1;
        }
    }
    assert!(failed > 0, "no limit was too low");
}

#[test]
fn global_is_advised_only_where_it_helps() {
    let name = &unique("advice");
    let error = run(["get", name, "foo"]).fails(11);
    assert!(!error.contains("--global"), "{error}");
    {
        let _held = Held::new([name.as_str(), "--global"]);
        let error = run(["get", name, "foo"]).fails(11);
        assert!(error.contains("use --global"), "{error}");
    }
    // Another user's global map is refused, so it is not advised.
    let mut held = command(["hold", name, "--global"]);
    // Only root can start a process of another user.
    let Ok(mut held) = held.uid(54_321).spawn() else {
        eprintln!("SKIPPED: only root can start a process of another user");
        return;
    };
    for _ in 0..2_000 {
        if run(["wait-for", "--global", name, "--timeout", "0s"]).code == Some(21) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let (error, advice) = (run(["get", "--global", name, "foo"]), run(["get", name, "foo"]));
    held.kill().unwrap();
    held.wait().unwrap();
    let _ = fs::remove_file(format!("/dev/shm/mapvar.global.{name}.map"));
    let (error, advice) = (error.fails(21), advice.fails(11));
    assert!(error.contains("user 54321"), "{error}");
    assert!(!advice.contains("--global"), "{advice}");
}

/// Programs that lock a file before they use it lock all bytes, also those far beyond its end by
/// which a map's processes see each other.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_another_program_has_locked() {
    use rustix::fs::{FlockOperation, fcntl_lock};
    let folder = Folder::new();
    let path = &folder.path("t.map");
    run(["set", "--file", path, "foo", "1"]).ok();
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
    for args in [&["set"][..], &["get"]] {
        let more = &["--file", path, "--timeout", "50ms", "foo", "2"];
        let error = run([args, &more[..5 + usize::from(args == ["set"])]].concat()).fails(29);
        assert!(error.contains("another program has locked all of it"), "{error}");
    }
    drop(file);
    assert_eq!(run(["get", "--file", path, "foo"]).ok(), "1\n");
}

#[test]
fn a_file_of_another_user_that_others_may_write() {
    let folder = Folder::new();
    let path = &folder.path("t.map");
    run(["set", "--file", path, "foo", "1"]).ok();
    if chown(path, Some(54_321), None).is_err() {
        eprintln!("SKIPPED: only root can give files away");
        return;
    }
    run(["set", "--file", path, "foo", "2"]).ok();
    fs::set_permissions(path, fs::Permissions::from_mode(0o606)).unwrap();
    for args in [&["set", "--file", path, "foo", "3"][..], &["rm", "--file", path, "foo"]] {
        let ran = run(args);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.err.contains("warning") && ran.err.contains("user 54321"), "{ran:?}");
    }
    run(["list", "--file", path]).ok();
}
