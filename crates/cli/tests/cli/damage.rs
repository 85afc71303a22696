//! `check` and `repair` on damaged files: their output and their exit codes.

use crate::harness::{Folder, run};
use std::fs;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn a_whole_map_is_said_to_be_whole() {
    let folder = Folder::new();
    let (t, new) = (&folder.path("t.map"), &folder.path("new.map"));
    run(["set", "--file", t, "foo", "hello"]).ok();
    run(["set", "--file", t, "bar", "77"]).ok();
    let before = fs::read(t).unwrap();
    assert_eq!(run(["check", "--file", t]).ok(), "2 variables, 0 faults, 0 notes\n");
    assert_eq!(
        run(["repair", "--file", t, "--into", new]).ok(),
        "2 variables saved, 0 of them with an older value; 0 lost\n"
    );
    assert_eq!(run(["list", "--file", new]).ok(), "bar\tint\t77\nfoo\tstr\thello\n");
    assert_eq!(run(["check", "--file", new]).ok(), "2 variables, 0 faults, 0 notes\n");
    assert!(fs::read(t).unwrap() == before, "it was written to");
}

#[test]
fn faults_are_told_and_the_rest_is_saved() {
    let folder = Folder::new();
    let (t, new) = (&folder.path("t.map"), &folder.path("new.map"));
    for (name, value) in [("foo", "hello"), ("foo", "hello again"), ("bar", "one"), ("zip", "two")]
    {
        run(["set", "--file", t, name, value]).ok();
    }
    let mut bytes = fs::read(t).unwrap();
    // The header is destroyed; one text is not UTF-8; one name is changed.
    bytes[..512].fill(0);
    for (from, to) in [(&b"hello again"[..], &b"hel\xfflo"[..]), (b"zip\0", b"zap")] {
        let at = bytes.windows(from.len()).position(|part| part == from).expect("the bytes");
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    fs::write(t, &bytes).unwrap();
    run(["get", "--file", t, "bar"]).fails(24);

    let ran = run(["check", "--file", t]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""), "{ran:?}");
    let out = text(&ran.out);
    for says in [
        "fault at 0x0: the header's first word is not the magic number\n",
        ": variable \"foo\": the text is no UTF-8\n",
        ": variable \"zap\": the checksum of id and name is wrong\n",
        "\n1 variable, 3 faults, 0 notes\n",
    ] {
        assert!(out.contains(says), "{says}: {out}");
    }

    let ran = run(["repair", "--file", t, "--into", new]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""), "{ran:?}");
    let out = text(&ran.out);
    for says in [
        ": variable \"foo\": the text is no UTF-8; an older value of it is saved\n",
        ": variable \"zap\": the checksum of id and name is wrong\n",
        "\n2 variables saved, 1 of them with an older value; 1 lost\n",
    ] {
        assert!(out.contains(says), "{says}: {out}");
    }
    assert_eq!(run(["list", "--file", new]).ok(), "bar\tstr\tone\nfoo\tstr\thello\n");
    assert!(fs::read(t).unwrap() == bytes, "it was written to");
}

#[test]
fn what_is_no_map_is_an_error_and_leaves_nothing_behind() {
    let folder = Folder::new();
    let (t, new) = (&folder.path("t.map"), &folder.path("new.map"));
    run(["check", "--file", t]).fails(11);
    run(["repair", "--file", t, "--into", new]).fails(11);
    fs::write(t, "foo = hello\n".repeat(10_000)).unwrap();
    run(["check", "--file", t]).fails(24);
    run(["repair", "--file", t, "--into", new]).fails(24);
    assert!(!fs::exists(new).unwrap());
    run(["repair", "--file", t, "--into", t]).fails(12);
    assert!(fs::exists(t).unwrap());
    run(["check", "nobody-holds-this"]).fails(11);
    run(["repair", "--file", t]).misused();
    run(["check"]).misused();
}

/// Before, one corrupt queue ended `locks` and `who` without a line.
#[test]
fn a_corrupt_queue_hides_no_other_lock_and_no_process() {
    let folder = Folder::new();
    let t = &folder.path("t.map");
    let map = mapvar::Map::options().file(t).create().expect("create");
    let (bad, good) = (map.lock("bad").expect("lock"), map.lock("good").expect("lock"));
    let _held = (bad.acquire().expect("held"), good.acquire().expect("held"));
    let mut bytes = fs::read(t).unwrap();
    let name = bytes.windows(9).position(|part| part == b"\0lock\0bad").expect("the lock");
    // The queue is a list of the last dead owner, which is absent, and of one entry.
    let queue = bytes[name..].windows(3).position(|part| part == [0x92, 0xc0, 0x91]);
    let at = name + queue.expect("the queue");
    // No value begins with this byte. Only it is written: the map is in use.
    bytes[at] = 0xc1;
    write_at(t, at, &bytes[at..=at]);

    let this = std::process::id().to_string();
    let locks = run(["locks", "--file", t]);
    assert_eq!(locks.code, Some(26), "{locks:?}");
    assert!(locks.err.contains("lock \"bad\"") && locks.err.lines().count() == 1, "{locks:?}");
    let line = text(&locks.out);
    assert!(line.starts_with(&format!("good\theld\t{this}\t")), "{locks:?}");
    assert_eq!(line.lines().count(), 1, "{locks:?}");

    let who = run(["who", "--file", t]);
    assert_eq!(who.code, Some(26), "{who:?}");
    assert!(who.err.contains("lock \"bad\"") && who.err.lines().count() == 1, "{who:?}");
    let line = text(&who.out);
    assert!(line.starts_with(&this) && line.contains("holds good\t"), "{who:?}");
}

fn write_at(path: &str, at: usize, bytes: &[u8]) {
    use std::io::{Seek, SeekFrom, Write};
    let mut file = fs::OpenOptions::new().write(true).open(path).expect("open");
    file.seek(SeekFrom::Start(at as u64)).expect("seek");
    file.write_all(bytes).expect("write");
}
