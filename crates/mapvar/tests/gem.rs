//! Maps in the layout of Ruby's gem win32-mmap: their bytes, the operations that they refuse, and
//! two processes that share one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_wrap,
    reason = "a test fails by a panic, and counts little"
)]

mod common;

use common::{Owned, Watchdog, child, role, start, unique};
use mapvar::{
    Compared, ErrorKind, Format, Map, MapOptions, Scope, Value, Version,
    gem::{OnClobber, Unlock, Unlocked},
    section::{Name, Section, View},
};
use std::{
    io::{BufRead, BufReader},
    thread,
    time::Duration,
};

/// The bytes that the gem itself writes for `foo = 'hello'; bar = 77`.
const GEM: &[u8] =
    b"\x04\x08\x7b\x07I\"\x08foo\x06:\x06ETI\"\x0ahello\x06;\x00TI\"\x08bar\x06;\x00TiR";

fn options(name: &str) -> MapOptions {
    Map::options().name(name).format(Format::Marshal)
}

/// Maps the memory itself, as another program sees it.
fn bytes(name: &str) -> View {
    let name = Name::of_gem(name, Scope::Local).unwrap();
    Section::options().name(name).open().unwrap().view().map().unwrap()
}

#[test]
fn a_new_map_holds_the_empty_hash() {
    let name = unique("gem-new");
    let map = options(&name).size(100).create().unwrap();
    assert_eq!(bytes(&name).read_string(4).unwrap(), [4, 8, b'{', 0]);
    assert_eq!((map.count().unwrap(), map.stat().unwrap().size), (0, 100));
    assert_eq!(map.stat().unwrap().layout, Format::Marshal);
    let again = options(&name).create().unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
}

#[test]
fn variables_are_where_the_gem_has_them_and_are_recognised() {
    let name = unique("gem-bytes");
    let map = options(&name).create().unwrap();
    bytes(&name).write_at(0, GEM).unwrap();
    bytes(&name).write_at(GEM.len(), b"garbage behind it").unwrap();
    for map in [&map, &Map::open(&name).unwrap()] {
        assert_eq!(map.get::<String>("foo").unwrap(), "hello");
        assert_eq!(map.get::<u8>("bar").unwrap(), 77);
        assert_eq!(map.get::<bool>("bar").unwrap_err().kind(), ErrorKind::WrongKind);
        assert_eq!(map.get::<u8>("baz").unwrap_err().kind(), ErrorKind::NotFound);
        let names: Vec<_> = map.iter().map(|entry| entry.unwrap().name().to_owned()).collect();
        assert_eq!(names.len(), 2);
        let seen = map.snapshot(["bar", "baz"]).unwrap();
        assert_eq!(seen.find::<i64>("bar").unwrap(), Some(77));
        assert_eq!(seen.find::<i64>("baz").unwrap(), None);
        assert_eq!(map.check().unwrap().variables(), 2);
    }
    assert_eq!(map.update("bar", |bar: Option<i64>| bar.unwrap() + 1).unwrap(), 78);
    assert!(map.remove("foo").unwrap());
    assert!(!map.remove("foo").unwrap());
    assert!(!map.contains("foo").unwrap());
    assert_eq!(map.clear().unwrap(), 1);
    assert_eq!(bytes(&name).read_string(4).unwrap(), [4, 8, b'{', 0]);
}

#[test]
fn values_of_every_kind_come_back_and_others_keep_their_bytes() {
    let name = unique("gem-kinds");
    let map = options(&name).create().unwrap();
    // The value is a Time of Ruby, which this library keeps as opaque bytes.
    let hash = include_bytes!("fixtures/time.bin");
    bytes(&name).write_at(0, hash).unwrap();
    let time = map.iter().next().unwrap().unwrap().name().to_owned();
    let kept = map.get::<Value>(&time).unwrap();
    assert_eq!(kept.kind(), mapvar::Kind::Opaque);
    map.set("float", 1.5).unwrap();
    map.set("large", u64::MAX).unwrap();
    map.set("bytes", vec![0_u8, 255]).unwrap();
    map.set("list", (1, "two", 3.5)).unwrap();
    map.set("nil", None::<u8>).unwrap();
    assert_eq!(map.get::<f64>("float").unwrap().to_bits(), 1.5_f64.to_bits());
    assert_eq!(map.get::<u64>("large").unwrap(), u64::MAX);
    assert_eq!(map.get::<Vec<u8>>("bytes").unwrap(), [0, 255]);
    assert_eq!(map.get::<(i64, String, f64)>("list").unwrap(), (1, "two".into(), 3.5));
    assert_eq!(map.get::<Option<u8>>("nil").unwrap(), None);
    assert_eq!(map.get::<Value>(&time).unwrap(), kept);
    for name in ["float", "large", "bytes", "list", "nil"] {
        assert!(map.remove(name).unwrap());
    }
    assert_eq!(bytes(&name).read_string(hash.len()).unwrap(), hash);
}

