//! Wrong input: an error with the problem and its remedy, an exit code of its own, and no changes.

use crate::harness::{Folder, Held, feed, finish, run, unique};
use std::{
    env::consts::FAMILY,
    fs,
    process::{Command, Stdio},
};

#[test]
fn names_that_no_map_can_have() {
    let long = "a".repeat(121);
    for bad in ["a/b", "a\\b", "", "a b", "Local\\a", "é", "..\\..\\x", &long] {
        for args in [
            &["set", bad, "foo", "1"][..],
            &["get", bad, "foo"],
            &["list", bad],
            &["rm", bad, "foo"],
            &["stat", bad],
            &["hold", bad],
            &["hold", "--join", bad],
        ] {
            let error = run(args).fails(18);
            assert!(error.contains("map \"") && error.contains("use "), "{error}");
        }
    }
    let longest = &unique(&"a".repeat(80));
    let longest = &format!("{longest}{}", "b".repeat(120 - longest.len()));
    let _held = Held::new([longest.as_str()]);
    run(["set", longest, "foo", "1"]).ok();
}

#[test]
fn names_that_no_variable_can_have() {
    let folder = Folder::new();
    let t = &folder.path("t.map");
    let (longest, long) = ("n".repeat(1023), "n".repeat(1024));
    run(["set", "--file", t, &longest, "1"]).ok();
    for bad in ["", &long] {
        for command in ["set", "get", "rm"] {
            let mut args = vec![command, "--file", t, bad];
            if command == "set" {
                args.push("1");
            }
            let error = run(args).fails(18);
            assert!(error.contains("use 1 to 1023"), "{error}");
        }
    }
    assert_eq!(run(["list", "--names", "--file", t]).ok(), format!("{longest}\n"));
    let name = &unique("badvar");
    run(["hold", name, "--var", "=1"]).fails(18);
    run(["list", name]).fails(11);
}

#[test]
fn files_that_are_no_maps_stay_as_they_are() {
    let folder = Folder::new();
    let whole = &folder.path("whole.map");
    run(["set", "--file", whole, "foo", "hello"]).ok();
    let whole = fs::read(whole).unwrap();
    let mut random = 1_u64;
    let random: Vec<u8> = (0..200_000)
        .map(|_| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            random.to_le_bytes()[7]
        })
        .collect();
    for (what, content, code, says) in [
        ("empty", &b""[..], 24, "0 bytes"),
        ("text", b"Dear diary,\ntoday I was no map.\n", 24, "too few"),
        ("long text", "Dear diary. ".repeat(10_000).as_bytes(), 24, "not a map"),
        ("zeros", &vec![0; 200_000], 24, "not a map"),
        ("random", &random, 24, "not a map"),
        ("one byte", &whole[..1], 24, "too few"),
        ("half", &whole[..whole.len() / 2], 27, "should have"),
        ("one byte less", &whole[..whole.len() - 1], 27, "should have"),
    ] {
        let path = &folder.path(&format!("{what}.map"));
        fs::write(path, content).unwrap();
        for args in [
            &["get", "--file", path, "foo"][..],
            &["set", "--file", path, "foo", "1"],
            &["list", "--file", path],
            &["rm", "--file", path, "foo"],
            &["stat", "--file", path],
        ] {
            let error = run(args).fails(code);
            assert!(error.contains(says) && error.contains(path.as_str()), "{what}: {error}");
        }
        assert!(fs::read(path).unwrap() == content, "{what} was changed");
    }
}

#[test]
fn what_is_no_file() {
    let folder = Folder::new();
    let dir = folder.path("");
    for command in ["list", "stat"] {
        let error = run([command, "--file", &dir]).fails(22);
        assert!(error.contains("directory"), "{error}");
    }
    run(["set", "--file", &dir, "foo", "1"]).fails(22);
    run(["list", "--file", ""]).misused();

    let error = run(["get", "--file", &folder.path("none.map"), "foo"]).fails(11);
    assert!(error.contains("none.map") && error.contains("mapvar set --file"), "{error}");
    let error = run(["set", "--file", &folder.path("none/none.map"), "foo", "1"]).fails(11);
    assert!(error.contains("no such folder"), "{error}");
    assert!(fs::read_dir(folder.0.path()).unwrap().next().is_none());

    if FAMILY == "unix" {
        let fifo = &folder.path("fifo");
        assert!(Command::new("mkfifo").arg(fifo).status().unwrap().success());
        for path in [fifo, "/dev/null", "/dev/zero"] {
            run(["list", "--file", path]).fails(22);
            run(["set", "--file", path, "foo", "1"]).fails(22);
        }
    }
}

