//! A value of every serde data type is read back unchanged. A value that does not fit is refused,
//! and the old value stays. Values look right to the command-line tool and to other languages.

#![allow(clippy::unwrap_used, reason = "a test")]

use mapvar::{ErrorKind, Kind, Map, Value, Version};
use serde::{Deserialize, Serialize, de::DeserializeOwned, ser};
use std::{collections::BTreeMap, fmt::Debug};

fn named(name: &str) -> Map {
    Map::options().name(format!("shapes-{name}.{}", std::process::id())).create().unwrap()
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
struct Unit;
#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
struct Newtype(f32);
#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
struct Tuple(u8, String, Option<bool>);
#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
struct Named {
    unit: Unit,
    newtype: Newtype,
    tuple: Tuple,
    nothing: Option<u8>,
    letter: char,
    keyed: BTreeMap<String, Vec<i64>>,
}
#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
enum Shape {
    Bare,
    One(u64),
    Two(i8, i16),
    Fields { a: bool, b: Vec<u8> },
}

fn comes_back<T>(map: &Map, value: &T, kind: Kind)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    map.set("x", value).unwrap();
    assert_eq!(map.value("x").unwrap().kind(), kind, "{value:?}");
    assert_eq!(&map.get::<T>("x").unwrap(), value);
    // Also inside a list, which is stored as MessagePack.
    map.set("y", ("before", value)).unwrap();
    assert_eq!(&map.get::<(String, T)>("y").unwrap().1, value);
    // The value that the command-line tool shows can be set again.
    let seen = map.value("y").unwrap();
    map.set_value("z", &seen).unwrap();
    assert_eq!(&map.get::<(String, T)>("z").unwrap().1, value);
}

#[test]
fn every_shape_comes_back() {
    let map = named("all");
    comes_back(&map, &(), Kind::Nil);
    comes_back(&map, &Unit, Kind::Nil);
    comes_back(&map, &Newtype(0.1), Kind::F64);
    comes_back(&map, &Tuple(255, "text".into(), None), Kind::List);
    comes_back(&map, &[1_u8, 2, 3], Kind::Bytes);
    comes_back(&map, &vec![1_u16, 2, 3], Kind::List);
    comes_back(&map, &[Some(1_u8), None], Kind::List);
    comes_back(&map, &[Newtype(1.0), Newtype(-0.0)], Kind::List);
    comes_back(&map, &[Shape::One(1)], Kind::List);
    comes_back(&map, &[true, false], Kind::List);
    comes_back(&map, &["a".to_owned()], Kind::List);
    comes_back(&map, &['a', 'ß'], Kind::List);
    comes_back(&map, &[[1_u8, 2], [3, 4]], Kind::List);
    comes_back(&map, &[(1_u8, 2_u8)], Kind::List);
    comes_back(&map, &'ß', Kind::Str);
    comes_back(&map, &Shape::Bare, Kind::Str);
    comes_back(&map, &Shape::One(u64::MAX), Kind::Dict);
    comes_back(&map, &Shape::Two(i8::MIN, i16::MIN), Kind::Dict);
    comes_back(&map, &Shape::Fields { a: true, b: vec![0, 255] }, Kind::Dict);
    let keyed = BTreeMap::from([("k".to_owned(), vec![i64::MIN, -1, 0, i64::MAX])]);
    comes_back(&map, &keyed, Kind::Dict);
    let named = Named {
        unit: Unit,
        newtype: Newtype(f32::MAX),
        tuple: Tuple(0, String::new(), Some(true)),
        nothing: None,
        letter: '\u{10ffff}',
        keyed,
    };
    comes_back(&map, &named, Kind::Dict);
    assert!(map.check().unwrap().is_whole());
}

#[test]
fn wide_integers_are_numbers_where_they_fit_and_refused_where_not() {
    let map = named("wide");
    for number in [i128::from(i64::MIN), -1, 0, i128::from(i64::MAX), i128::from(u64::MAX)] {
        map.set("x", number).unwrap();
        assert_eq!(map.get::<i128>("x").unwrap(), number);
        assert_eq!(map.value("x").unwrap().to_string(), number.to_string());
        assert_eq!(map.get::<u128>("x").ok(), u128::try_from(number).ok());
        assert_eq!(map.get::<u64>("x").ok(), u64::try_from(number).ok());
    }
    map.set("x", u128::from(u64::MAX)).unwrap();
    for refused in [
        map.set("x", u128::MAX),
        map.set("x", u128::from(u64::MAX) + 1),
        map.set("x", i128::MIN),
        map.set("x", i128::from(i64::MIN) - 1),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfRange);
        assert!(error.to_string().contains("64 bits"), "{error}");
    }
    assert_eq!(map.get::<u64>("x").unwrap(), u64::MAX, "the old value stays");
    let error = map.get::<i64>("x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfRange);
    assert!(error.to_string().contains("i64"), "{error}");
    map.set("x", f64::MAX).unwrap();
    assert_eq!(map.get::<f32>("x").unwrap_err().kind(), ErrorKind::OutOfRange);
}

/// A type that fails to serialize: its own message must be reported, and the old value must stay.
struct Refuses;

impl Serialize for Refuses {
    fn serialize<S: ser::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(ser::Error::custom("the pump is off"))
    }
}