/// d21 and d36: a size beyond the section is an error, and only a call that may create the file
/// extends it.
#[test]
fn a_size_beyond_the_section_is_refused_and_a_short_file_lengthened() {
    let name = unique("gem-size");
    let _map = options(&name).size(100).create().unwrap();
    let error = options(&name).size(1_000_000).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("1000000"), "{error}");
    let error = options(&name).size(1_000_000).open_or_create().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(options(&name).size(50).open().unwrap().size(), 50);

    let folder = tempfile::tempdir().unwrap();
    let options =
        |file: &str| Map::options().file(folder.path().join(file)).format(Format::Marshal);
    options("a").size(100).create().unwrap().set("foo", 1).unwrap();
    assert_eq!(options("a").size(300).open().unwrap_err().kind(), ErrorKind::TooLarge);
    let read_only = options("a").size(300).read_only(true).open_or_create().unwrap_err();
    assert_eq!(read_only.kind(), ErrorKind::TooLarge);
    let longer = options("a").size(300).open_or_create().unwrap();
    assert_eq!((longer.size(), longer.get::<i64>("foo").unwrap()), (300, 1));
    drop(longer);
    // Windows extends a file by whole units of 64 KiB.
    let now = options("a").open().unwrap().size();
    assert!(now >= 300, "{now}");
    assert_eq!(options("a").size(100).open().unwrap().size(), now);

    // An empty file becomes an empty map, as a new file does.
    std::fs::write(folder.path().join("empty"), b"").unwrap();
    let map = options("empty").size(64).open_or_create().unwrap();
    assert_eq!(map.as_gem().unwrap().read_string(4).unwrap(), [4, 8, b'{', 0]);
}

/// d43: the access of a section and its view is set once, and kept.
#[test]
fn the_settings_of_the_section_hold() {
    use mapvar::section::{Access, Protection, SectionFlags};
    let name = unique("gem-access");
    let map =
        options(&name).gem(|gem| gem.inherit(true).flags(SectionFlags::COMMIT)).create().unwrap();
    map.set("foo", 1).unwrap();
    assert_ne!(map.as_gem().unwrap().address(), 0);

    let copy = options(&name).gem(|gem| gem.access(Access::CopyOnWrite)).open().unwrap();
    copy.set("foo", 2).unwrap();
    assert_eq!((copy.get::<i64>("foo").unwrap(), map.get::<i64>("foo").unwrap()), (2, 1));

    for reading in [
        options(&name).gem(|gem| gem.protection(Protection::ReadOnly)),
        options(&name).gem(|gem| gem.access(Access::Read)),
        options(&name).read_only(true),
    ] {
        let reader = reading.open().unwrap();
        assert_eq!(reader.get::<i64>("foo").unwrap(), 1);
        assert_eq!(reader.set("foo", 2).unwrap_err().kind(), ErrorKind::ReadOnly);
    }
    let both = options(&name)
        .gem(|gem| gem.protection(Protection::ReadOnly).access(Access::ReadWrite))
        .open();
    assert_eq!(both.unwrap_err().kind(), ErrorKind::ReadOnly);
    let both = options(&name).read_only(true).gem(|gem| gem.access(Access::ReadWrite)).open();
    assert_eq!(both.unwrap_err().kind(), ErrorKind::InvalidArgument);

    let executable =
        options(&name).gem(|gem| gem.protection(Protection::ReadWrite).execute(true)).open();
    assert_eq!(executable.unwrap_err().kind(), ErrorKind::PermissionDenied);
    let odd = options(&name).gem(|gem| gem.base_address(1)).open();
    assert_eq!(odd.unwrap_err().kind(), ErrorKind::InvalidArgument);

    // A map of `Format::Store` refuses these settings.
    let store = unique("store-access");
    let store = || Map::options().name(store.clone());
    for odd in [
        store().gem(|gem| gem.protection(Protection::ReadWrite)),
        store().gem(|gem| gem.flags(SectionFlags::COMMIT)),
        store().gem(|gem| gem.inherit(true)),
        store().gem(|gem| gem.access(Access::Read)),
        store().gem(|gem| gem.execute(true)),
        store().gem(|gem| gem.base_address(1 << 20)),
    ] {
        assert_eq!(odd.create().unwrap_err().kind(), ErrorKind::Unsupported);
    }
    let plain = store().create().unwrap();
    assert_eq!((plain.as_gem().is_none(), plain.size()), (true, 64 << 10));
}