#[test]
fn a_file_that_may_only_be_read() {
    let folder = Folder::new();
    let t = &folder.path("t.map");
    run(["set", "--file", t, "foo", "hello"]).ok();
    let mut permissions = fs::metadata(t).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(t, permissions.clone()).unwrap();
    assert_eq!(run(["get", "--file", t, "foo"]).ok(), "hello\n");
    assert_eq!(run(["list", "--file", t]).ok(), "foo\tstr\thello\n");
    // root may write to the file all the same.
    if fs::OpenOptions::new().write(true).open(t).is_err() {
        run(["set", "--file", t, "foo", "other"]).fails(20);
        run(["rm", "--file", t, "foo"]).fails(20);
    }
    #[expect(
        clippy::permissions_set_readonly_false,
        reason = "the file is removed with its folder"
    )]
    permissions.set_readonly(false);
    fs::set_permissions(t, permissions).unwrap();
    assert_eq!(run(["get", "--file", t, "foo"]).ok(), "hello\n");
}

#[test]
fn values_that_outgrow_their_variables() {
    let folder = Folder::new();
    let t = &folder.path("t.map");
    let (small, large) = ("x".repeat(1000), "y".repeat(20_000));
    run(["set", "--file", t, "foo", "x"]).ok();
    run(["set", "--file", t, "foo", &small]).ok();
    run(["set", "--file", t, "bar", &large]).ok();
    assert_eq!(run(["get", "--file", t, "foo", "bar"]).ok(), format!("{small}\n{large}\n"));
    feed(large.as_bytes(), ["set", "--file", t, "foo", "-"]).ok();
    assert_eq!(run(["get", "--file", t, "foo"]).ok(), format!("{large}\n"));
}

#[test]
fn sizes_that_no_map_can_have() {
    let folder = Folder::new();
    let (name, t) = (&unique("size"), &folder.path("t.map"));
    let error = run(["hold", name, "--size", "0"]).fails(19);
    assert!(error.contains("size 0"), "{error}");
    run(["set", "--file", t, "--size", "0", "foo", "1"]).fails(19);
    run(["hold", name, "--size", "99TiB"]).fails(17);
    run(["set", "--file", t, "--size", "16000000TiB", "foo", "1"]).fails(17);
    run(["list", name]).fails(11);
    assert!(!fs::exists(t).unwrap());
}

