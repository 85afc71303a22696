//! Values come back as they were, and no payload brings down the bridge.

use super::{Labels, decode, encode};
use mapvar::Value;
use proptest::prelude::*;

fn there_and_back(value: &Value) -> Value {
    let encoded = encode(value).expect("the value is encoded");
    let number = encoded.type_id.map(|number| number.to_string());
    let labels = Labels {
        kind: Some(encoded.kind),
        type_id: number.as_deref(),
        content: encoded.message_pack.then_some("application/msgpack"),
    };
    decode(&encoded.payload, labels).expect("the value is decoded")
}

fn payload(value: &Value) -> String {
    String::from_utf8(encode(value).expect("encoded").payload).expect("text")
}

#[test]
fn any_client_can_read_the_payloads() {
    assert_eq!(payload(&Value::Nil), "null");
    assert_eq!(payload(&Value::I64(-7)), "-7");
    assert_eq!(payload(&Value::U64(u64::MAX)), "18446744073709551615");
    assert_eq!(payload(&Value::F64(3.0)), "3.0");
    assert_eq!(payload(&Value::F64(f64::NEG_INFINITY)), "\"-inf\"");
    assert_eq!(payload(&Value::Str("a\"b".into())), r#""a\"b""#);
    let dict = Value::Dict(vec![(Value::Str("rpm".into()), Value::List(vec![1.into()]))]);
    assert_eq!(payload(&dict), r#"{"rpm":[1]}"#);
    assert_eq!(encode(&Value::Bytes(vec![0, 255])).expect("encoded").payload, [0, 255]);
}

#[test]
fn special_values_come_back() {
    assert!(matches!(there_and_back(&Value::F64(f64::NAN)), Value::F64(it) if it.is_nan()));
    for value in [
        Value::F64(f64::INFINITY),
        Value::F64(-0.0),
        Value::F64(5e-324),
        Value::F64(1e300),
        Value::Pod { type_id: 7, bytes: vec![1, 2] },
        Value::Opaque { language: 1, bytes: vec![] },
        Value::List(vec![Value::Pod { type_id: 9, bytes: vec![3] }, Value::F64(f64::INFINITY)]),
        Value::Dict(vec![(Value::I64(1), Value::Nil), (Value::I64(1), Value::Bool(true))]),
    ] {
        assert_eq!(there_and_back(&value), value);
    }
}

#[test]
fn a_deep_value_comes_back_and_a_deeper_payload_is_refused() {
    let mut value = Value::Nil;
    for _ in 0..127 {
        value = Value::List(vec![value]);
    }
    assert_eq!(there_and_back(&value), value);
    let deep = vec![b'['; 100_000];
    assert!(decode(&deep, Labels { kind: Some("list"), ..Labels::default() }).is_err());
    let deep = vec![0x91; 100_000];
    let content = Some("application/msgpack");
    assert!(decode(&deep, Labels { kind: Some("list"), content, type_id: None }).is_err());
    // Claims four billion elements.
    let long = [0xdd, 0xff, 0xff, 0xff, 0xff, 0xc0];
    assert!(decode(&long, Labels { kind: Some("list"), content, type_id: None }).is_err());
}

#[test]
fn a_payload_of_another_client_is_understood() {
    let guessed = |payload: &[u8]| decode(payload, Labels::default()).expect("a value");
    assert_eq!(guessed(b"7"), Value::I64(7));
    assert_eq!(guessed(b"hello"), Value::Str("hello".into()));
    assert_eq!(guessed(&[0xff]), Value::Bytes(vec![0xff]));
    assert_eq!(guessed(b""), Value::Str(String::new()));
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Bool),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::I64),
        any::<f64>().prop_filter("unequal to itself", |it| !it.is_nan()).prop_map(Value::F64),
        ".{0,12}".prop_map(Value::Str),
        any::<Vec<u8>>().prop_map(Value::Bytes),
        (any::<u32>(), any::<Vec<u8>>()).prop_map(|(type_id, bytes)| Value::Pod { type_id, bytes }),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
            prop::collection::vec((inner.clone(), inner), 0..4).prop_map(Value::Dict),
        ]
    })
}

proptest! {
    #[test]
    fn every_value_comes_back(value in values()) {
        prop_assert_eq!(there_and_back(&value), value);
    }

    #[test]
    fn every_payload_is_refused_or_read(
        payload in any::<Vec<u8>>(),
        kind in prop::option::of("nil|bool|int|uint|float|str|bytes|list|dict|pod|opaque|x"),
        number in prop::option::of("[0-9x]{1,12}"),
        packed in any::<bool>(),
    ) {
        let labels = Labels {
            kind: kind.as_deref(),
            type_id: number.as_deref(),
            content: packed.then_some("application/msgpack"),
        };
        let _ = decode(&payload, labels);
    }
}