#[test]
fn what_a_type_of_the_users_refuses_is_told() {
    let map = named("refused");
    map.set("x", 1).unwrap();
    for refused in [map.set("x", Refuses), map.set("x", (1, Refuses))] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text += &cause.to_string();
            source = cause.source();
        }
        assert!(text.contains("the pump is off"), "{text}");
    }
    assert_eq!(map.get::<i32>("x").unwrap(), 1);
}

#[test]
fn every_kind_of_value_is_shown_and_set_again() {
    let map = named("values");
    let values = [
        (Value::Nil, Kind::Nil, "nil"),
        (Value::Bool(true), Kind::Bool, "true"),
        (Value::I64(-7), Kind::I64, "-7"),
        (Value::U64(u64::MAX), Kind::U64, "18446744073709551615"),
        (Value::F64(0.5), Kind::F64, "0.5"),
        (Value::Str("a b".into()), Kind::Str, "a b"),
        (Value::Bytes(vec![0xab, 1]), Kind::Bytes, ""),
        (Value::List(vec![Value::I64(1), Value::Str("x".into())]), Kind::List, "[1, \"x\"]"),
        (Value::Dict(vec![(Value::Str("k".into()), Value::Nil)]), Kind::Dict, "{\"k\": nil}"),
        (Value::Pod { type_id: 9, bytes: vec![1, 2] }, Kind::Pod, ""),
        (Value::Opaque { language: 3, bytes: vec![4, 5] }, Kind::Opaque, ""),
        (
            Value::List(vec![
                Value::Opaque { language: 1, bytes: b"\x04\x08:\x06a".to_vec() },
                Value::Pod { type_id: u32::MAX, bytes: Vec::new() },
            ]),
            Kind::List,
            "[opaque 1:0x04083a0661, pod 4294967295:0x]",
        ),
    ];
    for (value, kind, shown) in values {
        map.set_value("x", &value).unwrap();
        assert_eq!(map.value("x").unwrap(), value);
        assert_eq!((value.kind(), map.var::<()>("x").unwrap().kind().unwrap()), (kind, kind));
        if shown.is_empty() {
            assert!(!value.to_string().is_empty());
        } else {
            assert_eq!(value.to_string(), shown);
        }
        // A transaction and a snapshot read the same value.
        let within = map.transaction(|tx| tx.value("x")).unwrap();
        assert_eq!(within.as_ref(), Some(&value));
        assert_eq!(map.snapshot(&["x"]).unwrap().value("x").unwrap(), Some(value));
    }
    let error = map.get::<i64>("x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongKind);
}

#[test]
fn transactions_and_snapshots_know_what_is_there() {
    let map = named("sets");
    map.set("a", 1).unwrap();
    let (there, not_there) =
        map.transaction(|tx| Ok((tx.contains("a")?, tx.contains("b")?))).unwrap();
    assert!(there && !not_there);
    map.transaction(|tx| {
        assert_eq!(tx.map().len()?, 1);
        tx.set("b", 2)?;
        assert!(tx.contains("b")?, "a transaction sees what it sets");
        assert_eq!(tx.value("b")?, Some(Value::I64(2)));
        tx.remove("b")?;
        assert!(!tx.contains("b")?, "and what it removes");
        assert!(format!("{tx:?}").contains("writes"));
        Ok(())
    })
    .unwrap();
    assert!(!map.contains("b").unwrap());
    let seen = map.snapshot(&["a", "b"]).unwrap();
    assert_eq!(seen.version("a"), map.version("a").unwrap());
    assert_eq!((seen.version("b"), seen.value("b").unwrap()), (Version::ABSENT, None));
    assert_eq!(seen.find::<i32>("b").unwrap(), None);
    assert_eq!(seen.get::<i32>("b").unwrap_err().kind(), ErrorKind::NotFound);
    assert!(format!("{seen:?}").contains("variables: 2"));
    let (value, version) = map.get_versioned::<i32>("a").unwrap();
    assert_eq!((value, version), (1, map.version("a").unwrap()));
    assert_eq!(map.get_versioned::<i32>("b").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(map.version("b").unwrap(), Version::ABSENT);
    let count = map.atomic_or("n", 5_u64).unwrap();
    assert_eq!(map.version("n").unwrap_err().kind(), ErrorKind::WrongKind);
    assert_eq!(map.get_versioned::<u64>("n").unwrap_err().kind(), ErrorKind::WrongKind);
    assert_eq!((count.name(), count.get().unwrap()), ("n", 5));
    assert_eq!(count.map().len().unwrap(), map.len().unwrap());
}

#[test]
fn handles_say_what_they_are_handles_of() {
    let map = named("handles");
    map.set("a", 1).unwrap();
    let (var, count) = (map.var::<i32>("a").unwrap(), map.atomic_or("n", 0_i64).unwrap());
    assert_eq!(var.map().get::<i32>("a").unwrap(), 1);
    for text in [format!("{map:?}"), format!("{var:?}"), format!("{count:?}")] {
        assert!(text.contains("shapes-handles"), "{text}");
    }
    assert!(format!("{var:?}").contains('a') && format!("{count:?}").contains('n'));
    assert!(!map.timeout().is_zero());
}