#[test]
fn a_map_that_the_system_has_no_room_for() {
    // Only these systems have a limit that a process can set for itself.
    if FAMILY != "unix" {
        return;
    }
    let folder = Folder::new();
    let (name, t) = (&unique("limit"), &folder.path("t.map"));
    let limited = |args: &str| {
        let mut sh = Command::new("sh");
        let mapvar = env!("CARGO_BIN_EXE_mapvar");
        sh.args(["-c", &format!("ulimit -f 10; exec '{mapvar}' {args}")]).stdin(Stdio::null());
        finish(sh.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    };
    let error = limited(&format!("set --file '{t}' foo 1")).fails(17);
    assert!(error.contains("ulimit -f"), "{error}");
    assert!(fs::read_dir(folder.0.path()).unwrap().next().is_none(), "something is left behind");
    limited(&format!("hold {name}")).fails(17);
    run(["list", name]).fails(11);
    // An existing map is used unchanged.
    run(["set", "--file", t, "foo", "1"]).ok();
    limited(&format!("set --file '{t}' foo 2")).ok();
    assert_eq!(run(["get", "--file", t, "foo"]).ok(), "2\n");
}

#[test]
fn names_that_windows_has_no_files_for() {
    if FAMILY != "windows" {
        return;
    }
    let folder = Folder::new();
    let long = folder.path(&"n".repeat(256));
    for (path, says, code) in [
        ("CON", "CON is a device of Windows", 22),
        (&*folder.path("nul.map"), "NUL is a device of Windows", 22),
        (&*long, "256 characters", 18),
    ] {
        for args in [&["set", "--file", path, "foo", "1"][..], &["get", "--file", path, "foo"]] {
            let error = run(args).fails(code);
            assert!(error.contains(says), "{path}: {error}");
        }
    }
}

/// A value that no process can read is named, and `copy` and `watch` go on with the others.
#[cfg(unix)]
#[test]
fn a_value_that_cannot_be_read_is_left_out_of_a_copy() {
    use std::os::unix::fs::FileExt;
    const MARK: u64 = 0x1122_3344_5566_7788;
    let folder = Folder::new();
    let [t, new] = &["t.map", "new.map"].map(|name| folder.path(name));
    let map = mapvar::Map::options().file(t).create().expect("create");
    map.set("foo", MARK).expect("set");
    map.set("other", 7).expect("set");
    // The description of the value, three words before it, says more bytes than the record has.
    let bytes = std::fs::read(t).expect("read");
    let at = bytes.windows(8).position(|word| word == MARK.to_le_bytes()).expect("the value");
    let file = std::fs::OpenOptions::new().write(true).open(t).expect("open");
    file.write_all_at(&[0xff; 6], at as u64 - 22).expect("write");
    let ran = run(["copy", "--file", t, "--into", new]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let lines: Vec<_> = ran.err.lines().collect();
    assert!(lines.len() == 2 && lines[0].contains("\"foo\""), "{ran:?}");
    assert!(lines[1].contains("1 variable copied; 1 left out"), "{ran:?}");
    assert_eq!(run(["get", "--file", new, "other"]).ok(), "7\n");
    let ran = run(["watch", "--file", t, "--timeout", "100ms"]);
    assert_eq!(ran.code, Some(26), "{ran:?}");
    assert!(ran.err.contains("\"foo\"") && ran.err.lines().count() == 1, "{ran:?}");
}

/// A byte of a list can take 40 of memory when it is decoded. A peer that stores many of them must
/// not end the readers.
#[cfg(unix)]
#[test]
fn a_list_beyond_the_readers_memory_is_an_error_that_names_it() {
    const NILS: usize = 16 << 20;
    let folder = Folder::new();
    let t = &folder.path("t.map");
    let map = mapvar::Map::options().file(t).create().expect("create");
    map.set("nils", vec![(); NILS]).expect("set");
    map.set("other", 7).expect("set");
    map.close().expect("close");
    for (args, out) in
        [(&["get", "--file", t, "nils"][..], None), (&["get", "--file", t, "other"], Some("7\n"))]
    {
        // In KiB: the list has 16 MiB, and 512 MiB when it is decoded.
        let limited = "ulimit -v 400000; exec \"$0\" \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", limited, env!("CARGO_BIN_EXE_mapvar")]).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let ran = finish(command.spawn().expect("start"));
        match out {
            Some(out) => assert_eq!(ran.ok(), out),
            None => {
                let error = ran.fails(17);
                assert!(error.contains("\"nils\"") && error.contains("memory"), "{error}");
            }
        }
    }
    // One value that cannot be read does not hide the others; the first error has the exit code.
    let limited = |args: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -v 400000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_mapvar")]);
        command.args(args).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start")
    };
    let ran = finish(limited(&["get", "--file", t, "nils", "other", "absent"]));
    assert_eq!((ran.code, ran.out.as_slice()), (Some(17), &b"7\n"[..]), "{ran:?}");
    let lines: Vec<_> = ran.err.lines().collect();
    assert!(lines[0].contains("\"nils\"") && lines[1].contains("\"absent\""), "{ran:?}");
    // A watch goes on too. Its start is seen by the change of another variable.
    for exec in [None, Some("echo \"$MAPVAR_VAR $MAPVAR_VALUE\"")] {
        let map = mapvar::Map::options().file(t).open().expect("open");
        map.remove("nils").expect("remove");
        let more = exec.map(|exec| ["--exec", exec]);
        let args = ["watch", "--file", t, "nils", "other", "--count", "2"];
        let watch = limited(&[&args[..], more.as_ref().map_or(&[], |more| &more[..])].concat());
        for _ in 0..2_000 {
            if map.participants().expect("who").iter().any(|one| one.watches.is_some()) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        map.set("nils", vec![(); NILS]).expect("set");
        std::thread::sleep(std::time::Duration::from_millis(300));
        map.set("other", 8 + i64::from(exec.is_some())).expect("set");
        let ran = finish(watch);
        assert_eq!(ran.code, Some(17), "{ran:?}");
        assert!(ran.err.contains("\"nils\"") && ran.err.lines().count() == 1, "{ran:?}");
        let out = if exec.is_some() { &b"other 9\n"[..] } else { b"other\tint\t8\n" };
        assert_eq!(ran.out, out, "{ran:?}");
    }
    drop(mapvar::Map::options().file(t).open().expect("open").set("wide", "x".repeat(150 << 20)));
    // No memory for a copy: it names the variable too, and the others are listed.
    let list = |most: u32| {
        let mut command = Command::new("sh");
        let limited = format!("ulimit -v {most}; exec \"$0\" list --file '{t}'");
        command.args(["-c", &limited, env!("CARGO_BIN_EXE_mapvar")]).stdin(Stdio::null());
        finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start"))
    };
    let mut found = false;
    for most in (200_000..500_000).step_by(20_000) {
        let ran = list(most);
        if ran.code == Some(16) && ran.err.contains("no memory for a copy") {
            assert!(ran.err.contains("\"wide\"") && ran.out.starts_with(b"other"), "{ran:?}");
            found = true;
        }
    }
    assert!(found, "each limit was too low or too high");
}
