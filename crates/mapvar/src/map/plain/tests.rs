//! What other processes may set in place of a plain struct and of its layout.

use crate::{
    ErrorKind, Map, Value,
    map::{Body, store_map::Stored},
    plain::{Field, Layout, Plain, PlainField, Scalar, Shape, description, number, part, part_mut},
};
use mapvar_engine::value::{Kind, Raw};

/// As the derive makes it.
#[derive(Debug, PartialEq)]
struct Flag(bool);

impl Plain for Flag {
    const SIZE: usize = 1;
    const ALIGN: usize = 1;
    type Bytes = [u8; 1];

    fn zeroed() -> [u8; 1] {
        [0]
    }

    fn layout() -> Layout {
        Layout::new("Flag", 1, 1, vec![Field::new("on", 0, Shape::Scalar(Scalar::Bool))])
    }

    fn write(&self, to: &mut [u8]) {
        self.0.write(part_mut(to, 0, 1));
    }

    fn is_valid(from: &[u8]) -> bool {
        <bool as PlainField>::is_valid(part(from, 0, 1))
    }

    fn read(from: &[u8]) -> Self {
        Self(<bool as PlainField>::read(part(from, 0, 1)))
    }
}

fn map(what: &str) -> Map {
    let name = format!("test.plain-{what}.{}", std::process::id());
    Map::options().name(&name).create().unwrap()
}

fn stored(map: &Map) -> &Stored {
    match &map.0 {
        Body::Store(stored) => stored,
        Body::Gem(_) => panic!("no gem"),
    }
}

/// Sets a variable, of any name, as another process can.
fn forge(map: &Map, name: &str, raw: &Raw<'_>) {
    let store = &stored(map).inner.store;
    store.set(store.query(name.as_bytes()), raw).unwrap();
}

fn layout_name(id: u32) -> String {
    format!("\0plain\0{id:08x}")
}

#[test]
fn a_value_that_lies_is_an_error_that_names_it() {
    let map = map("value");
    let flag = map.plain::<Flag>("flag").unwrap();
    flag.set(Flag(true)).unwrap();
    let id = number(&description(&Flag::layout()).unwrap());
    let forged = |bytes: &[u8]| forge(&map, "flag", &Raw::bytes(Kind::Plain, id, bytes));
    let all_fail = |kind, part: &str| {
        let errors = [
            flag.get().unwrap_err(),
            flag.find().unwrap_err(),
            flag.field::<bool>("on").unwrap().get().unwrap_err(),
            map.get::<Value>("flag").unwrap_err(),
            map.get_field("flag", "on").unwrap_err(),
            map.snapshot(["flag"]).unwrap().get::<Value>("flag").unwrap_err(),
            map.iter().next().unwrap().unwrap().get::<Value>().unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), kind, "{error}");
            let text = error.to_string();
            assert!(text.contains("\"flag\"") && text.contains(part), "{text}");
        }
    };
    forged(&[2]);
    all_fail(ErrorKind::Corrupt, "neither 0 nor 1");
    forged(&[]);
    all_fail(ErrorKind::Corrupt, "0 bytes");
    forged(&[1, 1]);
    all_fail(ErrorKind::Corrupt, "2 bytes");
    forged(&[0; 5000]);
    all_fail(ErrorKind::Corrupt, "5000 bytes");
    // A reader goes on once the value is whole.
    forged(&[1]);
    assert_eq!(flag.get().unwrap(), Flag(true));
}

#[test]
fn a_layout_that_lies_is_an_error_that_names_the_variable() {
    let map = map("layout");
    for (what, description, kind) in [
        ("a later version", &b"\x02whatever"[..], ErrorKind::Version),
        ("a later type", b"\x01\x01T\x01\0\0\0\0\x01\0\x01x\0\0\0\0\0\x0d", ErrorKind::Version),
        ("beyond the end", b"\x01\x01T\x01\0\0\0\0\x01\0\x01x\x01\0\0\0\0\x06", ErrorKind::Corrupt),
        ("no UTF-8", b"\x01\x01\xffT\x01\0\0\0\0\x01\0\x01x\0\0\0\0\0\x06", ErrorKind::Corrupt),
        ("nothing", b"", ErrorKind::Corrupt),
    ] {
        let id = number(description);
        forge(&map, &layout_name(id), &Raw::bytes(Kind::Bytes, 0, description));
        forge(&map, "x", &Raw::bytes(Kind::Plain, id, &[0]));
        let error = map.plain::<Flag>("x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongKind, "{what}: {error}");
        for error in [map.get::<Value>("x").unwrap_err(), map.get_field("x", "x").unwrap_err()] {
            assert_eq!(error.kind(), kind, "{what}: {error}");
            assert!(error.to_string().contains("\"x\""), "{what}: {error}");
        }
        assert_eq!(map.count().unwrap(), 1);
        assert!(map.remove("x").unwrap());
    }
}

#[test]
fn a_layout_of_another_kind_or_number_counts_as_damaged_and_is_replaced() {
    let map = map("kind");
    let id = number(&description(&Flag::layout()).unwrap());
    let long = vec![0; 100_000];
    for raw in [
        Raw::word(Kind::I64, 7),
        Raw::bytes(Kind::Bytes, 0, b"another"),
        Raw::bytes(Kind::Str, 0, b"another"),
        Raw::bytes(Kind::Bytes, 0, &long),
    ] {
        forge(&map, &layout_name(id), &raw);
        forge(&map, "x", &Raw::bytes(Kind::Plain, id, &[1]));
        // Another handle, which has read no layout before.
        let fresh = Map::options().name(name_of(&map)).open().unwrap();
        let error = fresh.get::<Value>("x").unwrap_err();
        assert!(error.to_string().contains("is damaged"), "{error}");
        assert_eq!(map.plain::<Flag>("x").unwrap().get().unwrap(), Flag(true));
        assert_eq!(fresh.get::<Value>("x").unwrap().to_string(), "{\"on\": true}");
    }
}

fn name_of(map: &Map) -> String {
    let object = stored(map).object();
    object.trim_start_matches("map ").trim_matches('"').to_owned()
}

#[test]
fn a_layout_is_durable_before_a_value_can_be_set() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("one.map");
    let map = Map::options().file(&path).create().unwrap();
    map.plain::<Flag>("flag").unwrap();
    let id = number(&description(&Flag::layout()).unwrap());
    // The file as another boot finds it, without a flush by the user.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[0x200] ^= 0xff;
    let crc = u64::from(crc32fast::hash(&bytes[0x200..0x230])) | 1 << 32;
    bytes[0x230..0x238].copy_from_slice(&crc.to_le_bytes());
    let copy = dir.path().join("copy.map");
    std::fs::write(&copy, &bytes).unwrap();
    let copy = Map::options().file(&copy).open().unwrap();
    assert!(copy.recovery().is_some());
    let found = stored(&copy).layout(id).unwrap();
    assert_eq!(*found.unwrap(), Flag::layout());
    assert_eq!(copy.count().unwrap(), 0);
}
