//! `mapvar bridge` runs the program `mapvar-bridge`, or says that it is not there.

use crate::harness::{command, finish, start};
use std::{env::consts::EXE_SUFFIX, fs, path::Path, process::Command};
use tempfile::TempDir;

/// Returns a command that runs a copy of `mapvar` in this folder, with nothing in PATH: beside the
/// original may be a bridge that was built.
fn copied(folder: &Path, arguments: &[&str]) -> Command {
    let program = folder.join(format!("mapvar{EXE_SUFFIX}"));
    let original = command(arguments);
    fs::copy(original.get_program(), &program).expect("a copy");
    let mut copy = Command::new(program);
    copy.args(arguments).env("PATH", folder);
    copy.stdin(std::process::Stdio::null());
    copy.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    copy
}

#[test]
fn a_bridge_that_is_not_installed_is_named_with_a_remedy() {
    let folder = TempDir::new().expect("a folder");
    let error = finish(start(&mut copied(folder.path(), &["bridge", "status", "alpha"])));
    let error = error.fails(10 + i32::from(mapvar::ErrorKind::Unsupported.number()));
    assert!(error.contains("cargo install --path crates/bridge"), "{error}");
}

#[cfg(unix)]
#[test]
fn the_bridge_gets_the_arguments_and_its_exit_code_counts() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = TempDir::new().expect("a folder");
    let bridge = folder.path().join("mapvar-bridge");
    fs::write(&bridge, "#!/bin/sh\necho \"$#: $*\"\nexit 7\n").expect("a script");
    fs::set_permissions(&bridge, fs::Permissions::from_mode(0o755)).expect("permissions");
    let ran = finish(start(&mut copied(folder.path(), &["bridge", "run", "--help", "a b"])));
    assert_eq!((ran.code, ran.out.as_slice()), (Some(7), &b"3: run --help a b\n"[..]), "{ran:?}");
}