/// Marshal data without an equivalent in `Value` is returned with its original bytes.
#[test]
fn the_bytes_of_a_variable_are_told_as_marshal() {
    let name = unique("gem-marshal");
    let map = options(&name).create().unwrap();
    let counts = b"\x04\x08}\x06I\"\x06a\x06:\x06ETi\x06i\x00";
    let opaque = Value::Opaque { language: 1, bytes: counts.to_vec() };
    map.set("counts", &opaque).unwrap();
    assert_eq!(map.get::<Value>("counts").unwrap().to_string(), "{\"a\": 1}");
    assert_eq!(map.marshal("counts").unwrap(), counts);
    assert_eq!(map.marshal("none").unwrap_err().kind(), ErrorKind::NotFound);

    let store = Map::options().name(unique("store-marshal")).create().unwrap();
    store.set("counts", Value::from_marshal(counts).unwrap()).unwrap();
    let kept = store.marshal("counts").unwrap();
    assert_eq!(kept, b"\x04\x08{\x06I\"\x06a\x06:\x06ETi\x06");
    store.set("pod", &Value::Pod { type_id: 1, bytes: vec![1] }).unwrap();
    let error = store.marshal("pod").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("\"pod\" of map"), "{error}");
}

/// d18 and d19: a write keeps the variables that other handles have written.
#[test]
fn a_write_changes_what_it_sets_and_nothing_else() {
    let name = unique("gem-merge");
    let one = options(&name).create().unwrap();
    let two = options(&name).open().unwrap();
    one.set("foo", "one").unwrap();
    two.set("bar", 2).unwrap();
    one.set("foo", "three").unwrap();
    assert_eq!(two.get::<String>("foo").unwrap(), "three");
    assert_eq!(one.get::<i64>("bar").unwrap(), 2);
}

/// d4: a section of zeros.
#[test]
fn zeros_are_a_map_without_variables() {
    let name = unique("gem-zeros");
    let section = Name::of_gem(&name, Scope::Local).unwrap();
    let _section = Section::options().name(section).size(4096).create().unwrap();
    assert_eq!(Map::open(&name).unwrap_err().kind(), ErrorKind::NotFound);
    let map = options(&name).open().unwrap();
    assert_eq!(map.find::<i64>("foo").unwrap(), None);
    map.set("foo", 1).unwrap();
    assert_eq!(Map::open(&name).unwrap().get::<i64>("foo").unwrap(), 1);
}

