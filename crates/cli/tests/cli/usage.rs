//! Wrong usage, and the help texts.

use crate::harness::{Folder, command, finish, run, start, unique};
use std::{env::consts::OS, fs};

#[test]
fn wrong_usage_is_exit_code_2_and_does_nothing() {
    let folder = Folder::new();
    let (name, t) = (&unique("usage"), &folder.path("t.map"));
    for (args, says) in [
        (&[][..], "Usage: mapvar"),
        (&["frobnicate"], "frobnicate"),
        (&["set"], "NAME VAR VALUE"),
        (&["set", name], "VAR VALUE"),
        (&["set", name, "foo"], "VAR VALUE"),
        (&["set", name, "foo", "1", "2"], "VAR VALUE"),
        (&["set", "--file", t, "foo"], "VAR VALUE"),
        (&["set", "--file", t, name, "foo", "1"], "no NAME"),
        (&["set", name, "--size", "1MiB", "foo", "1"], "--file"),
        (&["set", "--file", t, "--global", "foo", "1"], "--global"),
        (&["set", "--file", t, "--size", "64 furlongs", "foo", "1"], "KiB"),
        (&["set", "--file", t, "--size", "64K", "foo", "1"], "KiB"),
        (&["set", "--file", t, "--size", "-1", "foo", "1"], "-1"),
        (&["set", "--file", t, "--type", "frob", "foo", "1"], "possible values: str, int"),
        (&["set", "--file", t, "--type", "int", "foo", "x"], "whole number"),
        (&["set", "--file", t, "--type", "bytes", "foo", "xyz"], "hexadecimal"),
        (&["set", "--file", t, "--type", "str", "--bytes", "foo", "00"], "--bytes"),
        (&["set", "--file", t, "foo", "--oops"], "-- --oops"),
        (&["get"], "NAME VAR"),
        (&["get", name], "VAR..."),
        (&["get", "--file", t], "NAME VAR"),
        (&["get", "--raw", "--kind", name, "foo"], "--kind"),
        (&["rm", name], "VAR..."),
        (&["list"], "NAME"),
        (&["list", name, "--file", t], "--file"),
        (&["list", name, "other"], "other"),
        (&["stat", "--file", t, name], "--file"),
        (&["hold"], "NAME"),
        (&["hold", name, "--file", t], "--file"),
        (&["hold", name, "--size", "big"], "KiB"),
        (&["hold", name, "--var", "foo"], "VAR=VALUE"),
        (&["get", name, "foo", "--timeout", "5"], "500ms"),
        (&["get", name, "foo", "--timeout", "99999999999999h"], "year"),
        (&["demo", "extra"], "extra"),
    ] {
        let ran = run(args);
        assert_eq!((ran.code, ran.out.is_empty()), (Some(2), true), "{args:?}: {ran:?}");
        assert!(ran.err.contains(says), "{args:?}: {}", ran.err);
        assert!(ran.err.contains("Usage: mapvar") || ran.err.contains("'--help'"), "{}", ran.err);
    }
    assert!(!fs::exists(t).unwrap());
    let error = run(["set", name, "foo"]).misused();
    assert!(error.contains("mapvar set [OPTIONS] --file PATH VAR VALUE"), "{error}");
}

#[test]
fn help_has_examples_and_version_a_number() {
    let version = run(["--version"]).ok();
    assert_eq!(version, format!("mapvar {}\n", env!("CARGO_PKG_VERSION")));
    let help = run(["--help"]).ok();
    assert!(help.contains("mapvar set --file t.map foo hello"), "{help}");
    assert!(!help.contains("demo-peer"), "{help}");
    for command in ["set", "get", "list", "rm", "stat", "hold", "demo"] {
        assert!(help.contains(&format!("\n  {command}  ")), "{command}: {help}");
        let help = run([command, "--help"]).ok();
        assert!(help.contains(&format!("Usage: mapvar {command}")), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
}

/// A script that redirects the help to a full disk learns of it.
#[test]
fn help_that_cannot_be_written_is_an_error() {
    if OS != "linux" {
        return;
    }
    for args in [&["--help"][..], &["--version"], &["help"], &["set", "--help"], &["help", "set"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = finish(start(command(args).stdout(full))).fails(37);
        assert!(error.contains("write standard output"), "{args:?}: {error}");
    }
}

#[test]
fn times_are_taken() {
    let name = &unique("time");
    for time in ["5s", "500ms", "1.5s", "1min", "0s", "24h"] {
        run(["get", name, "foo", "--timeout", time]).fails(11);
    }
}
