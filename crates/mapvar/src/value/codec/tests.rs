use super::{error::Mismatch, *};
use crate::Value;
use mapvar_engine::value::Data;
use mapvar_os::ErrorKind;
use std::{collections::BTreeMap, fmt};

/// The fast path encodes and decodes as the full codec does, or not at all.
fn agrees<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(value: &T) {
    let full = captured(value);
    if let Some((kind, word)) = plain(value) {
        assert_eq!(kind, full.kind().unwrap(), "{value:?}");
        assert!(matches!(full.data, Data::Word(full) if full == word), "{value:?}");
    }
    for number in 0..=255 {
        for word in [0, 1, 2, 127, 200, 1 << 40, 1 << 63, u64::MAX, 1.5_f64.to_bits()] {
            let fast = of_plain::<T>(Desc::new(8, number), word);
            let full = decode::<T>(OwnedValue { kind: number, type_id: 0, data: Data::Word(word) });
            if let Some(fast) = fast {
                // Compared by their `Debug` output, because a NaN is not equal to itself.
                let shown = (format!("{fast:?}"), format!("{:?}", full.unwrap()));
                assert_eq!(shown.0, shown.1, "kind {number} word {word:#x}");
            }
        }
    }
}

/// The encoded value, as it is copied out of a slot.
fn captured<T: Serialize + ?Sized>(value: &T) -> OwnedValue {
    encode(value, &mut |raw| OwnedValue::of(raw)).unwrap()
}

fn kind<T: Serialize + ?Sized>(value: &T) -> Kind {
    captured(value).kind().unwrap()
}