/// d20: a value that does not fit changes nothing.
#[test]
fn what_does_not_fit_is_refused_and_nothing_changes() {
    let name = unique("gem-full");
    let map = options(&name).size(100).create().unwrap();
    map.set("foo", "hello").unwrap();
    let before = bytes(&name).read_string(100).unwrap();
    assert_eq!(map.set("bar", "x".repeat(90)).unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(
        map.as_gem().unwrap().write_string("x".repeat(101)).unwrap_err().kind(),
        ErrorKind::TooLarge
    );
    assert_eq!(bytes(&name).read_string(100).unwrap(), before);
    // If the system rounds the size up to a page, an opener does not see the creator's size; it can
    // pass it.
    let opener = options(&name).size(100).open().unwrap();
    assert_eq!(opener.set("bar", "x".repeat(90)).unwrap_err().kind(), ErrorKind::TooLarge);
}

/// d23 and d24: raw bytes stay unchanged; variables do not overwrite them.
#[test]
fn raw_bytes_are_kept_until_they_are_cleared() {
    let name = unique("gem-raw");
    let map = options(&name).size(64).create().unwrap();
    map.as_gem().unwrap().write_string("h\u{e9}llo\u{20ac}").unwrap();
    let raw = map.as_gem().unwrap().read_string(9).unwrap();
    assert_eq!(raw, "h\u{e9}llo\u{20ac}".as_bytes());
    for refused in [
        map.set("foo", 1).unwrap_err(),
        map.find::<i64>("foo").unwrap_err(),
        map.remove("foo").unwrap_err(),
        map.count().unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::NotAMap);
        assert!(refused.to_string().contains("read_string"), "{refused}");
    }
    assert_eq!(map.as_gem().unwrap().read_string(9).unwrap(), raw);
    assert!(!map.check().unwrap().is_whole());
    map.clear().unwrap();
    map.set("foo", 1).unwrap();
    assert_eq!(map.as_gem().unwrap().read_string(1 << 30).unwrap_err().kind(), ErrorKind::TooLarge);
    let store = Map::options().name(unique("gem-store")).create().unwrap();
    assert!(store.as_gem().is_none());
}

#[test]
fn half_a_hash_is_corrupt_and_can_be_cleared() {
    let name = unique("gem-torn");
    let map = options(&name).size(64).create().unwrap();
    bytes(&name).write_at(0, b"\x04\x08{\x06I\"\x08fo").unwrap();
    assert_eq!(map.find::<i64>("foo").unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(map.set("foo", 1).unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(!map.check().unwrap().is_whole());
    map.clear().unwrap();
    map.set("foo", 1).unwrap();
}

#[test]
fn a_value_is_set_by_its_version() {
    let name = unique("gem-versions");
    let map = options(&name).create().unwrap();
    let other = options(&name).open().unwrap();
    assert_eq!(map.version("foo").unwrap(), Version::ABSENT);
    assert_eq!(map.get_versioned::<Value>("foo").unwrap_err().kind(), ErrorKind::NotFound);
    let one = map.compare_and_set("foo", Version::ABSENT, 1).unwrap().if_set().unwrap();
    assert_eq!(other.compare_and_set("foo", Version::ABSENT, 5).unwrap(), Compared::Changed(one));
    assert_eq!(other.get_versioned::<i64>("foo").unwrap(), (1, one));
    let seen = other.snapshot(["foo", "absent"]).unwrap();
    assert_eq!((seen.version("foo"), seen.version("absent")), (one, Version::ABSENT));
    // A set of another variable does not change the version.
    other.set("bar", "hello").unwrap();
    assert_eq!(map.version("foo").unwrap(), one);
    let text = Value::Str("two".into());
    let two = map.compare_and_set("foo", one, &text).unwrap().if_set().unwrap();
    assert_ne!(one, two);
    assert_eq!(other.get_versioned::<Value>("foo").unwrap(), (text, two));
    assert_eq!(other.compare_and_set("foo", one, 3).unwrap(), Compared::Changed(two));
    assert_eq!(map.get::<String>("foo").unwrap(), "two");
    map.remove("foo").unwrap();
    assert_eq!(other.compare_and_set("foo", two, 3).unwrap(), Compared::Changed(Version::ABSENT));
    assert!(!map.contains("foo").unwrap());
}

/// A payload above 64 KiB is edited in a copy, without the lock, and compared before it is written.
const TOO_LARGE_FOR_ONE_LOCK: usize = 100_000;

#[test]
fn two_that_count_by_versions_lose_nothing() {
    let _watchdog =
        Watchdog::new("two_that_count_by_versions_lose_nothing", Duration::from_mins(1));
    for others in [0, TOO_LARGE_FOR_ONE_LOCK] {
        let name = unique("gem-count");
        let options = || options(&name).size(1 << 20).timeout(Duration::from_mins(1));
        let map = options().create().unwrap();
        map.set("others", vec![b'x'; others]).unwrap();
        map.set("count", 0).unwrap();
        let count = |map: &Map| {
            for _ in 0..200 {
                loop {
                    let (count, version) = map.get_versioned::<i64>("count").unwrap();
                    if map.compare_and_set("count", version, count + 1).unwrap().is_set() {
                        break;
                    }
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| count(&options().open().unwrap()));
            }
        });
        assert_eq!(map.get::<i64>("count").unwrap(), 400, "beside {others} bytes");
    }
}

#[test]
fn a_walk_that_owns_its_map_sees_all() {
    let map = options(&unique("gem-walk")).create().unwrap();
    map.set("foo", 1).unwrap();
    map.set("bar", "two").unwrap();
    let found: Vec<(String, Value)> = map
        .into_iter()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.name().to_owned(), entry.get::<Value>().unwrap()))
        .collect();
    assert_eq!(found, [("foo".into(), Value::I64(1)), ("bar".into(), Value::Str("two".into()))]);
}

