//! Compares the public interface on a real mapping with a `HashMap`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by a panic, and says what it saw"
)]

mod common;

use common::unique;
use mapvar::{ErrorKind, Map, Value, Var};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};

#[derive(Clone, Debug)]
enum Step {
    Set(u8, Value),
    Remove(u8),
    Get(u8),
    Handle(u8),
    ThroughHandle(u8, Value),
    List,
    Clear,
    Reopen,
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::I64),
        (i64::MAX as u64 + 1..=u64::MAX).prop_map(Value::U64),
        any::<f64>().prop_filter("NaN is not itself", |f| !f.is_nan()).prop_map(Value::F64),
        ".{0,40}".prop_map(Value::Str),
        prop::collection::vec(any::<u8>(), 0..600).prop_map(Value::Bytes),
        (any::<u32>(), prop::collection::vec(any::<u8>(), 0..100))
            .prop_map(|(type_id, bytes)| Value::Pod { type_id, bytes }),
        (any::<u32>(), prop::collection::vec(any::<u8>(), 0..100))
            .prop_map(|(language, bytes)| Value::Opaque { language, bytes }),
    ];
    let inner = prop_oneof![
        Just(Value::Nil),
        any::<i64>().prop_map(Value::I64),
        "[a-z]{0,8}".prop_map(Value::Str),
        (any::<u32>(), prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(type_id, bytes)| Value::Pod { type_id, bytes }),
        (any::<u32>(), prop::collection::vec(any::<u8>(), 0..300))
            .prop_map(|(language, bytes)| Value::Opaque { language, bytes }),
    ];
    prop_oneof![
        8 => leaf,
        1 => prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
        1 => prop::collection::vec((inner.clone(), inner), 0..4).prop_map(Value::Dict),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..40_u8, value()).prop_map(|(n, v)| Step::Set(n, v)),
        3 => (0..40_u8).prop_map(Step::Remove),
        2 => (0..40_u8).prop_map(Step::Get),
        1 => (0..40_u8).prop_map(Step::Handle),
        2 => (0..40_u8, value()).prop_map(|(n, v)| Step::ThroughHandle(n, v)),
        1 => Just(Step::List),
        1 => Just(Step::Reopen),
        1 => prop::bool::weighted(0.2).prop_map(|c| if c { Step::Clear } else { Step::List }),
    ]
}

fn name(number: u8) -> String {
    match number % 4 {
        0 => format!("v{number}"),
        1 => format!("plant/line {number}/temperature of the pump"),
        2 => format!("é{number}").repeat(60),
        _ => number.to_string(),
    }
}

fn same(found: &Value, expected: &Value) -> bool {
    found == expected
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: common::scaled(300) as u32,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn it_is_a_map(steps in prop::collection::vec(step(), 1..80)) {
        let dir = common::quick_folder();
        let path = dir.path().join("model.map");
        let mut map = Map::options().file(&path).size(100_000).create().unwrap();
        let mut model: HashMap<String, Value> = HashMap::new();
        let mut handles: HashMap<String, Var<Value>> = HashMap::new();
        for step in steps {
            match step {
                Step::Set(n, value) => match map.set(&name(n), &value) {
                    Ok(()) => { model.insert(name(n), value); }
                    Err(error) => prop_assert!(
                        matches!(error.kind(), ErrorKind::TooLarge | ErrorKind::Full),
                        "{}", error
                    ),
                },
                Step::Remove(n) => {
                    let was = map.remove(&name(n)).unwrap();
                    prop_assert_eq!(was, model.remove(&name(n)).is_some());
                }
                Step::Get(n) => match (map.get::<Value>(&name(n)), model.get(&name(n))) {
                    (Ok(found), Some(expected)) => {
                        prop_assert!(same(&found, expected), "{:?} {:?}", found, expected);
                    }
                    (Err(error), None) => prop_assert_eq!(error.kind(), ErrorKind::NotFound),
                    (found, expected) => prop_assert!(false, "{:?} {:?}", found, expected),
                },
                Step::Handle(n) => {
                    let handle = map.var(&name(n)).unwrap();
                    prop_assert_eq!(handle.find().unwrap().is_some(), model.contains_key(&name(n)));
                    handles.insert(name(n), handle);
                }
                Step::ThroughHandle(n, value) => {
                    let Some(handle) = handles.get(&name(n)) else { continue };
                    // `Var::set` does not keep the number of a `Pod` or `Opaque`.
                    if matches!(value, Value::Pod { .. } | Value::Opaque { .. }) {
                        continue;
                    }
                    match handle.set(value.clone()) {
                        Ok(()) => {
                            prop_assert_eq!(handle.kind().unwrap(), value.kind());
                            model.insert(name(n), value);
                        }
                        Err(error) => prop_assert_eq!(error.kind(), ErrorKind::TooLarge),
                    }
                }
                Step::List => {
                    let found: BTreeMap<String, Value> = map
                        .iter()
                        .map(|entry| {
                            let entry = entry.unwrap();
                            (entry.name().to_owned(), entry.get::<Value>().unwrap())
                        })
                        .collect();
                    let expected: BTreeMap<String, Value> =
                        model.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
                    prop_assert_eq!(found, expected);
                    prop_assert_eq!(map.count().unwrap(), model.len() as u64);
                }
                Step::Clear => {
                    prop_assert_eq!(map.clear().unwrap(), model.len() as u64);
                    model.clear();
                }
                Step::Reopen => {
                    handles.clear();
                    map.flush().unwrap();
                    map.close().unwrap();
                    map = Map::options().file(&path).open().unwrap();
                }
            }
        }
        for (name, expected) in &model {
            prop_assert!(same(&map.get::<Value>(name).unwrap(), expected));
        }
    }
}

#[test]
fn threads_on_one_map_do_not_meet() {
    let map = Map::options().name(unique("threads")).size(1 << 20).create().unwrap();
    let count = map.atomic_or("count", 0_u64).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (map, count) = (map.clone(), count.clone());
            scope.spawn(move || {
                for round in 0..2_000 {
                    let name = format!("{thread}-{}", round % 50);
                    map.set(&name, round).unwrap();
                    assert_eq!(map.get::<u64>(&name).unwrap(), round);
                    if round % 7 == 0 {
                        assert!(map.remove(&name).unwrap());
                    }
                    count.fetch_add(1).unwrap();
                }
            });
        }
    });
    assert_eq!(count.load().unwrap(), 8_000);
}