#[allow(clippy::needless_pass_by_value, reason = "reads better where it is called")]
fn same<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(value: T, expected: Kind) {
    let through = captured(&value);
    assert_eq!(through.kind().unwrap(), expected, "{value:?}");
    assert_eq!(decode::<T>(through.clone()).unwrap(), value);
    agrees(&value);
    // The `Value` that the command would show encodes to the same bytes.
    let shown = decode::<Value>(through.clone()).unwrap();
    let again = encode(&shown, &mut |raw| (raw.kind, format!("{:?}", raw.payload))).unwrap();
    let first = encode(&value, &mut |raw| (raw.kind, format!("{:?}", raw.payload))).unwrap();
    assert_eq!(again, first, "{value:?}");
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone, Default)]
struct Pose {
    x: f64,
    tag: Option<String>,
    joints: Vec<i32>,
    raw: Vec<u8>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
enum Mode {
    Off,
    Speed(u32),
    Point { x: i8 },
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Meters(f64);

#[test]
fn every_shape_comes_back() {
    same((), Kind::Nil);
    same(None::<i32>, Kind::Nil);
    same(Some(5), Kind::I64);
    same(true, Kind::Bool);
    same(i8::MIN, Kind::I64);
    same(i64::MIN, Kind::I64);
    same(i64::MAX as u64, Kind::I64);
    same(u64::MAX, Kind::U64);
    same(-0.5_f64, Kind::F64);
    same(f64::INFINITY, Kind::F64);
    same(1.5_f32, Kind::F64);
    same('é', Kind::Str);
    same(String::from("héllo €"), Kind::Str);
    same(String::new(), Kind::Str);
    same(vec![0_u8, 255, 7], Kind::Bytes);
    same([1_u8, 2, 3, 4], Kind::List);
    same((1_u8, 2_u8), Kind::List);
    same(vec![1_i32, -2], Kind::List);
    same(Vec::<u8>::new(), Kind::List);
    same((1_u8, String::from("two"), 3.0), Kind::List);
    same(BTreeMap::from([(String::from("a"), 1), (String::from("b"), 2)]), Kind::Dict);
    same(Pose { raw: vec![9, 8], tag: Some("t".into()), ..Pose::default() }, Kind::Dict);
    same(Mode::Off, Kind::Str);
    same(Mode::Speed(3), Kind::Dict);
    same(Mode::Point { x: -1 }, Kind::Dict);
    same(Meters(2.5), Kind::F64);
}

#[test]
fn nan_keeps_its_bits() {
    let bits = 0x7ff8_0000_0000_1234;
    let back: f64 = decode(captured(&f64::from_bits(bits))).unwrap();
    assert_eq!(back.to_bits(), bits);
}

#[test]
fn a_struct_is_stored_with_the_names_of_its_fields() {
    let value = decode::<Value>(captured(&Mode::Point { x: 3 })).unwrap();
    assert_eq!(value.to_string(), r#"{"Point": {"x": 3}}"#);
    let pose = decode::<Value>(captured(&Pose { raw: vec![1, 2], ..Pose::default() })).unwrap();
    assert_eq!(pose.to_string(), r#"{"x": 0.0, "tag": nil, "joints": [], "raw": [1, 2]}"#);
}

#[test]
fn integers_convert_with_a_check_of_their_range() {
    assert_eq!(decode::<u8>(captured(&200_i64)).unwrap(), 200);
    let error = decode::<u8>(captured(&300)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfRange);
    assert!(error.to_string().contains("300 does not fit u8"), "{error}");
    assert_eq!(decode::<u64>(captured(&-1)).unwrap_err().kind(), ErrorKind::OutOfRange);
    assert_eq!(decode::<i64>(captured(&u64::MAX)).unwrap_err().kind(), ErrorKind::OutOfRange);
    assert_eq!(decode::<i128>(captured(&u64::MAX)).unwrap(), i128::from(u64::MAX));
    let error = encode(&i128::MAX, &mut |_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfRange);
}

#[test]
fn kinds_never_convert_silently() {
    for (error, what) in [
        (decode::<i64>(captured(&1.0)).map(|_| ()).unwrap_err(), "float as int"),
        (decode::<bool>(captured(&1)).map(|_| ()).unwrap_err(), "int as bool"),
        (decode::<String>(captured(&1)).map(|_| ()).unwrap_err(), "int as text"),
        (decode::<i64>(captured("1")).map(|_| ()).unwrap_err(), "text as int"),
        (decode::<Pose>(captured(&[1, 2])).map(|_| ()).unwrap_err(), "list as struct"),
        (decode::<Vec<i32>>(captured("x")).map(|_| ()).unwrap_err(), "text as list"),
        (decode::<()>(captured(&0)).unwrap_err(), "int as nil"),
        (decode::<Mode>(captured("On")).map(|_| ()).unwrap_err(), "no such variant"),
    ] {
        assert_eq!(error.kind(), ErrorKind::WrongKind, "{what}: {error}");
    }
    assert_eq!(decode::<f32>(captured(&1e300)).unwrap_err().kind(), ErrorKind::OutOfRange);
    assert_eq!(kind("x"), Kind::Str);
}

#[test]
fn hostile_message_pack_is_an_error_and_no_more() {
    let hostile = |kind: Kind, bytes: &[u8]| OwnedValue {
        kind: kind as u8,
        type_id: 0,
        data: Data::Bytes(bytes.to_vec()),
    };
    // A list without its 2^32 - 1 elements; deep nesting; a truncated dictionary.
    let deep = vec![0x91; 100_000];
    for bytes in [&[0xdd, 0xff, 0xff, 0xff, 0xff][..], &deep, &[0x8f, 0xa1], &[], &[0xc1]] {
        for kind in [Kind::List, Kind::Dict] {
            assert!(decode::<Value>(hostile(kind, bytes)).is_err());
            assert!(decode::<Pose>(hostile(kind, bytes)).is_err());
            assert!(decode::<Vec<u64>>(hostile(kind, bytes)).is_err());
        }
    }
    assert_eq!(
        decode::<String>(hostile(Kind::Str, &[0xff])).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    for number in 0..=255 {
        let captured = OwnedValue { kind: number, type_id: 0, data: Data::Word(7) };
        let _ = decode::<Value>(captured.clone());
        let _ = decode::<Pose>(captured.clone());
        let _ = decode::<u64>(captured);
    }
}

#[test]
fn text_that_is_none_is_told() {
    for bytes in [vec![0xff], vec![b'a', 0xc3], vec![0xed, 0xa0, 0x80]] {
        let captured =
            OwnedValue { kind: Kind::Str as u8, type_id: 0, data: Data::Bytes(bytes.clone()) };
        let error = decode::<String>(captured).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{bytes:?}");
    }
}

/// `check` and `salvage` ask `is_message_pack`, and must refuse what a read refuses.
#[test]
fn bytes_after_the_message_pack_are_damage() {
    let value = |kind: Kind, bytes: &[u8]| OwnedValue {
        kind: kind as u8,
        type_id: 0,
        data: Data::Bytes(bytes.to_vec()),
    };
    // [1], [], {} and {"a": 1}, each with one byte more.
    let cases: [(Kind, &[u8]); 4] = [
        (Kind::List, &[0x91, 1, 0]),
        (Kind::List, &[0x90, 0xc0]),
        (Kind::Dict, &[0x80, 0]),
        (Kind::Dict, &[0x81, 0xa1, b'a', 1, 0xc0]),
    ];
    for (kind, bytes) in cases {
        let whole = &bytes[..bytes.len() - 1];
        assert!(
            is_message_pack(whole) && decode::<Value>(value(kind, whole)).is_ok(),
            "{bytes:x?}"
        );
        assert!(!is_message_pack(bytes), "{bytes:x?}");
        let errors = [
            decode::<Value>(value(kind, bytes)).map(drop).unwrap_err(),
            decode::<Value>(value(kind, bytes)).map(drop).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{bytes:x?}: {error}");
            assert!(error.to_string().contains("ends 1 bytes before"), "{error}");
        }
    }
    let list = decode::<Vec<u8>>(value(Kind::List, &[0x91, 1, 0])).unwrap_err();
    assert_eq!(list.kind(), ErrorKind::Corrupt, "{list}");
}

/// A deserializer reports a refusal of memory by the text alone.
#[test]
fn a_value_without_memory_is_too_large() {
    assert_eq!(<Mismatch as de::Error>::custom(NO_MEMORY).kind, ErrorKind::TooLarge);
    assert_eq!(<Mismatch as de::Error>::custom("anything else").kind, ErrorKind::WrongKind);
}