#[test]
fn what_the_layout_cannot_do_says_what_to_use() {
    let map = options(&unique("gem-unsupported")).create().unwrap();
    map.set("foo", 1).unwrap();
    for refused in [
        map.var::<i64>("foo").unwrap_err(),
        map.var_or("foo", 1).unwrap_err(),
        map.atomic::<i64>("foo").unwrap_err(),
        map.atomic_or("foo", 1_i64).unwrap_err(),
        map.transaction(|tx| tx.set("foo", 2)).unwrap_err(),
        map.begin_transaction().unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
        assert!(refused.to_string().contains("Format::Store"), "{refused}");
    }
    assert_eq!(map.get::<i64>("foo").unwrap(), 1);
}

#[test]
fn a_section_without_a_hash_is_named_and_not_taken_for_absent() {
    let name = unique("gem-raw");
    let section = Section::options().name(Name::of_gem(&name, Scope::Local).unwrap());
    let section = section.size(2000).create().unwrap();
    for raw in [&b""[..], b"hello"] {
        section.view().map().unwrap().write_at(0, raw).unwrap();
        let error = Map::open(&name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("`Format::Marshal` opens it"), "{error}");
    }
    assert!(options(&name).open().is_ok());
    // An unrelated program may use the name: it keeps nobody from creating a map.
    let map = Map::options().name(&name).open_or_create().unwrap();
    assert_eq!(map.stat().unwrap().layout, Format::Store);
}

#[test]
fn a_file_is_recognised_by_its_first_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gem.map");
    let map = Map::options().file(&path).format(Format::Marshal).size(2000).create().unwrap();
    map.set("foo", "hello").unwrap();
    map.close().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 2000);
    assert!(std::fs::read(&path).unwrap().starts_with(b"\x04\x08{\x06I\"\x08foo"));
    for options in [Map::options(), Map::options().read_only(true)] {
        let map = options.file(&path).open().unwrap();
        assert_eq!(map.get::<String>("foo").unwrap(), "hello");
    }
    let reader = Map::options().file(&path).read_only(true).open().unwrap();
    assert_eq!(reader.set("foo", 1).unwrap_err().kind(), ErrorKind::ReadOnly);
    assert!(Map::options().file(&path).check().unwrap().is_whole());
    let new = Map::options().file(dir.path().join("new.map")).create().unwrap();
    assert_eq!(Map::options().file(&path).salvage(&new).unwrap().saved(), 1);
    assert_eq!(new.get::<String>("foo").unwrap(), "hello");
    let store = Map::options().file(&path).format(Format::Store).open();
    assert_eq!(store.unwrap_err().kind(), ErrorKind::NotAMap);
}

/// Writes as the gem does: its own Hash only, which erases the variables of other programs.
fn erase(name: &str) {
    bytes(name).write_at(0, b"\x04\x08{\x06I\"\x06g\x06:\x06ETi\x06").unwrap();
}

#[test]
fn what_is_erased_is_reported_and_put_back() {
    let name = unique("gem-reassert");
    let map = options(&name).gem(|gem| gem.on_clobber(OnClobber::Reassert)).create().unwrap();
    map.set("foo", "hello").unwrap();
    map.set("bar", 77).unwrap();
    map.set("baz", 78).unwrap();
    map.remove("baz").unwrap();
    assert_eq!(map.as_gem().unwrap().clobbered().unwrap().count, 0);
    erase(&name);
    assert_eq!(map.find::<i64>("bar").unwrap(), None);
    assert_eq!(map.find::<i64>("bar").unwrap(), None);
    let seen = map.as_gem().unwrap().clobbered().unwrap();
    assert_eq!((seen.count, seen.names), (2, vec!["bar".to_owned(), "foo".into()]));
    map.set("new", 1).unwrap();
    assert_eq!(map.get::<String>("foo").unwrap(), "hello");
    assert_eq!(map.get::<i64>("bar").unwrap(), 77);
    assert_eq!(map.get::<i64>("g").unwrap(), 1);
    assert!(!map.contains("baz").unwrap());
    let seen = map.as_gem().unwrap().clobbered().unwrap();
    assert_eq!((seen.count, seen.names.len()), (2, 0));
    erase(&name);
    map.remove("new").unwrap();
    assert_eq!(map.as_gem().unwrap().clobbered().unwrap().count, 5);
    assert_eq!(map.get::<i64>("bar").unwrap(), 77);
    assert!(!map.contains("new").unwrap());
}

#[test]
fn what_is_erased_is_an_error_once() {
    let name = unique("gem-error");
    let map = options(&name).gem(|gem| gem.on_clobber(OnClobber::Error)).create().unwrap();
    map.set("foo", 1).unwrap();
    erase(&name);
    let error = map.set("bar", 2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TakenAway);
    assert!(error.to_string().contains("foo"), "{error}");
    assert!(!map.contains("bar").unwrap());
    map.set("bar", 2).unwrap();
    assert!(!map.contains("foo").unwrap());
}

#[test]
fn an_erase_is_accepted_unless_asked_otherwise() {
    let name = unique("gem-accept");
    let map = options(&name).create().unwrap();
    map.set("foo", 1).unwrap();
    erase(&name);
    map.set("bar", 2).unwrap();
    assert!(!map.contains("foo").unwrap());
    assert_eq!(map.as_gem().unwrap().clobbered().unwrap().count, 0);
}

/// d9: threads.
#[test]
fn threads_of_one_handle_take_turns() {
    let _watchdog = Watchdog::new("threads_of_one_handle_take_turns", Duration::from_mins(2));
    let map = options(&unique("gem-threads")).timeout(Duration::from_mins(1)).create().unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..common::scaled(500) {
                    map.update("n", |n: Option<i64>| n.unwrap_or(0) + 1).unwrap();
                }
            });
        }
    });
    assert_eq!(map.get::<i64>("n").unwrap(), 4 * common::scaled(500) as i64);
}

/// Not a test: the entry point of the second processes of the two tests below.
#[test]
fn entry() {
    let Some((role, arguments)) = role() else { return };
    let [name, rounds] = arguments.as_slice() else { panic!("{arguments:?}") };
    let map = options(name).timeout(Duration::from_mins(1)).open().unwrap();
    match role.as_str() {
        "count" => {
            for round in 0..rounds.parse::<i64>().unwrap() {
                map.update("both", |n: Option<i64>| n.unwrap_or(0) + 1).unwrap();
                map.set("theirs", round).unwrap();
            }
        }
        "write" => {
            println!("ready");
            for round in 0.. {
                map.set("theirs", "x".repeat(round % 1000)).unwrap();
            }
        }
        other => panic!("{other}"),
    }
}

#[test]
fn two_processes_lose_nothing_of_each_other() {
    let _watchdog = Watchdog::new("two_processes_lose_nothing", Duration::from_mins(2));
    for (others, rounds) in [(0, 2000), (TOO_LARGE_FOR_ONE_LOCK, 500)] {
        let name = unique("gem-two");
        let options = options(&name).size(1 << 20);
        let map = options.timeout(Duration::from_mins(1)).create().unwrap();
        map.set("others", vec![b'x'; others]).unwrap();
        let rounds = common::scaled(rounds);
        let mut other = Owned(start(&mut child("entry", "count", &[&name, &rounds.to_string()])));
        for round in 0..rounds {
            map.update("both", |n: Option<i64>| n.unwrap_or(0) + 1).unwrap();
            map.set("ours", round as i64).unwrap();
        }
        assert!(other.0.wait().unwrap().success());
        assert_eq!(map.get::<usize>("both").unwrap(), 2 * rounds, "beside {others} bytes");
        assert_eq!(map.get::<usize>("ours").unwrap(), rounds - 1, "beside {others} bytes");
        assert_eq!(map.get::<usize>("theirs").unwrap(), rounds - 1, "beside {others} bytes");
    }
}

/// A set that released the lock between its read and its write would start over after each write
/// of the others.
#[test]
fn a_set_beside_busy_writers_takes_the_lock_once() {
    let _watchdog = Watchdog::new("a_set_beside_busy_writers", Duration::from_mins(4));
    let name = unique("gem-busy");
    let map = options(&name).timeout(Duration::from_mins(1)).create().unwrap();
    let _busy = [0, 1].map(|_| {
        let mut other = Owned(start(&mut child("entry", "write", &[&name, "0"])));
        let mut out = BufReader::new(other.0.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("ready") {
            line.clear();
            assert_ne!(out.read_line(&mut line).unwrap(), 0);
        }
        (other, out)
    });
    let rounds = common::scaled(200) as u64;
    for round in 0..rounds {
        map.set("ours", round).unwrap();
    }
    assert_eq!(map.as_gem().unwrap().lock_stat().unwrap().taken, rounds);
    // The user's code runs without the lock: one to read, and one to write.
    for round in 1..=rounds {
        assert_eq!(map.update("count", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap(), round);
    }
    assert_eq!(map.as_gem().unwrap().lock_stat().unwrap().taken, 3 * rounds);
}

/// A walk that could not read the map once must not end as if the map were empty.
#[test]
fn a_walk_that_gets_no_lock_fails_until_it_gets_it() {
    let name = unique("gem-walk");
    let map = options(&name).timeout(Duration::from_millis(20)).create().unwrap();
    map.set("foo", 1).unwrap();
    let section = Name::of_gem(&name, Scope::Local).unwrap();
    let section = Section::options().name(section).open().unwrap();
    let lock = mapvar_os::RubyLock::of(&section).unwrap();
    let held = lock.take(Duration::from_secs(5)).unwrap();
    let mut walk = map.iter();
    for _ in 0..3 {
        assert_eq!(walk.try_next().unwrap_err().kind(), ErrorKind::TimedOut);
    }
    // As an iterator it reports the error once, and ends: `flatten` would never end otherwise.
    let all: Vec<_> = map.iter().map(|entry| entry.unwrap_err().kind()).collect();
    assert_eq!(all, [ErrorKind::TimedOut]);
    held.give().unwrap();
    assert_eq!(walk.try_next().unwrap().unwrap().name(), "foo");
    assert!(walk.try_next().unwrap().is_none());
    assert!(walk.next().is_none());
}

/// d7: an owner of the lock that dies.
#[test]
fn a_process_that_is_killed_keeps_no_lock() {
    let _watchdog = Watchdog::new("a_process_that_is_killed", Duration::from_mins(4));
    let name = unique("gem-kill");
    let map = options(&name).timeout(Duration::from_secs(20)).create().unwrap();
    for round in 0..common::scaled(60).max(6) {
        let mut other = start(&mut child("entry", "write", &[&name, "0"]));
        let mut line = String::new();
        let mut out = BufReader::new(other.stdout.take().unwrap());
        while !line.contains("ready") {
            line.clear();
            assert_ne!(out.read_line(&mut line).unwrap(), 0);
        }
        thread::sleep(Duration::from_micros(500 * round as u64));
        other.kill().unwrap();
        other.wait().unwrap();
        match map.set("ours", round as i64) {
            Ok(()) => {}
            // The process was killed during its copy.
            Err(error) if error.kind() == ErrorKind::Corrupt => drop(map.clear().unwrap()),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(options(&name).unlock(Unlock::Abandoned).unwrap(), Unlocked::WasFree);
    assert!(map.as_gem().unwrap().lock_stat().unwrap().taken > 0);
}

#[test]
fn what_the_layout_lacks_is_refused_and_the_message_names_the_gem() {
    let map = options(&unique("gem-lacks")).create().unwrap();
    for error in [
        map.watch("foo").map(drop).unwrap_err(),
        map.lock("jobs").map(drop).unwrap_err(),
        map.set_ephemeral("a", 4).unwrap_err(),
        map.var::<i64>("a").map(drop).unwrap_err(),
        map.atomic_or("a", 1).map(drop).unwrap_err(),
        map.transaction(|tx| tx.set("a", 1)).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("gem"), "{error}");
    }
}
